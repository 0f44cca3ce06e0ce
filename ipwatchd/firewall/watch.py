"""Who commits to the kernel's rules: a listener that hears of every nf_tables transaction.

The kernel ends each commit with NFT_MSG_NEWGEN, which carries the number of the new generation, the
process and its name (linux/netfilter/nf_tables.h, enum nft_gen_attributes). A socket filter lets
this one message through and none of the others, one an element, so that somebody's load of a
million elements can't run the buffer over. What a process was, and who started it, is read from
/proc as long as it is there: `nft` lives some milliseconds.
"""

from __future__ import annotations

import errno
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from ipwatchd.firewall import codec
from ipwatchd.firewall.codec import Nft
from ipwatchd.firewall.transport import NetlinkSocket

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Commit", "CommitWatch", "read_commit", "who"]

_ADD_MEMBERSHIP: Final = 1
_DROP_MEMBERSHIP: Final = 2
_SOL_NETLINK: Final = 270
_NFNLGRP_NFTABLES: Final = 7
_COMMITS: Final = 256
"""Commits kept to tell who changed our table: one who commits without end fills no memory."""
_AT_ONCE: Final = 1000
"""Datagrams taken at once: one who commits without end holds up nothing else of ours."""
_NAMED: Final = 5
"""Most programs named in one sentence."""


class Commit(NamedTuple):
    """A transaction of anybody's: the generation it made, the process, and what started that."""

    generation: int
    pid: int
    name: str
    parent: str = ""

    def __str__(self) -> str:
        """Return the program as people know it."""
        by = f", started by {self.parent}" if self.parent else ""
        return f"{self.name or 'a program'} (process {self.pid}{by})"


def read_commit(body: memoryview) -> Commit:
    """Read the body (after nlmsghdr) of NFT_MSG_NEWGEN. MalformedError where lengths lie."""
    found = codec.attributes(body, 4)
    name = codec.string(found[3]) if 3 in found else ""
    return Commit(codec.be32(found.get(1)), codec.be32(found.get(2)), _shown(name))


def _shown(name: str) -> str:
    """Return a process's name without what moves a cursor: it chooses it (PR_SET_NAME)."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def who(commits: Iterable[Commit]) -> str:
    """Name the programs of these commits, the last first; "" where none is known."""
    by_program = {(one.name, one.parent): one for one in commits}
    return ", ".join(str(one) for one in [*by_program.values()][: -_NAMED - 1 : -1])


class CommitWatch:
    """Hears every commit in this namespace. `fileno` is readable when there is news."""

    def __init__(self) -> None:
        """Begin to listen; PermissionError without CAP_NET_ADMIN."""
        self._socket = NetlinkSocket()
        self._heard: deque[Commit] = deque(maxlen=_COMMITS)
        self.overruns = 0
        """How often the kernel had to leave messages out; what they said is then not known."""
        try:
            self._socket.pass_only(Nft.NEWGEN)
            self.resume()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def pause(self) -> None:
        """Stop to listen: while anybody listens the kernel makes a message of every element."""
        self._member(_DROP_MEMBERSHIP)

    def resume(self) -> None:
        """Listen again."""
        self._member(_ADD_MEMBERSHIP)

    def _member(self, what: int) -> None:
        self._socket.option(_SOL_NETLINK, what, _NFNLGRP_NFTABLES)

    def hear(self) -> bool:
        """Take what has come; tell whether there was any news, an overrun included.

        Where more has come than is taken at once, the descriptor stays readable.
        """
        news = False
        for _ in range(_AT_ONCE):
            try:
                datagram = self._socket.receive_ready()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.overruns += 1
                news = True
                continue
            if datagram is None:
                return news
            for header in codec.messages(datagram):
                if header.type == Nft.NEWGEN:
                    commit = read_commit(header.body)
                    self._heard.append(commit._replace(parent=_parent(commit.pid)))
                    news = True
        return news

    def since(self, generation: int, own: Iterable[int] = ()) -> list[Commit]:
        """Return the commits after a generation that are not `own`, oldest first."""
        ours = set(own)
        threads = {one.name for one in Path("/proc/self/task").iterdir()}
        return [
            one for one in self._heard
            if one.generation > generation and one.generation not in ours
            and str(one.pid) not in threads
        ]  # fmt: skip

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parent(pid: int) -> str:
    """Return the name of what started a process, "" where the process is gone or hidden."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "backslashreplace")
        # proc(5): the name stands in parentheses and may hold some itself; state and parent follow.
        parent = int(fields.rpartition(")")[2].split()[1])
        return _shown(Path(f"/proc/{parent}/comm").read_text("ascii", "backslashreplace")[:-1])
    except (OSError, ValueError, IndexError):
        return ""
