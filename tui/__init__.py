"""The Textual app: what `ipwatchctl tui` opens. `main` runs it and returns the exit status.

Textual itself is imported when `main` is called, never when this package is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipwatchd.control.client import Client

__all__ = ["main"]


def main(client: Client) -> int:
    """Run the terminal UI on a client until the person quits."""
    from tui.app import IpwatchApp

    app = IpwatchApp(client)
    app.run()
    return app.return_code or 0
