"""The event: one metadata fact seen on the wire or in a log, as a tagged Struct.

Encoded with msgspec an event is one flat JSON object: `ts kind orig orig_port resp resp_port proto`
and the kind's own fields; empty fields are left out. Addresses are text, `ts` is epoch seconds.
"""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec

__all__ = [
    "KINDS", "AnyEvent", "Api", "Arp", "Auth", "Blocked", "Bound", "Certificate", "Dhcp", "Dns",
    "Event", "Http", "Ike", "Kerberos", "Ldap", "Lldp", "Logout", "Ndp", "Ntlm", "OpenVpn", "Quic",
    "Radius", "Rdp", "Sip", "Ssh", "Tls", "Vpn", "WireGuard", "event_from_builtins",
]  # fmt: skip


class Event(
    msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="kind", gc=False
):
    """What every event has. `source` says which sensor or log saw it."""

    ts: float
    orig: str = ""
    orig_port: int = 0
    resp: str = ""
    resp_port: int = 0
    proto: str = ""
    source: str = ""


class Dns(Event, tag="dns", frozen=True):
    """A DNS message (RFC 1035). `answers` are the addresses and names given, `ttl` the least."""

    name: str
    qtype: str = ""
    rcode: str = ""
    response: bool = False
    answers: tuple[str, ...] = ()
    ttl: int = 0
    id: int = 0


class Tls(Event, tag="tls", frozen=True):
    """A TLS ClientHello (RFC 8446): `name` is the server name asked for, `ja4` a fingerprint.

    With `response` it is the ServerHello: the version, cipher suite and protocol that were chosen.
    """

    name: str = ""
    version: str = ""
    alpn: tuple[str, ...] = ()
    ja4: str = ""
    response: bool = False
    cipher: str = ""


class Certificate(Event, tag="certificate", frozen=True):
    """A server's certificate in clear (TLS 1.2 and before, RFC 5246, 7.4.2; X.509, RFC 5280).

    `name` is the subject's common name, `names` the alternative ones, `not_after` epoch seconds.
    """

    name: str = ""
    names: tuple[str, ...] = ()
    issuer: str = ""
    not_after: float = 0.0


class Quic(Event, tag="quic", frozen=True):
    """The ClientHello of a QUIC Initial (RFC 9001); `version` is its own: 1, 2, draft-29."""

    name: str = ""
    version: str = ""
    alpn: tuple[str, ...] = ()
    ja4: str = ""


class Http(Event, tag="http", frozen=True):
    """A clear-text HTTP/1 request or response: `name` is the Host; never a body.

    `path` is there where `[capture] http_path` asks for it, without what follows a question mark.
    """

    name: str = ""
    method: str = ""
    status: int = 0
    user_agent: str = ""
    path: str = ""


class Sip(Event, tag="sip", frozen=True):
    """A SIP request or response (RFC 3261). `name` is the host of the request URI."""

    name: str = ""
    method: str = ""
    status: int = 0
    user: str = ""
    peer: str = ""
    call_id: str = ""
    user_agent: str = ""


class Ssh(Event, tag="ssh", frozen=True):
    """An SSH identification string (RFC 4253, 4.2) of one side, or how a login seems to have gone.

    `login` is succeeded, failed or unsure; such an event has no `version`. `tries` are requests
    that a failed login was refused, passwords and keys alike.
    """

    version: str = ""
    client: bool = True
    login: str = ""
    tries: int = 0


class Dhcp(Event, tag="dhcp", frozen=True):
    """A DHCP message (RFC 2131): who got which address for how long, and by which `routers`."""

    message: str
    mac: str
    address: str = ""
    hostname: str = ""
    server: str = ""
    lease: int = 0
    routers: tuple[str, ...] = ()


class Arp(Event, tag="arp", frozen=True):
    """An ARP sender binding (RFC 826)."""

    operation: str
    mac: str
    address: str
    target: str = ""


class Ndp(Event, tag="ndp", frozen=True):
    """A neighbour's binding (RFC 4861): `address` is claimed by `mac`, `target` is asked for."""

    operation: str
    mac: str
    address: str
    target: str = ""


