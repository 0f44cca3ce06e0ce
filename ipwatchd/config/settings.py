"""The settings, section by section. config/ipwatchd.toml shows every key with its default."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from ipwatchd.config.detectors import (
    DeniedContactSettings,
    DetectSettings,
    PasswordGuessingSettings,
    PortScanSettings,
)
from ipwatchd.config.section import Count, Port, Seconds, Section

__all__ = [
    "CaptureSettings", "CentralSettings", "Config", "ControlSettings", "Count",
    "DeniedContactSettings", "DetectSettings", "EscalationSettings", "FirewallSettings",
    "GeoSettings", "HistorySettings", "IncidentSettings", "LogSettings", "PasswordGuessingSettings",
    "Port", "PortScanSettings", "Seconds", "Section", "SiteSettings", "SyslogSettings",
    "UplinkSettings",
]  # fmt: skip

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


class SiteSettings(Section, frozen=True):
    """[site] who this gateway is and where it keeps its state."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")] = "site"
    state_dir: str = "/var/lib/ipwatchd"
    roster: str = ""


class CaptureSettings(Section, frozen=True):
    """[capture] packets → flows. Timeouts are seconds without a packet after which a flow ends."""

    source: Annotated[str, Meta(pattern="^(auto|conntrack|ring|none)$")] = "auto"
    interfaces: tuple[str, ...] = ()
    promiscuous: bool = True
    snap: Annotated[int, Meta(ge=128, le=65535)] = 2048
    block_bytes: Annotated[int, Meta(ge=1 << 16, le=1 << 24)] = 1 << 22
    blocks: Annotated[int, Meta(ge=2, le=4096)] = 16
    threads: Annotated[int, Meta(ge=1, le=64)] = 1
    flows: Annotated[int, Meta(ge=1024, le=1 << 26)] = 1 << 18
    tcp_timeout: Seconds = 300.0
    tcp_attempt_timeout: Seconds = 5.0
    tcp_closed_timeout: Seconds = 2.0
    udp_timeout: Seconds = 60.0
    icmp_timeout: Seconds = 30.0
    other_timeout: Seconds = 60.0
    active_timeout: Seconds = 300.0
    rich_per_second: Annotated[int, Meta(ge=0, le=10_000)] = 200
    http_path: bool = False


class GeoSettings(Section, frozen=True):
    """[geo] paths of mmdb files; empty is none. `stale_days`: an older one is warned of."""

    country: str = ""
    city: str = ""
    asn: str = ""
    anonymous: str = ""
    stale_days: Count = 60


class HistorySettings(Section, frozen=True):
    """[history] how long and how much; the byte budget drops the oldest first."""

    flush_seconds: Seconds = 1.0
    segment_seconds: Seconds = 60.0
    segment_rows: Count = 500_000
    session_gap: Seconds = 900.0
    flow_days: Count = 30
    event_days: Count = 30
    hour_days: Count = 35
    rollup_days: Count = 400
    key_days: Annotated[int, Meta(ge=0, le=3660)] = 0
    archive_bytes: Count = 20 << 30
    database_bytes: Count = 8 << 30
    free_bytes: Count = 512 << 20


class FirewallSettings(Section, frozen=True):
    """[firewall] what the kernel does. `management` are the networks that can't be denied."""

    mode: Annotated[str, Meta(pattern="^(off|observe|enforce)$")] = "observe"
    table: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,30}$")] = "ipwatchd"
    management: tuple[str, ...] = ()
    log_group: Annotated[int, Meta(ge=1, le=65535)] = 427
    log_per_second: Count = 50
    kill_connections: bool = True
    on_stop: Annotated[str, Meta(pattern="^(stay|remove)$")] = "stay"
    confirm_seconds: Seconds = 60.0
    watch: bool = True


class IncidentSettings(Section, frozen=True):
    """[incidents] what is done by itself: deny the subject of these rules for `deny_seconds`.

    `headers_seconds` is how long the headers of the subject's packets are taken as evidence.
    `policy` is a folder whose files stand in for those of config/ (taxonomy, SOPs, regimes …).
    `country`, `time_zone` and `laws` say which legal clocks run here; `contact` is who answers.
    """

    auto_deny: tuple[str, ...] = ()
    deny_seconds: Seconds = 3600.0
    deny_factor: Annotated[float, Meta(ge=1, le=100)] = 4.0
    deny_most_seconds: Seconds = 30 * 86400.0
    deny_memory_seconds: Seconds = 90 * 86400.0
    denies_per_minute: Annotated[int, Meta(ge=1, le=10_000)] = 60
    reopen_seconds: Seconds = 86400.0
    headers_seconds: Annotated[float, Meta(ge=0, le=600)] = 0.0
    policy: str = ""
    country: Annotated[str, Meta(pattern="^([A-Z]{2})?$")] = ""
    time_zone: Annotated[str, Meta(pattern="^[A-Za-z0-9_+/-]{1,64}$")] = "UTC"
    laws: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    contact: Annotated[str, Meta(max_length=500)] = ""


