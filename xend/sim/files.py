"""`ports.HostFiles` for the simulator: kernels, disks and bridges are there unless said otherwise,
so that any configuration can be tried on any machine; what xend itself writes is real."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from xend.core.ports import HostFiles, Userdata


class SimFiles:
    def __init__(
        self,
        real: HostFiles,
        *,
        missing: Iterable[str] = (),
        bridges: Iterable[str] | None = None,
    ) -> None:
        """`bridges` None: every bridge exists."""
        self._real = real
        self.missing = {*map(str, missing)}
        self.left_behind: list[Userdata] = []
        """What `userdata` finds, as long as it is there."""
        self.bridges = None if bridges is None else set(bridges)

    async def exists(self, path: Path) -> bool:
        return str(path) not in self.missing

    async def bridge_exists(self, bridge: str) -> bool:
        return self.bridges is None or bridge in self.bridges

    async def reason_unreadable(self, path: Path) -> str:
        if path.suffix == ".save" or await self._real.exists(path):
            return await self._real.reason_unreadable(path)
        return "No such file or directory" if str(path) in self.missing else ""

    async def reason_unwritable(self, path: Path) -> str:
        return await self._real.reason_unwritable(path)

    async def make_directory(self, path: Path) -> None:
        await self._real.make_directory(path)

    async def remove(self, path: Path) -> None:
        await self._real.remove(path)

    async def rename(self, old: Path, new: Path) -> None:
        await self._real.rename(old, new)

    async def userdata(self) -> Sequence[Userdata]:
        return [each for each in self.left_behind if await self._real.exists(each.path)]

    async def end_watchers(self, name: str) -> list[int]:
        return []

    async def is_plain(self, path: Path) -> bool:
        return await self._real.is_plain(path)
