"""The events of a benign day at a BPO site, made from a seed, and what the detectors say of them.

    python benchmarks/site_events.py [--share 1.0] [--json]

Names, neighbours, leases, logins, calls and requests of 1,500 agents: shifts that begin at one
moment, typing errors, locked accounts, phones that renew, a dialler with wrong and busy numbers,
mail's block lists, look-ups by hash of antivirus and of content networks, a resolver in between,
partners behind one address. Made and not recorded: it shows what is said of these kinds of events.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import say

from ipwatchd.config.detectors import TollFraudSettings
from ipwatchd.config.settings import PRIVATE, DetectSettings, GeoSettings
from ipwatchd.detect import build
from ipwatchd.enrich import Enricher
from ipwatchd.records.event import Api, Arp, Auth, Dhcp, Dns, Http, Kerberos, Ndp, Radius, Sip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

START = 1_700_006_400.0
DAY = 86_400.0
AGENTS = 1500
SHIFTS = (6 * 3600.0, 14 * 3600.0, 22 * 3600.0)
RESOLVERS = ("10.30.0.2", "10.30.0.3")
GATE, GATE_MAC, MAIL, PBX, CARRIER = (
    "10.20.0.1", "02:00:00:00:00:01", "10.30.0.25", "10.40.0.5", "185.45.152.1",
)  # fmt: skip


def agent(number: int) -> str:
    """Return an agent's address."""
    return f"10.20.{number // 250}.{number % 250 + 5}"


def mac(number: int) -> str:
    """Return an agent's hardware address."""
    return f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}"


def hexes(dice: random.Random, length: int) -> str:
    """Return that many hex digits."""
    return hashlib.sha512(dice.randbytes(8)).hexdigest()[:length]


def begins(dice: random.Random, who: int) -> float:
    """Return when an agent's shift begins: most sit down within ten minutes."""
    return SHIFTS[who % 3] + dice.triangular(-900, 600, -60)


def asked(
    dice: random.Random, ts: float, who: str, name: str, kind: str = "A", answer: str = "",
    rcode: str = "NOERROR", to: str = "",
) -> Iterator[AnyEvent]:  # fmt: skip
    """Yield a question and its answer."""
    server = to or dice.choice(RESOLVERS)
    answers = (answer,) if answer else ()
    yield Dns(ts=ts, orig=who, resp=server, resp_port=53, name=name, qtype=kind)
    yield Dns(
        ts=ts + 0.02, orig=who, resp=server, resp_port=53, name=name, qtype=kind, response=True,
        rcode=rcode, answers=answers,
    )  # fmt: skip


def odd_name(dice: random.Random) -> tuple[str, str]:
    """Return a name made by a machine, of the kinds that a site's browsers and programs ask for."""
    return dice.choice((
        lambda: (f"d{hexes(dice, 13)}.cloudfront.net", "A"),
        lambda: (f"r{dice.randrange(9)}---sn-{hexes(dice, 8)}.googlevideo.com", "A"),
        lambda: (f"{hexes(dice, 32)}.fls.doubleclick.net", "A"),
        lambda: (f"bucket-{hexes(dice, 12)}.s3.eu-west-1.amazonaws.com", "A"),
        lambda: (f"{hexes(dice, 22)}.u.fastly-insights.com", "A"),
        lambda: (f"{hexes(dice, 32)}.clo.footprintdns.com", "A"),
        lambda: (f"a{dice.randrange(2000)}.dscg.akamai.net", "A"),
        lambda: (f"4.{hexes(dice, 30)}.i.02.s.sophosxl.net", "TXT"),
        lambda: (f"{hexes(dice, 26)}.avqs.mcafee.com", "A"),
        lambda: (f"{hexes(dice, 32)}.a.e5.sk", "TXT"),
        lambda: (f"_ldap._tcp.site{dice.randrange(4)}._sites.dc._msdcs.corp.example", "SRV"),
        lambda: (hexes(dice, 10), "A"),
    ))()  # fmt: skip


def names(dice: random.Random, share: float) -> Iterator[AnyEvent]:
    """Yield what agents ask for."""
    for _ in range(round(200_000 * share)):
        who = dice.randrange(AGENTS)
        ts = START + (begins(dice, who) + dice.uniform(0, 8 * 3600)) % DAY
        if dice.random() < 0.15:
            name, kind = odd_name(dice)
        else:
            name, kind = f"www.site{int(dice.paretovariate(0.6)) % 4000}.example", "A"
        yield from asked(dice, ts, agent(who), name, kind, f"198.51.100.{dice.randrange(250)}")


