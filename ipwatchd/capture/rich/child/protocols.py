"""Messages → events, with scapy's layers and cryptography's X.509.

Whatever is raised here is a malformed message (serve.py). Text need not be clean: the parent sees
to that (answers.py).
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID
from scapy.contrib import lldp as scapy_lldp
from scapy.layers import kerberos as scapy_kerberos
from scapy.layers import radius as scapy_radius

from ipwatchd.capture.rich.child.ldap import ldap
from ipwatchd.capture.rich.child.ntlm import ntlm
from ipwatchd.records.event import Certificate, Kerberos, Lldp, Radius

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipwatchd.records.event import Event

__all__ = ["PROTOCOLS", "certificate", "kerberos", "lldp", "radius", "rehearse", "smb"]

MAX_NAMES: Final = 64
_RADIUS_CODES: Final = {
    1: "access-request", 2: "access-accept", 3: "access-reject", 4: "accounting-request",
    5: "accounting-response", 11: "access-challenge", 40: "disconnect-request",
    41: "disconnect-ack", 42: "disconnect-nak", 43: "coa-request", 44: "coa-ack", 45: "coa-nak",
}  # fmt: skip
_ACCOUNTING: Final = {
    1: "Start", 2: "Stop", 3: "Interim-Update", 7: "Accounting-On", 8: "Accounting-Off",
}  # fmt: skip
_USER, _NAS, _FRAMED, _STATION, _NAS_NAME, _STATUS, _NAS6, _FRAMED6 = 1, 4, 8, 31, 32, 40, 95, 168
_KERBEROS_MESSAGES: Final = {
    "KRB_AS_REQ": "AS-REQ", "KRB_AS_REP": "AS-REP", "KRB_TGS_REQ": "TGS-REQ",
    "KRB_TGS_REP": "TGS-REP", "KRB_ERROR": "KRB-ERROR",
}  # fmt: skip


def kerberos(data: bytes) -> list[Event]:
    """Read an AS or TGS exchange or an error (RFC 4120, 5.4, 5.9)."""
    root = scapy_kerberos.Kerberos(data).root
    message = _KERBEROS_MESSAGES[type(root).__name__]
    body = root.reqBody if message.endswith("REQ") else root
    service = root.ticket.sname if message.endswith("REP") else body.sname
    realm = getattr(body, "crealm", None) or getattr(body, "realm", None)
    error = root.sprintf("%errorCode%") if message == "KRB-ERROR" else ""
    return [
        Kerberos(
            ts=0.0, message=message, user=_principal(body.cname), realm=_text(realm),
            service=_principal(service), error=error.split(" ")[0].strip("'"),
        )
    ]  # fmt: skip


def _principal(name: Any) -> str:
    return "/".join(_text(part) for part in name.nameString) if name is not None else ""


def _text(value: Any) -> str:
    """Return what an ASN.1 string or some bytes hold."""
    value = getattr(value, "val", value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if value is not None else ""


def radius(data: bytes) -> list[Event]:
    """Read a RADIUS message (RFC 2865, 2866, 5176)."""
    message = scapy_radius.Radius(data)
    if not 20 <= message.len <= len(data) or message.code not in _RADIUS_CODES:
        return []
    found: dict[int, bytes] = {}
    for attribute in message.attributes:
        found.setdefault(int(attribute.type), bytes(attribute)[2:])
    status = int.from_bytes(found.get(_STATUS, b""), "big")
    return [
        Radius(
            ts=0.0, message=_RADIUS_CODES[message.code], user=_text(found.get(_USER, b"")),
            station=_text(found.get(_STATION, b"")),
            address=_address(found.get(_FRAMED, b"")) or _address(found.get(_FRAMED6, b"")),
            nas=_text(found.get(_NAS_NAME, b"")) or _address(found.get(_NAS, b""))
            or _address(found.get(_NAS6, b"")),
            accounting=_ACCOUNTING.get(status) or str(status or ""),
        )
    ]  # fmt: skip


def _address(value: bytes) -> str:
    if len(value) == 4:
        return socket.inet_ntoa(value)
    return socket.inet_ntop(socket.AF_INET6, value) if len(value) == 16 else ""


def lldp(data: bytes) -> list[Event]:
    """Read an LLDP data unit (IEEE 802.1AB, 8)."""
    unit = scapy_lldp.LLDPDU(data)
    chassis = unit[scapy_lldp.LLDPDUChassisID]
    name = unit.getlayer(scapy_lldp.LLDPDUSystemName)
    management = unit.getlayer(scapy_lldp.LLDPDUManagementAddress)
    return [
        Lldp(
            ts=0.0, name=_text(name.system_name) if name else "", chassis=_text(chassis.id),
            port=_text(unit[scapy_lldp.LLDPDUPortID].id),
            address=_address(management.management_address) if management else "",
        )
    ]  # fmt: skip


def smb(data: bytes) -> list[Event]:
    """Read an AUTHENTICATE message that came in an SMB session setup."""
    return ntlm(data, "smb")


def certificate(data: bytes) -> list[Event]:
    """Read a certificate in DER (RFC 5280)."""
    found = x509.load_der_x509_certificate(data)
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [
            *extension.get_values_for_type(x509.DNSName),
            *map(str, extension.get_values_for_type(x509.IPAddress)),
        ]
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        names = []
    return [
        Certificate(
            ts=0.0, name=_common(found.subject), names=tuple(names[:MAX_NAMES]),
            issuer=_common(found.issuer), not_after=found.not_valid_after_utc.timestamp(),
        )
    ]  # fmt: skip


def _common(name: x509.Name) -> str:
    """Return the common name, else the organisation."""
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(kind):
            return _text(attribute.value)
    return ""


def _ldap(data: bytes) -> list[Event]:
    bind, token = ldap(data)
    return [*bind, *(ntlm(token, "ldap") if token else [])]


PROTOCOLS: Final[dict[str, Callable[[bytes], Sequence[Event]]]] = {
    "kerberos": kerberos, "radius": radius, "ldap": _ldap, "ntlm": ntlm, "smb": smb,
    "lldp": lldp, "certificate": certificate,
}  # fmt: skip


def rehearse() -> None:
    """Read a message of each kind: what is loaded late is loaded before files are shut."""
    principal = scapy_kerberos.PrincipalName(nameType=1, nameString=["krbtgt"])
    refused = scapy_kerberos.KRB_ERROR(stime="20260101000000Z", sname=principal, realm="A")
    samples = {
        "kerberos": bytes(scapy_kerberos.Kerberos(root=refused)),
        "radius": b"\x01\x01\0\x1e" + bytes(16) + b"\x01\x04ab\x08\x06\x0a\0\0\1",
        "smb": b"NTLMSSP\0\3\0\0\0" + bytes(76),
        "lldp": b"\x02\x07\x04\0\1\2\3\4\5\x04\x04\x05eth\x06\2\0\x78\x0a\2sw\0\0",
        "certificate": b"",
    }
    for kind, data in samples.items():
        with contextlib.suppress(Exception):
            PROTOCOLS[kind](data)
