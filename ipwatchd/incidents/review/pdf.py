"""A page on paper: HTML to PDF by WeasyPrint, which may load nothing.

As a program of its own (`python -m`) it takes HTML on standard input and gives PDF, so that a
daemon neither waits for it nor holds its memory.
"""

from __future__ import annotations

import sys
from typing import Any, Final

__all__ = ["main", "pdf_of"]

LARGEST: Final = 50 << 20


def pdf_of(html: str) -> bytes:
    """Return a page as PDF; ValueError says what is missing here."""
    try:
        from weasyprint import HTML  # type: ignore[import-untyped]  # it ships no types
    except (ImportError, OSError) as error:
        raise ValueError(
            f"PDF can't be made here ({error}): pip install 'ipwatchd[reports]' and Debian's "
            "libpangoft2-1.0-0 libharfbuzz-subset0, or write HTML (-o FILE.html) and print that"
        ) from error

    def nothing(url: str, *_rest: object, **_more: object) -> dict[str, Any]:
        raise ValueError(f"a report loads nothing, and {url[:80]} was asked for")

    return bytes(HTML(string=html, url_fetcher=nothing).write_pdf())


def main() -> int:
    """Make one."""
    try:
        data = pdf_of(sys.stdin.buffer.read(LARGEST).decode("utf-8", "replace"))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
