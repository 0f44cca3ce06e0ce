"""The detectors' thresholds and windows. config/detectors.toml shows every key with its default."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ipwatchd.config.section import Count, Seconds, Section, Share

__all__ = ["DetectSettings", "Expected"]


class PortScanSettings(Section, frozen=True):
    """[port_scan] distinct (address, port) pairs of one source, unanswered or refused."""

    enabled: bool = True
    targets: Count = 20
    window: Seconds = 300.0
    false_alarm: Annotated[float, Meta(ge=0, lt=1)] = 0.00001


class SlowScanSettings(Section, frozen=True):
    """[slow_scan] distinct (address, port) pairs of one source over hours, unanswered."""

    enabled: bool = True
    targets: Count = 40
    hours: Count = 4
    window: Seconds = 86_400.0


class DistributedScanSettings(Section, frozen=True):
    """[distributed_scan] distinct ports of one host that many sources fail at together."""

    enabled: bool = True
    ports: Count = 60
    sources: Count = 20
    window: Seconds = 600.0


class PasswordGuessingSettings(Section, frozen=True):
    """[password_guessing] failed logins of one source."""

    enabled: bool = True
    failures: Count = 10
    window: Seconds = 600.0
    burst: Count = 6
    burst_window: Seconds = 10.0


class DeniedContactSettings(Section, frozen=True):
    """[denied_contact] traffic with an address on the deny list."""

    enabled: bool = True


class PasswordSprayingSettings(Section, frozen=True):
    """[password_spraying] many users from one source, or one user from many sources."""

    enabled: bool = True
    users: Count = 12
    tries: Count = 4
    sources: Count = 12
    window: Seconds = 86_400.0


class FloodSettings(Section, frozen=True):
    """[flood] flows and packets a second at one address, all without an answer or amplified."""

    enabled: bool = True
    syns: Count = 200
    packets: Count = 2000
    amplified_bytes: Count = 5_000_000
    amplification: Count = 10
    reflectors: Count = 5
    window: Seconds = 10.0


class BeaconingSettings(Section, frozen=True):
    """[beaconing] connections of one address to one service at even intervals."""

    enabled: bool = True
    contacts: Count = 20
    shortest: Seconds = 1.0
    jitter: Share = 0.5
    most_bytes: Count = 100_000


class DnsTunnelSettings(Section, frozen=True):
    """[dns_tunnel] data in names: distinct long names under one domain."""

    enabled: bool = True
    names: Count = 20
    letters: Count = 600
    mean_length: Count = 24
    window: Seconds = 300.0
    trusted: tuple[str, ...] = ()


class IcmpTunnelSettings(Section, frozen=True):
    """[icmp_tunnel] data in pings: replies that carry other data than their requests."""

    enabled: bool = True
    bytes: Count = 10_000
    window: Seconds = 300.0


class UploadSettings(Section, frozen=True):
    """[upload] bytes that an inside address sends out in a window, against its own past."""

    enabled: bool = True
    bytes: Count = 200_000_000
    new_destination_bytes: Count = 100_000_000
    factor: Count = 5
    enough: Count = 24
    window: Seconds = 3600.0
    forget: Seconds = 30 * 86_400.0


class BypassSettings(Section, frozen=True):
    """[bypass] encrypted DNS, VPN, Tor and proxies out of the house; `allowed` may.

    HTTPS to one of the public `resolvers` is DNS over HTTPS.
    """

    enabled: bool = True
    names: tuple[str, ...] = (
        "dns.google", "cloudflare-dns.com", "mozilla.cloudflare-dns.com", "one.one.one.one",
        "dns.quad9.net", "doh.opendns.com", "dns.adguard-dns.com", "dns.nextdns.io",
        "doh.cleanbrowsing.org", "torproject.org", "nordvpn.com", "protonvpn.com",
        "expressvpn.com", "mullvad.net", "surfshark.com", "psiphon.ca",
    )  # fmt: skip
    ports: tuple[int, ...] = (853, 1080, 1194, 1723, 3128, 9001, 9030, 51820)
    resolvers: tuple[str, ...] = (
        "1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9", "149.112.112.112",
        "208.67.222.222", "208.67.220.220", "94.140.14.14", "94.140.15.15",
        "2606:4700:4700::1111", "2606:4700:4700::1001", "2001:4860:4860::8888",
        "2001:4860:4860::8844", "2620:fe::fe",
    )  # fmt: skip
    allowed: tuple[str, ...] = ()


class ExposedServiceSettings(Section, frozen=True):
    """[exposed_service] a port of ours that answers the internet and did not before."""

    enabled: bool = True
    learn: Seconds = 7 * 86_400.0
    clients: Count = 1
    forget: Seconds = 90 * 86_400.0


class UnfamiliarLoginSettings(Section, frozen=True):
    """[unfamiliar_login] a country, network, device or hour that is new to a user."""

    enabled: bool = True
    enough: Count = 2
    networks: bool = True
    enough_networks: Count = 10
    enough_devices: Count = 20
    enough_days: Count = 15
    forget: Seconds = 30 * 86_400.0


class ImpossibleTravelSettings(Section, frozen=True):
    """[impossible_travel] two logins of one user farther apart than anybody travels."""

    enabled: bool = True
    speed: Count = 900
    distance: Count = 300
    window: Seconds = 86_400.0


class AgentPlaceSettings(Section, frozen=True):
    """[agent_place] agents of the roster: shift, places, devices, two places at once."""

    enabled: bool = True
    grace: Seconds = 1800.0
    overlap: Seconds = 300.0


class LanSpoofingSettings(Section, frozen=True):
    """[lan_spoofing] one address claimed by two machines.

    `gateways`, beside those that the kernel and DHCP name, are watched closest.
    """

    enabled: bool = True
    gateways: tuple[str, ...] = ()
    claims: Count = 3
    window: Seconds = 300.0
    forget: Seconds = 7 * 86_400.0


class UnknownDeviceSettings(Section, frozen=True):
    """[unknown_device] a hardware address that was never seen, once the house is known."""

    enabled: bool = True
    learn: Seconds = 7 * 86_400.0
    known: tuple[str, ...] = ()
    forget: Seconds = 90 * 86_400.0


class RogueDhcpSettings(Section, frozen=True):
    """[rogue_dhcp] DHCP servers other than `servers`; empty: other than the first one seen."""

    enabled: bool = True
    servers: tuple[str, ...] = ()
    requests: Count = 100
    window: Seconds = 60.0


class NeighbourSweepSettings(Section, frozen=True):
    """[neighbour_sweep] a machine that asks for neighbours that are not there (ARP, NDP)."""

    enabled: bool = True
    targets: Count = 40
    window: Seconds = 300.0


class ApiAbuseSettings(Section, frozen=True):
    """[api_abuse] requests of one key or client: a new source, too many, mostly refused."""

    enabled: bool = True
    requests: Count = 3000
    errors: Count = 50
    error_share: Share = 0.8
    enough: Count = 100
    window: Seconds = 300.0
    forget: Seconds = 30 * 86_400.0


class TollFraudSettings(Section, frozen=True):
    """[toll_fraud] dialling of many numbers abroad or of prefixes, from one source."""

    enabled: bool = True
    numbers: Count = 10
    refused: Count = 10
    abroad: tuple[str, ...] = ("00", "011", "+")
    home: tuple[str, ...] = ()
    window: Seconds = 3600.0


class CertificateSettings(Section, frozen=True):
    """[certificate] of our own services: expired, soon to expire, or another one of a sudden."""

    enabled: bool = True
    warn: Seconds = 14 * 86_400.0


class SilenceSettings(Section, frozen=True):
    """[silence] a source of records that went quiet for `factor` times its longest pause."""

    enabled: bool = True
    least: Seconds = 900.0
    factor: Count = 4
    enough: Count = 100


class Expected(Section, frozen=True):
    """[[expected]] findings that are expected: of `rules` (empty: all), subject in `networks`.

    From `since` until `until` (RFC 3339; empty: always), each day between the hours of `daily`
    ("22:00-04:00", UTC; empty: all day). They are counted and shown, and raise no incident.
    """

    reason: str
    rules: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    daily: str = ""


class DetectSettings(Section, frozen=True):
    """The whole file; `sources` bounds each detector's table of subjects."""

    sources: Count = 65_536
    quiet: Seconds = 900.0
    port_scan: PortScanSettings = PortScanSettings()
    slow_scan: SlowScanSettings = SlowScanSettings()
    distributed_scan: DistributedScanSettings = DistributedScanSettings()
    password_guessing: PasswordGuessingSettings = PasswordGuessingSettings()
    denied_contact: DeniedContactSettings = DeniedContactSettings()
    password_spraying: PasswordSprayingSettings = PasswordSprayingSettings()
    flood: FloodSettings = FloodSettings()
    beaconing: BeaconingSettings = BeaconingSettings()
    dns_tunnel: DnsTunnelSettings = DnsTunnelSettings()
    icmp_tunnel: IcmpTunnelSettings = IcmpTunnelSettings()
    upload: UploadSettings = UploadSettings()
    bypass: BypassSettings = BypassSettings()
    exposed_service: ExposedServiceSettings = ExposedServiceSettings()
    unfamiliar_login: UnfamiliarLoginSettings = UnfamiliarLoginSettings()
    impossible_travel: ImpossibleTravelSettings = ImpossibleTravelSettings()
    agent_place: AgentPlaceSettings = AgentPlaceSettings()
    lan_spoofing: LanSpoofingSettings = LanSpoofingSettings()
    unknown_device: UnknownDeviceSettings = UnknownDeviceSettings()
    rogue_dhcp: RogueDhcpSettings = RogueDhcpSettings()
    neighbour_sweep: NeighbourSweepSettings = NeighbourSweepSettings()
    api_abuse: ApiAbuseSettings = ApiAbuseSettings()
    toll_fraud: TollFraudSettings = TollFraudSettings()
    certificate: CertificateSettings = CertificateSettings()
    silence: SilenceSettings = SilenceSettings()
    expected: tuple[Expected, ...] = ()
