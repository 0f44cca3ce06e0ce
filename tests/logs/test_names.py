"""Names come out of the log as their owners write them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.logs.names import SPELLINGS
from ipwatchd.logs.syslog import Head


def vis(name: str) -> str:
    """Return what strnvis(3) with VIS_CSTYLE, VIS_OCTAL and VIS_NL makes of a name."""
    return "".join(
        chr(one) if 32 <= one < 127 and one != 92 else "\\\\" if one == 92 else f"\\{one:03o}"
        for one in name.encode()
    )


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_openssh_spells_names_and_we_read_them(name: str) -> None:
    """What is written once comes back; before the login sshd writes it twice, its heirs do not."""
    once, twice = vis(name), vis(vis(name))
    closed = "Connection closed by invalid user {} 192.0.2.1 port 9 [preauth]"
    assert SPELLINGS["vis"](once, Head(0.0, "sshd", "Invalid user x from y")) == name
    assert SPELLINGS["vis"](twice, Head(0.0, "sshd", closed)) == name
    assert SPELLINGS["vis"](once, Head(0.0, "sshd-session", closed)) == name


def test_what_is_no_spelling_stays() -> None:
    """Bytes that are no UTF-8 stay numbers, a backslash at the end stays one."""
    head = Head(0.0, "sshd", "")
    assert SPELLINGS["vis"]("x\\303", head) == "x\\xc3"
    assert SPELLINGS["vis"]("x\\t\\", head) == "x\t\\"


def test_parties_of_sip() -> None:
    """The user of the last address is the caller: what stands before it is a display name."""
    head = Head(0.0, "asterisk", "")
    for text, user in {
        '"Maria" <sip:204@192.0.2.1>': "204",
        "sip:204@pbx.example;transport=udp": "204",
        "<sips:204@[2001:db8::1]>": "204",
        '"x <sip:admin@pbx>" <sip:999@pbx>': "999",
        "204": "204",
        "sipho": "sipho",
    }.items():
        assert SPELLINGS["sip"](text, head) == user


def test_no_password_of_radius_is_kept() -> None:
    """What FreeRADIUS puts behind a user's name goes; a machine keeps its own."""
    head = Head(0.0, "radiusd", "")
    for text, user in {
        "maria": "maria",
        "maria/secret/x": "maria",
        "maria/<via Auth-Type = eap>": "maria",
        "host/desk17.acme.example/<via Auth-Type = eap>": "host/desk17.acme.example",
    }.items():
        assert SPELLINGS["radius"](text, head) == user
