"""What a stream dissector answers to the bytes it was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.records.event import AnyEvent

__all__ = ["BAD", "DONE", "MORE", "Step"]


class Step(NamedTuple):
    """Events found, how many bytes they took (may reach past what was shown), what comes next.

    `wait` asks for more bytes, `done` for none ever, `bad` says that this is another protocol;
    `become` is the protocol that the rest speaks; `rich` are messages for the rich child, by kind.
    """

    events: Sequence[AnyEvent] = ()
    consumed: int = 0
    wait: bool = False
    done: bool = False
    bad: bool = False
    become: str = ""
    rich: Sequence[tuple[str, bytes]] = ()


MORE: Final = Step(wait=True)
DONE: Final = Step(done=True)
BAD: Final = Step(done=True, bad=True)
