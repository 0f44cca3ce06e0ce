"""The firewall: keeps the kernel's table equal to a policy, by the smallest change that does it."""

from __future__ import annotations

import errno
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from ipwatchd.firewall import conntrack
from ipwatchd.firewall.compare import compare
from ipwatchd.firewall.drift import Gate, difference
from ipwatchd.firewall.early import Early
from ipwatchd.firewall.kernel import KernelTable
from ipwatchd.firewall.layout import columns, in_force, soonest
from ipwatchd.firewall.ledger import SPOTS, Change, Diff, Ledger, in_order
from ipwatchd.firewall.rules import gate, set_change, table_messages, table_removal
from ipwatchd.firewall.told import Applied, FirewallStatus, Victims
from ipwatchd.firewall.transport import NetlinkSocket, UnansweredError, failure
from ipwatchd.records.policy import LISTS, contains

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.config.settings import FirewallSettings
    from ipwatchd.firewall.kernel import Counter, Hits, SetState, Structure
    from ipwatchd.firewall.layout import Ranges
    from ipwatchd.records.policy import Policy

__all__ = ["Applied", "Diff", "Firewall", "FirewallStatus", "Victims"]

_MENDABLE: Final = {errno.ENOENT, errno.EEXIST, errno.ENFILE, errno.EBUSY, errno.ENOTEMPTY}
"""What the kernel says where it holds something else than we think: then all is put anew."""
_TRIES: Final = 3
"""So often a transaction is sent again of which the kernel told nothing."""
_OWN: Final = 256
_CLOSED: Final = "the firewall is not open: call open() first"


Message = bytes | memoryview


