"""Uploads out of the ordinary: far more than in other windows, or much to somebody new."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.batch import Groups, address_hash, slices
from ipwatchd.detect.contact import TCP
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.detect.unserved import turned
from ipwatchd.records.address import address_text
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.finding import Finding

__all__ = ["Upload"]

_FTP_DATA: Final = 20
_SMALL: Final = 20_000  # bytes of a flow: as many as fit a window are no upload
_DESTINATIONS: Final = 256  # of one address, the latest
_SMOOTH: Final = 0.1  # weight of the newest window in the mean


class _Sender:
    """What an inside address sends out. Times are epoch ns, `peak` is the mean of its windows."""

    __slots__ = ("began", "growth", "last", "mean", "news", "now", "to", "weight", "windows")

    def __init__(self, time: int) -> None:
        self.began = self.last = time
        self.weight = 1
        self.now = 0
        self.mean = 0.0
        self.windows = 0
        self.to: OrderedDict[int, list[int]] = OrderedDict()
        """Far address → bytes in this window, when it was first seen, when it was told of."""
        self.growth = Growth()
        self.news = 0

    def turn(self, time: int, window: int) -> None:
        """Take the window that is over into the mean."""
        if time - self.began < window:
            return
        self.mean += (self.now - self.mean) * (_SMOOTH if self.windows else 1.0)
        self.windows += 1
        self.now = 0
        self.growth = Growth()
        self.began = time - (time - self.began) % window
        for known in self.to.values():
            known[0] = 0


class Upload(Rule):
    """Detector of the rule unusual-upload."""

    rule = "unusual-upload"
    section = "upload"
    about = About(
        "Upload out of the ordinary",
        "data-leak",
        "An address of ours sent the internet far more within the window than it ever does, or a "
        "great deal to somebody it never sent to before.",
        "Ask whose machine it is and what was sent (a backup, a recording, a client's data?). If "
        "nobody knows: deny the destination, keep the machine as it is, tell the data-protection "
        "officer.",
        "`bytes` within `window`, and `factor` times its own mean once `enough` windows were "
        "seen; `new_destination_bytes` to one address that is new to it. Backups belong under "
        "[[expected]].",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        self._one = settings.upload
        self._window = round(settings.upload.window * 1e9)
        self._forget = round(settings.upload.forget * 1e9)
        # Bytes to one destination in one batch that are worth a record of their own.
        self._worth = settings.upload.new_destination_bytes // 1000
        self._senders = Sources(_Sender, settings.sources, settings.sources * 16)

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take flows, partial ones too: a long upload is told of while it goes on."""
        flows = batch.flows
        # Sent by whom opened it; what a server of ours is asked for is no upload.
        rows = np.flatnonzero(
            (flows["direction"] == Direction.OUTGOING) & (flows["orig_bytes"] >= _SMALL)
        )
        sent = flows.take(rows)
        # In FTP's active mode the server opens what its client then fills (RFC 959, 3.2).
        rows = np.flatnonzero(
            (flows["direction"] == Direction.INCOMING) & (flows["orig_port"] == _FTP_DATA)
            & (flows["proto"] == TCP) & (flows["resp_bytes"] >= _SMALL)
        )  # fmt: skip
        if len(rows):
            sent = np.concatenate((sent, turned(flows.take(rows))))
        found: list[Finding] = []
        for part in slices(sent, self._window // 4):
            senders = Groups(part["orig_hi"], part["orig_lo"])
            latest = senders.latest(part["end"])
            sums = np.add.reduceat(part["orig_bytes"][senders.order], senders.starts).tolist()
            for source, time, amount in zip(senders.sources, latest, sums, strict=True):
                one = self._senders.active(source, time)
                one.turn(time, self._window)
                one.now += amount
            found += self._to_new(part)
            found += self._judge(senders.sources, {one.subject for one in found})
        self._senders.sweep(round(now * 1e9) - self._forget)
        return found

    def counters(self) -> dict[str, int]:
        """Return senders held, those still learning, and those that had to make room."""
        return {"senders": len(self._senders), "senders_shed": self._senders.shed}

    def remember(self) -> Any:
        """Return each sender's mean and destinations."""
        return {
            "senders": [
                [
                    f"{key:x}", one.last, one.mean, one.windows,
                    [[f"{far:x}", known[1]] for far, known in one.to.items()],
                ]
                for key, one in self._senders.items() if isinstance(key, int)
            ]
        }  # fmt: skip

    def recall(self, learned: Any) -> None:
        """Take back what was learned."""
        for key, last, mean, windows, to in learned["senders"]:
            one = self._senders.active(int(key, 16), int(last))
            one.mean, one.windows = float(mean), int(windows)
            for far, first in to:
                one.to[int(far, 16)] = [0, int(first), 0]
            self._senders.weigh(one, 1 + len(one.to))

    def _to_new(self, flows: NDArray[np.void]) -> list[Finding]:
        """Add what went to each destination; a finding for much to one that was never sent much."""
        pairs = address_hash(flows["orig_hi"], flows["orig_lo"]) ^ (
            address_hash(flows["resp_hi"], flows["resp_lo"]) * np.uint64(3)
        )
        order = np.argsort(pairs, kind="stable")
        pairs = pairs[order]
        starts = np.flatnonzero(np.r_[True, pairs[1:] != pairs[:-1]])
        sums = np.add.reduceat(flows["orig_bytes"][order], starts)
        found = []
        for place in np.flatnonzero(sums >= self._worth).tolist():
            row = flows[order[starts[place]]]
            source = int(row["orig_hi"]) << 64 | int(row["orig_lo"])
            far = int(row["resp_hi"]) << 64 | int(row["resp_lo"])
            one = self._senders.get(source)
            if one is not None:
                finding = self._destination(source, one, far, int(sums[place]))
                if finding is not None:
                    found.append(finding)
        return found

    def _destination(self, source: int, one: _Sender, far: int, sent: int) -> Finding | None:
        time = one.last
        known = one.to.setdefault(far, [0, time, 0])
        one.to.move_to_end(far)
        known[0] += sent
        while len(one.to) > _DESTINATIONS:
            one.to.popitem(last=False)
        self._senders.weigh(one, 1 + len(one.to))
        least = self._one.new_destination_bytes
        if known[0] < least or known[0] < 2 * known[2] or time - known[1] >= self._window:
            return None
        known[2] = known[0]
        return self._new(source, one, far, known)

    def _judge(self, sources: list[int], told: set[str]) -> list[Finding]:
        found = []
        for source in sources:
            one = self._senders.get(source)
            if one is None or one.now < self._one.bytes:
                continue
            learned = one.windows >= self._one.enough
            least = max(float(self._one.bytes), self._one.factor * one.mean if learned else 0.0)
            if _text(source) in told or one.now < least:
                continue
            if one.growth.due(one.now, one.last):
                found.append(self._much(source, one, least, learned=learned))
        return found

    def _new(self, source: int, one: _Sender, far: int, known: list[int]) -> Finding:
        ours, other = _text(source), _text(far)
        return self.finding(
            ours, f"{ours} sent {known[0] / 1e6:,.0f} MB to {other}, to which it never sent much",
            detail=other,
            seen=(known[1] / 1e9, one.last / 1e9), count=1, severity="medium", value=known[0],
            threshold=self._one.new_destination_bytes, targets=(other,),
            evidence={
                "bytes": known[0], "destination_first_seen": known[1] / 1e9,
                "baseline": one.mean, "windows_learned": one.windows,
                "enough_seen": one.windows >= self._one.enough, "direction": "outgoing",
            },
        )  # fmt: skip

    def _much(self, source: int, one: _Sender, least: float, *, learned: bool) -> Finding:
        ours = _text(source)
        top = sorted(one.to, key=lambda far: -one.to[far][0])[:5]
        usual = f"usually {one.mean / 1e6:,.1f} MB" if learned else "what is usual is not known yet"
        return self.finding(
            ours, f"{ours} sent {one.now / 1e6:,.0f} MB within {self._one.window:g} s ({usual})",
            seen=(one.began / 1e9, one.last / 1e9), count=1,
            severity="medium" if learned else "low", value=one.now, threshold=least,
            targets=[_text(far) for far in top],
            evidence={
                "bytes": one.now, "baseline": one.mean, "windows_learned": one.windows,
                "enough_seen": learned, "window": self._one.window, "direction": "outgoing",
            },
        )  # fmt: skip


def _text(address: int) -> str:
    return address_text(address >> 64, address & ((1 << 64) - 1))
