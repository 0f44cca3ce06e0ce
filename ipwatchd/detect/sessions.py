"""Which sessions look like a refused login, from their size and length alone. Pure.

Bounds after the flow signatures of the literature (Vykopal, Plesnik, Minarik: Network-based
Dictionary Attack Detection, ICFN 2009: 10 to 30 packets, 1,400 to 5,000 bytes from the client;
Hellemons et al.: SSHCure, AIMS 2012: 11 to 51 packets), widened for today's longer key exchanges
and bounded in time by what servers grant (OpenSSH's LoginGraceTime of 120 s, six tries).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.records.flow import SERVICES, STATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TIMES", "attempts", "lasting", "services_of", "tries"]


class _Bounds(NamedTuple):
    """Of a refused session: the client's packets, bytes each way (IP layer), seconds.

    `times` as many sessions are needed as of others, where ordinary ones may be as short: a mail
    client that looks for new mail, a server that turns mail away. `other` are more ports.
    `a_try` are the client's packets for each further try, where a session has several.
    """

    port: int
    packets: tuple[int, int]
    orig_bytes: tuple[int, int]
    resp_bytes: tuple[int, int]
    seconds: float
    times: int = 1
    other: tuple[int, ...] = ()
    a_try: int = 0


_BOUNDS: Final = {
    "ssh": _Bounds(22, (9, 60), (1400, 8000), (1400, 8000), 120.0),
    # USER, PASS, QUIT and their answers; who got in opens data connections and says more.
    # Three tries a session are usual (vsftpd.conf: max_login_fails): USER, PASS, two ACKs each.
    "ftp": _Bounds(21, (6, 20), (300, 1300), (300, 2500), 60.0, a_try=4),
    "telnet": _Bounds(23, (8, 60), (350, 4000), (350, 6000), 60.0),
    # TLS and CredSSP to the refusal (MS-CSSP, 3.1.5); a desktop sends far more.
    "rdp": _Bounds(3389, (8, 40), (1300, 6000), (1200, 8000), 30.0),
    # The DES challenge and its refusal (RFC 6143, 7.2.2).
    "vnc": _Bounds(5900, (6, 20), (300, 1300), (300, 1800), 30.0),
    # Greeting, AUTH or LOGIN and the refusal, in clear: within TLS it is as long as a short mail,
    # or a look for new mail, and nothing is said of it.
    "smtp": _Bounds(25, (6, 24), (350, 1200), (350, 2500), 60.0, 3, (587,)),
    "imap": _Bounds(143, (6, 24), (300, 1200), (250, 2000), 60.0, 6),
    "pop3": _Bounds(110, (6, 24), (300, 1200), (250, 2000), 60.0, 6),
}
_SMALL: Final = {
    port: name for name, bounds in _BOUNDS.items() for port in (bounds.port, *bounds.other)
}
TIMES: Final = {name: bounds.times for name, bounds in _BOUNDS.items()}
_ENDED: Final = tuple(STATES.index(name) for name in ("SF", "S2", "S3", "RSTO", "RSTR"))


_PORTS: Final = np.zeros(1 << 16, np.bool_)
_PORTS[list(_SMALL)] = True
_SERVED: Final = np.zeros(256, np.bool_)
_SERVED[[SERVICES.index(name) for name in _BOUNDS]] = True


def _logins(flows: NDArray[np.void]) -> NDArray[np.intp]:
    """Return the rows of any of these services: each is then looked for among few."""
    served = _SERVED[flows["service"]] | _PORTS[flows["resp_port"]]
    return np.flatnonzero(served & (flows["proto"] == 6))


def attempts(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell which flows may be refused logins."""
    every = np.zeros(len(flows), np.bool_)
    places = _logins(flows)
    flows = flows[places]
    found = np.zeros(len(flows), np.bool_)
    for name, bounds in _BOUNDS.items():
        rows = np.flatnonzero(_of_service(flows, name, bounds))
        if len(rows):
            found[rows] = _refused(flows[rows], bounds)
    every[places] = found
    return every


def tries(flows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return how many tries each refused session holds, at least; most services tell but one."""
    found = np.ones(len(flows), np.int64)
    for name, bounds in _BOUNDS.items():
        if bounds.a_try:
            rows = np.flatnonzero(_of_service(flows, name, bounds))
            packets = flows["orig_packets"][rows].astype(np.int64)
            # Beside the tries: SYN, two ACKs, QUIT, FIN.
            found[rows] = np.maximum((packets - 5) // bounds.a_try, 1)
    return found


def lasting(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell which flows are sessions that only somebody logged in has: longer, or much larger."""
    every = np.zeros(len(flows), np.bool_)
    places = _logins(flows)
    flows = flows[places]
    found = np.zeros(len(flows), np.bool_)
    for name, bounds in _BOUNDS.items():
        rows = np.flatnonzero(_of_service(flows, name, bounds))
        if len(rows):
            some = flows[rows]
            talked = (some["orig_bytes"] >= bounds.orig_bytes[0]) & (
                some["resp_bytes"] >= bounds.resp_bytes[0]
            )
            larger = (some["orig_bytes"] > 2 * bounds.orig_bytes[1]) | (
                some["resp_bytes"] > 2 * bounds.resp_bytes[1]
            )
            longer = some["end"] - some["start"] > 2 * bounds.seconds * 1e9
            found[rows] = talked & (larger | longer)
    every[places] = found
    return every


def _of_service(flows: NDArray[np.void], name: str, bounds: _Bounds) -> NDArray[np.bool_]:
    """Tell flows of a service, seen or by port; an index into SERVICES of 0 is not known."""
    service = flows["service"]
    seen = service == SERVICES.index(name)
    by_port = (service == 0) & np.isin(flows["resp_port"], (bounds.port, *bounds.other))
    mine: NDArray[np.bool_] = (flows["proto"] == 6) & (seen | by_port)
    return mine


def _refused(flows: NDArray[np.void], bounds: _Bounds) -> NDArray[np.bool_]:
    small = np.isin(flows["state"], _ENDED) & (flows["partial"] == 0)
    for column, (least, most) in (
        ("orig_packets", bounds.packets),
        ("orig_bytes", bounds.orig_bytes),
        ("resp_bytes", bounds.resp_bytes),
    ):
        small &= (flows[column] >= least) & (flows[column] <= most)
    refused: NDArray[np.bool_] = small & (flows["end"] - flows["start"] <= bounds.seconds * 1e9)
    return refused


def services_of(flows: NDArray[np.void]) -> list[str]:
    """Return the services of a source's sessions, by port where that says more."""
    pairs = np.unique(flows["service"].astype(np.uint32) << 16 | flows["resp_port"]).tolist()
    names = (_SMALL.get(pair & 0xFFFF) or SERVICES[pair >> 16] for pair in pairs)
    return sorted({name for name in names if name in TIMES}) or [next(iter(TIMES))]
