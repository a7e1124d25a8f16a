"""Files of the host that a client names: opened only where the configuration allows.

There are two kinds.  *Files* are what an operation itself reads or writes (a saved memory, a core,
a copy of another host's directory): below `xend-rest-paths`, for everybody.  *Images* are what a
configuration names for a guest (disks, kernels, boot loaders, scripts): below
`xend-rest-image-paths`, for everybody but root of this very host, who can open them anyway.

Links are followed: what counts is where a file is, and that is what is opened.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from fastapi import Depends
from starlette.requests import HTTPConnection

from xend.api.rest.access import Caller
from xend.core.access import Role
from xend.errors import InvalidArgument, PermissionDenied

Roots: TypeAlias = tuple[Path, ...]

_DEV: Final = Path("/dev")
_DRIVE: Final = re.compile(r"sr\d+|scd\d+|cdrom\d*|dvd\d*")
_TEXTS: Final = frozenset(
    ("name", "description", "cmdline", "uuid", "features", "vncpasswd", "pool", "bridge", "mac")
)
"""Fields that name no file, whatever is in them."""
_FILES: Final = frozenset(("kernel", "ramdisk", "bootloader", "script", "path"))
"""Fields whose whole text is the name of a file."""
_LOCAL: Final = frozenset(("", "file", "phy", "tap", "tap2"))
_WITHIN: Final = re.compile(r"(?:^|[\s=:,;\"'(])(/[^\s,:;\"')]*)")
"""Where a longer text (`file:/x`, `-drive file=/x,if=none`) names one."""
_OUTPUT: Final = re.compile(r"--?o(?:utput\S*)?[=\s]+(\S+)")
"""What a boot loader would write; what else its arguments name is in the guest's disk."""


class AllowedPaths:
    """Below which directories a client may name a file; asked at each request, so that a reload
    counts."""

    def __init__(self, files: Callable[[], Roots], images: Callable[[], Roots]) -> None:
        self._files = files
        self._images = images
        self._local_admins = frozenset({0, os.geteuid()})

    async def to_read(self, path: Path) -> Path:
        """Where it really is.  InvalidArgument or PermissionDenied."""
        return await asyncio.to_thread(self._named, path, _unreadable)

    async def to_write(self, path: Path) -> Path:
        """As `to_read`; it need not be there, but its directory must."""
        return await asyncio.to_thread(self._named, path, _unwritable)

    async def folder(self, path: Path) -> Path:
        """As `to_read`, of a directory."""
        return await asyncio.to_thread(self._named, path, _no_folder)

    async def check_images(
        self, caller: Caller, document: Mapping[str, Any], known: Mapping[str, Any] | None = None
    ) -> None:
        """PermissionDenied names the first file of a configuration, or of a part of one, that lies
        elsewhere.  What `known` names was allowed when it came."""
        if caller.uid in self._local_admins:
            return
        had = {path for _pointer, path in named_in(known)} if known is not None else set()
        wanted = [(pointer, path) for pointer, path in named_in(document) if path not in had]
        if wanted:
            await asyncio.to_thread(self._check_images, wanted, caller.role)

    def _named(self, path: Path, obstacle: Callable[[Path], str]) -> Path:
        if not path.is_absolute():
            raise _wrong(path, "is not absolute", "an absolute path on the host")
        real = _real(path)
        roots = _expanded(self._files())
        if not any(real.is_relative_to(root) for root in roots):
            raise _elsewhere(path, self._files(), "/path", "xend-rest-paths")
        reason = obstacle(real)
        if reason:
            raise _wrong(path, reason, "a file that can be used for this")
        return real

    def _check_images(self, wanted: Sequence[tuple[str, str]], role: Role) -> None:
        roots = _expanded(self._images())
        for pointer, text in wanted:
            path = Path(text)
            real = _real(path, pointer)
            below = any(real.is_relative_to(root) for root in roots)
            if real.is_relative_to(_DEV):
                # Links there are udev's: /dev/vg0/root is allowed by its name, too.
                plain = Path(os.path.normpath(path))
                below = below or any(plain.is_relative_to(root) for root in roots)
                if role < Role.ADMIN and not _DRIVE.fullmatch(real.name):
                    below = False  # a whole disk of the host
            if not below:
                raise _elsewhere(path, self._images(), pointer, "xend-rest-image-paths")


