"""Services: who may use one, by packets, by our own evaluator, and as written down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.config import Config
from ipwatchd.config.settings import ServiceSettings
from ipwatchd.lists import Lists
from ipwatchd.services import services

if TYPE_CHECKING:
    from pathlib import Path

ME, OTHER = "203.0.113.2", "203.0.113.3"
ROWS = [
    # policy, entries (list, scope), may reach the service, may reach another port, verdict
    ("open", [], True, True, "none"),
    ("open", [("deny", "vpn")], False, True, "deny"),
    ("open", [("deny", "vpn"), ("allow", "vpn")], True, True, "allow"),
    ("open", [("deny", "vpn"), ("allow", "site")], False, True, "deny"),
    ("open", [("deny", "site")], False, False, "deny"),
    ("open", [("deny", "site"), ("allow", "vpn")], False, False, "deny"),
    ("open", [("deny", "site"), ("allow", "site")], True, True, "allow"),
    ("only-allowed", [], False, True, "only-allowed"),
    ("only-allowed", [("allow", "vpn")], True, True, "allow"),
    ("only-allowed", [("allow", "site")], True, True, "allow"),
    ("only-allowed", [("allow", "vpn"), ("deny", "site")], False, False, "deny"),
    ("only-allowed", [("allow", "site"), ("deny", "vpn")], False, True, "deny"),
]


def _config(policy: str, *networks: str) -> Config:
    one = ServiceSettings(ports=("8080", "9000-9001"), networks=networks, policy=policy)
    return Config(services={"vpn": one})


async def _decide(
    folder: Path, config: Config, entries: list[tuple[str, str]], network: str
) -> Any:  # policy and verdict
    lists = await Lists.open(folder, management=[OTHER])
    lists.serve(services(config))
    for name, scope in entries:
        await lists.add(name, network, reason="x", author="m", now=1.0, scope=scope, expires=7e9)
    found = lists.why(ME, 2.0, "vpn")
    policy = lists.policy("enforce", [OTHER], now=2.0)
    await lists.close()
    return policy, found.verdict


@pytest.mark.parametrize(("policy", "entries", "service", "other", "verdict"), ROWS)
def test_every_row_of_the_table_holds(
    site: Any, tmp_path: Path, policy: str, entries: list[tuple[str, str]], service: bool,
    other: bool, verdict: str,
) -> None:  # fmt: skip
    """What passes in the kernel is what the table and `deny why` say; management always does."""
    config = _config(policy, "10.0.0.0/24")
    wanted, said = asyncio.run(_decide(tmp_path, config, entries, f"{ME}-{ME}"))
    assert said == verdict
    inside = site.INSIDE[4]
    with (
        site.firewall() as firewall,
        site.listener(site.inside, inside),
        site.listener(site.inside, inside, 7000),
    ):
        firewall.apply(wanted, 2.0)
        assert site.connects(site.outside, ME, inside) == service
        assert site.connects(site.outside, ME, inside, 7000) == other
        assert site.connects(site.outside, OTHER, inside)
        assert not firewall.diff(wanted, 2.0)
        assert "dport @on-vpn-ports ip daddr @on-vpn-to4 jump on-vpn4" in site.nft(
            "list", "ruleset"
        )


def test_a_service_elsewhere_is_not_meant(site: Any, tmp_path: Path) -> None:
    """Only the destination named is guarded; changed settings go down, entries as deltas."""
    entries = [("deny", "vpn")]
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    elsewhere, _ = asyncio.run(_decide(folders[0], _config("open", "10.9.9.9"), entries, ME))
    here, _ = asyncio.run(_decide(folders[1], _config("open"), entries, ME))
    without, _ = asyncio.run(_decide(folders[2], _config("open"), [], ME))
    inside = site.INSIDE[4]
    with site.firewall() as firewall, site.listener(site.inside, inside):
        firewall.apply(elsewhere, 2.0)
        assert site.connects(site.outside, ME, inside)
        assert firewall.apply(here, 2.0).rebuilt
        assert not site.connects(site.outside, ME, inside)
        assert not firewall.apply(without, 2.0).rebuilt
        assert site.connects(site.outside, ME, inside)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ServiceSettings(ports=()), "ports is empty"),
        (ServiceSettings(ports=("0",)), "no port"),
        (ServiceSettings(ports=("9-7",)), "no port"),
        (ServiceSettings(ports=("1",), zone="nowhere"), "no zone"),
        (ServiceSettings(ports=("1",), networks=("x",)), "x"),
    ],
)
def test_slips_in_the_configuration_are_named(settings: ServiceSettings, words: str) -> None:
    """Each is one sentence with the service's name."""
    with pytest.raises(ValueError, match=words):
        services(Config(services={"vpn": settings}))


def test_a_zone_without_networks_is_nowhere() -> None:
    """A service in a zone that has no network restricts nothing; one without a zone is anywhere."""
    settings = ServiceSettings(ports=("443",), zone="vpn")
    [nowhere] = services(Config(zones={"vpn": ()}, services={"web": settings}))
    [anywhere] = services(Config(services={"web": ServiceSettings(ports=("443",))}))
    (only,) = nowhere.to.tolist()
    assert set(only) == {0}, "the unspecified address, which nothing is sent to"
    assert not len(anywhere.to)
