"""The virtual table: cursor, order, filter, pages; in an app without a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tui.records import ENTRIES, identify
from tui.widgets.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui.app import IpwatchApp

NOW = 1_763_730_000.0


def rows(numbers: Any) -> list[dict[str, Any]]:
    """Return entries with these numbers."""
    return [
        {"id": n, "network": f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", "reason": f"r{n}"}
        for n in numbers
    ]


@pytest.fixture
def table(daemon: Any, make_app: Callable[[], IpwatchApp]) -> tuple[IpwatchApp, Table]:
    """Return an app and a table to put into it."""
    return make_app(), Table(ENTRIES, identify, id="long")


async def shown(app: IpwatchApp, table: Table) -> None:
    """Put the table on the screen and the cursor into it."""
    await app.screen.mount(table)
    table.focus()


def line(table: Table, y: int) -> str:
    """Return a line of the table as text."""
    return table.render_line(y).text


async def test_a_hundred_thousand_rows(table: tuple[IpwatchApp, Table]) -> None:
    """The last of 100,000 rows is a key away, and only the lines on the screen are formatted."""
    app, long = table
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, long)
        formatted: list[Any] = []
        plain_row = long._row
        long._row = lambda row: formatted.append(row) or plain_row(row)  # type: ignore[method-assign]
        long.set_rows(rows(range(100_000)))
        await pilot.press("end")
        await pilot.pause()
        assert long.marked is not None
        assert long.marked["id"] == 99_999
        assert "10.1.134.159" in line(long, long.size.height - 1)
        assert 0 < len(formatted) < 1000


async def test_the_cursor_stays_on_its_row(table: tuple[IpwatchApp, Table]) -> None:
    """When rows come again in another order, the marked one is marked, at the same height."""
    app, long = table
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, long)
        long.set_rows(rows(range(500)))
        long.move_to(250)
        await pilot.pause()
        height = long.cursor - long.scroll_offset.y
        long.set_rows(rows([*range(900, 1000), *range(500)]))
        await pilot.pause()
        assert long.marked is not None
        assert long.marked["id"] == 250
        assert long.cursor - long.scroll_offset.y == height


async def test_a_row_that_went_leaves_the_cursor_near(table: tuple[IpwatchApp, Table]) -> None:
    """Where the marked row is gone the cursor is on the one in its place, or the last."""
    app, long = table
    async with app.run_test(size=(100, 30)):
        await shown(app, long)
        long.set_rows(rows(range(10)))
        long.move_to(9)
        long.set_rows(rows(range(5)))
        assert long.marked is not None
        assert long.marked["id"] == 4
        long.set_rows([])
        assert long.marked is None


async def test_sorting_by_keys(table: tuple[IpwatchApp, Table]) -> None:
    """`s` sorts by the next column and says so in its head, `S` turns it round."""
    app, long = table
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, long)
        long.set_rows(rows([3, 1, 2]))
        await pilot.press("s")
        assert [row["id"] for row in long.shown] == [1, 2, 3]
        assert "NETWORK▴" in line(long, 0)
        await pilot.press("S")
        assert [row["id"] for row in long.shown] == [3, 2, 1]
        assert "NETWORK▾" in line(long, 0)


async def test_pages_are_asked_for_once(table: tuple[IpwatchApp, Table]) -> None:
    """Near the end the next page is asked for, and not again until it came."""
    app, long = table
    asked: list[int] = []
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, long)
        post = long.post_message
        long.post_message = lambda m: (
            (  # type: ignore[method-assign]
                asked.append(len(long.rows)) if isinstance(m, Table.More) else None
            )
            or post(m)
        )
        long.set_rows(rows(range(200)), more=True)
        await pilot.press("pagedown")
        assert asked == []
        await pilot.press("end", "up", "down", "up")
        assert asked == [200]
        long.add_rows(rows(range(200, 300)), more=False)
        await pilot.press("end")
        assert asked == [200]
        assert long.marked is not None
        assert long.marked["id"] == 299


async def test_a_filter_over_what_is_loaded(table: tuple[IpwatchApp, Table]) -> None:
    """Only rows that hold the text are shown; nothing found says so."""
    app, long = table
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, long)
        await pilot.pause()
        long.set_rows(rows(range(100)))
        long.set_needle("R42")
        assert [row["id"] for row in long.shown] == [42]
        long.set_needle("no such thing")
        assert "nothing here contains" in line(long, 1)


async def test_a_click_marks_and_sorts(table: tuple[IpwatchApp, Table]) -> None:
    """A click on a row marks it, on a head sorts by it."""
    app, long = table
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(app, long)
        long.set_rows(rows([3, 1, 2]))
        await pilot.pause()
        await pilot.click(long, offset=(3, 4))
        assert long.marked is not None
        assert long.marked["id"] == 2
        await pilot.click(long, offset=(3, 1))
        assert [row["id"] for row in long.shown] == [1, 2, 3]
