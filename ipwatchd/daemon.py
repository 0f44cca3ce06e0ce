"""The agent itself: start, run, reload, stop. Joins the live parts; each keeps its own counsel.

Order of starting: stores, firewall (so that the rules stand before anything else), control socket,
capture, uplink. Order of stopping: capture first, so that what it still holds is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import signal
import sqlite3
import time
from typing import TYPE_CHECKING, Final

import structlog

from ipwatchd.bindings import Bindings
from ipwatchd.capture import open_source
from ipwatchd.capture.choice import SecondThoughts, choose
from ipwatchd.config.load import ConfigError, load
from ipwatchd.control.house import House, Live
from ipwatchd.control.server import ControlServer
from ipwatchd.desk.desk import Desk
from ipwatchd.enforcement import Enforcement
from ipwatchd.firewall import BlockedReader, CommitWatch, Firewall
from ipwatchd.inbox import Inbox
from ipwatchd.incidents.legal.periods import zone
from ipwatchd.incidents.review.period import period_html
from ipwatchd.lists import FeedKeeper
from ipwatchd.logs import LogSources, RulesError
from ipwatchd.paging.ackdrop import AckDrop
from ipwatchd.paging.answers import Answers
from ipwatchd.paging.pager import Pager
from ipwatchd.paging.papers import Papers
from ipwatchd.pipeline import Outcome, Pipeline
from ipwatchd.readiness import say_ready
from ipwatchd.records.finding import Finding
from ipwatchd.reload import taken
from ipwatchd.rescue import hold_rules
from ipwatchd.stores import StateInUseError, Stores
from ipwatchd.trouble import sentence
from ipwatchd.uplink import Lease, Uplink
from ipwatchd.vitals import Vitals
from ipwatchd.whereabouts import Ground, in_force

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence
    from pathlib import Path

    from ipwatchd.config import Config
    from ipwatchd.incidents.papers import Period
    from ipwatchd.records.entry import ListEntry
    from ipwatchd.records.event import AnyEvent

__all__ = ["Daemon", "run"]

_LOG: Final = structlog.get_logger("ipwatchd")
_RETAIN_SECONDS: Final = 3600.0
_LOOK_SECONDS: Final = 10.0


class Daemon:
    """One running agent on one state folder."""

    def __init__(self, config: Config, config_path: Path, stores: Stores, ground: Ground) -> None:
        self.config = config
        self._ground = ground
        self._config_path = config_path
        self.stores = stores
        self.pipeline = Pipeline(stores, ground)
        self.live = Live(self.pipeline, pid=os.getpid(), started=time.time())
        self.house = House(stores, self.live)
        self._inbox = Inbox(asyncio.get_running_loop())
        self._desk = Desk(config.intake, stores, time.time)
        self.live.pager = Pager(config.escalation, stores.incidents, stores.state_dir, time.time)
        if self._desk.mail:
            self._desk.mail.answers = Answers(self.live.pager, stores.incidents).take
        self._papers = self.live.papers = Papers(
            config.reports, stores.state_dir, config.site.name, config.incidents.time_zone,
            self._paper, self.live.pager,
        )  # fmt: skip
        self._acks: AckDrop | None = None
        self._lease: Lease | None = None
        self._stopping = asyncio.Event()
        self._retained = 0.0
        self._looked = 0.0
        self._vitals = Vitals(self.live, stores.history, self._inbox, self._desk, self._papers)
        self._thoughts = SecondThoughts()

    async def _start_firewall(self, now: float) -> None:
        settings = self.config.firewall
        firewall = Firewall(settings)
        try:
            firewall.open()
        except OSError as error:
            self.live.notes["firewall"] = str(error)
            if settings.mode == "enforce":
                raise
            return
        self.live.firewall = firewall
        self.live.enforcement = Enforcement(
            settings, self.stores.lists, firewall, self.stores.state_dir
        )
        self.live.enforcement.bindings = Bindings(self.stores)
        self.pipeline.enforcement = self.live.enforcement
        await self.live.enforcement.sync(now)
        with self._part("nflog"):
            self.live.blocked = BlockedReader(settings)
        if settings.watch:
            with self._part("firewall watch"):
                self.live.enforcement.watch = CommitWatch()

    def _tracked(self) -> bool:
        """Tell whether our rules look at the state of connections: the kernel then tracks them."""
        return self.live.firewall is not None and self.config.firewall.mode != "off"

    def _start_capture(self) -> None:
        settings = self.config.capture
        choice = self.live.choice = choose(settings, tracked=self._tracked())
        try:
            source = open_source(settings, choice, self._inbox.put, self.stores.state_dir)
        except ValueError as error:
            raise ValueError(f"{self._config_path}: {error}") from None
        if source:
            source.start()
        self.live.ring = source
        self.stores.history.rename(interfaces=settings.interfaces)

    async def _reconsider(self) -> None:
        """Change to connection tracking where the box became a router after our start."""
        before, now = self.live.choice, time.monotonic()
        if not (before and self.live.ring) or not self._thoughts.better(
            before, self.config.capture, now, tracked=self._tracked()
        ):
            return
        await asyncio.to_thread(self.live.ring.stop)
        self._start_capture()
        self._vitals.begin_anew()
        _LOG.info("another source", **(self.live.choice._asdict() if self.live.choice else {}))

    def _start_uplink(self) -> None:
        if self.config.uplink.url:
            chosen = self.config.escalation
            # Without a plan of its own a site has nobody to page: the centre may at once.
            lease = self._lease = Lease(
                self.config.uplink.poll_seconds, hand_over=chosen.hand_over or not chosen.plan
            )
            self.live.uplink = Uplink(
                self.config.uplink, self.config.site.name, self.stores.state_dir,
                self.stores.incidents, self._central_entries, lease=lease,
                on_acks=self.live.pager.take_acks if self.live.pager else None,
            )  # fmt: skip
            if self.live.pager:
                self.live.pager.lease = lease.is_hushed

    def _follow_logs(self) -> None:
        if self.live.logs:
            if self.live.logs.settings == self.config.logs:
                return
            self.live.logs.close()
            self.live.logs = None
        with self._part("logs"):
            try:
                self.live.logs = LogSources(self.config.logs, self.stores.state_dir)
            except RulesError as error:
                raise OSError(f"no log is read: {error}") from error
            self.live.logs.start()

    async def _central_entries(self, entries: Sequence[ListEntry]) -> None:
        """Take the centre's list entries: they replace what the centre said before."""
        now = time.time()
        try:
            replaced = await self.stores.lists.replace_source("central", entries, now=now)
        except sqlite3.Error as error:
            raise OSError(f"can't write lists.db: {error}") from error
        if (replaced.added or replaced.removed) and self.live.enforcement:
            await self.live.enforcement.sync(now)
        _LOG.info("lists from the centre", added=replaced.added, removed=replaced.removed)

    async def serve(self, ready: asyncio.Event | None = None) -> None:
        """Run until `stop`; an ending part that should not end ends the daemon with its error."""
        await self._start_firewall(time.time())
        control = ControlServer(self.house, self.config.control, time.time)
        await control.start()
        say_ready()
        await self._desk.start()
        await self._start_acks()
        try:
            self._take_ground()
            await self.pipeline.recall_presence(time.time())
            self._start_capture()
            self._start_uplink()
            self._follow_logs()
            _LOG.info(
                "started",
                site=self.config.site.name,
                interfaces=self.config.capture.interfaces,
                **(self.live.choice._asdict() if self.live.choice else {}),
            )
            self._say_refused()
            policy = self.stores.incidents.policy
            for why in policy.not_in_force(dt.datetime.now(zone(policy.seat.zone)).date()):
                _LOG.info(why)
            if ready:
                ready.set()
            await self._run_parts()
        finally:
            await control.stop()
            await self._desk.stop()
            if self._acks:
                await self._acks.stop()
            if self.live.logs:
                self.live.logs.close()
            if self.live.blocked:
                self.live.blocked.close()
            if self.live.enforcement:
                self.live.enforcement.stop()

    async def _paper(self, period: Period, now: float) -> str:
        """Return the page of a report that is made by itself."""
        config = self.config
        return await period_html(
            self.stores.incidents, config.site.name, period.since, period.until,
            zone(config.incidents.time_zone), now, own=config.incidents.policy,
            marking=config.reports.tlp,
        )  # fmt: skip

    async def _start_acks(self) -> None:
        """Listen for acknowledgements; where that can't be, pages go out all the same."""
        if self.config.escalation.listen and self.live.pager:
            self._acks = AckDrop(self.config.escalation.listen, self.live.pager, time.time)
            try:
                await self._acks.start()
            except OSError as error:
                self.live.notes["acknowledgements"] = str(error)
                self._acks = None

    def _own_networks(self) -> list[str]:
        """Return what no feed may deny."""
        zones = self.stores.config.named_zones().values()
        return [*self.config.firewall.management, *(one for zone in zones for one in zone)]

    async def _feeds_changed(self) -> None:
        if self.live.enforcement:
            await self.live.enforcement.sync(time.time())
        _LOG.info("feeds changed", entries=self.stores.lists.counters()["entries"])

    async def _run_parts(self) -> None:
        """Run the loops side by side; when one fails the others are stopped in order."""
        parts: list[Coroutine[None, None, None]] = [
            self._consume(), self._tick_for_ever(), self._report_for_ever(),
        ]  # fmt: skip
        if self.live.pager:
            parts.append(self.live.pager.run(self._stopping))
        if self.live.uplink:
            parts.append(self.live.uplink.run(self._stopping))
        feeds = self.live.feeds = FeedKeeper(
            self.config.feeds, self.stores.lists, self.stores.state_dir, own=self._own_networks()
        )
        parts.append(feeds.run(self._stopping, time.time, self._feeds_changed))
        if self.live.enforcement:
            guard = self.live.enforcement.guard
            parts.append(guard(self._stopping, time.time, self._rules_were_changed))
        tasks = [asyncio.ensure_future(part) for part in parts]
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            try:
                if self.live.ring:
                    # Joins the capture threads, which deliver what they still hold.
                    await asyncio.to_thread(self.live.ring.stop)
            finally:
                self._inbox.close()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                stop.cancel()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def stop(self) -> None:
        """Ask the daemon to end in order."""
        self._stopping.set()

    async def _consume(self) -> None:
        while (capture := await self._inbox.get()) is not None:
            self._report(await self.pipeline.take(capture))
            await self._act_on(time.time())

    async def _tick_for_ever(self) -> None:
        """Do once a second what the clock asks for."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)
            await self.tick(time.time())
            await self._reconsider()
            if self.live.ring and self.live.ring.error:
                # A gateway that silently sees nothing is worse than one that is started again.
                raise self.live.ring.error

    async def _report_for_ever(self) -> None:
        """Make the reports that are due, beside the rest: a PDF may take its time."""
        while not self._stopping.is_set():
            with self._part("reports"):
                await self._papers.tick(time.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)

    async def tick(self, now: float) -> None:
        """Do what is due: logs, blocked packets, expiry, repair, writing, retention."""
        events: list[AnyEvent] = []
        heard: dict[str, int] = {}
        if self.live.logs:
            with self._part("logs"):
                # Thousands of lines a poll: on a thread, so that the loop goes on meanwhile.
                events += await asyncio.to_thread(self.live.logs.read, now)
                heard = self.live.logs.heard()
        if self.live.blocked:
            with self._part("nflog"):
                events += self.live.blocked.read(now)
        self._report(await self.pipeline.take_events(events, now, heard))
        with self._part("lists"):
            await self._expire(now)
        await self._look_around(now)
        if self.live.enforcement and await self.live.enforcement.tick(now):
            await self._rules_were_changed(now)
        await self._act_on(now)
        await self.stores.history.flush(now)
        with self._part("incident counts"):
            await self.stores.incidents.flush(now)
            await self._desk.tick(now)
        if now - self._retained >= _RETAIN_SECONDS or now < self._retained:
            self._retained = now
            await self.stores.history.retain(now, beside=True)
            await self._drop_keys(now)
        self._vitals.measure()
        self._vitals.narrate()

    async def _look_around(self, now: float) -> None:
        """Take the kernel's networks that changed, and now and then geo files that did."""
        await self._follow_kernel()
        if abs(now - self._looked) < _LOOK_SECONDS:
            return
        self._looked = now
        if await asyncio.to_thread(self.stores.enricher.refresh):
            _LOG.info("geo files changed", problems=dict(self.stores.enricher.problems()))

    async def _follow_kernel(self) -> None:
        """Take the zones and gateways that follow from the kernel's addresses and routes."""
        with self._part("zones"):
            if self._ground.stirred():
                await asyncio.to_thread(self._ground.look)
                self._take_ground()
        if "effective.json" in self.live.notes:
            with self._part("effective.json"):
                self.stores.keep_effective()

    def _take_ground(self) -> None:
        before = self.stores.config
        if in_force(self.config, self._ground.around) != before:
            self._take_zones(self.config)
            if self.live.feeds:
                self.live.feeds.adopt(self.config.feeds, self._own_networks())
            _LOG.info("zones from the kernel", zones=self.stores.config.zones, before=before.zones)
        self.live.zones = {} if self.config.zones else self._ground.zones()

    def _take_zones(self, config: Config) -> None:
        """Put a configuration's zones, or else the kernel's, in force wherever zones are used."""
        self.stores.adopt(in_force(config, self._ground.around))
        with self._part("effective.json"):
            self.stores.keep_effective()
        self._policy_changed = True

    @contextlib.contextmanager
    def _part(self, name: str) -> Iterator[None]:
        """Do a step of a part: what the disk or the kernel refuses is its note until it works.

        A full disk never ends the daemon: each step is tried again at the next tick.
        """
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            self.live.notes[name] = sentence(error)
        else:
            self.live.notes.pop(name, None)

    _policy_changed = False

    async def _drop_keys(self, now: float) -> None:
        """Drop the keys whose time is over; each leaves a line of the audit log."""
        with self._part("archive keys"):
            for gone in await self.stores.history.drop_due_keys(now):
                await self.stores.audit.write(
                    "ipwatchd", "drop-key", gone.day.day, now=now, detail="key_days are over"
                )

    async def _expire(self, now: float) -> None:
        """Take off what has ended; the kernel let go of it by itself."""
        for entry in await self.stores.lists.expire(now):
            self.pipeline.note_change(entry, "expire", "ipwatchd", now)
            self._policy_changed = True

    async def _act_on(self, now: float) -> None:
        if self._policy_changed and self.live.enforcement:
            self._policy_changed = False
            await self.live.enforcement.sync(now)

    async def _rules_were_changed(self, now: float) -> None:
        """Someone changed or flushed our rules; they stand again: raise an incident."""
        by = self.live.enforcement.changed_by if self.live.enforcement else ""
        finding = Finding(
            rule="firewall-tampered", subject=self.config.firewall.table,
            key=f"firewall-tampered|{self.config.firewall.table}",
            title=f"Our firewall rules were changed by {by or 'someone else'} and put back",
            first_seen=now, last_seen=now, count=1, severity="high",
            classification="unauthorised-information-modification", score=1.0, value=1.0,
            threshold=1.0, evidence={"changed_by": by} if by else {},
        )  # fmt: skip
        self._report(await self.pipeline.settle([finding], now))

    def _report(self, outcome: Outcome) -> None:
        for incident in outcome.incidents:
            if incident.count <= 1 or incident.opened == incident.last_seen:
                _LOG.info(
                    "incident", id=incident.id, priority=incident.priority, title=incident.title
                )
        for network in outcome.denied:
            self._policy_changed = True
            _LOG.info("denied", network=network)

    def _say_refused(self) -> None:
        """Say who is named for reports and will get none."""
        for why in self._papers.refusals():
            _LOG.warning(why)

    def reload(self) -> None:
        """Read the file again; a bad one is named and the last good one kept."""
        try:
            fresh, restart = taken(self.config, load(self._config_path))
            self._adopt(fresh)
        except (ConfigError, ValueError, OSError) as error:
            self.live.notes["configuration"] = f"kept the last good one: {error}"
            _LOG.error("reload refused, the last good configuration stays", error=str(error))
            return
        self.live.notes.pop("configuration", None)
        if restart:
            self.live.notes["reload"] = f"{', '.join(restart)} changes with the next restart"
        else:
            self.live.notes.pop("reload", None)
        _LOG.info("reloaded", needs_restart=restart)

    def _adopt(self, fresh: Config) -> None:
        """Take another configuration. Raises ValueError, and then nothing changed."""
        self._take_zones(fresh)
        self.config = fresh
        self.live.zones = {} if fresh.zones else self._ground.zones()
        if self.live.enforcement:
            self.live.enforcement.settings = self.config.firewall
        self.pipeline.retune()
        if self.live.pager:
            chosen = self.config.escalation
            self.live.pager.adopt(chosen)
            if self._lease:
                self._lease.hand_over = chosen.hand_over or not chosen.plan
        self._papers.adopt(self.config.reports, self.config.incidents.time_zone)
        self._say_refused()
        if self.live.feeds:
            self.live.feeds.adopt(self.config.feeds, self._own_networks())
        self.stores.lists.protect(self.config.firewall.management)
        self._follow_logs()
        self._policy_changed = True


