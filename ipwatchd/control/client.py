"""The client of the control API, over the Unix socket or over a state folder without a daemon.

Standard library and msgspec alone: `ipwatchctl` has to start in a blink.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from ipwatchd.control.exchange import exchange
from ipwatchd.control.messages import (
    AgentRow,
    Applied,
    AuditRow,
    Check,
    Export,
    ExportBatch,
    FirewallState,
    IncidentDetail,
    ListChange,
    Page,
    Problem,
    Status,
    Throughput,
    TopRow,
    Zone,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Client", "RefusedError", "SocketTransport", "Transport", "UnreachableError"]

T = TypeVar("T")
_MOST: int = 1 << 26
"""Bytes of one answer: a runaway daemon must not fill the admin's memory."""


class UnreachableError(Exception):
    """The daemon can't be reached (exit status 3)."""


class RefusedError(Exception):
    """The daemon said no; the text is its sentence, `exit` the command's status."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.error)
        self.exit = problem.exit


class Transport(Protocol):
    """Carries one call: method, path with query, JSON body → HTTP status and JSON answer."""

    def call(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        """Return status and body, or raise UnreachableError."""
        ...

    def close(self) -> None:
        """Let go of what the transport holds."""
        ...


class SocketTransport:
    """HTTP over the daemon's Unix socket, one connection a call: safe from any thread."""

    def __init__(self, path: Path, *, timeout: float = 30.0) -> None:
        self._path = str(path)
        self._timeout = timeout

    def call(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        """Send one request; UnreachableError says which socket and what to do."""
        try:
            answer = exchange(self._path, method, target, body, timeout=self._timeout, most=_MOST)
        except OSError as error:
            raise UnreachableError(self._why(error)) from error
        if len(answer.body) > _MOST:
            raise UnreachableError(f"{self._path} answered more than {_MOST} bytes: ask for less")
        return answer

    def _why(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return (
                f"the daemon at {self._path} has not answered for {self._timeout:.0f} seconds and "
                "may still do what was asked: look (ipwatchctl status, audit) before asking again"
            )
        mend = "is ipwatchd running (systemctl status ipwatchd)? another socket: --socket PATH"
        if isinstance(error, PermissionError):
            mend = "join one of the groups that may use it (see [control] in the configuration)"
        words = str(error).strip() or type(error).__name__
        return f"can't reach the daemon at {self._path} ({words}): {mend}"

    def close(self) -> None:
        """Nothing is held."""


class Client:
    """Every call of the API by name. Raises UnreachableError or RefusedError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def close(self) -> None:
        """Let go of the transport."""
        self._transport.close()

    def _call(
        self, answer: type[T], method: str, path: str, query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> T:  # fmt: skip
        words = {key: value for key, value in (query or {}).items() if value not in {None, ""}}
        target = f"/v1/{path}" + (f"?{urlencode(words)}" if words else "")
        status, data = self._transport.call(
            method, target, msgspec.json.encode(body) if body is not None else None
        )
        try:
            if status >= 400:
                raise RefusedError(msgspec.json.decode(data, type=Problem))
            return msgspec.json.decode(data, type=answer)
        except msgspec.MsgspecError as error:
            raise UnreachableError(
                f"the daemon's answer to {target} is not ours: {error}"
            ) from error

    def status(self) -> Status:
        """Return the agent at a glance."""
        return self._call(Status, "GET", "status")

    def doctor(self) -> list[Check]:
        """Return every check of the installation."""
        return self._call(list[Check], "GET", "doctor")

    def throughput(self, *, since: str = "1h") -> list[Throughput]:
        """Return traffic in buckets, oldest first."""
        return self._call(list[Throughput], "GET", "throughput", {"since": since})

    def top(
        self, *, by: str = "bytes", since: str = "1h", limit: int = 20, filter: str = "",  # noqa: A002 - the API's word
        exact: bool = False,
    ) -> list[TopRow]:  # fmt: skip
        """Return the busiest addresses; `by` is bytes, packets or flows.

        `exact` counts each flow where the span is short, else whole hours count.
        """
        query = {
            "by": by, "since": since, "limit": limit, "filter": filter, "exact": "1" * exact,
        }  # fmt: skip
        return self._call(list[TopRow], "GET", "top", query)

    def records(
        self, kind: str, filter: str = "", *, limit: int = 100, offset: int = 0  # noqa: A002 - the API's word
    ) -> Page:  # fmt: skip
        """Return records of one of the seven kinds, newest first."""
        query = {"filter": filter, "limit": limit, "offset": offset}
        return self._call(Page, "GET", f"records/{quote(kind, safe='')}", query)

    def flows(self, filter: str = "", *, limit: int = 100, order: str = "") -> Page:  # noqa: A002 - the API's word
        """Return flows that match, newest first, or the sums that the filter asks for."""
        query = {"filter": filter, "limit": limit, "order": order}
        return self._call(Page, "GET", "flows", query)

    def events(self, filter: str = "", *, limit: int = 100) -> Page:  # noqa: A002 - the API's word
        """Return events that match, newest first."""
        return self._call(Page, "GET", "events", {"filter": filter, "limit": limit})

    def address(self, address: str) -> dict[str, Any]:
        """Return all that is known of one address."""
        return self._call(dict[str, Any], "GET", f"addresses/{quote(address, safe='')}")

    def begin_export(
        self, what: str, filter: str = "", *, clear: bool = False, reason: str = ""  # noqa: A002 - the API's word
    ) -> Export:  # fmt: skip
        """Begin to read all rows of a kind of record, of events or flows; pseudonyms by default."""
        body = {"what": what, "filter": filter, "clear": clear, "reason": reason}
        return self._call(Export, "POST", "exports", body=body)

    def read_export(self, identity: str) -> ExportBatch:
        """Return the next rows of an export."""
        return self._call(ExportBatch, "GET", f"exports/{quote(identity, safe='')}")

    def end_export(self, identity: str) -> None:
        """Stop an export before its end."""
        self._call(dict[str, Any], "DELETE", f"exports/{quote(identity, safe='')}")

    def subject(self, subject: str) -> dict[str, Any]:
        """Return what is held of an address or agent, and which exports hold the rest."""
        return self._call(dict[str, Any], "GET", f"subjects/{quote(subject, safe='')}")

    def erase(self, subject: str, *, reason: str) -> dict[str, Any]:
        """Erase an address or agent; the answer says what went, what stays, and what was searched."""  # noqa: E501 - one line says it
        path = f"subjects/{quote(subject, safe='')}/erase"
        return self._call(dict[str, Any], "POST", path, body={"reason": reason})

    def reveal(self, pseudonym: str, *, reason: str) -> dict[str, Any]:
        """Return what a pseudonym stands for."""
        return self._call(
            dict[str, Any], "POST", "reveal", body={"pseudonym": pseudonym, "reason": reason}
        )

    def backup(self, folder: str) -> dict[str, Any]:
        """Write a backup into a folder that is new or empty."""
        return self._call(dict[str, Any], "POST", "backup", body={"folder": folder})

    def verify_audit(self, head: str = "") -> dict[str, Any]:
        """Follow the audit log's chain: `broken` the first bad line, `missing` gone at the end."""
        return self._call(dict[str, Any], "GET", "audit/verify", {"head": head})

    def archive_keys(self) -> list[dict[str, Any]]:
        """Return the keyed days of the archive."""
        return self._call(list[dict[str, Any]], "GET", "archive-keys")

    def drop_key(self, day: str, *, reason: str) -> dict[str, Any]:
        """Destroy the key of a day of the archive, and return the proof."""
        path = f"archive-keys/{quote(day, safe='')}/drop"
        return self._call(dict[str, Any], "POST", path, body={"reason": reason})

    def entries(
        self, name: str, *, source: str = "", service: str = "", match: str = "",
        limit: int = 10_000, offset: int = 0,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return entries of a list, allow or deny; `match` is a part of network or reason."""
        query = {
            "source": source, "service": service, "match": match, "limit": limit, "offset": offset,
        }  # fmt: skip
        return self._call(list[dict[str, Any]], "GET", f"lists/{name}", query)

    def add_entry(
        self, name: str, network: str, *, reason: str, seconds: float = 0.0, ticket: str = "",
        force: bool = False, service: str = "", session: str = "",
    ) -> ListChange:  # fmt: skip
        """Put a network on a list, for some seconds or (0) until it is removed."""
        body = {
            "network": network, "reason": reason, "seconds": seconds, "ticket": ticket,
            "force": force, "service": service, "session": session,
        }  # fmt: skip
        return self._call(ListChange, "POST", f"lists/{name}", body=body)

    def remove_entry(
        self, name: str, network: str, *, reason: str, service: str = ""
    ) -> ListChange:
        """Take a network off a list."""
        query = {"network": network, "reason": reason, "service": service}
        return self._call(ListChange, "DELETE", f"lists/{name}", query)

    def import_entries(
        self, name: str, text: str, *, reason: str, format: str = "", seconds: float = 0.0,  # noqa: A002 - the API's word
        only_look: bool = False, session: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """Put many networks on a list; the answer counts them and names the lines refused."""
        body = {
            "text": text, "reason": reason, "format": format, "seconds": seconds,
            "only_look": only_look, "session": session,
        }  # fmt: skip
        return self._call(dict[str, Any], "POST", f"lists/{name}/import", body=body)

    def export_entries(self, name: str, kind: str, *, everything: bool = False) -> Iterator[str]:
        """Yield a list as a file's text, part by part."""
        query: dict[str, object] = {
            "format": kind,
            "all": "true" if everything else "",
            "offset": 0,
        }
        more = True
        while more:
            page = self._call(dict[str, Any], "GET", f"lists/{name}/export", query)
            query["offset"], more = page["next"], page["more"]
            yield page["text"]

    def preview(
        self, name: str, network: str, *, since: str = "24h", service: str = "", session: str = ""
    ) -> dict[str, Any]:  # fmt: skip
        """Return what an entry would have touched; with a service alone, what its policy stops."""
        query = {"network": network, "since": since, "service": service, "session": session}
        return self._call(dict[str, Any], "GET", f"lists/{name}/preview", query)

    def why(self, address: str, service: str = "") -> dict[str, Any]:
        """Return which entry decides on an address, of the site or for a service."""
        query = {"service": service}
        return self._call(dict[str, Any], "GET", f"why/{quote(address, safe='')}", query)

    def feeds(self) -> list[dict[str, Any]]:
        """Return what is known of each feed."""
        return self._call(list[dict[str, Any]], "GET", "feeds")

    def refresh_feed(self, name: str, *, force: bool = False) -> dict[str, Any]:
        """Look at a feed now; `force` takes it whatever its size."""
        path = f"feeds/{quote(name, safe='')}/refresh"
        return self._call(dict[str, Any], "POST", path, body={"force": force})

    def firewall(self) -> FirewallState:
        """Return the kernel's side."""
        return self._call(FirewallState, "GET", "firewall")

    def firewall_mode(
        self, mode: str, *, confirm_seconds: float | None = None, reason: str = ""
    ) -> Applied:
        """Switch to off, observe or enforce; rolls back unless confirmed in time.

        In how long the configuration says, or `confirm_seconds`; 0: it stays.
        """
        body = {"mode": mode, "confirm_seconds": confirm_seconds, "reason": reason}
        return self._call(Applied, "POST", "firewall/mode", body=body)

    def firewall_diff(self) -> dict[str, Any]:
        """Return what differs between the stored lists and the kernel."""
        return self._call(dict[str, Any], "GET", "firewall/diff")

    def firewall_confirm(self) -> Applied:
        """Keep the change of mode that is waiting."""
        return self._call(Applied, "POST", "firewall/confirm", body={})

    def firewall_rollback(self) -> Applied:
        """Take the change of mode that is waiting back at once."""
        return self._call(Applied, "POST", "firewall/rollback", body={})

    def incidents(self, *, state: str = "open", limit: int = 100, offset: int = 0) -> Page:
        """Return incidents, the newest first; `state` is open, all or a state's name."""
        query = {"state": state, "limit": limit, "offset": offset}
        return self._call(Page, "GET", "incidents", query)

    def incident(self, identity: str) -> IncidentDetail:
        """Return one incident and its timeline."""
        return self._call(IncidentDetail, "GET", f"incidents/{quote(identity, safe='')}")

    def act(
        self, identity: str, action: str, *, reason: str = "", **details: object
    ) -> dict[str, Any]:
        """Do something about an incident; returns it as it stands then.

        `details` are what the action needs: answers, priority, sop, step, target, obligation ….
        """
        path = f"incidents/{quote(identity, safe='')}/{quote(action, safe='')}"
        return self._call(dict[str, Any], "POST", path, body={"reason": reason, **details})

    def clocks(self, identity: str) -> dict[str, Any]:
        """Return how the duties of an incident stand."""
        return self._call(dict[str, Any], "GET", f"incidents/{quote(identity, safe='')}/clocks")

    def all_clocks(self, *, limit: int = 1000) -> list[dict[str, Any]]:
        """Return the duties of all incidents that are left, the first that is due first."""
        return self._call(list[dict[str, Any]], "GET", "clocks", {"limit": limit})

    def notice(self, identity: str, obligation: str) -> dict[str, Any]:
        """Return the draft of the notice that a duty asks for."""
        path = f"incidents/{quote(identity, safe='')}/notices/{quote(obligation, safe='')}"
        return self._call(dict[str, Any], "GET", path)

    def pages(self) -> list[dict[str, Any]]:
        """Return the incidents whose pages wait for an answer."""
        return self._call(list[dict[str, Any]], "GET", "pages")

    def regimes(self) -> list[dict[str, Any]]:
        """Return laws, standards and contracts that clocks may follow from."""
        return self._call(list[dict[str, Any]], "GET", "regimes")

    def verify(self, *, whole: bool = False) -> dict[str, Any]:
        """Return what a check of the incident log found: its chain, or all that hangs on it."""
        query = {"whole": "1"} if whole else {}
        return self._call(dict[str, Any], "GET", "incidents/verify", query)

    def policy(self) -> dict[str, Any]:
        """Return the taxonomy, the impact questions and the SOPs."""
        return self._call(dict[str, Any], "GET", "policy")

    def report(
        self, text: str, *, subject: str = "", reporter: str = "", channel: str = "call",
        language: str = "", **more: object,
    ) -> dict[str, Any]:  # fmt: skip
        """Hand in what a person told us; returns the incident it became.

        `more` may be kind, answers, role and attachments (name, type, base64 data).
        """
        body = {
            "text": text, "subject": subject, "reporter": reporter, "channel": channel,
            "language": language, **more,
        }  # fmt: skip
        return self._call(dict[str, Any], "POST", "reports", body=body)

    def import_cases(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Put old cases in; the answer has their new ids."""
        return self._call(dict[str, Any], "POST", "cases", body={"rows": rows})

    def proposals(self, identity: str) -> list[dict[str, Any]]:
        """Return the responses that fit an incident now."""
        path = f"incidents/{quote(identity, safe='')}/responses"
        return self._call(list[dict[str, Any]], "GET", path)

    def export_case(self, identity: str) -> dict[str, Any]:
        """Return what a case's archive consists of: small files in base64, the names of others."""
        return self._call(dict[str, Any], "GET", f"incidents/{quote(identity, safe='')}/export")

    def case_file(self, identity: str, name: str) -> Iterator[bytes]:
        """Yield a file of a case's archive piece by piece."""
        path, offset = f"incidents/{quote(identity, safe='')}/file", 0
        while True:
            asked = {"name": name, "offset": offset}
            answer = self._call(dict[str, str], "GET", path, asked)
            data = binascii.a2b_base64(answer["data"])
            if not data:
                return
            yield data
            offset += len(data)

    def trends(self, **period: str) -> dict[str, Any]:
        """Return what a period's incidents say; `period` may be since and until, as spans."""
        return self._call(dict[str, Any], "GET", "trends", period)

    def page(self, identity: str = "", **asked: str) -> str:
        """Return a report as HTML: of an incident, or of a period (since, until)."""
        path = f"incidents/{quote(identity, safe='')}/page" if identity else "trends/page"
        return str(self._call(dict[str, Any], "GET", path, asked)["html"])

    def export_incidents(self, form: str, **asked: str) -> list[dict[str, Any]]:
        """Return incidents as ocsf, stix or course: one (id), or those of a period."""
        answer = self._call(dict[str, Any], "GET", "trends/export", {"form": form, **asked})
        return list(answer["rows"])

    def update(self, identity: str, audience: str, language: str = "") -> dict[str, Any]:
        """Return the draft of an update: audience, language, tlp, subject, text."""
        path = f"incidents/{quote(identity, safe='')}/update"
        asked = {"audience": audience, "language": language}
        return self._call(dict[str, Any], "GET", path, asked)

    def agents(self, *, name: str = "", everybody: bool = False) -> list[AgentRow]:
        """Return who is where now, of one agent or address; `everybody`: the whole roster."""
        asked = {"name": name, "all": "1" if everybody else ""}
        return self._call(list[AgentRow], "GET", "agents", asked)

    def zones(self) -> list[Zone]:
        """Return the zones."""
        return self._call(list[Zone], "GET", "zones")

    def audit(self, *, limit: int = 100) -> list[AuditRow]:
        """Return who looked at what, newest first."""
        return self._call(list[AuditRow], "GET", "audit", {"limit": limit})
