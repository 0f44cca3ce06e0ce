"""A plan of escalation for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipwatchd.incidents.paging.plan_file import parse_plan

if TYPE_CHECKING:
    from ipwatchd.incidents.paging.plan import Plan

PLAN = """
version = "test"
[channels.mail]
kind = "smtp"
host = "127.0.0.1"
port = 2525
tls = "none"
sender = "ipwatchd@site.example"
[channels.hook]
kind = "webhook"
url = "http://127.0.0.1:2526/page"
[people.ana]
language = "es"
contacts = [{ channel = "mail", to = "ana@example.net" }, { channel = "hook" }]
[people.ben]
contacts = [{ channel = "mail", to = "ben@example.net" }, { channel = "hook" }]
[people.cho]
contacts = [{ channel = "mail", to = "cho@example.net" }]
[groups]
soc = ["ana", "ben", "cho"]
[[schedules.duty.layer]]
zone = "Asia/Manila"
start = 2026-01-05
hand_over = "08:00"
rotation = ["ana", "ben"]
cover = [{ since = "08:00", until = "20:00" }]
[[schedules.duty.layer]]
zone = "America/Bogota"
start = 2026-01-05
rotation = ["cho"]
cover = [{ since = "07:00", until = "19:00" }]
[[schedules.duty.override]]
since = 2026-12-24T00:00:00
until = 2026-12-26T00:00:00
person = "cho"
[catch_all]
targets = ["group:soc", "channel:hook"]
every = "15m"
[[policy]]
id = "urgent"
match = { priority = ["P1"] }
repeat = 1
every = "10m"
ack_timeout = "30m"
progress_timeout = "2h"
[[policy.step]]
targets = ["schedule:duty"]
[[policy.step]]
wait = "5m"
targets = ["group:soc"]
need = "2"
channels = ["hook"]
[[policy]]
id = "office"
match = { priority = ["P2", "P3"] }
repeat = 0
quiet = { since = "22:00", until = "07:00", zone = "Asia/Manila" }
[[policy.step]]
targets = ["person:ben"]
[words.es]
subject = "[{priority}] {id}: {title}"
body = "{title}\\nPor qué: {cause}\\nConfirmar: {link}"
"""


def plan(**changes: str) -> Plan:
    """Return the plan, some of its text replaced."""
    text = PLAN
    for old, new in changes.items():
        text = text.replace(old, new)
    return parse_plan(text.encode(), "escalation.toml")
