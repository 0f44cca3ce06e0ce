"""What the child makes of messages that scapy and cryptography build, good and broken."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ipwatchd.capture.rich.door import Rich

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipwatchd.records.event import Event

UNTIL = dt.datetime(2030, 1, 2, tzinfo=dt.UTC)


def certificate(*names: str, common: str = "www.example.com") -> bytes:
    """Return a certificate in DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example CA")]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(UNTIL)
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.fixture(scope="module")
def samples(scapy: Any) -> dict[str, bytes]:
    """Return a good message of each kind."""
    kerberos, radius, ldap, lldp = scapy.kerberos, scapy.radius, scapy.ldap, scapy.lldp
    principal = kerberos.PrincipalName(nameType=1, nameString=["krbtgt", "EXAMPLE.ORG"])
    refused = kerberos.KRB_ERROR(
        stime="20260101000000Z", errorCode=24, sname=principal, realm="EXAMPLE.ORG"
    )
    accepted = radius.Radius(
        code=2,
        attributes=[
            radius.RadiusAttr_User_Name(value=b"maria"),
            radius.RadiusAttr_Framed_IP_Address(value="10.20.0.9"),
            radius.RadiusAttribute(type=31, value=b"02-00-00-00-00-01"),
            radius.RadiusAttr_NAS_IP_Address(value="10.20.0.1"),
        ],
    )
    bind = ldap.LDAP(
        messageID=1,
        protocolOp=ldap.LDAP_BindRequest(
            bind_name=ldap.ASN1_STRING(b"cn=admin,dc=example"),
            authentication=ldap.LDAP_Authentication_simple(b"secret"),
        ),
    )
    unit = (
        scapy.ether(dst="01:80:c2:00:00:0e", src="02:00:00:00:00:01")
        / lldp.LLDPDUChassisID(subtype=4, id="02:00:00:00:00:01")
        / lldp.LLDPDUPortID(subtype=5, id=b"Fa0/13")
        / lldp.LLDPDUTimeToLive(ttl=120)
        / lldp.LLDPDUSystemName(system_name=b"switch1")
        / lldp.LLDPDUManagementAddress(
            management_address_subtype=1, management_address=bytes((10, 20, 0, 2)),
            interface_numbering_subtype=2, interface_number=1,
        )
        / lldp.LLDPDUEndOfLLDPDU()
    )  # fmt: skip
    login = scapy.ntlm.NTLM_AUTHENTICATE(
        NegotiateFlags="NEGOTIATE_UNICODE",
        Payload=[
            ("DomainName", "EXAMPLE"), ("UserName", "maria"), ("Workstation", "DESK-7"),
            ("LmChallengeResponse", bytes(24)), ("NtChallengeResponse", bytes(24)),
        ],
    )  # fmt: skip
    return {
        "kerberos": bytes(kerberos.Kerberos(root=refused)),
        "radius": bytes(accepted),
        "ldap": bytes(bind),
        "lldp": bytes(unit)[14:],
        "ntlm": bytes(login),
        "smb": bytes(login),
        "certificate": certificate("www.example.com", "*.example.org"),
    }


def test_kerberos(child: Any, samples: dict[str, bytes]) -> None:
    """An error names the realm, the service and what was wrong."""
    (event,) = child.kerberos(samples["kerberos"])
    assert (event.message, event.realm, event.service, event.error) == (
        "KRB-ERROR", "EXAMPLE.ORG", "krbtgt/EXAMPLE.ORG", "KDC_ERR_PREAUTH_FAILED",
    )  # fmt: skip


def test_radius(child: Any, scapy: Any, samples: dict[str, bytes]) -> None:
    """An accept says who got which address; accounting says whether it starts or stops."""
    (event,) = child.radius(samples["radius"])
    assert (event.message, event.user, event.address, event.station, event.nas) == (
        "access-accept", "maria", "10.20.0.9", "02-00-00-00-00-01", "10.20.0.1",
    )  # fmt: skip
    layer = scapy.radius
    for number, status in ((1, "Start"), (2, "Stop"), (3, "Interim-Update")):
        data = layer.Radius(code=4, attributes=[layer.RadiusAttr_Acct_Status_Type(value=number)])
        (event,) = child.radius(bytes(data))
        assert (event.message, event.accounting) == ("accounting-request", status)
    (event,) = child.radius(bytes(layer.Radius(code=3)))
    assert event.message == "access-reject"
    assert child.radius(bytes(layer.Radius(code=99))) == []


def test_ldap(child: Any, scapy: Any, samples: dict[str, bytes]) -> None:
    """A bind names its DN and method, never its password; the response names the result."""
    (event,) = child.PROTOCOLS["ldap"](samples["ldap"])
    assert (event.message, event.user, event.method) == ("bind", "cn=admin,dc=example", "simple")
    assert "secret" not in str(event)
    refused = scapy.ldap.LDAP(messageID=1, protocolOp=scapy.ldap.LDAP_BindResponse(resultCode=49))
    (event,) = child.PROTOCOLS["ldap"](bytes(refused))
    assert (event.message, event.result) == ("bind-response", "invalidCredentials")


