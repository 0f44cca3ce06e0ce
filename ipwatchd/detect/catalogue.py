"""docs/detectors.md, made of what the detectors say of themselves and of their settings.

`python -m ipwatchd.detect.catalogue` prints it; a test holds the file equal.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect import RULES

if TYPE_CHECKING:
    from ipwatchd.detect.about import Rule

__all__ = ["markdown"]

_HEAD: Final = """# Detectors

Made by `python -m ipwatchd.detect.catalogue` from the detectors' own words; do not edit.

Thresholds stand in `detectors.toml` beside `ipwatchd.toml`; `ipwatchd check` names file and line of
what is wrong there, a reload takes them up. A finding carries the value that crossed, the
threshold, the baseline it was held against and whether enough was seen. The same thing going on
stays one finding that grows. What is known to happen is written as `[[expected]]` entries: such
findings raise no incident, and are counted under their reason. Where sources may be forged, 32 of a
rule at one victim are told of one by one and the rest as one finding about `site` (detection.md).
What detectors learn is kept in the state folder (`baselines.bin`) across restarts.
"""


def markdown() -> str:
    """Return the whole text."""
    rows = ["| rule | what | class (RSIT) | section |", "|---|---|---|---|"]
    rows += [
        f"| [{kind.rule}](#{kind.rule}) | {kind.about.title} | {kind.about.classification} "
        f"| `[{kind.section}]` |"
        for kind in RULES
    ]
    return "\n".join([_HEAD, *rows, "", *map(_section, RULES)])


def _section(kind: type[Rule]) -> str:
    about = kind.about
    settings = getattr(DetectSettings(), kind.section)
    keys = "\n".join(
        f"- `{field.name} = {_value(getattr(settings, field.name))}`"
        for field in msgspec.structs.fields(type(settings))
    )
    return (
        f"## {kind.rule}\n\n{about.title}. Class {about.classification}.\n\n"
        f"**What it means.** {about.means}\n\n**What to do.** {about.todo}\n\n"
        f"**How to tune it.** {about.tune}\n\n`[{kind.section}]`, with the defaults:\n\n{keys}\n"
    )


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    sys.stdout.write(markdown())
