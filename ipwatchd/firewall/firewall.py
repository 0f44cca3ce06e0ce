"""The firewall: keeps the kernel's table equal to a policy, by the smallest change that does it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import msgspec
import numpy as np

from ipwatchd.firewall import conntrack
from ipwatchd.firewall.kernel import KernelTable
from ipwatchd.firewall.layout import (
    SETS,
    Held,
    changes,
    columns,
    distribute,
    range_text,
    sizes,
    unexpired,
)
from ipwatchd.firewall.rules import set_change, table_messages, table_removal
from ipwatchd.firewall.transport import NetlinkSocket, failure
from ipwatchd.records.policy import empty_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.config.settings import FirewallSettings
    from ipwatchd.firewall.kernel import Counter, SetState, Structure
    from ipwatchd.firewall.layout import SetSpec
    from ipwatchd.records.policy import Policy

__all__ = ["Applied", "Diff", "Firewall", "FirewallStatus"]

_MENDABLE: Final = {errno.ENOENT, errno.EEXIST, errno.ENFILE, errno.EBUSY, errno.ENOTEMPTY}
"""What the kernel says where it holds something else than we think: then all is put anew."""
_ENDING: Final = 1_000_000_000
"""An element that ends within this (ns) may be gone before a delete of it arrives."""
_SPOTS: Final = 2048
"""Keyed look-ups of one check a set: about 6 ms, and bounded whatever the lists hold."""
_SHOWN: Final = 1000
"""Most lines of a diff: a wholly different table must not fill the answer."""


class Applied(NamedTuple):
    """What apply did: elements added and removed, whether the table was replaced whole.

    `killed` are the connection-tracking entries removed, `messages` and `bytes` what was sent.
    """

    added: int = 0
    removed: int = 0
    rebuilt: bool = False
    killed: int = 0
    messages: int = 0
    bytes: int = 0


class Diff(NamedTuple):
    """Policy against kernel, as lines `set range`; at most 1,000 each, the counts are whole."""

    missing: list[str]
    extra: list[str]
    missing_count: int
    extra_count: int

    def __bool__(self) -> bool:
        return bool(self.missing_count or self.extra_count)


class FirewallStatus(msgspec.Struct, kw_only=True, frozen=True):
    """What the kernel does now. In observe mode the counters are of what would be dropped."""

    mode: str
    present: bool
    deny: int
    allow: int
    packets: int
    bytes: int
    counters: dict[str, tuple[int, int]]
    generation: int
    last_applied: float
    last_error: str
    drift: str
    rebuilds: int
    deltas: int


class Firewall:
    """One table of ours, `inet <settings.table>`; everybody else's is left alone.

    Used by one thread. Methods raise OSError (PermissionError without CAP_NET_ADMIN) with a
    sentence; the kernel then holds what it held before.
    """

    def __init__(self, settings: FirewallSettings) -> None:
        self.settings = settings
        self._open: NetlinkSocket | None = None
        self._mode = ""
        self._held: Held = {}
        self._room: dict[str, int] = {}
        self._structure: Structure | None = None
        self._generation = -1
        self._ended: dict[str, int] = {}
        self._uncounted: dict[str, int] = {}
        self._spot = 0
        self._seen_at = 0.0
        self._last_applied = 0.0
        self._last_error = ""
        self._drift = ""
        self._rebuilds = self._deltas = 0

    def open(self) -> None:
        """Open the socket; PermissionError without CAP_NET_ADMIN. Changes nothing."""
        self._open = NetlinkSocket()
        try:
            self._kernel.generation()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket; the rules stay."""
        if self._open is not None:
            self._open.close()
        self._open = None
        self._forget()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _socket(self) -> NetlinkSocket:
        if self._open is None:
            raise failure(errno.ENOTCONN, "the firewall is not open: call open() first")
        return self._open

    @property
    def _kernel(self) -> KernelTable:
        return KernelTable(self._socket, self.settings.table)

    def apply(self, policy: Policy, now: float) -> Applied:
        """Make the kernel equal to a policy; does nothing where it is.

        The first call, another mode, and a table that somebody changed replace the whole table in
        one transaction: no packet meets a table that is half there. Else only the difference of
        elements goes down.
        """
        try:
            done = self._apply(policy, now)
        except OSError as error:
            self._last_error = str(error)
            raise
        except OverflowError as error:
            self._last_error = str(error)
            raise failure(errno.E2BIG, str(error)) from None
        self._last_error = ""
        self._last_applied = now
        return done

    def _apply(self, policy: Policy, now: float) -> Applied:
        if policy.mode == "off":
            return self._turn_off()
        wanted = distribute(policy, now)
        if policy.mode != self._mode or not self.check(now):
            done, denied = self._rebuild(wanted, policy.mode, now)
        else:
            done, denied = self._change(wanted, policy.mode, now)
        self._seen_at = now
        if self.settings.kill_connections and policy.mode == "enforce" and len(denied):
            killed = conntrack.kill(
                denied, allow=unexpired(policy.allow, now), management=policy.management
            )
            done = done._replace(killed=killed)
        return done

    def _turn_off(self) -> Applied:
        removed = sum(len(ranges) for ranges in self._held.values())
        was_there = self.remove()
        self._mode = "off"
        return Applied(removed=removed, rebuilt=was_there)

    def remove(self) -> bool:
        """Remove our table; False where there was none."""
        there = self._kernel.table() is not None
        if there:
            self._socket.transact(table_removal(self.settings.table))
        self._forget()
        return there

    def _forget(self) -> None:
        self._mode = ""
        self._held, self._room, self._ended, self._uncounted = {}, {}, {}, {}
        self._structure, self._generation = None, -1

    def _rebuild(self, wanted: Held, mode: str, now: float) -> tuple[Applied, NDArray[np.void]]:
        """Replace the whole table in one transaction."""
        table = self.settings.table
        room = sizes(wanted)
        parts = table_messages(self.settings, mode, room)
        for spec in SETS:
            parts += set_change(table, spec, wanted[spec.name], now)
        before = self._kernel.generation()
        self._socket.transact(parts)
        differences = [
            changes(self._held.get(spec.name, empty_ranges()), wanted[spec.name]) for spec in SETS
        ]
        sent = Applied(
            added=sum(len(more) for more, _ in differences),
            removed=sum(len(less) for _, less in differences),
            rebuilt=True,
            messages=self._socket.messages,
            bytes=self._socket.sent,
        )
        self._mode, self._held, self._room, self._ended = mode, wanted, room, {}
        self._structure = self._kernel.structure()
        self._settle(before)
        self._learn_counts(now)
        self._rebuilds += 1
        self._drift = ""
        denied = [wanted[spec.name] for spec in SETS if spec.list == "deny"]
        return sent, np.sort(np.concatenate(denied), order=["first_hi", "first_lo"])

    def _settle(self, before: int) -> None:
        """Remember the generation that our commit made; -1 where somebody else came between."""
        now = self._kernel.generation()
        self._generation = now if now == before + 1 else -1

    def _change(self, wanted: Held, mode: str, now: float) -> tuple[Applied, NDArray[np.void]]:
        """Send the difference of elements; all of the table where the kernel says it differs."""
        table = self.settings.table
        deletes: list[bytes | memoryview] = []
        adds: list[bytes | memoryview] = []
        denied = [empty_ranges()]
        added = removed = 0
        for spec in SETS:
            more, less = changes(self._held[spec.name], wanted[spec.name])
            if len(wanted[spec.name]) > self._room.get(spec.name, len(wanted[spec.name])):
                return self._rebuild(wanted, mode, now)
            added, removed = added + len(more), removed + len(less)
            gone = self._still_there(spec, less, now)
            if gone is None:
                return self._rebuild(wanted, mode, now)
            deletes += set_change(table, spec, gone, now, delete=True)
            adds += set_change(table, spec, more, now)
            if spec.list == "deny":
                denied.append(more)
        sent = 0
        if deletes or adds:
            before = self._kernel.generation()
            try:
                self._socket.transact(deletes + adds)
            except OSError as error:
                if error.errno not in _MENDABLE:
                    raise
                self._drift = str(error)
                return self._rebuild(wanted, mode, now)
            sent = self._socket.sent
            self._settle(before)
            self._deltas += 1
        self._held = wanted
        new = np.sort(np.concatenate(denied), order=["first_hi", "first_lo"])
        done = Applied(added=added, removed=removed, messages=len(deletes + adds), bytes=sent)
        return done, new

    def _still_there(
        self, spec: SetSpec, less: NDArray[np.void], now: float
    ) -> NDArray[np.void] | None:
        """Return what of these the kernel has not ended by itself; None where they are too many.

        Asked, not assumed: after a jump of the wall clock the kernel's timers run on.
        """
        doubtful = (less["expires"] != 0) & (less["expires"] <= int(now * 1e9) + _ENDING)
        if not doubtful.any():
            return less
        if np.count_nonzero(doubtful) > _SPOTS:
            return None
        keys = columns(less[doubtful], spec.family, now).first
        there = ~doubtful
        there[doubtful] = self._kernel.present(spec, keys)
        self._ended[spec.name] = self._ended.get(spec.name, 0) + int(np.count_nonzero(~there))
        kept: NDArray[np.void] = less[there]
        return kept

    def check(self, now: float) -> bool:
        """Tell whether the kernel still holds what the last apply put there; status() says why not.

        One small request where nobody committed anything since. Else the table's objects, the
        element counts (Linux 6.16 and later tell them) and keyed look-ups of up to 2,048 elements
        a set, other ones each time. Never a dump of elements.
        """
        if self._mode in {"", "off"}:
            there = self._kernel.table() is not None
            self._drift = "a table of ours is there" if there and self._mode else ""
            return self._mode == "off" and not there
        if now < self._seen_at - 1:
            self._drift = "the clock went back: the kernel's timeouts end too late"
            return False
        generation = self._kernel.generation()
        if generation == self._generation:
            return True
        self._drift = self._difference(now)
        if self._drift:
            return False
        self._generation = generation
        return True

    def _difference(self, now: float) -> str:
        """Return in words what differs, "" where nothing was found."""
        structure = self._kernel.structure()
        if structure is None:
            return "the table is not there"
        if self._structure is None or structure != self._structure:
            return "chains, rules or sets were changed"
        states = self._kernel.sets()
        for spec in SETS:
            wrong = self._wrong_count(spec, states[spec.name], now) if spec.name in states else True
            if wrong:
                return f"set {spec.name} has elements too many or too few"
            if not self._kernel.present(spec, self._spots(spec, now)).all():
                return f"set {spec.name} lacks elements"
        self._spot += _SPOTS
        return ""

    def _alive(self, spec: SetSpec, now: float) -> NDArray[np.void]:
        return unexpired(self._held[spec.name], now + _ENDING / 1e9)

    def _wrong_count(self, spec: SetSpec, state: SetState, now: float) -> bool:
        if state.elements < 0:
            return False
        alive = self._alive(spec, now)
        least, most = len(alive), len(self._held[spec.name]) + self._ended.get(spec.name, 0)
        if self._open_ended(spec, now):
            off = self._uncounted.get(spec.name)
            least, most = least - (1 if off is None else off), most - (off or 0)
        return not least <= state.elements <= most

    def _open_ended(self, spec: SetSpec, now: float) -> bool:
        """Tell whether a set's last interval goes up to the highest address, without an end.

        Linux counts pairs of elements and may or may not count this one: learned at the rebuild.
        """
        last = self._held[spec.name][-1:]
        return spec.interval and bool(columns(last, spec.family, now).open.any())

    def _learn_counts(self, now: float) -> None:
        self._uncounted = {}
        if self._generation < 0:
            return
        states = self._kernel.sets()
        for spec in SETS:
            if spec.name in states and self._open_ended(spec, now):
                off = len(self._held[spec.name]) - states[spec.name].elements
                self._uncounted[spec.name] = min(max(off, 0), 1)

    def _spots(self, spec: SetSpec, now: float) -> NDArray[np.uint8]:
        """Return the first keys of elements to look up, other ones each time."""
        alive = self._alive(spec, now)
        rows = (self._spot + np.arange(min(len(alive), _SPOTS))) % max(len(alive), 1)
        return columns(alive[rows], spec.family, now).first

    def diff(self, policy: Policy, now: float) -> Diff:
        """Return what the kernel lacks of a policy and has beyond it, by reading its sets back.

        A dump of every set: for a person who asks, not for a timer.
        """
        missing: list[str] = []
        extra: list[str] = []
        counts = [0, 0]
        mode = self._kernel.mode()
        if mode != policy.mode:
            missing.append(f"mode {policy.mode}")
            extra.append(f"mode {mode}")
            counts = [1, 1]
        wanted = distribute(policy, now) if policy.mode != "off" else {}
        for spec in SETS:
            there = self._kernel.ranges(spec, now)
            lacks, beyond = _differences(there, wanted.get(spec.name, empty_ranges()), now)
            if not spec.interval and len(lacks):
                told = np.isin(lacks["first_lo"], there["first_lo"])  # its end differs
                keys = columns(lacks, spec.family, now).first
                lacks = lacks[told | ~self._kernel.present(spec, keys)]
            for lines, rows, which in ((missing, lacks, 0), (extra, beyond, 1)):
                shown = rows[: max(_SHOWN - len(lines), 0)]
                lines.extend(f"{spec.name} {range_text(row)}" for row in shown)
                counts[which] += len(rows)
        return Diff(missing, extra, *counts)

    def status(self) -> FirewallStatus:
        """Return what the kernel does now, from the kernel."""
        present = self._kernel.table() is not None
        counters: dict[str, Counter] = self._kernel.counters() if present else {}
        states = self._kernel.sets() if present else {}

        def count(name: str) -> int:
            of = [spec.name for spec in SETS if spec.list == name and spec.name in states]
            return sum(
                states[one].elements if states[one].elements >= 0 else len(self._held.get(one, ()))
                for one in of
            )

        return FirewallStatus(
            mode=self._kernel.mode() if present else "off",
            present=present,
            deny=count("deny"),
            allow=count("allow"),
            packets=sum(one.packets for one in counters.values()),
            bytes=sum(one.bytes for one in counters.values()),
            counters={name: (one.packets, one.bytes) for name, one in counters.items()},
            generation=self._kernel.generation(),
            last_applied=self._last_applied,
            last_error=self._last_error,
            drift=self._drift,
            rebuilds=self._rebuilds,
            deltas=self._deltas,
        )


def _differences(
    there: NDArray[np.void], wanted: NDArray[np.void], now: float
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return (missing, extra) of two sorted range arrays; ends that lie within 2 s are equal."""
    lasting = wanted.copy()
    near = 2_000_000_000
    starts = there[["first_hi", "first_lo", "last_hi", "last_lo"]]
    mine = lasting[["first_hi", "first_lo", "last_hi", "last_lo"]]
    _, left, right = np.intersect1d(starts, mine, assume_unique=True, return_indices=True)
    ends = there["expires"][left], lasting["expires"][right]
    timed = (ends[0] == 0) == (ends[1] == 0)
    equal = timed & (np.abs(ends[0] - ends[1]) <= near)
    lacks, beyond = np.ones(len(wanted), bool), np.ones(len(there), bool)
    lacks[right[equal]] = False
    beyond[left[equal]] = False
    # What ends within the same 2 s may or may not be there.
    edge = int(now * 1e9) + near
    lacks &= (wanted["expires"] == 0) | (wanted["expires"] > edge)
    return wanted[lacks], there[beyond]