def test_lldp(child: Any, samples: dict[str, bytes]) -> None:
    """A switch tells its name, its port and where it is managed."""
    (event,) = child.lldp(samples["lldp"])
    assert (event.name, event.chassis, event.port, event.address) == (
        "switch1", "02:00:00:00:00:01", "Fa0/13", "10.20.0.2",
    )  # fmt: skip


def test_ntlm(child: Any, samples: dict[str, bytes]) -> None:
    """A login names user, domain and workstation, and over what it came."""
    for kind, service in (("ntlm", "http"), ("smb", "smb")):
        (event,) = child.PROTOCOLS[kind](samples[kind])
        assert (event.user, event.domain, event.host, event.service) == (
            "maria", "EXAMPLE", "DESK-7", service,
        )  # fmt: skip


def test_certificate(child: Any, samples: dict[str, bytes]) -> None:
    """A certificate names whom it is for, by whom and until when."""
    (event,) = child.certificate(samples["certificate"])
    assert event.name == "www.example.com"
    assert event.names == ("www.example.com", "*.example.org")
    assert (event.issuer, event.not_after) == ("Example CA", UNTIL.timestamp())
    (event,) = child.certificate(certificate(common="bare"))
    assert (event.name, event.names) == ("bare", ())


@pytest.fixture(scope="module")
def real() -> Iterator[Rich]:
    """Return a door to the real child."""
    rich = Rich(10_000, wait=True)
    yield rich
    rich.close()


def ask(rich: Rich, messages: list[tuple[str, bytes]]) -> list[Event]:
    """Hand messages to the child; nothing may be lost on the way."""
    events: list[Event] = []
    for number, (kind, data) in enumerate(messages):
        rich.submit(kind, data, number, float(number))
        if number % 200 == 199:
            events += [event for _, event in rich.collect()]
    events += [event for _, event in rich.collect()]
    return events


def unhurt(rich: Rich) -> bool:
    """Tell whether one child has lived through all of it."""
    counted = rich.counters
    lost = counted.crashed + counted.hung + counted.garbled + counted.shed + counted.over_budget
    return counted.started == 1 and not lost


def test_the_real_child_reads_all_kinds(real: Rich, samples: dict[str, bytes]) -> None:
    """Behind shut doors every kind is still read: nothing is loaded late."""
    events = ask(real, list(samples.items()))
    assert [event.__struct_config__.tag for event in events] == [
        "kerberos", "radius", "ldap", "lldp", "ntlm", "ntlm", "certificate",
    ]  # fmt: skip
    assert unhurt(real)


def test_cut_at_every_length(real: Rich, samples: dict[str, bytes]) -> None:
    """A message cut off anywhere is answered or malformed; the child lives."""
    ask(real, [(kind, data[:end]) for kind, data in samples.items() for end in range(len(data))])
    assert unhurt(real)


def test_flipped_bits(real: Rich, samples: dict[str, bytes]) -> None:
    """So is one with any byte turned."""
    chance = random.Random(7)
    messages = []
    for kind, data in samples.items():
        for at in range(len(data)):
            bad = bytearray(data)
            bad[at] ^= chance.choice((0x01, 0x80, 0xFF, 0x20))
            messages.append((kind, bytes(bad)))
    ask(real, messages)
    assert unhurt(real)


def test_scapy_fuzz(real: Rich, scapy: Any) -> None:
    """So is what scapy's fuzz() makes of the layers that it knows."""
    radius, lldp, ntlm = scapy.radius, scapy.lldp, scapy.ntlm
    messages = []
    for _ in range(60):
        for kind, packet in (
            ("radius", radius.Radius(attributes=[scapy.fuzz(radius.RadiusAttribute())])),
            ("radius", scapy.fuzz(radius.Radius())),
            (
                "lldp",
                lldp.LLDPDUChassisID(subtype=7, id=b"x") / scapy.fuzz(lldp.LLDPDUSystemName()),
            ),
            ("lldp", scapy.fuzz(lldp.LLDPDUManagementAddress())),
            ("ntlm", scapy.fuzz(ntlm.NTLM_NEGOTIATE())),
        ):
            try:
                messages.append((kind, bytes(packet)))
            except Exception:  # noqa: BLE001, S112 - some random fields scapy itself can't build
                continue
    assert len(messages) > 60
    ask(real, messages)
    assert unhurt(real)


def test_random_bytes(real: Rich, samples: dict[str, bytes]) -> None:
    """So are random bytes behind a good beginning."""
    chance = random.Random(3)
    ask(
        real,
        [
            (kind, data[: chance.randrange(8)] + chance.randbytes(chance.randrange(1, 400)))
            for kind, data in samples.items()
            for _ in range(60)
        ],
    )
    assert unhurt(real)


def test_a_certificate_is_read_once(samples: dict[str, bytes]) -> None:
    """The same certificate again is answered from memory, whatever the budget says."""
    rich = Rich(1, wait=True)
    first = ask(rich, [("certificate", samples["certificate"])])
    again = ask(rich, [("certificate", samples["certificate"])] * 20)
    assert first * 20 == again
    assert rich.counters.over_budget == 0
    rich.close()
