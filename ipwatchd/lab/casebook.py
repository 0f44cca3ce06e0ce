"""The cases of the day as data: what makes them, what the desk finds out, and how they end."""

from __future__ import annotations

from typing import Final, NamedTuple

from ipwatchd.lab.day import Step

__all__ = [
    "ANSWERS", "CLIENT", "DETECTED", "FIELDS", "MAIL", "NIGHT", "REPORTED", "SEAT", "TRAFFIC",
    "Case", "Work", "plan",
]  # fmt: skip


class Work(NamedTuple):
    """What the desk finds out about a case and does about it."""

    who: str
    facts: tuple[str, ...]
    contained: str
    resolved: str
    feedback: str
    learnt: str
    kind: str = ""
    kind_why: str = ""
    responses: tuple[tuple[str, ...], ...] = ()
    hasty: bool = False
    """Its analyst confirms and closes it too early, and is held by each guard."""
    late: tuple[str, ...] = ()
    """Facts that somebody answers only when they hold the closing."""


class Case(NamedTuple):
    """A case: how it is called here, the rule and host that name it, how it ends."""

    name: str
    text: str
    rule: str
    host: str
    ends: str
    work: Work | None = None


_HARMLESS: Final = (
    "confidentiality=no", "integrity=no", "availability=no", "data=none", "malicious=yes",
    "ongoing=no", "spread=one",
)  # fmt: skip

TRAFFIC: Final = (
    Step(0.0, "08:00", "the admin denies 192.0.2.13 for two hours", ("admin",), "deny", "denied"),
    Step(0.4, "08:30", "agents open their mail over TLS",
         ("desk1", "desk2"), "browse", "mail.example.com", 2),
    Step(0.8, "09:00", "customers open the portal",
         ("customer1",), "visit", "portal.bpo.example", 2),
    Step(1.2, "09:20", "203.0.113.66 scans the portal's ports", ("scanner",), "scan", "portal"),
    Step(1.6, "10:30", "203.0.113.99 guesses SSH passwords", ("guesser",), "guess", "ssh", 14),
    Step(2.2, "11:30", "192.0.2.13, denied, knocks at the portal",
         ("denied",), "knock", "portal", 3),
    Step(2.6, "12:00", "10.20.0.13, an agent's desk, scans the servers",
         ("desk3",), "scan", "portal"),
    Step(3.2, "12:30", "203.0.113.22 asks our API for one customer after the other",
         ("customer2",), "enumerate", "api.bpo.example", 150),
)  # fmt: skip
NIGHT: Final = Step(
    0.0, "19:10", "203.0.113.67 scans the portal's ports", ("scanner2",), "scan", "portal"
)

DETECTED: Final = (
    Case("scan", "a scan from outside", "port-scan", "scanner", "CLOSED", Work(
        "ana", _HARMLESS, "denied by itself for an hour", "nothing answered but the portal",
        "true-positive: told the network admin", "the portal's two ports are meant to be open",
    )),
    Case("guess", "passwords guessed", "password-guessing", "guesser", "CLOSED", Work(
        "ben", _HARMLESS, "denied by itself for an hour", "no login succeeded",
        "true-positive: told the admin of the SSH server", "logins by key alone from next week",
        responses=(("response", "--reason", "looked through the log: no success"),),
    )),
    Case("denied", "a denied contact knocks", "denied-contact", "denied", "CLOSED", Work(
        "ben", _HARMLESS, "the firewall drops it", "dropped each time; nobody of ours talks to it",
        "benign: the firewall drops it, as the list wants", "nothing to change",
    )),
    Case("inside", "a desk scans the servers", "port-scan", "desk3", "CLOSED", Work(
        "ben",
        ("confidentiality=possible", "integrity=possible", "availability=no", "data=credentials",
         "malicious=yes", "ongoing=yes", "spread=some", "countries=IN"),
        "the desk is off the network", "an infected USB stick; the machine was installed anew",
        "true-positive: told grace and her team lead", "USB storage is off at all desks now",
        responses=(("respond", "watch", "--for", "24h"),
                   ("response", "--reason", "desk taken off the switch, password of grace reset")),
    )),
    Case("api", "customers' numbers tried at the API", "api-abuse", "customer2", "CLOSED", Work(
        "dina",
        ("confidentiality=no", "integrity=no", "availability=no", "data=customer", "malicious=yes",
         "ongoing=no", "spread=one", "client=Acme Insurance", "countries=ES", "subjects=0",
         "records=0", "role=processor", "cross_border=yes"),
        "the address is denied and the key withdrawn", "150 numbers tried, none of them answered",
        "true-positive: told the API's owner", "ten wrong numbers lock a key from now on",
        kind="exploit", kind_why="every number was refused: an attempt",
        responses=(("respond", "deny", "--for", "24h", "--reason", "tries customers' numbers"),),
    )),
    Case("night", "a scan while the centre is away", "port-scan", "scanner2", "CLOSED", Work(
        "ana", _HARMLESS, "denied by itself for an hour", "nothing answered but the portal",
        "true-positive: told the network admin", "nothing to change",
    )),
)  # fmt: skip

