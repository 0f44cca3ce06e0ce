"""Answers that the kernel could not deliver: found out, done again, told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.firewall.transport import UnansweredError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.firewall import Firewall

NOTHING = 0xFFFF


def deafen(firewall: Firewall) -> None:
    """Have the kernel drop every answer on the way to this socket, as one without memory does."""
    firewall._socket.pass_only(NOTHING)


@pytest.mark.parametrize("first", [True, False])
def test_a_lost_answer_is_made_good(site: Any, policy: Callable[..., Any], first: bool) -> None:
    """A load and a difference of which no answer comes: the kernel holds what was wanted."""
    wanted = policy("enforce", ["192.0.2.0/24", "198.51.100.7"])
    with site.firewall() as firewall:
        if not first:
            firewall.apply(policy("enforce", ["192.0.2.0/24"]), 1000.0)
        commit = firewall._socket.transact

        def deaf(parts: Any) -> None:
            deafen(firewall)
            commit(parts)

        firewall._socket.transact = deaf
        firewall.apply(wanted, 1000.0)
        assert not firewall.diff(wanted, 1000.0)
        assert firewall.check(1000.0)
        assert firewall.status().lost_answers == 1
        assert firewall.apply(wanted, 1000.0).messages == 0


def test_a_socket_that_never_answers_is_an_error(site: Any) -> None:
    """Without an answer it is not known what holds: that is said, not guessed."""
    with site.firewall() as firewall:
        deafen(firewall)
        with pytest.raises(UnansweredError, match="did not answer an nf_tables transaction"):
            firewall._socket.transact([site_table()])
    assert "table inet answered" in site.nft("list", "tables")


def site_table() -> bytes:
    """Return the message that makes a table."""
    from ipwatchd.firewall import codec
    from ipwatchd.firewall.codec import CREATE, Nft

    return codec.message(Nft.NEWTABLE, CREATE, codec.text(1, "answered"), codec.u32(2, 0))
