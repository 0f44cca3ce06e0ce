"""The child's own code, imported as the child imports it."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture(scope="session")
def child() -> Any:
    """Return the child's readers; what scapy warns of while it is imported is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ipwatchd.capture.rich.child import protocols
    return protocols


@pytest.fixture(scope="session")
def scapy(child: Any) -> Any:
    """Return the layers that build messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scapy.contrib import lldp
        from scapy.layers import kerberos, ldap, ntlm, radius
        from scapy.layers.l2 import Ether
        from scapy.packet import fuzz
    return SimpleNamespace(
        ether=Ether, fuzz=fuzz, kerberos=kerberos, ldap=ldap, lldp=lldp, ntlm=ntlm, radius=radius
    )
