"""Dialogs that take a list in from a file, after a look at what it says, and write one out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.binding import Binding
from textual.widgets import Input

from tui import quantity
from tui.screens.dialog import Dialog, Field, Sentence
from tui.screens.entry import field_row
from tui.text import clean

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

__all__ = ["ExportList", "ImportList", "told"]

_MOST: Final = 6 << 20
"""Bytes of a file: the daemon takes 8 MB a call, and JSON makes text longer."""
_FORMATS: Final = ("csv", "json", "plain", "nft")
_SPANS: Final = ("forever", "1d", "7d", "30d")
_SHOWN: Final = 3


def told(answer: dict[str, Any]) -> str:
    """Say what would come, or came, of an import: counts, then what was mended or refused."""
    lines = [f"{answer['added']:,} entries"]
    if answer["renewed"]:
        lines[0] += f", {answer['renewed']:,} of them there already"
    lines[0] += f"; {answer['refused']:,} lines refused."
    lines += [clean(one) for one in (*answer["problems"][:_SHOWN], *answer["notes"][:_SHOWN])]
    more = len(answer["problems"]) + len(answer["notes"]) - len(lines) + 1
    return "\n".join([*lines, f"… and {more} more"] if more > 0 else lines)


class ImportList(Dialog[str]):
    """Enter looks at the file and says what would come of it; Enter again does it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next field"),
    ]

    def __init__(self, name: str) -> None:
        super().__init__()
        self.list_name = name
        self._seen: tuple[str, str, str] | None = None
        """What was looked at: Enter does that, and nothing that was changed since."""
        self._text = ""

    def title_text(self) -> str:
        """Return what is going to happen."""
        return f"Import into the {self.list_name} list"

    def content(self) -> ComposeResult:
        """Return the fields."""
        yield from field_row(Field("File", id="file", placeholder="/root/list.csv", most=4096))
        yield from field_row(Field("For", "forever", id="span", choices=_SPANS))
        yield from field_row(Field("Reason", id="reason", placeholder="for lines without one"))
        yield Sentence("Enter looks at the file; nothing is changed by that.", "quiet", id="effect")
        yield Sentence(id="trouble")

    def on_mount(self) -> None:
        """Begin at the file."""
        self.query_one("#file", Input).focus()

    def _values(self) -> tuple[str, str, str]:
        values = [
            self.query_one(f"#{name}", Input).value.strip() for name in ("file", "span", "reason")
        ]
        return values[0], values[1], values[2]

    def on_input_changed(self) -> None:
        """What was looked at is no longer what would be done."""
        if self._seen is not None and self._seen != self._values():
            self._seen = None
            self.query_one("#effect", Sentence).say("Changed: Enter looks again.", "quiet")
        self.query_one("#trouble", Sentence).say("")

    def on_input_submitted(self) -> None:
        """Look, or do what was looked at."""
        values = self._values()
        looking = self._seen != values
        try:
            seconds = quantity.span(values[1])
            if looking:
                self._text = _read(values[0])
        except (ValueError, OSError) as error:
            self._say(str(error))
            return
        if not values[2]:
            self._say("write why: the reason stands in the list and in the audit log")
            return
        work = partial(
            self.house.client.import_entries, self.list_name, self._text, reason=values[2],
            seconds=seconds, only_look=looking,
        )  # fmt: skip
        then = partial(self._looked, values) if looking else self._done
        self.house.ask("change", work, then, lambda error: self._say(str(error)))

    def _say(self, sentence: str) -> None:
        if self.is_mounted:
            self.query_one("#trouble", Sentence).say(clean(sentence), "bad")

    def _looked(self, values: tuple[str, str, str], answer: dict[str, Any]) -> None:
        if not self.is_mounted or values != self._values():
            return
        self.query_one("#effect", Sentence).say(told(answer), "info")
        if answer["added"]:
            self._seen = values
            self._say_go(answer["added"])

    def _say_go(self, many: int) -> None:
        words = f"Enter puts {many:,} entries on the {self.list_name} list."
        self.query_one("#trouble", Sentence).say(words, "warn")

    def _done(self, answer: dict[str, Any]) -> None:
        if self.is_mounted:
            verb = "denied" if self.list_name == "deny" else "allowed"
            self.dismiss(f"{verb} {answer['added']:,} networks of {Path(self._values()[0]).name}")


