"""ipwatchd: watches, records and enforces which IP address may do what at a site's gateway."""

from typing import Final

__version__: Final = "0.1.0"

__all__ = ["__version__"]