def mails(dice: random.Random, share: float) -> Iterator[AnyEvent]:
    """Yield what the mail server looks up for each mail that comes."""
    lists = (
        "zen.spamhaus.org", "b.barracudacentral.org", "bl.spamcop.net", "list.dnswl.org",
        "wl.mailspike.net", "hostkarma.junkemailfilter.com",
    )  # fmt: skip
    for _ in range(round(6000 * share)):
        ts = START + dice.triangular(0, DAY, 11 * 3600)
        four = [str(dice.randrange(1, 255)) for _ in range(4)]
        back = ".".join(four)
        yield from asked(dice, ts, MAIL, f"{back}.in-addr.arpa", "PTR", f"mx{four[0]}.out.example")
        six = ".".join(hexes(dice, 24)) + ".8.b.d.0.1.0.0.2.ip6.arpa"
        yield from asked(dice, ts, MAIL, six, "PTR", rcode="NXDOMAIN")
        for one in lists:
            yield from asked(dice, ts, MAIL, f"{back}.{one}", "A", rcode="NXDOMAIN")
        for one in ("ebl.msbl.org", "hashbl.surbl.org", "email.rspamd.com"):
            yield from asked(dice, ts, MAIL, f"{hexes(dice, 40)}.{one}", "A", rcode="NXDOMAIN")
        far = f"sender{dice.randrange(3000)}.example"
        for name in (f"s{dice.randrange(9)}._domainkey.{far}", f"_dmarc.{far}", far):
            yield from asked(dice, ts, MAIL, name, "TXT")


def neighbours(dice: random.Random, share: float) -> Iterator[AnyEvent]:
    """Yield ARP and NDP: everybody asks for the gateway, the gateway for everybody."""
    for who in range(round(AGENTS * share)):
        ts = begins(dice, who)
        for _ in range(3):
            yield Arp(
                ts=START + ts % DAY,
                operation="request",
                mac=mac(who),
                address="0.0.0.0",  # noqa: S104  a probe's sender
                target=agent(who),
                orig="0.0.0.0",  # noqa: S104  the same
            )
            ts += 1.5
        yield Arp(ts=START + ts % DAY, operation="request", mac=mac(who), address=agent(who),
                  target=agent(who), orig=agent(who))  # fmt: skip
        six = f"fe80::1:{who:x}"
        yield Ndp(ts=START + ts % DAY, operation="solicitation", mac="", address="", target=six)
        yield Ndp(ts=START + (ts + 1.1) % DAY, operation="advertisement", mac=mac(who), address=six,
                  target=six)  # fmt: skip
        while ts < begins(dice, who) + 8 * 3600:
            ts += dice.uniform(120, 900)
            at = START + ts % DAY
            ours, target = (mac(who), agent(who)), (GATE_MAC, GATE)
            if dice.random() < 0.3:
                ours, target = target, ours
            yield Arp(ts=at, operation="request", mac=ours[0], address=ours[1], target=target[1],
                      orig=ours[1])  # fmt: skip
            if dice.random() < 0.97:
                yield Arp(ts=at + 0.001, operation="reply", mac=target[0], address=target[1],
                          target=ours[1], orig=target[1])  # fmt: skip


def leases(dice: random.Random, share: float) -> Iterator[AnyEvent]:
    """Yield DHCP: a lease when the shift begins, renewals each four hours."""
    for who in range(round(AGENTS * share)):
        ts = begins(dice, who)
        for times, messages in (
            (1, ("DISCOVER", "OFFER", "REQUEST", "ACK")),
            (2, ("REQUEST", "ACK")),
        ):
            for _ in range(times):
                for place, message in enumerate(messages):
                    answer = message in {"OFFER", "ACK"}
                    yield Dhcp(
                        ts=START + (ts + place * 0.01) % DAY, message=message, mac=mac(who),
                        address=agent(who), server="10.30.0.2" if answer else "",
                        orig="10.30.0.2" if answer else "0.0.0.0", resp=agent(who),  # noqa: S104  who has no address yet
                    )  # fmt: skip
                ts += 4 * 3600


def logins(dice: random.Random, share: float) -> Iterator[AnyEvent]:
    """Yield logins of agents, some mistyped, some until locked; partners behind one address."""
    for who in range(round(AGENTS * share)):
        begun = begins(dice, who) + dice.uniform(20, 200)
        home = f"198.51.100.{1 + who % 5}" if who % 10 == 0 else agent(who)
        for turn in range(dice.randrange(2, 6)):
            ts = START + (begun + turn * dice.uniform(3000, 7000)) % DAY
            service = dice.choice(("keycloak", "imap", "vpn", "web"))
            slips = 0 if dice.random() < 0.95 else dice.choice((1, 1, 1, 2, 3))
            for slip in range(slips):
                yield Auth(ts=ts + slip * 4, orig=home, user=f"agent{who}", result="failure",
                           service=service, source="log")  # fmt: skip
            if dice.random() < 0.002:
                for slip in range(6):
                    yield Auth(ts=ts + slip * 9, orig=home, user=f"agent{who}", result="failure",
                               service=service, source="log")  # fmt: skip
                ts += 900
            yield Auth(ts=ts + 20, orig=home, user=f"agent{who}", result="success",
                       service=service, source="log")  # fmt: skip
        for turn in range(12):
            ts = START + (begun + turn * 2400) % DAY
            kdc = {"orig": agent(who), "resp": "10.30.0.2", "resp_port": 88}
            yield Kerberos(ts=ts, message="KRB-ERROR", error="KDC_ERR_PREAUTH_REQUIRED", **kdc)
            yield Kerberos(ts=ts + 0.01, message="AS-REP", user=f"agent{who}", **kdc)
        ts = START + begun % DAY
        for message in ("access-request", "access-challenge", "access-request", "access-accept"):
            yield Radius(ts=ts, message=message, user=f"agent{who}", orig="10.30.0.60",
                         resp="10.30.0.61", station=mac(who))  # fmt: skip


