"""The records of every address: SQLite for state and roll-ups, Parquet for every flow.

`History` takes flows and events, writes them, and answers questions (`queries.Queries`).
"""

from ipwatchd.history.queries import Queries
from ipwatchd.history.store import History

__all__ = ["History", "Queries"]
