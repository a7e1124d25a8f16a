"""Memory is promised once, on real Xen: creates at once, ours and xl's, and a dom0 that shrinks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.lab.conftest import SETTLE, free_memory, run
from tests.lab.test_core_ownership import THEIRS, theirs
from tests.lab.test_core_service import XenHost, hosting, tiny
from xend.core.views import DomainView
from xend.errors import ResourceError
from xend.model.units import DOM0, kib

pytestmark = pytest.mark.lab


async def _free(host: XenHost) -> int:
    """MiB."""
    return int((await host.service.host()).free_memory) // 1024


async def test_creates_at_once_never_get_more_than_there_is(tmp_path: Path) -> None:
    """Five, of which two fit: the others are refused before they begin, not in the middle."""
    async with hosting(tmp_path, memory_wait=0.5, parallel_builds=4) as host:
        before = await asyncio.to_thread(free_memory)
        each = (await _free(host) - 64) // 5 * 2
        outstanding: set[int] = set()

        async def watch() -> None:
            while True:
                for info in await host.hypervisor.list_domains():
                    outstanding.add(int(info.outstanding))
                await asyncio.sleep(0.01)

        watching = asyncio.create_task(watch())
        done = await asyncio.gather(
            *(host.service.create(tiny(f"g{n}", memory=kib(each)), paused=True) for n in range(5)),
            return_exceptions=True,
        )
        watching.cancel()
        await asyncio.wait([watching])
        built = [one for one in done if isinstance(one, DomainView)]
        refused = [one for one in done if not isinstance(one, DomainView)]
        assert len(built) == 2, done
        assert all(isinstance(one, ResourceError) for one in refused), refused
        assert max(outstanding) > 0, "Xen was never asked to set memory aside"
        print(f"each wanted {each} MiB; claimed at most {max(outstanding) // 1024} MiB")
        for view in built:
            await host.service.destroy(view.uuid)

        async def back() -> bool:
            return await asyncio.to_thread(free_memory) >= before - 1

        await host.until(back, SETTLE)


async def test_against_xl_one_wins_and_the_other_is_refused_cleanly(tmp_path: Path) -> None:
    async with hosting(tmp_path, memory_wait=0.5) as host:
        before = await asyncio.to_thread(free_memory)
        size = (await _free(host) - 64) // 3 * 2
        config = theirs(tmp_path, memory=size)
        process = await asyncio.create_subprocess_exec(
            "xl", "create", "-e", "-q", "-p", config,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        [mine] = await asyncio.gather(
            host.service.create(tiny(memory=kib(size)), paused=True), return_exceptions=True
        )
        theirs_won = await process.wait() == 0
        assert theirs_won != isinstance(mine, DomainView), mine
        names = {view.name for view in await host.service.list() if view.domid}
        assert len(names) == 1
        for view in await host.service.list():
            if view.domid:
                await host.service.destroy(view.uuid)
        assert THEIRS not in run("xl", "list").stdout

        async def back() -> bool:
            return await asyncio.to_thread(free_memory) >= before - 1

        await host.until(back, SETTLE)


async def test_dom0_makes_room_down_to_its_minimum(tmp_path: Path) -> None:
    settings = {"dom0_ballooning": True, "dom0_min_mem": kib(640), "memory_wait": 30.0}
    async with hosting(tmp_path, **settings) as host:
        dom0 = int((await host.hypervisor.domain(DOM0)).memory)
        try:
            free = await _free(host)
            view = await host.service.create(tiny(memory=kib(free + 48)), paused=True)
            shrunk = int((await host.hypervisor.domain(DOM0)).memory)
            print(f"dom0 {dom0 // 1024} -> {shrunk // 1024} MiB for {free + 48} MiB")
            assert dom0 - kib(128) < shrunk <= dom0 - kib(40)
            with pytest.raises(ResourceError, match="dom0_min_mem is 655360 and shrinking"):
                await host.service.create(tiny("more", memory=kib(4096)))
            assert view.domid is not None
            await host.service.destroy(view.uuid)
        finally:
            run("xl", "mem-set", "0", f"{dom0 // 1024}M")

        async def back() -> bool:
            return int((await host.hypervisor.domain(DOM0)).memory) >= dom0 - kib(8)

        await host.until(back, SETTLE)
