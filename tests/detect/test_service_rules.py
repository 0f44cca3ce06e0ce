"""API keys, telephones, certificates, and sources that fall silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from ipwatchd.config.detectors import ApiAbuseSettings, TollFraudSettings
from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.api_abuse import ApiAbuse
from ipwatchd.detect.certificate import CertificateWatch
from ipwatchd.detect.silence import Silence
from ipwatchd.detect.toll_fraud import TollFraud
from ipwatchd.records.event import Api, Certificate, Sip

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

DAY = 86_400.0


def request(ts: float, orig: str, status: int = 200, key: str = "acme") -> Api:
    """Return a request."""
    return Api(ts=ts, orig=orig, name="api.example.com", method="GET", status=status, key=key)


def test_a_key_from_a_new_network_is_told_across_a_restart() -> None:
    """Once a key's home is known, another network is told once; refused ones prove nothing."""
    settings = DetectSettings(api_abuse=ApiAbuseSettings(enough=50))
    detector = ApiAbuse(settings)
    home = [request(i * 10.0, f"198.51.100.{i % 9}") for i in range(60)]
    assert detector.events(home, 600.0) == []
    fresh = ApiAbuse(settings)
    fresh.recall(detector.remember())
    [finding] = fresh.events([request(700.0, "203.0.113.9"), request(701.0, "203.0.113.8")], 701.0)
    assert finding.title == "API key acme came from 203.0.113.0/24, new to it"
    assert fresh.events([request(702.0, "192.0.2.1", 401)], 702.0) == []


def test_requests_far_over_and_mostly_refused_are_told() -> None:
    """Rate and error rate, with what they were held against; a few errors among many are none."""
    detector = ApiAbuse(DetectSettings())
    flood = [request(1000 + i / 100, "198.51.100.1") for i in range(3000)]
    [finding] = detector.events(flood, 1030.0)
    assert (finding.value, finding.threshold, finding.evidence["enough_seen"]) == (
        3000,
        3000,
        False,
    )
    guess = [request(1000 + i, "198.51.100.1", 404, "") for i in range(60)]
    [finding] = ApiAbuse(DetectSettings()).events(guess, 1060.0)
    assert finding.evidence["kind"] == "enumeration"
    mixed = [request(1000 + i / 10, "198.51.100.1", 404 if i % 3 else 200) for i in range(300)]
    assert ApiAbuse(DetectSettings()).events(mixed, 1060.0) == []


def call(i: int, number: str, status: int = 200) -> Sip:
    """Return the answer to a call."""
    return Sip(ts=1000.0 + i, method="INVITE", status=status, orig="10.0.0.9", resp="192.0.2.5",
               user="7001", peer=number)  # fmt: skip


def test_calls_abroad_and_dialling_until_one_gets_out() -> None:
    """Ten numbers abroad, or ten refused, are told; home countries and extensions are work."""
    abroad = [call(i, f"0088213{i:05}") for i in range(10)]
    [finding] = TollFraud(DetectSettings()).events(abroad, 1100.0)
    assert finding.classification == "unauthorised-use-of-resources"
    assert finding.evidence["prefixes"] == ["00882"]
    home = DetectSettings(toll_fraud=TollFraudSettings(home=("00882",)))
    assert TollFraud(home).events(abroad, 1100.0) == []
    probes = [call(i, f"9011972{i:05}", 403) for i in range(10)]
    [finding] = TollFraud(DetectSettings()).events(probes, 1100.0)
    assert finding.classification == "brute-force"
    inside = [call(i, f"70{i:02}", 404) for i in range(30)]
    assert TollFraud(DetectSettings()).events(inside, 1100.0) == []
    outside = [structs.replace(one, orig="8.8.8.8") for one in inside[:10]]
    [finding] = TollFraud(DetectSettings()).events(outside, 1100.0)
    assert (finding.subject, finding.classification) == ("8.8.8.8", "brute-force")


