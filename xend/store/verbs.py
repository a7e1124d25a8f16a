"""What can be asked of XenStore, in or out of a transaction, in terms of one request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from xend.errors import XenStoreConflict, XenStoreMissing, XenStoreQuota
from xend.store import wire
from xend.store.wire import Op

_PAGING_TRIES = 3


class Verbs(ABC):
    """Implements `ports.XenStoreWriter`."""

    @abstractmethod
    async def _request(self, op: Op, payload: bytes, path: str) -> bytes:
        """The answer's payload; `path` is for the error's text."""

    async def read(self, path: str) -> str:
        return wire.decode_text(await self._request(Op.READ, wire.strings(path), path))

    async def read_or(self, path: str, default: str | None = None) -> str | None:
        try:
            return await self.read(path)
        except XenStoreMissing:
            return default

    async def exists(self, path: str) -> bool:
        return await self.read_or(path) is not None

    async def write(self, path: str, value: str) -> None:
        await self._request(Op.WRITE, wire.write_payload(path, value), path)

    async def mkdir(self, path: str) -> None:
        await self._request(Op.MKDIR, wire.strings(path), path)

    async def remove(self, path: str) -> None:
        await self._request(Op.RM, wire.strings(path), path)

    async def get_permissions(self, path: str) -> list[str]:
        return wire.names(await self._request(Op.GET_PERMS, wire.strings(path), path))

    async def set_permissions(self, path: str, permissions: Sequence[str]) -> None:
        await self._request(Op.SET_PERMS, wire.strings(path, *permissions), path)

    async def directory(self, path: str) -> list[str]:
        """In the order xenstored keeps them: of creation (C xenstored)."""
        try:
            return wire.names(await self._request(Op.DIRECTORY, wire.strings(path), path))
        except XenStoreQuota as error:
            # The names do not fit one answer (docs/misc/xenstore.txt, DIRECTORY_PART).
            if error.fields["errno_name"] != "E2BIG" or error.fields["limit"] == "payload":
                raise
        for _ in range(_PAGING_TRIES):
            names = await self._pages(path)
            if names is not None:
                return names
        return await self._changing_directory(path)

    async def _changing_directory(self, path: str) -> list[str]:
        """Its children changed under our hands every time."""
        raise XenStoreConflict(operation="directory", path=path, errno_name="EAGAIN")

    async def _pages(self, path: str) -> list[str] | None:
        """None when the directory changed between two pages."""
        found = b""
        generation: bytes | None = None
        while True:
            request = wire.strings(path, str(len(found)))
            part = wire.directory_part(await self._request(Op.DIRECTORY_PART, request, path))
            if generation not in (None, part.generation):
                return None
            generation = part.generation
            found += part.names
            if part.last:
                return wire.names(found)
            if not part.names:
                return None
