"""The page for a person: whole, readable, and inert whatever strangers sent."""

from __future__ import annotations

import io
from html.parser import HTMLParser

from ipwatchd.cli.dossier_page import HtmlDossier

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\u202e"


class _Page(HTMLParser):
    """What a browser would see: the elements, their attributes, the words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: dict[str, set[str]] = {}
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page() -> str:
    """Return a page whose every text is hostile, with a section of rows and an empty one."""
    out = io.BytesIO()
    dossier = HtmlDossier(out)
    dossier.head({
        "subject": HOSTILE, "kind": "address", "site": HOSTILE, "made": 1_780_000_000.0,
        "totals": {"address": HOSTILE, "first_seen": 1_780_000_000.0, "bytes": 1_500_000},
        "incidents": [HOSTILE], "contents": ["activity", "flows", HOSTILE],
    })  # fmt: skip
    dossier.begin("activity")
    dossier.rows([{"ts": 1_780_000_000.0, "kind": "dns", "address": "10.0.0.1", "text": HOSTILE}])
    dossier.rows([{"ts": 0, "kind": HOSTILE, "address": [HOSTILE], "text": {HOSTILE: HOSTILE}}])
    dossier.end()
    dossier.begin("flows")
    dossier.end()
    dossier.begin(HOSTILE)
    dossier.rows([{HOSTILE: HOSTILE}] * 2100)
    dossier.end()
    dossier.close()
    return out.getvalue().decode()


def test_nothing_runs_and_nothing_is_loaded() -> None:
    """No element or attribute comes out of data; a policy forbids what is not in the page."""
    seen = _Page(page())
    assert not seen.open
    assert set(seen.elements) <= {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "b", "dl",
        "dt", "dd", "nav", "ol", "li", "a", "section", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert set(seen.attributes) <= {
        "lang", "charset", "http-equiv", "content", "name", "id", "href", "class",
    }  # fmt: skip
    assert seen.attributes["href"] == {"#activity", "#flows"}
    assert "default-src 'none'; style-src 'unsafe-inline'" in seen.attributes["content"]
    assert "\u202e" not in page()


def test_it_is_written_for_a_person() -> None:
    """Times, sizes and columns are in words; an empty section and a long one say so."""
    words = " ".join(_Page(page()).words)
    for said in (
        "2026-05-28 20:26:40", "1.5 MB", "Activity hour by hour", "Nothing is held.",
        "2,100 rows. The first 2,000 are shown; the JSON file has all.", "Your rights",
    ):  # fmt: skip
        assert said in words, said