def test_a_dialler_with_wrong_numbers_and_an_exchange_are_no_fraud() -> None:
    """Challenged, busy, cancelled and wrong numbers among right ones; who relays is not it."""
    dialler = []
    for i in range(60):
        status = (200, 200, 486, 487, 404)[i % 5]
        dialler += [call(i, f"0442079{i:05}", one) for one in (407, status)]
    home = DetectSettings(toll_fraud=TollFraudSettings(home=("0044", "0442")))
    assert TollFraud(home).events(dialler, 1100.0) == []
    relayed = []
    for i in range(20):
        number = f"00882{i:08}"
        relayed += [
            structs.replace(call(i, number, 0), resp="10.0.0.2"),
            structs.replace(call(i, number, 0), orig="10.0.0.2", resp="198.51.100.9"),
            structs.replace(call(i, number, 200), orig="10.0.0.2", resp="198.51.100.9"),
            structs.replace(call(i, number, 200), resp="10.0.0.2"),
        ]
    found = TollFraud(DetectSettings()).events(relayed, 1100.0)
    assert {one.subject for one in found} == {call(0, "").orig}


def shown(ts: float, end: float, issuer: str = "Acme CA", resp: str = "10.0.0.1") -> Certificate:
    """Return a certificate seen on the wire."""
    return Certificate(ts=ts, resp=resp, resp_port=443, name="www", issuer=issuer, not_after=end)


def test_our_certificates_are_watched_and_others_are_not() -> None:
    """Expired, expiring, of another issuer; once a day; a stranger's is not ours to mend."""
    detector = CertificateWatch(DetectSettings())
    assert detector.events([shown(0, 100 * DAY)], 0.0) == []
    [finding] = detector.events([shown(DAY, 100 * DAY, "Evil CA")], DAY)
    assert finding.evidence["kind"] == "changed"
    found = detector.events([shown(99 * DAY, 100 * DAY, "Evil CA")] * 3, 99 * DAY)
    assert [one.evidence["kind"] for one in found] == ["expiring"]
    [finding] = detector.events([shown(101 * DAY, 100 * DAY, "Evil CA")], 101 * DAY)
    assert finding.title.endswith("expired 1 days ago")
    far = shown(101 * DAY, DAY, resp="8.8.8.8")
    assert detector.events([far], 101 * DAY) == []


def test_a_source_that_falls_silent_is_told_and_grows(
    batch: Callable[[Any], NDArray[np.void]],
) -> None:
    """Steady, then quiet for four times its longest pause; again when it lasts twice as long."""
    detector = Silence(DetectSettings())
    line = Api(ts=0, source="/var/log/auth.log")
    for minute in range(120):
        assert detector.events([line], minute * 60.0) == []
        assert detector.tick(minute * 60.0) == []
    assert detector.tick(7140 + 800.0) == []
    [finding] = detector.tick(7140 + 1000.0)
    assert (finding.subject, finding.threshold) == ("/var/log/auth.log", 900)
    assert detector.tick(7140 + 1900.0) == []
    [grown] = detector.tick(7140 + 2000.0)
    assert (grown.key, grown.value, grown.first_seen) == (finding.key, 2000, finding.first_seen)
    fresh = Silence(DetectSettings())
    fresh.recall(detector.remember())
    assert fresh.tick(1e9) == []
    assert fresh.flows(batch([]), 1.0) == []


def test_lines_that_say_nothing_keep_a_log_alive_and_a_night_becomes_a_habit() -> None:
    """A log without logins is no silent one; the same pause of each night is told once."""
    detector = Silence(DetectSettings())
    told, now = [], 0.0
    for _ in range(4):
        for _ in range(14 * 60):
            now += 60
            detector.heard({"syslog:192.0.2.1": 3}, now)
            told += detector.tick(now)
        for _ in range(10 * 60):
            now += 60
            told += [one for one in detector.tick(now) if one.value < 1000]
    assert [round(one.first_seen / 3600) for one in told] == [14, 38]
