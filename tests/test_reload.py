"""What a reload takes, and what it says that waits for a restart."""

from __future__ import annotations

import msgspec
import pytest

from ipwatchd.config import Config, FirewallSettings
from ipwatchd.config.settings import (
    EscalationSettings,
    HistorySettings,
    IncidentSettings,
    SiteSettings,
)
from ipwatchd.reload import taken


def test_what_is_the_same_waits_for_nothing() -> None:
    """The same file again changes nothing and names nothing."""
    assert taken(Config(), Config()) == (Config(), [])


@pytest.mark.parametrize(
    ("fresh", "waits"),
    [
        (Config(site=SiteSettings(name="another")), "[site]"),
        (Config(history=HistorySettings(flow_days=5)), "[history]"),
        (Config(firewall=FirewallSettings(table="mine", watch=False)), "[firewall] table, watch"),
        (Config(incidents=IncidentSettings(laws=("nis2",))), "[incidents] laws"),
        (Config(escalation=EscalationSettings(listen="127.0.0.1:1")), "[escalation] listen"),
    ],
)
def test_what_is_read_at_the_start_stays_and_is_named(fresh: Config, waits: str) -> None:
    """The running value stays, so that nothing shows a setting that is not in force."""
    assert taken(Config(), fresh) == (Config(), [waits])


def test_the_rest_of_a_section_is_taken() -> None:
    """Mode, management and what is denied by itself change at once, beside what waits."""
    fresh = Config(
        firewall=FirewallSettings(mode="enforce", management=("192.0.2.0/24",), log_group=7),
        incidents=IncidentSettings(auto_deny=("port-scan",), country="PH"),
        zones={"portals": ("192.0.2.0/24",)},
    )
    config, waits = taken(Config(), fresh)
    assert waits == ["[firewall] log_group", "[incidents] country"]
    assert config == msgspec.structs.replace(
        fresh,
        firewall=FirewallSettings(mode="enforce", management=("192.0.2.0/24",)),
        incidents=IncidentSettings(auto_deny=("port-scan",)),
    )
    assert taken(config, config) == (config, [])
