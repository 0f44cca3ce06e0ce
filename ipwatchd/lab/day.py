"""A working day as data: who does what at which second of the fast motion, and the day's clock."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["DAY", "LENGTH", "NAMES", "NIGHT", "Step"]


class Step(NamedTuple):
    """At a second and a time of day: these hosts do an action `times` times each."""

    at: float
    clock: str
    text: str
    who: tuple[str, ...]
    action: str
    target: str = ""
    times: int = 1


NAMES: Final = {
    "mail.example.com": "web",
    "crm.example.net": "web",
    "api.partner.example": "web",
    "sip.carrier.example": "carrier",
    "portal.bpo.example": "portal",
    "api.bpo.example": "api",
    "mail.bpo.example": "mail",
}
"""Name → the host that serves it; the resolver knows these and nothing else."""

_DESKS: Final = ("desk1", "desk2", "desk3")
_CUSTOMERS: Final = ("customer1", "customer2")

DAY: Final = (
    Step(0.0, "08:00", "the admin denies 192.0.2.13 for two hours",
         ("admin",), "deny", "denied"),
    Step(0.4, "08:10", "the admin logs in to the SSH server",
         ("admin",), "login", "ssh"),
    Step(1.0, "08:30", "three agents open their mail over TLS",
         _DESKS, "browse", "mail.example.com", 2),
    Step(1.8, "08:40", "their phones register with the carrier",
         _DESKS, "register", "sip.carrier.example"),
    Step(2.4, "09:00", "customers open the portal",
         _CUSTOMERS, "visit", "portal.bpo.example", 2),
    Step(3.0, "09:20", "203.0.113.66 scans the portal's ports and sweeps the servers' LAN",
         ("scanner",), "scan", "portal"),
    Step(3.6, "09:40", "two agents place calls through the carrier",
         ("desk1", "desk2"), "call", "sip.carrier.example"),
    Step(4.6, "10:00", "agents' programs call a partner's API",
         _DESKS, "api", "api.partner.example", 2),
    Step(5.4, "10:30", "203.0.113.99 guesses SSH passwords",
         ("guesser",), "guess", "ssh", 14),
    Step(5.8, "10:45", "203.0.113.98 guesses passwords of mailboxes, all on one TLS connection",
         ("mailguesser",), "mailbox", "mail", 15),
    Step(6.2, "11:00", "a customer's program calls our API",
         ("customer2",), "request", "api.bpo.example", 3),
    Step(7.0, "11:30", "192.0.2.13, denied, knocks at the portal",
         ("denied",), "knock", "portal", 3),
    Step(7.6, "11:40", "the carrier puts a call through to the exchange",
         ("carrier",), "call", "pbx"),
    Step(8.6, "12:00", "an agent tries to reach 192.0.2.13",
         ("desk3",), "reach", "denied", 2),
    Step(9.0, "12:30", "two agents read their site's mail",
         ("desk1", "desk2"), "mailbox", "mail"),
    Step(9.4, "13:00", "agents open the CRM over TLS",
         _DESKS, "browse", "crm.example.net", 2),
    Step(10.4, "14:00", "an agent asks for a name that is not there",
         ("desk3",), "browse", "gone.example.org"),
    Step(11.0, "15:00", "customers open the portal again",
         _CUSTOMERS, "visit", "portal.bpo.example", 2),
    Step(12.0, "16:00", "two agents place calls through the carrier",
         ("desk2", "desk3"), "call", "sip.carrier.example"),
    Step(13.0, "17:00", "agents' programs call a partner's API",
         _DESKS, "api", "api.partner.example"),
)  # fmt: skip

NIGHT: Final = Step(
    0.0, "night", "203.0.113.67 scans the portal's ports", ("scanner2",), "scan", "portal"
)
"""What happens while the centre is away."""

LENGTH: Final = 14.0
"""Seconds that a day takes in fast motion."""