def calls(dice: random.Random, share: float) -> Iterator[AnyEvent]:
    """Yield phones that register and a dialler's calls, each over the exchange and the carrier."""
    for who in range(round(1400 * share)):
        phone = f"10.40.{who // 250 + 1}.{who % 250 + 2}"
        for turn in range(24):
            ts = START + turn * 3600 + who
            for status in (0, 401, 0, 200):
                yield Sip(ts=ts % (START + DAY), method="REGISTER", status=status, orig=phone,
                          resp=PBX, user=str(7000 + who))  # fmt: skip
    for _ in range(round(20_000 * share)):
        who = dice.randrange(1400)
        phone = f"10.40.{who // 250 + 1}.{who % 250 + 2}"
        number = f"001{dice.randrange(10**9, 10**10)}"
        ts = START + dice.uniform(0, DAY)
        end = dice.choices((200, 486, 480, 487, 404), (60, 15, 10, 10, 5))[0]
        for near, far, statuses in (
            (phone, PBX, (0, 407, 0, 100)), (PBX, CARRIER, (0, 407, 0, end)), (phone, PBX, (end,)),
        ):  # fmt: skip
            for status in statuses:
                yield Sip(ts=ts, method="INVITE", status=status, orig=near, resp=far, peer=number,
                          user=str(7000 + who))  # fmt: skip
                ts += 0.05


def requests(dice: random.Random, share: float) -> Iterator[AnyEvent]:
    """Yield requests with keys, and an intranet where Negotiate refuses twice before it lets in."""
    for _ in range(round(120_000 * share)):
        key = dice.randrange(20)
        status = dice.choices((200, 404, 401, 500), (960, 25, 5, 10))[0]
        yield Api(ts=START + dice.uniform(0, DAY), orig=f"198.51.100.{100 + key}", status=status,
                  name="api.example", method="GET", key=f"client{key}", source="log")  # fmt: skip
    for _ in range(round(15_000 * share)):
        who, ts = agent(dice.randrange(AGENTS)), START + dice.uniform(0, DAY)
        for status in (401, 401, 200, 200, 200):
            yield Http(ts=ts, orig=who, resp="10.30.0.80", resp_port=80, status=status)
            ts += 0.02


KINDS = (names, mails, neighbours, leases, logins, calls, requests)


def day(share: float = 1.0, seed: int = 5) -> list[AnyEvent]:
    """Return the events of the day in order."""
    made: list[AnyEvent] = []
    for kind in KINDS:
        made += kind(random.Random(f"{seed} {kind.__name__}"), share)
    made.sort(key=lambda one: one.ts)
    return made


def judged(events: list[AnyEvent]) -> tuple[dict[str, Finding], float]:
    """Return the findings by key, and events a second with all detectors on."""
    enricher = Enricher({"inside": PRIVATE}, GeoSettings())
    # A site that calls abroad for its living says so: docs/detectors.md, toll-fraud.
    settings = DetectSettings(toll_fraud=TollFraudSettings(home=("001",)))
    detectors = build(
        settings, denied=lambda hi, lo: np.zeros(len(hi), np.bool_) & (lo == 0), zones=(),
        place=enricher.place,
    )  # fmt: skip
    found: dict[str, Finding] = {}
    begun = time.process_time()
    for first in range(0, len(events), 1000):
        part = events[first : first + 1000]
        for detector in detectors:
            found |= {one.key: one for one in detector.events(part, part[-1].ts)}
        if first % 100_000 == 0:
            print(f"{first:,} of {len(events):,} events", file=sys.stderr)
    return found, len(events) / (time.process_time() - begun)


def main() -> None:
    """Make, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    events = day(parser.parse_args().share)
    kinds = Counter(type(one).__name__.lower() for one in events)
    found, rate = judged(events)
    result: dict[str, Any] = {
        "events": len(events), "kinds": dict(kinds), "events_per_second": round(rate),
        "false_findings": [f"{one.rule}: {one.title}" for one in found.values()],
    }  # fmt: skip
    lines = [f"{len(events):,} events: {dict(kinds)}", f"{rate:,.0f} a second, all detectors on"]
    lines += [f"- {one}" for one in result["false_findings"]] or ["no finding"]
    say(result, lines)


if __name__ == "__main__":
    main()
