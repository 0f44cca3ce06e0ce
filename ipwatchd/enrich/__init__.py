"""Address → zone, country, city, network operator, time zone; flow → direction.

`Enricher` is the door; `zones` and `geo` hold the logic.
"""

from ipwatchd.enrich.enricher import Enricher, EnrichStatus
from ipwatchd.enrich.geo import GeoStatus

__all__ = ["EnrichStatus", "Enricher", "GeoStatus"]