async def _hold_rules(config: Config, state_dir: Path) -> None:
    """Put the lists into the kernel though the daemon can't start."""
    try:
        done = await hold_rules(config, state_dir, time.time())
    except (OSError, ValueError, sqlite3.Error) as error:
        _LOG.error("the lists can't be put into the kernel either", error=sentence(error))
    else:
        if done:
            _LOG.warning(done)


async def run(config: Config, config_path: Path) -> None:
    """Open the stores, serve until SIGTERM or SIGINT, close everything."""
    from pathlib import Path as _Path

    state_dir, ground = _Path(config.site.state_dir), Ground()
    with contextlib.suppress(OSError):  # the daemon says so, each time it looks
        await asyncio.to_thread(ground.look)
    try:
        await _serve(config, config_path, state_dir, ground)
    finally:
        ground.close()
    _LOG.info("stopped")


async def _serve(config: Config, config_path: Path, state_dir: Path, ground: Ground) -> None:
    starting = in_force(config, ground.around)
    try:
        stores = await Stores.open(starting, state_dir)
    except StateInUseError:
        raise  # whoever runs there keeps the rules
    except OSError:
        await _hold_rules(starting, state_dir)
        raise
    try:
        daemon = Daemon(config, config_path, stores, ground)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, daemon.stop)
        loop.add_signal_handler(signal.SIGHUP, daemon.reload)
        await daemon.serve()
    finally:
        await stores.close(time.time())