ANSWERS: Final = (
    "hoy a las 15:10", "+34 911 555 010", "el servicio técnico",
    "«dígame su contraseña para arreglar el VPN»", "la contraseña del VPN", "maria", "10.20.0.11",
)  # fmt: skip
"""What agent maria says to the script of a phishing call, question by question."""

MAIL: Final = """\
Good evening,

I left my work laptop LT-0342 in a taxi this morning, about 09:15. It was switched off and the disk
is encrypted. I have called the taxi company.

Jose
"""

REPORTED: Final = (
    Case("phishing", "a phishing call, told in Spanish", "report", "", "CLOSED", Work(
        "ana",
        ("confidentiality=possible", "integrity=no", "availability=no", "data=credentials",
         "malicious=yes", "ongoing=no", "spread=one"),
        "password and VPN key of maria reset", "nobody logged in with it",
        "hablé con maria: contraseña nueva, nadie entró", "nobody at IT ever asks for a password",
        responses=(("respond", "watch", "--subject", "10.20.0.11", "--for", "24h"),),
        late=("countries=IN",),
    )),
    Case("laptop", "a lost laptop, by mail", "report", "", "CLOSED", Work(
        "ben",
        ("confidentiality=no", "integrity=no", "availability=degraded", "data=internal",
         "malicious=no", "ongoing=no", "spread=one", "countries=IN"),
        "account locked, wipe sent and confirmed", "the disk was encrypted and off; wiped",
        "told jose: a new laptop is ready", "laptops get a tag with our number",
        kind="data-loss", kind_why="a device with data is gone",
        responses=(("response", "--reason", "account locked, remote wipe sent and confirmed"),),
        hasty=True,
    )),
    Case("again", "the same laptop, told by the team lead", "report", "", "MERGED"),
    Case("visitor", "a visitor by the server room: the fire inspector", "report", "", "REJECTED"),
    Case("leak", "a wrong disclosure: customers of a GDPR client", "report", "", "CLOSED", Work(
        "dina",
        ("confidentiality=yes", "integrity=no", "availability=no", "data=contact,identity",
         "malicious=no", "ongoing=no", "spread=one"),
        "the receiver deleted it and confirmed in writing", "one list of 240 people, deleted",
        "told the agent and the client's contact", "lists leave by the client's portal alone",
        responses=(("respond", "notify"),
                   ("response", "--reason", "mail recalled, deletion confirmed in writing")),
    )),
    Case("card", "card numbers on a note, by the chat bot", "report", "", "CLOSED", Work(
        "dina",
        ("confidentiality=yes", "integrity=no", "availability=no", "data=payment-card",
         "subjects=3", "records=3", "client=Acme Insurance", "role=processor", "countries=ES",
         "cross_border=yes", "malicious=no", "ongoing=no", "spread=one"),
        "the note is in the safe", "three cards, seen by one agent; their bank was told",
        "told the team lead", "no pens and paper at card desks",
        responses=(("response", "--reason", "note taken to the safe, three cards blocked"),),
    )),
)  # fmt: skip