class FeedSettings(Section, frozen=True):
    """[feeds.NAME] a list that somebody else keeps: where, how often, and what is refused of it.

    Either `url` or `file`. `format` empty is told by its look. See docs/lists.md.
    """

    url: Annotated[str, Meta(pattern="^(https?://.+)?$")] = ""
    file: Annotated[str, Meta(pattern="^(/.+)?$")] = ""
    format: Annotated[str, Meta(pattern="^(|plain|csv|json|stix|misp|tweetfeed)$")] = ""
    list: Annotated[str, Meta(pattern="^(allow|deny)$")] = "deny"
    every: Seconds = 3600.0
    stale: Seconds = 14 * 86400.0
    shrink: Annotated[float, Meta(ge=0, le=1)] = 0.5
    growth: Annotated[float, Meta(ge=1, le=1e6)] = 10.0
    max_entries: Annotated[int, Meta(ge=1, le=2_000_000)] = 500_000
    own: Annotated[str, Meta(pattern="^(refuse|skip)$")] = "refuse"

    def __post_init__(self) -> None:
        """Refuse a feed from nowhere, or from two places."""
        if bool(self.url) == bool(self.file):
            raise ValueError("give either url or file")


class ServiceSettings(Section, frozen=True):
    """[services.NAME] ports of ours, and whether all but the denied may use them.

    The destination is `networks` and those of `zone`, none is any; as a packet arrives, before NAT.
    """

    protocol: Annotated[str, Meta(pattern="^(tcp|udp|sctp|dccp)$")] = "tcp"
    ports: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    networks: Annotated[tuple[str, ...], Meta(max_length=1024)] = ()
    zone: str = ""
    policy: Annotated[str, Meta(pattern="^(open|only-allowed)$")] = "open"


ServiceName = Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,13}$")]
FeedName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]


class IntakeSettings(Section, frozen=True):
    """[intake] how people and their systems report. `maildir` is polled for mails.

    `lmtp` is a Unix socket that a mail server hands them over by.

    `listen` is host:port for reports over HTTP; `tokens_file` has a line `NAME TOKEN` for each who
    may hand them in.
    """

    maildir: str = ""
    lmtp: Annotated[str, Meta(pattern="^(/.{1,100})?$")] = ""
    listen: Annotated[str, Meta(pattern=r"^$|^.+:\d{1,5}$")] = ""
    tokens_file: str = ""
    keep_bytes: Annotated[int, Meta(ge=1 << 20)] = 2 << 30


class EscalationSettings(Section, frozen=True):
    """[escalation] who is paged. `plan` is a file of channels, people, schedules and policies.

    `listen` is host:port for the links that acknowledge a page, `link` their address as people
    reach it. `hand_over` lets the centre page in this site's place for as long as it says it does.
    """

    plan: str = ""
    listen: Annotated[str, Meta(pattern=r"^$|^.+:\d{1,5}$")] = ""
    link: Annotated[str, Meta(pattern=r"^$|^https?://.+")] = ""
    hand_over: bool = False


class ReportSettings(Section, frozen=True):
    """[reports] made by themselves: `weekly` as "mon 07:00", `monthly` as "1 07:00", local time.

    They lie in `folder` (empty: papers in the state folder), the newest `keep` of them, with `pdf`
    on paper too (it is what is mailed then), and go to
    those of the escalation plan's [stakeholders] that `mail` names and `tlp` lets read them.
    """

    weekly: Annotated[
        str, Meta(pattern="^((mon|tue|wed|thu|fri|sat|sun) ([01][0-9]|2[0-3]):[0-5][0-9])?$")
    ] = ""
    monthly: Annotated[
        str, Meta(pattern="^(([1-9]|1[0-9]|2[0-8]) ([01][0-9]|2[0-3]):[0-5][0-9])?$")
    ] = ""
    folder: Annotated[str, Meta(pattern="^(/.+)?$")] = ""
    keep: Annotated[int, Meta(ge=1, le=10_000)] = 120
    pdf: bool = False
    tlp: Annotated[str, Meta(pattern=r"^TLP:(CLEAR|GREEN|AMBER|AMBER\+STRICT|RED)$")] = "TLP:AMBER"
    mail: Annotated[tuple[str, ...], Meta(max_length=50)] = ()


