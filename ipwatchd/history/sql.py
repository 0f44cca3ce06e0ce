"""Filters (records.filter) → SQL conditions, for SQLite and for DuckDB. Pure.

A view names for each key it knows a matcher, which turns the key's values into a condition. Column
names come from our own tables of matchers, values are bound parameters, always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.history.rollup import pack
from ipwatchd.records.address import network_parts
from ipwatchd.records.filter import FilterError, Span, Value
from ipwatchd.records.flow import protocol_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ipwatchd.records.filter import Filter, Term

    Matcher = Callable[[Sequence[Value]], "Where"]

__all__ = [
    "Where", "address_fact", "any_of", "bucketed", "compile_filter", "halves", "like", "networks",
    "number", "numbered", "overlap", "protocol", "since", "since_flow", "text", "until",
    "until_flow", "word", "words",
]  # fmt: skip


class Where(NamedTuple):
    """A condition and its parameters."""

    sql: str
    parameters: tuple[object, ...] = ()


_NOTHING: Final = Where("0 = 1")
# Sixteen zero bytes stand for no address: ::/0 does not hold them.
_SOMEWHERE: Final = (0, 1)


def any_of(conditions: Iterable[Where]) -> Where:
    """OR conditions, as a balanced tree: SQLite allows a depth of 1,000."""
    found = list(conditions)
    while len(found) > 1:
        found = [_either(found[place : place + 2]) for place in range(0, len(found), 2)]
    return found[0] if found else _NOTHING


def _either(pair: Sequence[Where]) -> Where:
    if len(pair) == 1:
        return pair[0]
    return Where(f"({pair[0].sql} OR {pair[1].sql})", pair[0].parameters + pair[1].parameters)


def _ranges(values: Sequence[Value]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for value in values:
        if isinstance(value, str | int | float | Span):
            raise TypeError(f"{value!r} is no network")
        yield from network_parts(value)


def networks(*columns: str) -> Matcher:
    """Match networks against columns of 16-byte addresses (SQLite)."""

    def match(values: Sequence[Value]) -> Where:
        return any_of(
            Where(f"{column} BETWEEN ? AND ?", (pack(*max(first, _SOMEWHERE)), pack(*last)))
            for first, last in _ranges(values)
            for column in columns
        )

    return match


def numbered(*columns: str) -> Matcher:
    """Match networks against columns that hold an address's number (address.id)."""
    sql = "{} IN (SELECT id FROM address WHERE address BETWEEN ? AND ?)"

    def match(values: Sequence[Value]) -> Where:
        return any_of(
            Where(sql.format(column), (pack(*max(first, _SOMEWHERE)), pack(*last)))
            for first, last in _ranges(values)
            for column in columns
        )

    return match


def bucketed(time: str, address: str, seconds: int) -> Matcher:
    """Match networks against roll-ups, which are keyed by time first, then an address's number.

    One address is looked up bucket by bucket over the time it was seen in (400 days at most, hours
    as long as there are any): a month is 720 look-ups instead of a pass over the whole table.
    """
    kept = "0" if seconds > 3600 else "(SELECT value FROM meta WHERE key = 'hours_from')"
    span = (
        f"({address} = (SELECT id FROM address WHERE address = ?1) AND {time} IN (WITH RECURSIVE "  # noqa: S608 - our own names
        "seen (first, last) AS (SELECT max(first_seen, last_seen - 34560000, "
        f"coalesce({kept}, 0)), last_seen FROM address WHERE address = ?1), "
        f"span (time) AS (SELECT CAST(first AS INTEGER) / {seconds} * {seconds} FROM seen "
        f"UNION ALL SELECT time + {seconds} FROM span, seen "
        f"WHERE time + {seconds} <= last) SELECT time FROM span))"
    ).replace("?1", "?")
    wide = numbered(address)

    def match(values: Sequence[Value]) -> Where:
        return any_of(
            Where(span, (pack(*first), pack(*first))) if first == last else wide([value])
            for value in values
            for first, last in _ranges([value])
        )

    return match


def overlap(first_column: str, last_column: str) -> Matcher:
    """Match networks against a network stored as its first and last address."""

    def match(values: Sequence[Value]) -> Where:
        return any_of(
            Where(f"({first_column} <= ? AND {last_column} >= ?)", (pack(*last), pack(*first)))
            for first, last in _ranges(values)
        )

    return match


def halves(*sides: str) -> Matcher:
    """Match networks against addresses stored as two unsigned halves (the archive)."""

    def match(values: Sequence[Value]) -> Where:
        return any_of(_half(side, first, last) for first, last in _ranges(values) for side in sides)

    return match


