"""The two lines at the top of every screen: how it is now, and where one can go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tui import quantity
from tui.fields import PRIORITY_MEANING
from tui.house import app_of
from tui.text import Piece, clean, elide
from tui.widgets.lines import Line, Lines, sum_width

if TYPE_CHECKING:
    from datetime import tzinfo

    from ipwatchd.control.messages import Status
    from tui.model import Model

__all__ = ["TABS", "Header", "now_line", "tab_line"]

TABS: Final = (
    ("dashboard", "1", "Dashboard"), ("incidents", "2", "Incidents"), ("lists", "3", "Lists"),
    ("records", "4", "Records"),
)  # fmt: skip
_MODES: Final = {"enforce": "badge-good", "observe": "badge-info", "off": "badge-bad"}


def now_line(model: Model, now: float, cells: int, zone: tzinfo | None) -> list[Piece]:
    """Return site, firewall mode, whether it runs, and the traffic of the last second."""
    status = model.status
    if status is None:
        word = "no answer" if model.stale else "asking the daemon …"
        return [Piece(" ipwatchd  ", "strong"), Piece(word, "bad" if model.stale else "quiet")]
    left = _left(model, status, now, zone)
    rates = status.rates
    meaning = "stale" if model.stale else "strong"
    right = [
        Piece(quantity.rate(rates.packets, "pkt"), meaning),
        Piece("  "),
        Piece(quantity.bits(rates.bits), meaning),
        Piece("  "),
        Piece(quantity.rate(rates.flows, "flow"), meaning),
        Piece(" "),
    ]
    space = cells - sum_width(left) - sum_width(right)
    while space < 1 and len(right) > 2:
        del right[-3:-1]
        space = cells - sum_width(left) - sum_width(right)
    return [*left, Piece(" " * max(space, 0)), *right]


def _left(model: Model, status: Status, now: float, zone: tzinfo | None) -> list[Piece]:
    mode = status.firewall.mode.lower()
    site = Piece(f" {elide(clean(status.site), 20)} ", "strong")
    if not status.live:
        return [site, Piece("○ a state folder, no daemon", "warn")]
    badge = Piece(f" {clean(mode).upper()} ", _MODES.get(mode, "badge-warn"))
    pieces = [site, badge, Piece(" ")]
    if model.stale:
        return [*pieces, Piece(f"○ since {quantity.clock(model.lost_since, zone)}", "bad")]
    up = quantity.duration(now - status.started) if status.started else ""
    return [*pieces, Piece("● ", "good"), Piece(f"live {up}".rstrip(), "text")]


def tab_line(model: Model, active: str, cells: int, clock: str) -> list[Piece]:
    """Return the screens with their number keys, the open incidents, and the time of day."""
    pieces: list[Piece] = [Piece(" ")]
    for name, key, title in TABS:
        here = name == active
        action = f"app.go('{name}')"
        pieces.append(Piece(f" {key} ", "key" + (" cursor" if here else ""), action))
        pieces.append(Piece(f"{title} ", ("strong cursor" if here else "quiet"), action))
        if name == "incidents" and model.status is not None:
            pieces += _open_incidents(model.status.incidents_open, here=here)
        pieces.append(Piece(" "))
    space = cells - sum_width(pieces) - len(clock) - 1
    return [*pieces, Piece(" " * max(space, 1)), Piece(f"{clock} ", "quiet")]


def _open_incidents(opened: dict[str, int], *, here: bool) -> list[Piece]:
    total = sum(opened.values())
    if not total:
        return []
    gravest = min(priority for priority, number in opened.items() if number)
    meaning = PRIORITY_MEANING.get(gravest, "text").removeprefix("badge-")
    return [Piece(f"{total} ", meaning + (" cursor" if here else ""))]


class Header(Lines):
    """The header of a screen; `screen` names the tab that is lit."""

    DEFAULT_CSS = "Header { dock: top; height: 2; background: $panel; }"
    GREYS = False

    def __init__(self, tab: str) -> None:
        super().__init__()
        self.tab = tab

    def build(self) -> list[Line]:
        """Return the two lines."""
        app = app_of(self)
        now = app.now()
        clock = quantity.clock(now, app.zone, seconds=True)
        return [
            now_line(app.model, now, self.cells, app.zone),
            tab_line(app.model, self.tab, self.cells, clock),
        ]
