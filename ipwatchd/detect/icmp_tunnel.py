"""Data carried in pings: echo replies that are not what was asked.

"The data received in the echo message must be returned in the echo reply message" (RFC 792; RFC
4443, 4.2): of an honest ping at most as many bytes come back as went out, each reply as long as its
request. Tunnels (Loki, ptunnel, icmptunnel, hans) answer with what they carry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.contact import ICMP, ICMP6
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.records.address import address_text
from ipwatchd.records.flow import DIRECTIONS, Direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.finding import Finding

__all__ = ["IcmpTunnel", "carried"]

_ECHO: Final = ((ICMP, 8), (ICMP6, 128))
_UNLIKE: Final = 4  # bytes a packet that replies may differ in the mean: padding
_ANSWERED: Final = 0.9  # of the requests; where more were lost, lengths in the mean say nothing
_CUT_SHORT: Final = 50
"""Times as much where replies are shorter: some resolvers and printers cut long pings."""


class _Pair:
    """What two machines said in pings within this window. Times are epoch ns."""

    __slots__ = ("began", "bytes", "growth", "last", "seen", "started", "weight")

    def __init__(self, time: int) -> None:
        self.began = self.started = self.last = time
        self.weight = 1
        self.bytes = self.seen = 0
        self.growth = Growth()


class IcmpTunnel(Rule):
    """Detector of the rule icmp-tunnel."""

    rule = "icmp-tunnel"
    section = "icmp_tunnel"
    about = About(
        "ICMP tunnel",
        "data-leak",
        "Replies to pings carry other data than the pings: two machines talk in them (ptunnel, "
        "icmptunnel, hans), past proxy and firewall.",
        "Find the program on our machine; deny the other end; see what else the machine sent "
        "since. Let pings to the internet pass from monitoring alone.",
        "`bytes` that replies have and requests had not, within `window`; fifty times as many "
        "where replies are shorter than requests, which some devices cut.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        self._least = settings.icmp_tunnel.bytes
        self._window = round(settings.icmp_tunnel.window * 1e9)
        self._quiet = max(round(settings.quiet * 1e9), self._window)
        self._pairs = Sources(_Pair, settings.sources, settings.sources)

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows, partial ones too; a finding for each pair that talks in pings."""
        flows = batch.flows
        rows = np.flatnonzero(
            ((flows["proto"] == ICMP) | (flows["proto"] == ICMP6)) & (flows["resp_packets"] > 0)
        )
        found = []
        if len(rows):
            some = flows[rows]
            amounts = carried(some)
            for place in np.flatnonzero(amounts).tolist():
                finding = self._take(some[place], int(amounts[place]))
                if finding is not None:
                    found.append(finding)
        self._pairs.sweep(round(now * 1e9) - self._quiet)
        return found

    def counters(self) -> dict[str, int]:
        """Return pairs held, and those that had to make room."""
        return {"pairs": len(self._pairs), "pairs_shed": self._pairs.shed}

    def _take(self, flow: np.void, amount: int) -> Finding | None:
        ends = [address_text(int(flow[f"{side}_hi"]), int(flow[f"{side}_lo"])) for side in _SIDES]
        incoming = flow["direction"] == Direction.INCOMING
        ours, far = reversed(ends) if incoming else ends
        time = int(flow["end"])
        pair = self._pairs.active((ours, far), time)
        if time - pair.began >= self._window:
            pair.began, pair.bytes = time, 0
        if not pair.seen:
            pair.started = int(flow["start"])
        pair.bytes += amount
        pair.seen += 1
        if pair.bytes < self._least or not pair.growth.due(pair.bytes, time):
            return None
        return self.finding(
            ours, f"{ours} and {far} talk in pings: {pair.bytes:,} bytes",
            detail=far, seen=(pair.started / 1e9, time / 1e9), count=pair.seen, severity="high",
            value=pair.bytes, threshold=self._least, targets=(far,),
            evidence={
                "bytes": pair.bytes, "window": self._window / 1e9,
                "requests": int(flow["orig_packets"]), "replies": int(flow["resp_packets"]),
                "request_bytes": int(flow["orig_bytes"]), "reply_bytes": int(flow["resp_bytes"]),
                "direction": DIRECTIONS[int(flow["direction"])],
            },
        )  # fmt: skip


_SIDES: Final = ("orig", "resp")


def carried(flows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the bytes of each flow's replies that its requests don't explain."""
    echo = np.zeros(len(flows), np.bool_)
    for proto, kind in _ECHO:
        echo |= (flows["proto"] == proto) & (flows["icmp_type"] == kind)
    asked, answered = (
        np.minimum(flows[f"{side}_packets"], 1 << 40).astype(np.float64) for side in _SIDES
    )
    sent, got = (np.minimum(flows[f"{side}_bytes"], 1 << 50).astype(np.float64) for side in _SIDES)
    echo &= (asked > 0) & (answered > 0)
    each, reply = sent / np.maximum(asked, 1), got / np.maximum(answered, 1)
    # What is lost explains fewer bytes, never more; what comes twice is as long as the first.
    more = np.where(echo & (reply > each + _UNLIKE), got - sent, 0)
    cut = echo & (reply < each - _UNLIKE) & (answered >= _ANSWERED * asked)
    less = np.where(cut, (sent - got) / _CUT_SHORT, 0)
    found: NDArray[np.int64] = np.maximum(np.maximum(more, less), 0).astype(np.int64)
    return found