FIELDS: Final = {
    "nature": "A list went to the wrong receiver.",
    "data": "names, policy numbers, identity card numbers",
    "subjects": "240", "records": "240", "countries": "ES",
    "contact": "Privacy office, privacy@bpo.example, +91 80 5550 0100",
    "consequences": "Approaches by telephone in the name of the insurer.",
    "measures": "Recalled; deletion confirmed in writing; mail rule for lists.",
    "accounts": "Three Visa cards, seen 21 November 2026.",
    "who": "An agent, by mistake.",
    "prevention": "Lists leave by the client's portal alone.",
    "intimations": "The client tells the people concerned.",
    "chronology": "Sent, noticed and recalled within the hour.",
    "assistance": "The client's hotline takes calls.",
    "protect-yourself": "Do not follow calls that name the policy number.",
    "risk": "A high risk is unlikely: deletion was confirmed.",
    "cause": "Auto-completion of an address.",
    "ongoing-measures": "Mail rule for lists.",
    "status": "closed", "cross-border-impact": "People in Spain are concerned.",
    "affected-system": "mail.bpo.example", "delay": "none",
    "severity": "P1", "class": "data leak", "client": "Acme Insurance", "location": "lab",
    "malicious": "no", "cross-border": "yes", "indicators": "none", "reporter": "Privacy office",
}  # fmt: skip
"""What the privacy officer writes where a notice lacks something."""

SEAT: Final = """\
policy = "{policy}"
country = "IN"
time_zone = "Asia/Kolkata"
contact = "Privacy office, privacy@bpo.example, +91 80 5550 0100"
"""

CLIENT: Final = """\
id = "acme"
name = "Acme Insurance"
aliases = ["acme-es"]
country = "ES"
laws = ["gdpr"]
role = "processor"
contact = "privacy@acme.example, +34 900 000 000"
zone = "Europe/Madrid"
source = "MSA of 2025-03-01, schedule 4, clause 7.2"
valid_from = 2025-03-01
valid_to = 2028-02-29

[[duty]]
id = "first-call"
title = "Call the client's security desk"
to = "security desk, +34 900 000 000"
cite = "clause 7.2(a)"
within = "4h"
phased = true
fields = ["nature", "data", "measures", "contact"]
when = [{ confidentiality = ["possible", "yes"] }]
"""

_PLAN: Final = """\
version = "2026-11-21"
silent_seconds = 6

[channels.mail]
kind = "smtp"
host = "{mail}"
port = 25
tls = "none"
sender = "ipwatchd@{name}.bpo.example"
timeout = 3
tries = 2
retry = 0.3

[channels.hook]
kind = "webhook"
url = "{hook}"
secret_file = "{secret}"
tries = 2
retry = 0.3

[people.ana]
name = "Ana Reyes"
contacts = [{{ channel = "mail", to = "ana@{name}.bpo.example" }}, {{ channel = "hook" }}]

[people.ben]
name = "Ben Cruz"
language = "es"
contacts = [{{ channel = "mail", to = "ben@{name}.bpo.example" }}]

[people.dina]
name = "Dina Mora"
contacts = [{{ channel = "mail", to = "dina@{name}.bpo.example" }}]

[notify."privacy officer"]
targets = ["person:dina"]
match = {{ personal = true }}

[stakeholders.acme]
audience = "client"
client = "Acme Insurance"
language = "es"
channel = "mail"
to = ["privacy@acme.example"]

[schedules.duty]
[[schedules.duty.layer]]
zone = "Asia/Kolkata"
start = 2026-01-05
rotation = ["ana"]

[catch_all]
targets = ["person:ana", "person:ben", "channel:hook"]
every = "60s"

[[policy]]
id = "urgent"
match = {{ priority = ["P1"] }}
repeat = 1
every = "30s"
ack_timeout = "30m"
progress_timeout = "4h"
[[policy.step]]
targets = ["schedule:duty"]
[[policy.step]]
wait = "3s"
targets = ["person:ben"]

[words.es]
subject = "[{{priority}}] {{id}} {{title}}"
body = '''
{{title}}

{{id}} en {{site}}, {{priority}}, {{state}}
por qué ahora: {{cause}}
abierto: {{opened}}
{{clocks}}

Confirmar: {{link}}
'''
"""


def plan(name: str, mail: str, hook: str, secret: str) -> str:
    """Return an escalation plan: who is paged and told, a P1 policy of two steps, a catch-all."""
    return _PLAN.format(name=name, mail=mail, hook=hook, secret=secret)
