"""Commands that look back on incidents: trends, reports on paper, exports for other systems."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.cli.answer import as_json, as_sentence, steady
from ipwatchd.cli.privacy_actions import whole_file
from ipwatchd.cli.row_formats import cell
from ipwatchd.cli.table import Column, clean_lines, print_table, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from ipwatchd.control.client import Client

__all__ = ["DIVISIONS", "FORMATS", "export", "print_trends", "report", "trends", "write_page"]

DIVISIONS: Final = ("class", "priority", "rule", "site", "client", "channel")
FORMATS: Final = ("zip", "ocsf", "stix", "csv", "json")
_BY_ENDING: Final = {".zip": "zip", ".csv": "csv", ".json": "json", ".stix": "stix"}
_STEPS: Final = ("detect", "acknowledge", "contain", "resolve")
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def trends(client: Client, arguments: argparse.Namespace) -> int:
    """Print a period's numbers and what to tune."""
    found = client.trends(**_period(arguments))
    if arguments.json:
        return as_json(found)
    print_trends(found, arguments.by)
    return 0


def print_trends(found: Mapping[str, Any], by: str) -> None:
    """Print what a period's incidents say, divided by something."""
    rows = [_row(one) for one in [*found["by"][by], found["total"]]]
    columns = [
        Column("name", by.upper()), Column("count", "COUNT", right=True),
        Column("open", "OPEN", right=True), Column("false", "FALSE", right=True),
        Column("late", "LATE", right=True),
        *(Column(step, step.upper(), right=True) for step in _STEPS),
    ]  # fmt: skip
    print_table(columns, rows)
    say("times: median / 90th percentile; detect counts from what happened, the others from then")
    for one in found["advice"]:
        say(f"{one['rule']}: {one['text']}")


def _row(group: Mapping[str, Any]) -> dict[str, Any]:
    judged = group["true"] + group["false"]
    row = {name: group[name] for name in ("name", "count", "open", "late")}
    row["false"] = f"{group['false'] / judged:.0%}" if judged else ""
    for step in _STEPS:
        span = group["spans"][step]
        both = f"{_short(span['median'])} / {_short(span['p90'])}"
        row[step] = both if span["count"] else ""
    return row


def _short(seconds: float) -> str:
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{_figures(seconds / length)} {unit}"
    return "0 s"


def _figures(value: float) -> str:
    """Return a number with three figures that count; those before the point all do."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def report(client: Client, arguments: argparse.Namespace) -> int:
    """Write a report where -o says: PDF where the name ends so, else HTML."""
    path: Path = arguments.output or Path(f"{arguments.id or 'incidents'}.html")
    asked = {"tlp": arguments.tlp} | ({} if arguments.id else _period(arguments))
    html = client.page(arguments.id, **asked)
    size = write_page(html, path)
    return as_sentence(arguments, {"file": str(path), "bytes": size}, f"{path}: {size:,} bytes")


def write_page(html: str, path: Path) -> int:
    """Write a page, as PDF where the file's name ends so; return its bytes."""
    if path.suffix.lower() != ".pdf":
        return path.write_bytes(html.encode())
    from ipwatchd.incidents.review.pdf import pdf_of

    return path.write_bytes(pdf_of(html))


def export(client: Client, arguments: argparse.Namespace) -> int:
    """Write a case as an archive, or incidents in the form of another system."""
    path: Path | None = arguments.output
    form = arguments.form or _form(path, arguments.id)
    if form == "zip":
        return _archive(client, arguments)
    asked = {"id": arguments.id} if arguments.id else _period(arguments)
    wanted = form if form in {"ocsf", "stix"} else "course"
    rows = client.export_incidents(wanted, tlp=arguments.tlp, **asked)
    text = _WRITERS[form](rows)
    if path is None:
        sys.stdout.write(clean_lines(text) if form == "csv" else steady(text))
        return 0
    path.write_text(text, encoding="utf-8")
    return as_sentence(arguments, {"file": str(path), "rows": len(rows)}, f"{path}: {len(rows):,}")


def _form(path: Path | None, identity: str) -> str:
    found = _BY_ENDING.get(path.suffix.lower(), "") if path else ""
    return found or ("zip" if identity else "json")


def _archive(client: Client, arguments: argparse.Namespace) -> int:
    if not arguments.id:
        raise ValueError("an archive is of one case: name it, as in incidents export site-000001")
    answer = client.export_case(arguments.id)
    path = arguments.output or Path(Path(answer["name"]).name)
    with whole_file(path) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in answer["papers"].items():
            archive.writestr(name, base64.b64decode(data))
        for one in answer["files"]:
            found = hashlib.sha256()
            with archive.open(one["name"], "w", force_zip64=True) as file:
                for piece in client.case_file(arguments.id, one["name"]):
                    found.update(piece)
                    file.write(piece)
            if found.hexdigest() != one["sha256"]:
                raise OSError(f"{one['name']} changed while it was read: export it again")
    size = path.stat().st_size
    return as_sentence(arguments, {"file": str(path), "bytes": size}, f"{path}: {size:,} bytes")


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _bundle(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(rows[0], ensure_ascii=False, indent=1) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return CSV; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    held = io.StringIO()
    out = csv.writer(held, lineterminator="\n")
    out.writerow(names)
    for row in rows:
        out.writerow([cell(row.get(name, "")) for name in names])
    return held.getvalue()


_WRITERS: Final = {"ocsf": _lines, "json": _lines, "stix": _bundle, "csv": _table}


def _period(arguments: argparse.Namespace) -> dict[str, str]:
    period = {"since": arguments.since}
    return period | ({"until": arguments.until} if arguments.until else {})