class UplinkSettings(Section, frozen=True):
    """[uplink] the centre; an empty URL is a site on its own."""

    url: str = ""
    token_file: str = ""
    ca_file: str = ""
    batch: Annotated[int, Meta(ge=1, le=10_000)] = 500
    retry_seconds: Seconds = 5.0
    poll_seconds: Seconds = 15.0


class ControlSettings(Section, frozen=True):
    """[control] the local socket and which Unix groups may do what; root and the daemon may all."""

    socket: str = "/run/ipwatchd/control.sock"
    viewers: str = "ipwatch-viewer"
    operators: str = "ipwatch-operator"
    admins: str = "ipwatch-admin"


class SyslogSettings(Section, frozen=True):
    """[logs.syslog] where others send their logs to: host:port for each, "" is none.

    `allow` are the networks that may send, `waiting` the lines that may wait of each sender.
    """

    udp: Annotated[str, Meta(pattern=r"^$|^.+:\d{1,5}$")] = ""
    tcp: Annotated[str, Meta(pattern=r"^$|^.+:\d{1,5}$")] = ""
    tls: Annotated[str, Meta(pattern=r"^$|^.+:\d{1,5}$")] = ""
    allow: Annotated[tuple[str, ...], Meta(max_length=1024)] = ()
    waiting: Annotated[int, Meta(ge=1, le=1_000_000)] = 50_000
    certificate: str = ""
    key: str = ""
    client_ca: str = ""

    def __post_init__(self) -> None:
        """Refuse a listener that nobody may send to, and TLS without a certificate."""
        if (self.udp or self.tcp or self.tls) and not self.allow:
            raise ValueError("say in allow which networks may send")
        if self.tls and not (self.certificate and self.key):
            raise ValueError("tls needs a certificate and a key")
        for one in self.allow:
            ipaddress.ip_network(one, strict=False)


class LogSettings(Section, frozen=True):
    """[logs] where logins and API requests are read from.

    `time_zone` is that of stamps that name none ("" is this machine's), `rules` a folder whose
    files stand in for those of config/logs, `fields` a site's own names of facts in JSON logs.
    """

    files: tuple[str, ...] = ()
    journal: bool = False
    time_zone: str = ""
    rules: str = ""
    fields: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    syslog: SyslogSettings = SyslogSettings()

    def __post_init__(self) -> None:
        """Refuse a time zone that is none."""
        if self.time_zone:
            try:
                ZoneInfo(self.time_zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(
                    f"time_zone {self.time_zone!r} is none: write for example Asia/Manila"
                ) from None


class CentralSettings(Section, frozen=True):
    """The collector's own settings (command-line flags of ipwatch-central)."""

    state_dir: str = "/var/lib/ipwatch-central"
    host: str = "127.0.0.1"
    port: Port = 8470
    certificate: str = ""
    key: str = ""
    escalation: str = ""
    acks: str = ""
    link: str = ""
    reports: ReportSettings = ReportSettings()
    zone: str = "UTC"


class Config(Section, frozen=True):
    """The whole file. `zones` maps a zone's name to its networks; see `named_zones`."""

    site: SiteSettings = SiteSettings()
    capture: CaptureSettings = CaptureSettings()
    zones: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    geo: GeoSettings = GeoSettings()
    history: HistorySettings = HistorySettings()
    detect: DetectSettings = DetectSettings()
    firewall: FirewallSettings = FirewallSettings()
    services: dict[ServiceName, ServiceSettings] = msgspec.field(default_factory=dict)
    feeds: dict[FeedName, FeedSettings] = msgspec.field(default_factory=dict)
    incidents: IncidentSettings = IncidentSettings()
    intake: IntakeSettings = IntakeSettings()
    escalation: EscalationSettings = EscalationSettings()
    reports: ReportSettings = ReportSettings()
    uplink: UplinkSettings = UplinkSettings()
    control: ControlSettings = ControlSettings()
    logs: LogSettings = LogSettings()

    def named_zones(self) -> dict[str, tuple[str, ...]]:
        """Return the zones; where none is named, what is private (RFC 1918, RFC 4193) is inside."""
        return self.zones or {"inside": PRIVATE}