def named_in(document: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """(JSON pointer, absolute path) of each file of the host that a configuration, or one of its
    devices, names."""
    if isinstance(document, Mapping):
        local = _is_local(document.get("scheme"))
        for name, value in document.items():
            here = f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
            if not isinstance(value, str):
                yield from named_in(value, here)
            elif name in _FILES:
                text = _whole(name, value, str(document.get("scheme") or "")) if local else None
                if text:
                    yield here, text
            elif name == "bootloader_args":
                yield from ((here, _absolute(found)) for found in _OUTPUT.findall(value))
            elif name not in _TEXTS:
                yield from ((here, found) for found in _in_text(value))
    elif isinstance(document, list | tuple):
        for place, value in enumerate(document):
            here = f"{pointer}/{place}"
            if isinstance(value, str):
                yield from ((here, found) for found in _in_text(value))
            else:
                yield from named_in(value, here)


def _is_local(scheme: Any) -> bool:
    """Of a disk: not `nbd:host:port` and the like.  Everything else is without a scheme."""
    driver, _, form = str(scheme or "").partition(":")
    return driver in _LOCAL and form != "nbd"


def _whole(name: str, value: str, scheme: str) -> str | None:
    if name == "path" and scheme == "phy" and value and not value.startswith("/"):
        return f"/dev/{value}"
    if "/" in value or (name == "path" and value):
        return _absolute(value)
    return None  # `pygrub`, `vif-bridge`: where Xen has them


def _absolute(text: str) -> str:
    return text if text.startswith("/") else f"/{text}"


def _in_text(text: str) -> Iterator[str]:
    if text.startswith("/"):
        yield text
    yield from _WITHIN.findall(text)


def _expanded(roots: Roots) -> list[Path]:
    """Real directories; `*` stands for what there is (/usr/lib/xen-4.17)."""
    return [
        found.resolve()
        for root in roots
        for found in (Path("/").glob(str(root)[1:]) if "*" in str(root) else [root])
    ]


def _real(path: Path, pointer: str = "/path") -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        reason = "links lead in a circle" if isinstance(error, RuntimeError) else str(error)
        raise _wrong(path, f"is no path: {reason}", "a path on the host", pointer) from error


def _wrong(path: Path, reason: str, expected: str, pointer: str = "/path") -> InvalidArgument:
    name = pointer.removeprefix("/").replace("/", ".")
    return InvalidArgument(
        f"{name}: '{path}' {reason}", argument=name, value=str(path), expected=expected
    )


def _elsewhere(path: Path, roots: Roots, pointer: str, option: str) -> PermissionDenied:
    return PermissionDenied(
        f"{path} is not below a directory that {option} names",
        path=str(path),
        pointer=pointer,
        option=option,
        allowed=[str(root) for root in roots],
    )


def _unreadable(path: Path) -> str:
    try:
        if not path.exists():
            return "is not there"
        return "" if path.is_file() or path.is_block_device() else "is not a file"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _unwritable(path: Path) -> str:
    try:
        if path.exists():
            return "" if path.is_file() or path.is_block_device() else "is not a file"
        return "" if path.parent.is_dir() else "is in a directory that is not there"
    except OSError as error:
        return f"cannot be written: {error.strerror}"


def _no_folder(path: Path) -> str:
    return "" if path.is_dir() else "is not a directory"


async def paths_of(connection: HTTPConnection) -> AllowedPaths:
    found: AllowedPaths = connection.app.state.paths
    return found


Paths = Annotated[AllowedPaths, Depends(paths_of)]
