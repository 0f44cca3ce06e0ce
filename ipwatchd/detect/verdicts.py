"""Logins and their outcome, whoever tells of them: logs, SIP, Kerberos, RADIUS, LDAP, SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.records.event import Auth, Kerberos, Ldap, Radius, Sip, Ssh

if TYPE_CHECKING:
    from ipwatchd.records.event import AnyEvent

__all__ = ["verdict"]

_KERBEROS: Final = ("PREAUTH_FAILED", "C_PRINCIPAL_UNKNOWN", "CLIENT_REVOKED")
"""Of RFC 4120, 7.5.9; PREAUTH_REQUIRED is how every login begins."""
_SIP: Final = {200: "success", 401: "failure", 403: "failure", 404: "failure", 407: "failure"}
"""A challenge (401, 407) counts as a failure until the success that follows it takes it back."""
_RADIUS: Final = {"access-accept": "success", "access-reject": "failure"}
_LDAP: Final = {
    "success": "success", "0": "success", "invalidcredentials": "failure", "49": "failure",
    "invalid-credentials": "failure", "invalid credentials": "failure",
}  # fmt: skip


_SSH: Final = {"succeeded": "success", "failed": "failure"}


def verdict(event: AnyEvent) -> Auth | None:
    """Return the login that an event tells of, with its result; None where it tells of none."""
    if isinstance(event, Auth):
        return event
    user, service, who = str(getattr(event, "user", "")), "", ""
    result = ""
    if isinstance(event, Sip) and event.method == "REGISTER":
        result, service = _SIP.get(event.status, ""), "sip"
    elif isinstance(event, Kerberos):
        failed = event.error.upper().replace("-", "_").endswith(_KERBEROS)
        result = "failure" if failed else "success" if event.message == "AS-REP" else ""
        service = "kerberos"
    elif isinstance(event, Radius):
        # The access point asks for everybody: who called is the station.
        result, service, who = _RADIUS.get(event.message.lower(), ""), "radius", event.station
    elif isinstance(event, Ssh):
        result, service = _SSH.get(event.login, ""), "ssh"
    elif isinstance(event, Ldap):
        result, service = _LDAP.get(event.result.lower(), ""), "ldap"
    return _login(event, user, result, service, who)


def _login(event: AnyEvent, user: str, result: str, service: str, who: str = "") -> Auth | None:
    if not result:
        return None
    return Auth(
        ts=event.ts, orig=who or event.orig, orig_port=event.orig_port, resp=event.resp,
        resp_port=event.resp_port, proto=event.proto, source=event.source, user=user,
        result=result, service=service,
    )  # fmt: skip
