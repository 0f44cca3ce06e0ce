"""The people of the site's desk: users of this machine, as far as the lab's namespaces go.

The kernel says who connects to the control socket, so each is a user with an id of their own. Names
and groups stand in a passwd and a group file that are mounted over the machine's, in the lab alone.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PEOPLE", "Person", "as_person", "mount_people"]


class Person(NamedTuple):
    """A user: what they are at the desk, and the group that gives their role."""

    name: str
    uid: int
    role: str
    group: str


PEOPLE: Final = {
    one.name: one
    for one in (
        Person("ana", 2001, "analyst, on call", "ipwatch-operator"),
        Person("ben", 2002, "analyst", "ipwatch-operator"),
        Person("dina", 2003, "data-protection officer", "ipwatch-operator"),
        Person("gil", 2004, "team lead, may look", "ipwatch-viewer"),
    )
}
_GROUPS: Final = {"ipwatch-viewer": 2100, "ipwatch-operator": 2101, "ipwatch-admin": 2102}


def mount_people(folder: Path) -> None:
    """Let this mount namespace, and nothing outside it, know the people and their groups."""
    users = ["root:x:0:0:root:/root:/bin/sh", "nobody:x:65534:65534::/nonexistent:/bin/false"]
    users += [f"{one.name}:x:{one.uid}:{one.uid}:{one.role}:/:/bin/sh" for one in PEOPLE.values()]
    groups = ["root:x:0:", "nogroup:x:65534:"]
    groups += [f"{one.name}:x:{one.uid}:" for one in PEOPLE.values()]
    for name, number in _GROUPS.items():
        members = ",".join(one.name for one in PEOPLE.values() if one.group == name)
        groups.append(f"{name}:x:{number}:{members}")
    for name, lines in (("passwd", users), ("group", groups)):
        path = folder / name
        path.write_text("\n".join(lines) + "\n", "utf-8")
        path.chmod(0o644)
        subprocess.run(
            ["mount", "--bind", str(path), f"/etc/{name}"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip


def as_person(name: str) -> list[str]:
    """Return what runs a command as somebody, "" being root.

    They keep the capability to pass folders: the lab's state may lie under one that is root's.
    """
    if not name:
        return []
    one = PEOPLE[name]
    return [
        "setpriv", f"--reuid={one.uid}", f"--regid={one.uid}", f"--groups={_GROUPS[one.group]}",
        "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override",
    ]  # fmt: skip
