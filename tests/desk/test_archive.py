"""What an archive of a case consists of: names of their own, sums that sha256sum reads."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.desk.archive import MANIFEST, SUMS, members, papers
from ipwatchd.records.incident import Exhibit, IncidentEvent
from tests.incidents.review.test_course import incident

if TYPE_CHECKING:
    from pathlib import Path

names = st.text(max_size=30)


def reported(*attached: str) -> IncidentEvent:
    """Return the event of a report with attachments of some names."""
    files = [{"name": one, "sha256": "ab" * 32, "bytes": 1} for one in attached]
    return IncidentEvent(
        site="lab", seq=1, time=0.0, incident="LAB-1", actor="jose", kind="reported",
        body={"report": {"id": "mail-1", "original": "cd" * 32, "attachments": files}},
        previous="", hash="",
    )  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(st.lists(names, max_size=5), st.lists(names, max_size=5))
def test_each_file_has_a_name_of_its_own_in_the_archive(
    attached: list[str], exhibits: list[str]
) -> None:
    """Whatever senders call their files: no path leads out, no two are one, each is one line."""
    taken = [
        Exhibit(name=one, sha256=hashlib.sha256(bytes([n])).hexdigest(), bytes=1, taken=7.0)
        for n, one in enumerate(exhibits)
    ]
    found = members(taken, [reported(*attached)])
    called = [one.name for one in found]
    assert len(set(called)) == len(called) == len(exhibits) + len(attached) + 1
    for name in called:
        assert name.isprintable()
        assert "\\" not in name
        assert not {"..", ".", ""} & set(name.split("/"))


def test_sha256sum_takes_the_sums(tmp_path: Path) -> None:
    """The independent witness: what the archive says of its files, coreutils finds too."""
    found = members([], [reported()])
    made = papers(incident(), {"incident.json": {"id": "LAB-1"}}, [], {found[0].name: "gone"}, 5.0)
    for name in ("incident.json", MANIFEST, SUMS):
        (tmp_path / name).write_bytes(made[name])
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "incident.json: OK\n")