class Firewall:
    """One table of ours, `inet <settings.table>`; everybody else's is left alone.

    One change at a time, from any thread; `status` never waits for one. Methods raise OSError
    (PermissionError without CAP_NET_ADMIN) with a sentence; the kernel then holds what it held
    before.
    """

    def __init__(self, settings: FirewallSettings) -> None:
        self.settings = settings
        self._open: NetlinkSocket | None = None
        self._asking: NetlinkSocket | None = None
        self._tracking: NetlinkSocket | None = None
        self._turn, self._counting = threading.RLock(), threading.Lock()
        self._own: deque[int] = deque(maxlen=_OWN)
        self._lost_answers = 0
        self._seen_at = self._last_applied = 0.0
        self._last_error = self._drift = ""
        self._rebuilds = self._deltas = 0
        self._forget()

    def _forget(self) -> None:
        self._mode = ""
        self._gate = Gate()
        self._services: tuple[tuple[object, ...], ...] = ()
        self._ends: dict[str, tuple[NDArray[np.void], int]] = {}
        self._ledger = Ledger()
        self._early = Early(self.settings.table)
        self._structure: Structure | None = None
        self._generation = self._trusted = -1

    def open(self) -> None:
        """Open the socket; PermissionError without CAP_NET_ADMIN. Changes nothing."""
        try:
            self._open = NetlinkSocket()
            self._asking = NetlinkSocket()
            self._tracking = NetlinkSocket()
            self._kernel.generation()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket; the rules stay."""
        for socket in (self._open, self._asking, self._tracking):
            if socket is not None:
                socket.close()
        self._open = self._asking = self._tracking = None
        self._forget()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _socket(self) -> NetlinkSocket:
        if self._open is None:
            raise failure(errno.ENOTCONN, _CLOSED)
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
            with self._turn:
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

    def hasten(self, addresses: NDArray[np.void], now: float) -> bool:
        """Deny single addresses (dtype RANGE, one family each) now, before they are on a list.

        For a minute: the next `put` takes them out again and puts in what the lists say, in one
        transaction. False where the table is not as we left it; then `put` has more to do.
        """
        with self._turn:
            if self._mode in {"", "off"} or self._kernel.generation() != self._generation:
                return False
            held = self._ledger.lists["deny"]
            early = addresses[~contains(held, addresses["first_hi"], addresses["first_lo"])]
            sent = self._sent(self._early.added(self._kernel, early, now))
            self._ledger.early = len(self._early)
            return sent

    def recall(self, addresses: NDArray[np.void], now: float) -> None:
        """Take back what was hastened and is on no list after all."""
        with self._turn:
            parts = self._early.dropped(self._kernel, addresses, now) if len(self._early) else []
            if parts and self._sent(parts):
                self._ledger.early = len(self._early)

    def weight(self, policy: Policy) -> int:
        """Return about how many rows a `put` of this policy will have to read, without a lock.

        The caller decides by it whether to wait for it or to have a thread do it.
        """
        held = self._ledger.lists
        rows = {name: ranges for name, ranges in policy.lists().items() if len(ranges)}
        if self._mode in {"", "off"} or self.generation() != self._generation:
            return sum(map(len, rows.values()))
        return sum(len(ranges) for name, ranges in rows.items() if ranges is not held.get(name))

    def generation(self) -> int:
        """Return the number of commits of this namespace's rules so far, anybody's."""
        if self._asking is None:
            raise failure(errno.ENOTCONN, _CLOSED)
        return KernelTable(self._asking, self.settings.table).generation()

    def flowtables(self) -> tuple[str, ...]:
        """Return the flowtables that let connections past every rule."""
        if self._asking is None:
            raise failure(errno.ENOTCONN, _CLOSED)
        return KernelTable(self._asking, self.settings.table).flowtables()

    def own(self) -> tuple[int, list[int]]:
        """Return the last generation in which all was as it should be, and those we made."""
        return self._trusted, [*self._own]

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
        drops = policy.does(now) == "enforce"
        if self.settings.kill_connections and drops and any(map(len, denied)):
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
            with self._turn:
                self._commit(table_removal(self.settings.table))
        self._forget()
        return there

    def _commit(self, parts: list[Message]) -> None:
        """Send messages that put everything anew; where no answer comes, once more.

        Only for what may be done twice.
        """
        for _ in range(_TRIES):
            try:
                self._socket.transact(parts)
            except UnansweredError:
                self._reopen()
            else:
                return
        self._socket.transact(parts)

    def _reopen(self) -> None:
        """Take a new socket after a lost answer: what lay in the old one's way goes with it."""
        self._lost_answers += 1
        fresh = NetlinkSocket()
        self._socket.close()
        self._open = fresh

    def _rebuild(
        self, wanted: Ranges, policy: Policy, now: float
    ) -> tuple[Applied, list[NDArray[np.void]]]:
        """Replace the whole table in one transaction; return also what is denied."""
        ledger = Ledger(wanted)
        elements: list[Message] = []
        for spec, rows in ledger.portions():
            elements += set_change(self.settings.table, spec, rows, now)
        parts = table_messages(self.settings, ledger.specs, ledger.room, policy.services)
        parts += elements
        parts += gate(self.settings.table, policy, now)
        before = self._kernel.generation()
        held = self._ledger.counts
        self._commit(parts)
        done = Applied(
            added=sum(max(count - held.get(name, 0), 0) for name, count in ledger.counts.items()),
            removed=sum(max(count - ledger.counts.get(name, 0), 0) for name, count in held.items()),
            rebuilt=True, messages=len(parts), bytes=self._socket.sent,
        )  # fmt: skip
        self._mode, self._gate = policy.does(now), Gate.of(policy)
        self._services = tuple(one.rules() for one in policy.services)
        self._ledger, self._drift = ledger, ""
        self._early.forget()
        self._structure = self._kernel.structure()
        self._settle(before)
        if self._generation >= 0:
            states = self._kernel.sets()
            ledger.learn({name: state.elements for name, state in states.items()}, now)
        self._rebuilds += 1
        return done, [wanted["deny"], wanted["bulk_deny"]]

    def _counted(self, found: list[Change], parts: list[Message]) -> Applied:
        return Applied(
            added=sum(len(one.more) for one in found),
            removed=sum(len(one.less) for one in found),
            messages=len(parts),
            bytes=self._socket.sent if parts else 0,
        )

    def _settle(self, before: int) -> None:
        """Remember the generation that our commit made; -1 where somebody else came between."""
        now = self._kernel.generation()
        alone = now == before + 1
        self._generation = now if alone else -1
        self._own.extend([now] if alone else [])
        self._trusted = now if alone else before

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
        if parts and not self._sent(parts):
            return None
        self._early.forget()
        self._ledger.early = 0
        enforced = policy.does(now) == "enforce" and self._mode != "enforce"
        self._mode, self._gate = policy.does(now), Gate.of(policy)
        self._ledger.accept(wanted, found)
        if enforced:
            return self._counted(found, parts), [wanted["deny"], wanted["bulk_deny"]]
        new = [in_order(one.more) for one in found if one.spec.list in {"deny", "bulk_deny"}]
        return self._counted(found, parts), new

    def _sent(self, parts: list[Message]) -> bool:
        """Send a difference; False where the kernel holds something else than we think."""
        before = self._generation
        try:
            self._socket.transact(parts)
        except UnansweredError as error:
            self._reopen()
            self._drift = str(error)
            return False
        except OSError as error:
            if error.errno not in _MENDABLE:
                raise
            self._drift = str(error)
            return False
        self._settle(before)
        self._deltas += 1
        return True

    def _parts(self, found: list[Change], policy: Policy, now: float) -> list[Message] | None:
        """Return the messages of a change; None where it is not known what is to be deleted."""
        table = self.settings.table
        deletes = self._early.gone(self._kernel, now)
        adds: list[Message] = []
        for one in found:
            gone = self._still_there(one, now)
            if gone is None:
                return None
            deletes += set_change(table, one.spec, gone, now, delete=True)
            adds += set_change(table, one.spec, one.more, now)
        if Gate.of(policy) != self._gate:
            adds += gate(table, policy, now)
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
        with self._turn:
            return self._check(now)

    def is_before(self, now: float) -> bool:
        """Tell whether the clock went back behind the last change; `check` then says no."""
        return self._mode not in {"", "off"} and now < self._seen_at - 1

    def _check(self, now: float) -> bool:
        if self._mode in {"", "off"}:
            there = self._kernel.table() is not None
            self._drift = "a table of ours is there" if there and self._mode else ""
            return self._mode == "off" and not there
        if self.is_before(now):
            self._drift = "the clock went back: the kernel's timeouts end too late"
            return False
        generation = self._kernel.generation()
        if generation == self._generation:
            return True
        self._drift = difference(self._kernel, self._structure, self._gate, self._ledger, now)
        if self._drift:
            return False
        self._generation = self._trusted = generation
        return True

    def diff(self, policy: Policy, now: float) -> Diff:
        """Return what the kernel lacks of a policy and has beyond it, by reading its sets back."""
        with self._turn:
            return compare(self._kernel, self._ledger, policy, now)

    def hits(self) -> list[Hits]:
        """Return what each element that people or responses entered has met; from any thread.

        A dump of the live sets, which are small; on a socket of its own.
        """
        if self._open is None:
            return []
        with self._counting, NetlinkSocket() as socket:
            kernel = KernelTable(socket, self.settings.table)
            return [row for spec in self._ledger.specs if spec.counted for row in kernel.hits(spec)]

    def status(self) -> FirewallStatus:
        """Return what the kernel does now, from the kernel; also while another thread loads."""
        if self._asking is None:
            raise failure(errno.ENOTCONN, _CLOSED)
        kernel = KernelTable(self._asking, self.settings.table)
        present = kernel.table() is not None
        counters: dict[str, Counter] = kernel.counters() if present else {}
        states: dict[str, SetState] = kernel.sets() if present else {}
        held = dict.fromkeys(LISTS, 0)
        for spec in self._ledger.specs:
            if spec.name in states:
                told = states[spec.name].elements
                held[spec.list] = held.get(spec.list, 0)
                held[spec.list] += told if told >= 0 else self._ledger.counts[spec.name]
        return FirewallStatus(
            mode=kernel.mode() if present else "off",
            present=present,
            deny=held["deny"] + held["bulk_deny"],
            allow=held["allow"] + held["bulk_allow"],
            packets=sum(one.packets for one in counters.values()),
            bytes=sum(one.bytes for one in counters.values()),
            counters={name: (one.packets, one.bytes) for name, one in counters.items()},
            generation=kernel.generation(),
            last_applied=self._last_applied,
            last_error=self._last_error,
            drift=self._drift,
            rebuilds=self._rebuilds,
            deltas=self._deltas,
            lost_answers=self._lost_answers,
            flowtables=kernel.flowtables(),
        )
