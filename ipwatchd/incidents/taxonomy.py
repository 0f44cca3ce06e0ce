"""The classes and types an incident can have: a file of data (config/taxonomy/rsit.toml)."""

from __future__ import annotations

import difflib
import re
from typing import Final

import msgspec

__all__ = ["UNDETERMINED", "Class", "Taxonomy", "Type", "parse_taxonomy"]

UNDETERMINED: Final = "undetermined"
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown key is an error."""


class Type(_Table, frozen=True):
    """What an incident is; `id` is what it carries."""

    id: str
    name: str
    description: str


class Class(_Table, frozen=True):
    """A group of types."""

    id: str
    name: str
    description: str
    types: tuple[Type, ...] = msgspec.field(name="type")


class Taxonomy(_Table, frozen=True):
    """A taxonomy of a version. Every type's id is there once."""

    name: str
    title: str
    version: int
    licence: str
    classes: tuple[Class, ...] = msgspec.field(name="class")

    def types(self) -> dict[str, Type]:
        """Return id → type."""
        return {one.id: one for group in self.classes for one in group.types}

    def class_of(self, kind: str) -> Class | None:
        """Return the class that a type belongs to."""
        for group in self.classes:
            if any(one.id == kind for one in group.types):
                return group
        return None

    def known(self, kind: str) -> str:
        """Return a type as the taxonomy writes it; ValueError names the nearest where it is none.

        `class:type` is understood too.
        """
        word = kind.strip().lower().rpartition(":")[2].strip()
        types = self.types()
        if word in types:
            return word
        near = difflib.get_close_matches(word, types, 3, 0.5) or (
            "scanner",
            "phishing",
            "data-leak",
        )
        raise ValueError(
            f"{kind!r} is no type of {self.name.upper()} {self.version}: write for example "
            f"{', '.join(near)} (ipwatchctl incidents classes lists them)"
        )


def parse_taxonomy(data: bytes, where: str) -> Taxonomy:
    """Return the taxonomy of a TOML file; ValueError says what is wrong in `where`."""
    try:
        taxonomy = msgspec.toml.decode(data, type=Taxonomy)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: {error}") from error
    seen: set[str] = set()
    for group in taxonomy.classes:
        if not group.types:
            raise ValueError(f"{where}: class {group.id} has no type")
        for one in group.types:
            if not _ID.fullmatch(one.id):
                raise ValueError(f"{where}: {one.id!r} is no id: small letters, digits and hyphens")
            if one.id in seen:
                raise ValueError(f"{where}: type {one.id} is there twice")
            seen.add(one.id)
    if UNDETERMINED not in seen:
        raise ValueError(f"{where}: has no type {UNDETERMINED}, which an incident begins with")
    return taxonomy
