"""Kernels and initial RAM disks as Xen starts them fastest: not compressed at all.

Decompression runs under emulation, where it costs seconds at each boot.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import LabError

XZ_MAGIC = b"\xfd7zXZ\x00"
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ELF_MAGIC = b"\x7fELF"

# The setup header of a bzImage (Linux, Documentation/arch/x86/boot.rst).
SETUP_SECTS = 0x1F1
HEADER_MAGIC = 0x202
PAYLOAD = 0x248
SECTOR = 512

ELF_HEADER = 64
PT_LOAD = 1
PAGE = 4096


def vmlinux_of(image: bytes, name: str = "kernel") -> bytes:
    """The ELF file inside a bzImage."""
    if image[HEADER_MAGIC : HEADER_MAGIC + 4] != b"HdrS":
        raise LabError(f"{name} is not a bzImage")
    setup_sects = image[SETUP_SECTS] or 4
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    start = (setup_sects + 1) * SECTOR + offset
    payload = image[start : start + length]
    elf = _decompress(payload, name)
    if not elf.startswith(ELF_MAGIC):
        raise LabError(f"the payload of {name} is not an ELF file")
    return elf


def slim_elf(elf: bytes) -> bytes:
    """The same kernel in half the bytes.

    A distribution's vmlinux carries its zeroed memory and 2 MiB of padding per
    segment as bytes of the file.  Loaders clear what a segment's file part does
    not cover, so neither has to be read, copied and copied again at each boot.
    """
    header = bytearray(elf[:ELF_HEADER])
    table, entry_size, count = (
        struct.unpack_from("<Q", elf, 32)[0],
        *struct.unpack_from("<HH", elf, 54),
    )
    struct.pack_into("<Q", header, 32, ELF_HEADER)
    struct.pack_into("<Q", header, 40, 0)
    struct.pack_into("<HHH", header, 58, 0, 0, 0)
    programs: list[list[int]] = [
        list(struct.unpack_from("<IIQQQQQQ", elf, table + number * entry_size))
        for number in range(count)
    ]
    body = bytearray()
    moved: list[tuple[int, int, int]] = []
    start = _page_up(ELF_HEADER + count * entry_size)
    for program in programs:
        kind, _, offset, _, _, size, _, _ = program
        if kind != PT_LOAD:
            continue
        data = elf[offset : offset + size].rstrip(b"\0")
        new = start + len(body)
        moved.append((offset, size, new))
        program[2], program[5] = new, len(data)
        program[7] = PAGE
        body += data + b"\0" * (_page_up(len(data)) - len(data))
    for program in programs:
        if program[0] == PT_LOAD:
            continue
        for offset, size, new in moved:
            if offset <= program[2] < offset + size:
                program[2] += new - offset
                break
    packed = b"".join(struct.pack("<IIQQQQQQ", *program) for program in programs)
    head = bytes(header) + packed
    return head + b"\0" * (start - len(head)) + bytes(body)


def _page_up(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _decompress(payload: bytes, name: str) -> bytes:
    if payload.startswith(XZ_MAGIC):
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(payload)
    if payload.startswith(GZIP_MAGIC):
        return gzip.decompress(payload[:-4])
    if payload.startswith(ZSTD_MAGIC):
        # Four bytes of length follow the stream, which zstd complains about at its end.
        done = subprocess.run(["zstd", "-dc"], input=payload, capture_output=True, check=False)
        return done.stdout
    raise LabError(f"{name} is compressed in a way that the lab does not know")


@dataclass(frozen=True)
class Entry:
    """One file, folder, link or device of a RAM disk."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(name: str) -> Entry:
    """A folder."""
    return Entry(name, 0o040755)


def file(name: str, data: bytes, executable: bool = False) -> Entry:
    """A regular file."""
    return Entry(name, 0o100755 if executable else 0o100644, data)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, 0o120777, target.encode())


def character_device(name: str, major: int, minor: int) -> Entry:
    """A character device: writing the archive ourselves makes them without being root."""
    return Entry(name, 0o020600, device=(major, minor))


def cpio(entries: Iterable[Entry]) -> bytes:
    """A "newc" archive, the format of Linux's initial RAM disks, owned by root."""
    parts: list[bytes] = []
    for number, entry in enumerate(entries, start=1):
        parts.append(_record(number, entry))
    parts.append(_record(0, Entry("TRAILER!!!", 0)))
    return b"".join(parts)


def _record(number: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if entry.mode & 0o170000 == 0o040000 else 1
    fields = (
        number,
        entry.mode,
        0,
        0,
        links,
        0,
        len(entry.data),
        0,
        0,
        *entry.device,
        len(name),
        0,
    )
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _module_name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")


def module_order(modules: Path, wanted: Iterable[str]) -> list[Path]:
    """Paths of modules and of what they need, in the order to load them.

    Read from modules.dep, whose lines are "module: needed needed ...", the
    nearest need first.  What the kernel has built in needs no loading.
    """
    needs: dict[str, list[str]] = {}
    path_of: dict[str, str] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
        path_of[_module_name(path)] = path
    list_of_builtins = modules / "modules.builtin"
    builtin = (
        {_module_name(line) for line in list_of_builtins.read_text().splitlines()}
        if list_of_builtins.exists()
        else set()
    )
    order: list[str] = []
    for name in wanted:
        found = path_of.get(_module_name(name))
        if found is None:
            if _module_name(name) in builtin:
                continue
            raise LabError(f"dom0's kernel has no module {name!r}")
        for path in [*reversed(needs[found]), found]:
            if path not in order:
                order.append(path)
    return [modules / path for path in order]


def loadable(modules: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """The same as files by name, as busybox's insmod takes them: it knows no compressed ones."""
    found: dict[str, bytes] = {}
    for path in module_order(modules, wanted):
        data = path.read_bytes()
        if path.suffix == ".xz":
            found[path.stem] = lzma.decompress(data)
        else:
            found[path.name] = data
    return found
