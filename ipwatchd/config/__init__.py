"""One TOML file → frozen Structs: every key documented, defaulted, validated.

`settings` holds the Structs, `load` reads a file and names line, key and mend of what is wrong.
"""

from ipwatchd.config.settings import (
    CaptureSettings,
    CentralSettings,
    Config,
    ControlSettings,
    DeniedContactSettings,
    DetectSettings,
    FirewallSettings,
    GeoSettings,
    HistorySettings,
    IncidentSettings,
    LogSettings,
    PasswordGuessingSettings,
    PortScanSettings,
    SiteSettings,
    UplinkSettings,
)

__all__ = [
    "CaptureSettings",
    "CentralSettings",
    "Config",
    "ControlSettings",
    "DeniedContactSettings",
    "DetectSettings",
    "FirewallSettings",
    "GeoSettings",
    "HistorySettings",
    "IncidentSettings",
    "LogSettings",
    "PasswordGuessingSettings",
    "PortScanSettings",
    "SiteSettings",
    "UplinkSettings",
]
