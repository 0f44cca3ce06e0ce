"""Crypto-PAn: the authors' sample, prefixes kept, the way back; nothing else of a row shines through."""  # noqa: E501 - one line says it

from __future__ import annotations

import ipaddress

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.history.pseudonym import Pseudonyms

KEY = bytes((
    21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131, 121,
    121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2,
))  # fmt: skip
NAMES = Pseudonyms(KEY)
# sample_trace_sanitized.dat of the authors' Crypto-PAn 1.0, and pycryptopan's for IPv6, same key.
PUBLISHED = {
    "128.11.68.132": "135.242.180.132", "129.118.74.4": "134.136.186.123",
    "130.132.252.244": "133.68.164.234", "141.223.7.43": "141.167.8.160",
    "141.233.145.108": "141.129.237.235", "152.163.225.39": "151.140.114.167",
    "156.29.3.236": "147.225.12.42", "165.247.96.84": "162.9.99.234",
    "166.107.77.190": "160.132.178.185", "192.102.249.13": "252.138.62.131",
    "192.215.32.125": "252.43.47.189", "192.233.80.103": "252.25.108.8",
    "192.41.57.43": "252.222.221.184", "193.150.244.223": "253.169.52.216",
    "195.205.63.100": "255.186.223.5", "198.200.171.101": "249.199.68.213",
    "::1": "78ff:f001:9fc0:20df:8380:b1f1:704:ed",
    "::2": "78ff:f001:9fc0:20df:8380:b1f1:704:ef",
    "2001:db8::1": "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e",
    "2001:db8::2": "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1c",
}  # fmt: skip


@pytest.mark.parametrize(("address", "pseudonym"), PUBLISHED.items())
def test_published_vectors(address: str, pseudonym: str) -> None:
    """Every published pair comes out, both ways."""
    assert NAMES.address(address) == pseudonym
    assert NAMES.address(pseudonym, reverse=True) == address


def _shared(one: int, other: int, bits: int) -> int:
    return bits - (one ^ other).bit_length()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from((4, 6)), st.data())
def test_prefixes_are_kept(version: int, data: st.DataObject) -> None:
    """Pseudonyms share exactly as many leading bits as the addresses do."""
    bits = 32 if version == 4 else 128
    number = st.integers(0 if version == 4 else 1 << 100, (1 << bits) - 1)
    one, other = data.draw(number), data.draw(number)
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    hidden = [int(ipaddress.ip_address(NAMES.address(str(kind(value))))) for value in (one, other)]
    assert _shared(*hidden, bits) == _shared(one, other, bits)


def test_columns_are_hidden_as_single_addresses_are() -> None:
    """A column of both families is the same as its addresses one by one, over chunk bounds."""
    lo = np.arange(9000, dtype=np.uint64) | np.uint64(0xFFFF_0A14_0000)
    hi = np.zeros(9000, np.uint64)
    hi[::3] = 0x2001_0DB8_0000_0000
    hidden = NAMES.addresses(hi, lo)
    back = NAMES.addresses(*hidden, reverse=True)
    assert (back[0] == hi).all()
    assert (back[1] == lo).all()


def test_a_row_tells_nobody() -> None:
    """Addresses, names, devices and sentences of a row are hidden, at any depth; sums stay."""
    row = {
        "ts": 1.5, "kind": "dns", "orig": "10.20.0.5", "resp": "10.20.0.53",
        "name": "maria.example", "user": "maria", "mac": "00:11:22:33:44:55",
        "answers": ["203.0.113.9", "c.maria.example"],
        "text": "maria logged in", "service": "HTTP/maria-pc", "count": 7,
        "network": "10.20.0.0/16", "new_key": "maria",
        "deep": {"user": "maria", "more": [{"orig": "10.20.0.5"}]},
    }  # fmt: skip
    (shown,) = NAMES.rows([row])
    text = msgspec.json.encode(shown).decode()
    assert "maria" not in text
    assert "10.20." not in text
    assert "00:11" not in text
    assert (shown["ts"], shown["kind"], shown["count"]) == (1.5, "dns", 7)
    assert shown["network"].endswith("/16")
    assert ipaddress.ip_address(shown["orig"]) in ipaddress.ip_network(shown["network"])


def test_a_community_id_is_not_the_true_one() -> None:
    """The hash of a flow's addresses could be tried out, so it is made of the pseudonyms."""
    flow = {"orig": "10.20.0.5", "orig_port": 1, "resp": "10.20.0.6", "resp_port": 2,
            "proto": "tcp", "community_id": "1:true"}  # fmt: skip
    first, again = NAMES.rows([flow, flow])
    assert first == again
    assert first["community_id"] not in {"1:true", ""}


def test_a_key_of_another_size_is_refused() -> None:
    """Anything but 32 bytes is no key."""
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonyms(b"short")