class Lldp(Event, tag="lldp", frozen=True):
    """A switch or phone announces itself (IEEE 802.1AB): `name` is its system name."""

    name: str = ""
    chassis: str = ""
    port: str = ""
    address: str = ""


class Kerberos(Event, tag="kerberos", frozen=True):
    """A Kerberos message (RFC 4120): `user` is the client's principal, `service` the one wanted."""

    message: str
    user: str = ""
    realm: str = ""
    service: str = ""
    error: str = ""


class Radius(Event, tag="radius", frozen=True):
    """A RADIUS message (RFC 2865, RFC 2866): `station` called, `address` is what it was given.

    `accounting` is Acct-Status-Type: Start, Stop, Interim-Update …
    """

    message: str
    user: str = ""
    station: str = ""
    address: str = ""
    nas: str = ""
    accounting: str = ""


class Ldap(Event, tag="ldap", frozen=True):
    """An LDAP bind (RFC 4511, 4.2): `user` is the DN; of the response the `result`."""

    message: str
    user: str = ""
    method: str = ""
    result: str = ""


class Ntlm(Event, tag="ntlm", frozen=True):
    """Who logs in with NTLM (MS-NLMP, 2.2.1.3), from which `host`, over which `service`."""

    user: str
    domain: str = ""
    host: str = ""
    service: str = ""


class Rdp(Event, tag="rdp", frozen=True):
    """An RDP connection request (MS-RDPBCGR, 2.2.1.1): `user` is its mstshash cookie."""

    user: str = ""


class Ike(Event, tag="ike", frozen=True):
    """An IKE message (RFC 2408, RFC 7296): who negotiates IPsec; SPIs in hex."""

    version: str
    exchange: str
    initiator: str
    responder: str = ""
    response: bool = False


class OpenVpn(Event, tag="openvpn", frozen=True):
    """An OpenVPN handshake was recognised: client-reset or server-reset."""

    message: str


class WireGuard(Event, tag="wireguard", frozen=True):
    """A WireGuard handshake was recognised: initiation or response."""

    message: str


class Auth(Event, tag="auth", frozen=True):
    """A login that a log reports, tried at `service`.

    `result` is success, failure or aborted (the client left before its credentials were judged);
    `host` is the client's name where the log has no address of it; `tries` is how many a line
    reports, as the client's session says.
    """

    user: str
    result: str
    service: str
    method: str = ""
    host: str = ""
    tries: int = 1


class Logout(Event, tag="logout", frozen=True):
    """The end of a login that a log reports: `user` left `service`, or was cut off."""

    user: str
    service: str


class Vpn(Event, tag="vpn", frozen=True):
    """What a VPN server logs of an inner address: `message` is assigned or released.

    `user` got `address`, or let it go (empty: whatever they had); `orig` is the address outside.
    """

    message: str
    user: str = ""
    address: str = ""
    service: str = ""


class Bound(Event, tag="binding", frozen=True):
    """An agent was found to be at an address (`orig`), or is no longer: `message` is begin or end.

    `method` is what told (login, kerberos, radius, vpn, sip, device), `confidence` 0 to 1, `until`
    the time until which it is believed.
    """

    message: str
    user: str
    method: str
    confidence: float
    since: float
    until: float
    mac: str = ""


class Api(Event, tag="api", frozen=True):
    """One API request that a log reports: `key` names the client that called."""

    name: str = ""
    method: str = ""
    status: int = 0
    key: str = ""


class Blocked(Event, tag="blocked", frozen=True):
    """A packet that a deny entry matched: `action` is drop or, in observe mode, would-drop."""

    action: str
    list: str = "deny"
    iface: str = ""
    bytes: int = 0


AnyEvent = (
    Dns | Tls | Http | Sip | Ssh | Dhcp | Arp | Auth | Api | Blocked | Certificate | Quic | Ndp
    | Lldp | Kerberos | Radius | Ldap | Ntlm | Rdp | Ike | OpenVpn | WireGuard | Vpn
    | Bound | Logout
)  # fmt: skip

KINDS: Final[dict[str, type[Event]]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyEvent)
}


def event_from_builtins(value: dict[str, Any]) -> AnyEvent:
    """Return the event of a decoded JSON object; msgspec.ValidationError where it is none."""
    event: AnyEvent = msgspec.convert(value, AnyEvent)
    return event
