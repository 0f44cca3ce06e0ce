"""Data carried in DNS names: many distinct, long names under one domain from one client.

Born, Gustafson: Detecting DNS Tunnels Using Character Frequency Analysis (2010); Farnham: Detecting
DNS Tunneling (SANS 2013): volume of distinct names below one domain, their length and entropy.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Sources
from ipwatchd.detect.tally import Tallies
from ipwatchd.records.event import Dns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.tally import Tally
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["DnsTunnel", "domain_of"]

_VALUES: Final = 256
_NAME: Final = 255  # octets (RFC 1035, 2.3.4)
_ESCAPED: Final = 4 * _NAME  # as text: an octet that can't be shown is \DDD (RFC 4343, 2.1)
_ESCAPE: Final = re.compile(r"\\(\d{3}|.)")
_CARRIERS: Final = frozenset({"TXT", "NULL", "CNAME", "MX", "SRV", "KEY", "PRIVATE"})
_ODD: Final = frozenset({"NULL", "KEY", "PRIVATE"})
"""Types that hardly anything but a tunnel asks for: there a name of any length is enough."""
_ENTROPY: Final = 3.2  # bits a letter; words of a language have less over such lengths
# Names that are data by design: reverse look-ups, lists of addresses and of hashes that mail
# servers and scanners of malware ask, measurements of content networks from browsers.
_BY_DESIGN: Final = (
    "arpa", "local", "spamhaus.org", "spamhaus.net", "barracudacentral.org", "surbl.org",
    "uribl.com", "sophosxl.net", "mcafee.com", "trendmicro.com", "e5.sk", "avts.com",
    "symantec.com", "spamcop.net", "sorbs.net", "team-cymru.com", "akadns.net", "cymru.com",
    "msbl.org", "rspamd.com", "abusix.zone", "dnswl.org", "mailspike.net", "senderscore.com",
    "spameatingmonkey.net", "junkemailfilter.com", "invaluement.com", "brightcloud.com",
    "footprintdns.com", "fastly-insights.com",
)  # fmt: skip


class _Resolver:
    """Somebody who is asked for names below a domain. `last` is epoch ns."""

    __slots__ = ("last", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1


class DnsTunnel(Rule):
    """Detector of the rule dns-tunnel."""

    rule = "dns-tunnel"
    section = "dns_tunnel"
    about = About(
        "DNS tunnel",
        "data-leak",
        "One client asked for many distinct, long names of high entropy under one domain: data "
        "travels in the names (iodine, dns2tcp, dnscat2), past proxy and firewall.",
        "Find the program on the client; deny the domain's name servers; see what else the client "
        "sent since. A maker's reputation look-up goes into `trusted`.",
        "`names` distinct within `window`, `letters` in them all, `mean_length` of one. "
        "`trusted` are domains that may.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        one = settings.dns_tunnel
        self._one = one
        self._trusted = frozenset((*_BY_DESIGN, *(name.lower().strip(".") for name in one.trusted)))
        self._window = round(one.window * 1e9)
        self._quiet = round(settings.quiet * 1e9)
        self._clients = Tallies(settings.sources, _VALUES, self._window, self._quiet)
        self._resolvers = Sources(_Resolver, settings.sources, settings.sources)

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take queries; a finding for each client and domain that carries data."""
        found = []
        for event in events:
            # The answer repeats the question: a sensor may have seen but one of them.
            if not isinstance(event, Dns) or (
                len(event.name) < self._one.mean_length and event.qtype not in _CARRIERS
            ):
                continue
            name = _octets(event.name)
            domain = domain_of(name)
            if not domain or domain in self._trusted or name.rpartition(".")[2] in self._trusted:
                continue
            time = round(event.ts * 1e9)
            self._resolvers.active((event.resp, domain), time)
            tally = self._clients.note((event.orig, domain), name[: -len(domain) - 1], time)
            if event.qtype in _CARRIERS:
                tally.mark("carriers")
                tally.mark("odd", event.qtype in _ODD)
            if event.response and event.rcode == "NXDOMAIN":
                tally.mark("nxdomain")
            finding = self._judge(event, domain, tally)
            if finding is not None:
                found.append(finding)
        self._clients.end(now)
        self._resolvers.sweep(round(now * 1e9) - self._quiet)
        return found

    def counters(self) -> dict[str, int]:
        """Return clients and domains held, and those that had to make room."""
        return {"clients": len(self._clients), "clients_shed": self._clients.shed}

    def _judge(self, event: Dns, domain: str, tally: Tally) -> Finding | None:
        names = len(tally.values)
        if names < self._one.names or not tally.growth.would(tally.count, tally.last):
            return None
        # Who is asked for these names himself asks on behalf of somebody, who is told of.
        if self._resolvers.get((event.orig, domain)) is not None:
            return None
        labels = [value.replace(".", "") for value in tally.values]
        letters = sum(map(len, labels))
        mean = letters / names
        entropy = _entropy("".join(labels))
        carriers = tally.marks.get("carriers", 0)
        odd = 2 * tally.marks.get("odd", 0) > tally.count
        # Half the length will do where most ask for types that carry data.
        share = 2 if 2 * carriers > tally.count else 1
        plain = letters * share < self._one.letters or mean * share < self._one.mean_length
        if not odd and (plain or entropy < _ENTROPY):
            return None
        tally.growth.due(tally.count, tally.last)
        return self.finding(
            event.orig, f"{event.orig} sends data in names under {domain}", detail=domain,
            seen=(tally.started / 1e9, tally.last / 1e9), count=tally.count,
            severity="high" if 2 * carriers >= tally.count else "medium", value=names,
            threshold=self._one.names, targets=(domain,),
            evidence={
                "domain": domain, "distinct_names": names, "at_least": names >= _VALUES,
                "letters": letters, "mean_length": round(mean, 1), "entropy": round(entropy, 2),
                "queries_of_carrier_types": carriers, "nxdomain": tally.marks.get("nxdomain", 0),
                "window": self._one.window, "server": event.resp, "direction": "outgoing",
                "example": next(reversed(tally.values))[:60],
            },
        )  # fmt: skip


def domain_of(name: str) -> str:
    """Return the domain that somebody registered, or "" where there is nothing below it.

    Two labels, or three below a country's second level (co.uk, com.au).
    """
    labels = name.split(".")
    own = 3 if len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3 else 2
    return ".".join(labels[-own:]) if len(labels) > own else ""


def _octets(text: str) -> str:
    r"""Return a name in lower case, each escape (\DDD, \., \\) as one letter that is no dot."""
    short = text[-_ESCAPED:].rstrip(".").lower()
    return _ESCAPE.sub(_letter, short)[-_NAME:] if "\\" in short else short[-_NAME:]


def _letter(escape: re.Match[str]) -> str:
    text = escape[1]
    return chr(0x100 + (int(text) if text.isdecimal() else ord(text)) % 0x100)


def _entropy(text: str) -> float:
    total = len(text)
    return -sum(n / total * math.log2(n / total) for n in Counter(text).values()) if total else 0.0