def _half(side: str, first: tuple[int, int], last: tuple[int, int]) -> Where:
    if first == last:
        return Where(f"({side}_hi = ? AND {side}_lo = ?)", first)
    if first[0] == last[0]:
        condition = f"({side}_hi = ? AND {side}_lo BETWEEN ? AND ?)"
        return Where(condition, (first[0], first[1], last[1]))
    # Wider than a half: networks are aligned, so the lower half may be anything.
    return Where(f"({side}_hi BETWEEN ? AND ?)", (first[0], last[0]))


def number(*columns: str) -> Matcher:
    """Match numbers and ranges of them."""

    def match(values: Sequence[Value]) -> Where:
        spans = [value if isinstance(value, Span) else (value, value) for value in values]
        return any_of(
            Where(f"{column} BETWEEN ? AND ?", tuple(span)) for span in spans for column in columns
        )

    return match


def word(*columns: str) -> Matcher:
    """Match words exactly, out of a fixed set."""

    def match(values: Sequence[Value]) -> Where:
        marks = ", ".join("?" * len(values))
        return any_of(Where(f"{column} IN ({marks})", tuple(values)) for column in columns)

    return match


def words(column: str) -> Matcher:
    """Match one word of a comma-separated column."""

    def match(values: Sequence[Value]) -> Where:
        return any_of(
            Where(f"(',' || {column} || ',') LIKE ?", (f"%,{value},%",)) for value in values
        )

    return match


def text(*columns: str) -> Matcher:
    """Match text in any case; `*` stands for anything."""

    def match(values: Sequence[Value]) -> Where:
        return any_of(like(column, str(value)) for value in values for column in columns)

    return match


def like(column: str, pattern: str) -> Where:
    """Match one pattern."""
    escaped = pattern.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if "*" not in pattern:
        return Where(f"lower({column}) = ?", (pattern.lower(),))
    return Where(f"lower({column}) LIKE ? ESCAPE '\\'", (escaped.replace("*", "%"),))


def protocol(column: str) -> Matcher:
    """Match protocol numbers against the archive's protocol names."""

    def match(values: Sequence[Value]) -> Where:
        names = tuple(protocol_name(value) for value in values if isinstance(value, int))
        return word(column)(names)

    return match


def since(column: str) -> Matcher:
    """Match what lasts to at least a time (epoch seconds)."""
    return lambda values: Where(f"{column} >= ?", (values[0],))


def until(column: str) -> Matcher:
    """Match what begins before a time."""
    return lambda values: Where(f"{column} < ?", (values[0],))


def since_flow(column: str) -> Matcher:
    """Match the archive's time stamps."""
    return lambda values: Where(f"{column} >= to_timestamp(?)", (_moment(values[0]),))


def until_flow(column: str) -> Matcher:
    """Match the archive's time stamps."""
    return lambda values: Where(f"{column} < to_timestamp(?)", (_moment(values[0]),))


def _moment(value: Value) -> float:
    # DuckDB's time stamps end in the year 294247, ours are nanoseconds and end in 2262.
    return min(max(float(value), -9e9), 9e9) if isinstance(value, int | float) else 0.0


def address_fact(column: str, *addresses: str, by: str = "address") -> Matcher:
    """Match what the address table says (zone, country, asn) of any of the addresses.

    `by` is what the columns hold: an address, or its number (id).
    """

    def match(values: Sequence[Value]) -> Where:
        marks = ", ".join("?" * len(values))
        known = f"fact.{by} IN ({', '.join(addresses)}) AND fact.{column} IN ({marks})"
        found = f"EXISTS (SELECT 1 FROM address fact WHERE {known})"  # noqa: S608 - our own names
        return Where(found, tuple(values))

    return match


def compile_filter(
    query: Filter, matchers: Mapping[str, Matcher], what: str,
    resolved: Mapping[Term, Sequence[Value]] | None = None,
) -> Where:  # fmt: skip
    """Return the condition of a filter. `resolved` replaces the values of terms it holds.

    Raises FilterError for a key that means nothing here, naming those that do.
    """
    parts: list[str] = []
    parameters: list[object] = []
    for term in query.terms:
        matcher = matchers.get(term.key)
        if matcher is None:
            raise FilterError(
                f"{term.key}: says nothing about {what}; use {', '.join(sorted(matchers))}",
                0, term.key,
            )  # fmt: skip
        found = matcher((resolved or {}).get(term, term.values))
        parts.append(f"NOT ({found.sql})" if term.negated else f"({found.sql})")
        parameters += found.parameters
    return Where(" AND ".join(parts) or "1 = 1", tuple(parameters))
