"""A paravirtual kernel of a few dozen bytes, written here as an ELF file.

Without an argument it sleeps for ever (SCHEDOP_poll on nothing); with a digit as its command line
it ends at once with that reason (SCHEDOP_shutdown: 0 poweroff, 1 reboot, 3 crash).  Numbers are
those of xen/include/public/{xen,sched,elfnote}.h; a 64-bit guest enters Xen by `syscall`.
"""

from __future__ import annotations

import struct
from pathlib import Path

BASE = 0xFFFFFFFF80000000
_HEADERS = 0x1000
"""The code begins one page into the file."""

CODE = bytes.fromhex(
    "0fb686 80000000"  # movzx eax, byte [rsi+128]    cmd_line of start_info
    "83e8 30"  # sub eax, '0'
    "83f8 05"  # cmp eax, 5
    "77 19"  # ja sleep
    "8905 2b000000"  # mov [reason], eax
    "bf 02000000"  # mov edi, SCHEDOP_shutdown
    "488d35 1f000000"  # lea rsi, [reason]
    "b8 1d000000"  # mov eax, __HYPERVISOR_sched_op
    "0f05"  # syscall
    # sleep:
    "bf 03000000"  # mov edi, SCHEDOP_poll
    "488d35 14000000"  # lea rsi, [poll]
    "b8 1d000000"  # mov eax, __HYPERVISOR_sched_op
    "0f05"  # syscall
    "eb eb"  # jmp sleep
)
_DATA = 0x48 + 24
"""`reason` is at 0x40, `poll` (no ports, no timeout) at 0x48."""


def _note(kind: int, value: bytes) -> bytes:
    padded = value + bytes(-len(value) % 4)
    return struct.pack("<III", 4, len(value), kind) + b"Xen\0" + padded


def elf() -> bytes:
    notes = b"".join(
        [
            _note(6, b"tiny\0"),
            _note(5, b"xen-3.0\0"),
            _note(8, b"generic\0"),
            _note(1, struct.pack("<Q", BASE)),
            _note(3, struct.pack("<Q", BASE)),
            _note(4, struct.pack("<Q", 0)),
        ]
    )
    notes_at = 0x200
    code = CODE.ljust(_DATA, b"\0")
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, BASE, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, _HEADERS, BASE, 0, len(code), 0x1000, 0x1000)
    note = struct.pack("<IIQQQQQQ", 4, 4, notes_at, 0, 0, len(notes), len(notes), 4)
    head = (header + load + note).ljust(notes_at, b"\0") + notes
    return head.ljust(_HEADERS, b"\0") + code


def write(path: Path) -> Path:
    path.write_bytes(elf())
    return path