def _path(name: str) -> Path:
    """Return the file that was named; ValueError, one sentence, where none was."""
    if not name:
        raise ValueError("name the file")
    try:
        return Path(name).expanduser()
    except RuntimeError:  # what expanduser raises
        raise ValueError(f"{name}: there is no such user here: write the whole path") from None


def _read(name: str) -> str:
    """Return a file's text; one sentence where that can't be."""
    path = _path(name)
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise OSError(f"{path} can't be read: {error.strerror}") from None
    if len(data) > _MOST:
        raise ValueError(f"{path} is over {_MOST} bytes: make it a feed ([feeds.NAME] file)")
    return data.decode("utf-8-sig", errors="replace")


class ExportList(Dialog[str]):
    """Write a list to a file; one that is there only after another Enter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next field"),
    ]

    def __init__(self, name: str) -> None:
        super().__init__()
        self.list_name = name
        self._over = ""

    def title_text(self) -> str:
        """Return what is going to happen."""
        return f"Export the {self.list_name} list"

    def content(self) -> ComposeResult:
        """Return the fields."""
        yield from field_row(Field("File", f"{self.list_name}.csv", id="file", most=4096))
        yield from field_row(Field("Format", "csv", id="format", choices=_FORMATS))
        yield Sentence(
            "Your own entries, not those of feeds and the centre. An nft script holds both lists.",
            "quiet",
        )
        yield Sentence(id="trouble")

    def on_mount(self) -> None:
        """Begin at the file."""
        self.query_one("#file", Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Follow the format with the file's ending."""
        if event.input.id == "format" and event.value in _FORMATS:
            file = self.query_one("#file", Input)
            ending = {"plain": "txt"}.get(event.value, event.value)
            path = Path(file.value or self.list_name)
            if path.name:  # "/" and "." have none
                file.value = str(path.with_suffix(f".{ending}"))
        self.query_one("#trouble", Sentence).say("")

    def on_input_submitted(self) -> None:
        """Ask for the entries and write them."""
        name = self.query_one("#file", Input).value.strip()
        kind = self.query_one("#format", Input).value.strip()
        if kind not in _FORMATS:
            self._say(f"{kind!r} is none of {', '.join(_FORMATS)}")
            return
        try:
            path = _path(name)
            there = path.exists()
        except ValueError as error:
            self._say(str(error))
            return
        except OSError as error:  # a folder that this user may not look into
            self._say(f"{name} can't be written: {error.strerror}")
            return
        if there and self._over != str(path):
            self._over = str(path)
            self._say(f"{path} is there: Enter again writes over it")
            return
        work = partial(self._write, path, kind)
        self.house.ask("change", work, self._done, lambda error: self._say(str(error)))

    def _write(self, path: Path, kind: str) -> str:
        """Write the parts as they come; off the loop."""
        try:
            with path.open("w", encoding="utf-8") as file:
                for part in self.house.client.export_entries(self.list_name, kind):
                    file.write(part)
        except OSError as error:
            return f"! {path} can't be written: {error.strerror}"
        return f"wrote the {self.list_name} list to {path}"

    def _say(self, sentence: str) -> None:
        if self.is_mounted:
            self.query_one("#trouble", Sentence).say(clean(sentence), "bad")

    def _done(self, sentence: str) -> None:
        if sentence.startswith("! "):
            self._say(sentence.removeprefix("! "))
        elif self.is_mounted:
            self.dismiss(sentence)
