"""The firewall: keeps the kernel's table equal to a policy, by the smallest change that does it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import msgspec
import numpy as np

from ipwatchd.firewall import conntrack
from ipwatchd.firewall.kernel import KernelTable
from ipwatchd.firewall.layout import columns, in_force, soonest
from ipwatchd.firewall.ledger import SPOTS, Change, Diff, Ledger, differences, in_order, lines
from ipwatchd.firewall.rules import gate, set_change, table_messages, table_removal
from ipwatchd.firewall.transport import NetlinkSocket, failure
from ipwatchd.records.policy import LISTS, empty_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.config.settings import FirewallSettings
    from ipwatchd.firewall.kernel import Counter, SetState, Structure
    from ipwatchd.firewall.layout import Ranges, SetSpec
    from ipwatchd.records.policy import Policy

__all__ = ["Applied", "Diff", "Firewall", "FirewallStatus", "Victims"]

_MENDABLE: Final = {errno.ENOENT, errno.EEXIST, errno.ENFILE, errno.EBUSY, errno.ENOTEMPTY}
"""What the kernel says where it holds something else than we think: then all is put anew."""


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


class Victims(NamedTuple):
    """Whose connections are to be ended: ends in `denied`, and in neither of the others."""

    denied: list[NDArray[np.void]]
    allow: list[NDArray[np.void]]
    management: NDArray[np.void]


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
    flowtables: tuple[str, ...] = ()


class Firewall:
    """One table of ours, `inet <settings.table>`; everybody else's is left alone.

    Used by one thread. Methods raise OSError (PermissionError without CAP_NET_ADMIN) with a
    sentence; the kernel then holds what it held before.
    """

    def __init__(self, settings: FirewallSettings) -> None:
        self.settings = settings
        self._open: NetlinkSocket | None = None
        self._tracking: NetlinkSocket | None = None
        self._seen_at = self._last_applied = 0.0
        self._last_error = self._drift = ""
        self._rebuilds = self._deltas = 0
        self._forget()

    def _forget(self) -> None:
        self._mode = ""
        self._until = 0.0
        self._services: tuple[tuple[object, ...], ...] = ()
        self._ends: dict[str, tuple[NDArray[np.void], int]] = {}
        self._ledger = Ledger()
        self._structure: Structure | None = None
        self._generation = -1

    def open(self) -> None:
        """Open the socket; PermissionError without CAP_NET_ADMIN. Changes nothing."""
        self._open = NetlinkSocket()
        self._tracking = NetlinkSocket()
        try:
            self._kernel.generation()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket; the rules stay."""
        for socket in (self._open, self._tracking):
            if socket is not None:
                socket.close()
        self._open = self._tracking = None
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
        elements goes down. The policy's arrays are kept to compare with: don't change them.
        """
        done, victims = self.put(policy, now)
        return done._replace(killed=self.kill(victims))

    def put(self, policy: Policy, now: float) -> tuple[Applied, Victims | None]:
        """Do as `apply` but end no connections: return whose are to be ended with `kill`."""
        try:
            done, victims = self._put(policy, now)
        except OverflowError as error:
            self._last_error = str(error)
            raise failure(errno.E2BIG, str(error)) from None
        except OSError as error:
            self._last_error = str(error)
            raise
        self._last_error = ""
        self._last_applied = now
        return done, victims

    def kill(self, victims: Victims | None) -> int:
        """End the tracked connections of what was newly denied; any thread may, one at a time.

        It walks the kernel's whole table of connections, tens of milliseconds on a large one. The
        rules drop their packets already.
        """
        if victims is None or self._tracking is None:
            return 0
        return conntrack.kill(
            victims.denied, allow=victims.allow, management=victims.management,
            socket=self._tracking,
        )  # fmt: skip

    def _put(self, policy: Policy, now: float) -> tuple[Applied, Victims | None]:
        if policy.mode == "off":
            return self._turn_off(), None
        wanted = self._in_force(policy, now)
        services = tuple(one.rules() for one in policy.services)
        in_sync = self._mode not in {"", "off"} and services == self._services and self.check(now)
        changed = self._change(wanted, policy, now) if in_sync else None
        done, denied = changed or self._rebuild(wanted, policy, now)
        self._seen_at = now
        if self.settings.kill_connections and policy.mode == "enforce" and any(map(len, denied)):
            allow = [wanted["allow"], wanted["bulk_allow"]]
            return done, Victims(denied, allow, wanted["management"])
        return done, None

    def _in_force(self, policy: Policy, now: float) -> Ranges:
        """Return what stands at `now`; a list of which nothing has ended comes back as it is."""
        moment = int(now * 1e9)
        lists = policy.lists()
        for name, ranges in lists.items():
            known = self._ends.get(name)
            if known is None or known[0] is not ranges:
                self._ends[name] = (ranges, soonest(ranges))
        if all(not end or end > moment for _, end in self._ends.values()):
            return lists
        return in_force(policy, now)

    def _turn_off(self) -> Applied:
        removed = sum(self._ledger.counts.values())
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

    def _rebuild(
        self, wanted: Ranges, policy: Policy, now: float
    ) -> tuple[Applied, list[NDArray[np.void]]]:
        """Replace the whole table in one transaction; return also what is denied."""
        ledger = Ledger(wanted)
        parts = table_messages(self.settings, ledger.specs, ledger.room, policy.services)
        for spec in ledger.specs:
            parts += set_change(self.settings.table, spec, ledger.sets[spec.name], now)
        parts += gate(self.settings.table, policy.mode, policy.enforce_until, now)
        before = self._kernel.generation()
        held = self._ledger.counts
        self._socket.transact(parts)
        done = Applied(
            added=sum(max(count - held.get(name, 0), 0) for name, count in ledger.counts.items()),
            removed=sum(max(count - ledger.counts.get(name, 0), 0) for name, count in held.items()),
            rebuilt=True, messages=len(parts), bytes=self._socket.sent,
        )  # fmt: skip
        self._mode, self._until = policy.mode, policy.enforce_until
        self._services = tuple(one.rules() for one in policy.services)
        self._ledger, self._drift = ledger, ""
        self._structure = self._kernel.structure()
        self._settle(before)
        if self._generation >= 0:
            states = self._kernel.sets()
            ledger.learn({name: state.elements for name, state in states.items()}, now)
        ledger.forget_bulk()
        self._rebuilds += 1
        return done, [wanted["deny"], wanted["bulk_deny"]]

    def _counted(self, found: list[Change], parts: list[bytes | memoryview]) -> Applied:
        return Applied(
            added=sum(len(one.more) for one in found),
            removed=sum(len(one.less) for one in found),
            messages=len(parts),
            bytes=self._socket.sent if parts else 0,
        )

    def _settle(self, before: int) -> None:
        """Remember the generation that our commit made; -1 where somebody else came between."""
        now = self._kernel.generation()
        self._generation = now if now == before + 1 else -1

    def _change(
        self, wanted: Ranges, policy: Policy, now: float
    ) -> tuple[Applied, list[NDArray[np.void]]] | None:
        """Send the difference of elements; None where that can't be done and all is to be put."""
        try:
            found = self._ledger.changes(wanted, now)
        except OverflowError:
            return None
        if not self._ledger.has_room(found):
            return None
        parts = self._parts(found, policy, now)
        if parts is None:
            return None
        if parts:
            before = self._generation
            try:
                self._socket.transact(parts)
            except OSError as error:
                if error.errno not in _MENDABLE:
                    raise
                self._drift = str(error)
                return None
            self._settle(before)
            self._deltas += 1
        enforced = policy.mode == "enforce" and self._mode != "enforce"
        self._mode, self._until = policy.mode, policy.enforce_until
        self._ledger.accept(wanted, found)
        if enforced:
            return self._counted(found, parts), [wanted["deny"], wanted["bulk_deny"]]
        new = [in_order(one.more) for one in found if one.spec.list in {"deny", "bulk_deny"}]
        return self._counted(found, parts), new

    def _parts(
        self, found: list[Change], policy: Policy, now: float
    ) -> list[bytes | memoryview] | None:
        """Return the messages of a change; None where it is not known what is to be deleted."""
        table = self.settings.table
        deletes: list[bytes | memoryview] = []
        adds: list[bytes | memoryview] = []
        for one in found:
            gone = self._still_there(one, now)
            if gone is None:
                return None
            deletes += set_change(table, one.spec, gone, now, delete=True)
            adds += set_change(table, one.spec, one.more, now)
        if (policy.mode, policy.enforce_until) != (self._mode, self._until):
            adds += gate(table, policy.mode, policy.enforce_until, now)
        return deletes + adds

    def _still_there(self, one: Change, now: float) -> NDArray[np.void] | None:
        """Return what is to be deleted and has not ended by itself; None where it is too much.

        Asked, not assumed: after a jump of the wall clock the kernel's timers run on.
        """
        doubtful = np.count_nonzero(one.doubtful)
        if not doubtful:
            return one.less
        if doubtful > SPOTS:
            return None
        there = ~one.doubtful
        keys = columns(one.less[one.doubtful], one.spec.family, now).first
        there[one.doubtful] = self._kernel.present(one.spec, keys)
        self._ledger.ended(one.spec, int(np.count_nonzero(~there)))
        kept: NDArray[np.void] = one.less[there]
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
        # A gate with a timeout closes by itself.
        closing = self._until and now >= self._until - 1
        if self._kernel.mode() != self._mode and not closing:
            return f"the table does not {self._mode}"
        states = self._kernel.sets()
        wrong = (self._wrong(spec, states.get(spec.name), now) for spec in self._ledger.specs)
        first = next(filter(None, wrong), "")
        if not first:
            self._ledger.turn()
        return first

    def _wrong(self, spec: SetSpec, state: SetState | None, now: float) -> str:
        if state is None:
            return f"set {spec.name} is not there"
        if not self._ledger.plausible(spec, state.elements, now):
            return f"set {spec.name} has elements too many or too few"
        if not self._kernel.present(spec, self._ledger.spots(spec, now)).all():
            return f"set {spec.name} lacks elements"
        return ""

    def diff(self, policy: Policy, now: float) -> Diff:
        """Return what the kernel lacks of a policy and has beyond it, by reading its sets back.

        A dump of every set: for a person who asks, not for a timer.
        """
        mode = self._kernel.mode()
        ledger = Ledger(in_force(policy, now)) if policy.mode != "off" else Ledger()
        names = {spec.name for spec in ledger.specs}
        left = [spec for spec in self._ledger.specs if spec.name not in names]
        missing, extra = [], []
        for spec in (*ledger.specs, *left):
            lacks, beyond = self._compared(spec, ledger.sets.get(spec.name, empty_ranges()), now)
            missing.append((spec.name, lacks))
            extra.append((spec.name, beyond))
        other = mode != policy.mode
        return Diff(
            ([f"mode {policy.mode}"] if other else []) + lines(missing),
            ([f"mode {mode}"] if other else []) + lines(extra),
            sum(len(rows) for _, rows in missing) + other,
            sum(len(rows) for _, rows in extra) + other,
        )

    def _compared(
        self, spec: SetSpec, wanted: NDArray[np.void], now: float
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        there = self._kernel.ranges(spec, now)
        lacks, beyond = differences(there, wanted, now)
        if not spec.interval and len(lacks):
            names = ["first_hi", "first_lo"]
            other_end = np.isin(lacks[names], there[names])
            keys = columns(lacks, spec.family, now).first
            lacks = lacks[other_end | ~self._kernel.present(spec, keys)]
        return lacks, beyond

    def status(self) -> FirewallStatus:
        """Return what the kernel does now, from the kernel."""
        present = self._kernel.table() is not None
        counters: dict[str, Counter] = self._kernel.counters() if present else {}
        states: dict[str, SetState] = self._kernel.sets() if present else {}
        held = dict.fromkeys(LISTS, 0)
        for spec in self._ledger.specs:
            if spec.name in states:
                told = states[spec.name].elements
                held[spec.list] = held.get(spec.list, 0)
                held[spec.list] += told if told >= 0 else self._ledger.counts[spec.name]
        return FirewallStatus(
            mode=self._kernel.mode() if present else "off",
            present=present,
            deny=held["deny"] + held["bulk_deny"],
            allow=held["allow"] + held["bulk_allow"],
            packets=sum(one.packets for one in counters.values()),
            bytes=sum(one.bytes for one in counters.values()),
            counters={name: (one.packets, one.bytes) for name, one in counters.items()},
            generation=self._kernel.generation(),
            last_applied=self._last_applied,
            last_error=self._last_error,
            drift=self._drift,
            rebuilds=self._rebuilds,
            deltas=self._deltas,
            flowtables=self._kernel.flowtables(),
        )
