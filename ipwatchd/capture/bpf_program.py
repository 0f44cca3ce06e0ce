"""An assembler of classic BPF: labels instead of distances, names instead of codes.

Names and numbers: linux/bpf_common.h. A conditional jump reaches 255 instructions, so that each
goes through a jump that has no such limit.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Instruction", "Program", "packed"]

_LD_W_IND: Final = 0x40
_LD_H_ABS, _LD_H_IND = 0x28, 0x48
_LD_B_ABS, _LD_B_IND = 0x30, 0x50
_LD_MEM, _LDX_MEM, _LDX_IMM = 0x60, 0x61, 0x01
_ST: Final = 0x02
_ADD_K, _ADD_X, _SUB_X, _AND_K, _LSH_K, _RSH_K = 0x04, 0x0C, 0x1C, 0x54, 0x64, 0x74
_JA, _JEQ_K, _JEQ_X, _JGT_K, _JGE_K, _JSET_K = 0x05, 0x15, 0x1D, 0x25, 0x35, 0x45
_TAX, _TXA = 0x07, 0x87
_RET_K, _RET_A = 0x06, 0x16
_FAR: Final = 255
_LONGEST: Final = 4096  # BPF_MAXINSNS


class Instruction(NamedTuple):
    """struct sock_filter."""

    code: int
    jt: int
    jf: int
    k: int


def packed(program: Sequence[Instruction]) -> bytes:
    """Return a program as the kernel takes it: an array of struct sock_filter."""
    return b"".join(struct.pack("=HBBI", *one) for one in program)


class Program:
    """A program being written. A is the accumulator, X the index; loads with `indirect` add X."""

    def __init__(self) -> None:
        self._lines: list[Instruction] = []
        self._labels: dict[str, int] = {}
        self._far: dict[int, str] = {}

    def assemble(self) -> list[Instruction]:
        """Return the instructions; every jump goes forward."""
        lines = list(self._lines)
        for place, label in self._far.items():
            distance = self._labels[label] - place - 1
            if distance < 0:
                raise ValueError(f"the jump at {place} to {label} goes back")
            lines[place] = Instruction(_JA, 0, 0, distance)
        if len(lines) > _LONGEST:
            raise ValueError(f"a filter of {len(lines)} instructions: the kernel takes {_LONGEST}")
        return lines

    def _put(self, code: int, k: int = 0, jt: int = 0, jf: int = 0) -> None:
        self._lines.append(Instruction(code, jt, jf, k))

    def label(self, name: str) -> None:
        """Name the next instruction."""
        if name in self._labels:
            raise ValueError(f"label {name} is there twice")
        self._labels[name] = len(self._lines)

    def word(self, at: int, *, indirect: bool) -> None:
        """Load 32 bits into A; a load beyond the packet drops it."""
        if not indirect:
            raise ValueError("words are loaded by X alone")
        self._put(_LD_W_IND, at)

    def half(self, at: int, *, indirect: bool = False) -> None:
        """Load 16 bits into A."""
        self._put(_LD_H_IND if indirect else _LD_H_ABS, at)

    def byte(self, at: int, *, indirect: bool = False) -> None:
        """Load 8 bits into A."""
        self._put(_LD_B_IND if indirect else _LD_B_ABS, at)

    def store(self, cell: int) -> None:
        """Put A into scratch memory."""
        self._put(_ST, cell)

    def load(self, cell: int) -> None:
        """Get A from scratch memory."""
        self._put(_LD_MEM, cell)

    def load_x(self, cell: int) -> None:
        """Get X from scratch memory."""
        self._put(_LDX_MEM, cell)

    def set_x(self, value: int) -> None:
        """Set X to a number."""
        self._put(_LDX_IMM, value)

    def copy_x(self) -> None:
        """Set A to X."""
        self._put(_TXA)

    def move_to_x(self) -> None:
        """Set X to A."""
        self._put(_TAX)

    def step(self, count: int) -> None:
        """Add to X; A is lost."""
        self._put(_TXA)
        self._put(_ADD_K, count)
        self._put(_TAX)

    def add(self, value: int) -> None:
        """Add a number to A."""
        self._put(_ADD_K, value)

    def add_x(self) -> None:
        """Add X to A."""
        self._put(_ADD_X)

    def subtract_x(self) -> None:
        """Take X from A."""
        self._put(_SUB_X)

    def and_(self, mask: int) -> None:
        """Keep these bits of A."""
        self._put(_AND_K, mask)

    def shift_left(self, bits: int) -> None:
        """Shift A left."""
        self._put(_LSH_K, bits)

    def shift_right(self, bits: int) -> None:
        """Shift A right."""
        self._put(_RSH_K, bits)

    def keep(self, size: int) -> None:
        """End: keep so many bytes of the packet; 0 drops it."""
        self._put(_RET_K, size)

    def keep_a(self) -> None:
        """End: keep A bytes of the packet."""
        self._put(_RET_A)

    def goto(self, label: str) -> None:
        """Jump."""
        self._far[len(self._lines)] = label
        self._put(_JA)

    def _test(self, code: int, k: int, label: str, *, unless: bool = False) -> None:
        self._put(code, k, jt=1 if unless else 0, jf=0 if unless else 1)
        self.goto(label)

    def goto_if(self, value: int, label: str) -> None:
        """Jump where A is a number."""
        self._test(_JEQ_K, value, label)

    def goto_unless(self, value: int, label: str) -> None:
        """Jump where A is not a number."""
        self._test(_JEQ_K, value, label, unless=True)

    def goto_if_x(self, label: str) -> None:
        """Jump where A is X."""
        self._test(_JEQ_X, 0, label)

    def goto_if_set(self, mask: int, label: str) -> None:
        """Jump where A has any of these bits."""
        self._test(_JSET_K, mask, label)

    def goto_unless_set(self, mask: int, label: str) -> None:
        """Jump where A has none of these bits."""
        self._test(_JSET_K, mask, label, unless=True)

    def goto_below(self, value: int, label: str) -> None:
        """Jump where A is less than a number."""
        self._test(_JGE_K, value, label, unless=True)

    def goto_above(self, value: int, label: str) -> None:
        """Jump where A is greater than a number."""
        self._test(_JGT_K, value, label)

    def _any(self, values: Sequence[int], beyond: int) -> None:
        """Test for each; the first that is A jumps `beyond` instructions behind the last test."""
        if len(values) + beyond > _FAR:
            raise ValueError(f"{len(values)} values are more than a jump reaches over")
        for left, value in zip(range(len(values) - 1, -1, -1), values, strict=True):
            self._put(_JEQ_K, value, jt=left + beyond)

    def goto_if_any(self, values: Sequence[int], label: str) -> None:
        """Jump where A is one of these."""
        self._any(values, 1)
        self._put(_JA, 1)
        self.goto(label)

    def goto_unless_any(self, values: Sequence[int], label: str) -> None:
        """Jump where A is none of these."""
        self._any(values, 1)
        self.goto(label)
