"""The memory broker: what it promises, it promises once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simhost import guest, running
from xend.core.memory import Look, MemoryBroker
from xend.core.views import ServiceSettings
from xend.errors import (
    ConflictError,
    DomainNotFound,
    DomainStateError,
    OperationCancelled,
    ResourceError,
    XendError,
)
from xend.model.units import DOM0, Domid, KiB, kib


def ballooning(**more: object) -> ServiceSettings:
    values: dict[str, object] = {"close_grace": 0.0, "list_max_age": -1.0, "memory_wait": 1.0}
    return ServiceSettings(**(values | more))  # type: ignore[arg-type]


async def test_dom0_is_shrunk_when_that_is_allowed(tmp_path: Path) -> None:
    allowed = ballooning(dom0_ballooning=True, dom0_min_mem=kib(256))
    async with running(tmp_path, memory=kib(2048), settings=allowed) as host:
        await host.service.create(guest(mib=1500))
        assert host.machine.get(DOM0).memory == kib(2048) - kib(1500) - 1024
        with pytest.raises(ResourceError) as caught:
            await host.service.create(guest("big", mib=1000))
        needed = kib(1000) + 1024
        left = host.machine.get(DOM0).memory - kib(256)
        assert str(caught.value) == (
            f"I need {needed} KiB, but dom0_min_mem is {kib(256)} and shrinking to {kib(256)} "
            f"KiB would leave only {left} KiB free."
        )


async def test_memory_that_is_on_its_way_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path, memory=kib(2048)) as host:
        await host.service.create(guest("old", mib=900))
        old = host.machine.get(Domid(1))
        old.dying = True

        async def scrub() -> None:
            await host.clock.sleep(0.5)
            host.machine.remove(old)

        scrubbing = asyncio.create_task(scrub())
        await host.service.create(guest("new", mib=900))
        await scrubbing
        assert await host.names() == ["new"]


async def test_a_slow_dom0_is_waited_for_as_long_as_it_shrinks(tmp_path: Path) -> None:
    allowed = ballooning(dom0_ballooning=True, dom0_min_mem=kib(256))
    async with running(tmp_path, memory=kib(2048), settings=allowed) as host:
        dom0 = host.machine.get(DOM0)
        tasks: list[asyncio.Task[None]] = []

        async def shrink(target: KiB) -> None:
            while dom0.memory > target:
                await host.clock.sleep(0.5)
                dom0.memory -= kib(64)

        async def slowly(domid: Domid, target: KiB) -> None:
            if not tasks:
                tasks.append(asyncio.create_task(shrink(target)))

        host.hypervisor.set_memory_target = slowly  # type: ignore[method-assign]
        before = host.clock.monotonic()
        await host.service.create(guest(mib=1500))
        assert host.clock.monotonic() - before > 3  # `memory_wait` is 1.
        await asyncio.gather(*tasks)


async def test_what_is_promised_is_not_promised_again(tmp_path: Path) -> None:
    async with running(tmp_path, memory=kib(2048)) as host:
        broker = host.service._context.memory
        free = host.free
        await broker.reserve("one", await taking(free - 1000, broker))
        assert await broker.available() == 1000
        with pytest.raises(ResourceError) as caught:
            await broker.reserve("two", await taking(1001, broker))
        assert caught.value.fields == {"what": "memory", "needed": 1001, "available": 1000}
        broker.release("one")
        await broker.reserve("two", await taking(free, broker))


async def taking(kibs: int, broker: MemoryBroker) -> Look:
    look = await broker.look()
    return replace(look, outlook=replace(look.outlook, needed=KiB(kibs)))


async def test_a_look_counts_the_promises_of_now_and_none_is_relied_on_for_long(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, memory=kib(2048)) as host:
        broker = host.service._context.memory
        free = host.free
        early = await taking(free, broker)
        await broker.reserve("one", await taking(1000, broker))
        with pytest.raises(ResourceError):  # The promise was made after that look.
            await broker.reserve("two", early)
        broker.release("one")
        early = await taking(1000, broker)
        await host.service.create(guest("other", mib=(free - 1000) // 1024))
        with pytest.raises(ResourceError):  # A build has ended since that look.
            await broker.reserve("three", early)
        await host.service.destroy("other")
        early = await taking(1000, broker)
        host.machine.add(guest("stranger", mib=free // 1024))
        host.machine.get(Domid(2)).memory = free - 500
        await host.clock.sleep(2)
        with pytest.raises(ResourceError):  # It is old.
            await broker.reserve("four", early)


async def test_while_it_is_built_a_domain_is_counted_once(tmp_path: Path) -> None:
    async with running(tmp_path, memory=kib(2048)) as host:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def hold(operation: str, stage: str, domid: object) -> None:
            if (operation, stage) == ("create", "devices"):
                reached.set()
                await go_on.wait()

        host.hypervisor.faults = hold
        job = host.service.submit("create", guest("one", mib=500))
        await reached.wait()
        assert host.service._context.memory.promised
        # What it costs beside its own memory is held back until it is built.
        available = await host.service._context.memory.available()
        assert host.free - 1024 <= available <= host.free
        go_on.set()
        await job.wait()
        assert not host.service._context.memory.promised


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(min_value=1, max_value=600), min_size=2, max_size=12))
def test_creates_at_once_never_get_more_than_there_is(sizes: list[int]) -> None:
    async def run() -> None:
        with TemporaryDirectory() as folder:
            async with running(Path(folder), memory=kib(2048)) as host:
                host.hypervisor.latency = 0.01
                done = await asyncio.gather(
                    *(
                        host.service.create(guest(f"g{n}", mib=size))
                        for n, size in enumerate(sizes)
                    ),
                    return_exceptions=True,
                )
                # Whoever is refused is refused by the broker, never by a build that ran out.
                refused = [each for each in done if isinstance(each, BaseException)]
                assert all(isinstance(each, ResourceError) for each in refused), refused
                built = sum(
                    size for size, each in zip(sizes, done, strict=True) if each not in refused
                )
                assert host.free >= 0
                free = kib(1024) - kib(built) - 1024 * (len(sizes) - len(refused))
                assert host.free == free
                if refused:
                    smallest = min(
                        size for size, each in zip(sizes, done, strict=True) if each in refused
                    )
                    assert sum(sizes) > 1024 - len(sizes) or kib(smallest) > host.free

    asyncio.run(run())


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "create", "destroy", "reset"]),
        st.integers(min_value=0, max_value=5),
        st.integers(min_value=1, max_value=700),
        st.sampled_from([0.0, 0.0, 0.03, 0.2]),
    ),
    min_size=2,
    max_size=14,
)


@settings(max_examples=25, deadline=None)
@given(steps=_STEPS, least=st.sampled_from([256, 512, 900]))
def test_whatever_comes_and_goes_no_build_runs_out_of_what_it_was_promised(
    steps: list[tuple[str, int, int, float]], least: int
) -> None:
    """Creates, restarts and destroys at once, and a dom0 that may shrink."""

    async def run() -> None:
        allowed = ballooning(dom0_ballooning=True, dom0_min_mem=kib(least))
        with TemporaryDirectory() as folder:
            async with running(Path(folder), memory=kib(2048), settings=allowed) as host:
                host.hypervisor.latency = 0.01

                async def step(verb: str, number: int, size: int, after: float) -> None:
                    await host.clock.sleep(after)
                    if verb == "create":
                        await host.service.create(guest(f"g{number}", mib=size))
                    elif verb == "destroy":
                        await host.service.destroy(f"g{number}")
                    else:
                        await host.service.reset(f"g{number}")

                done = await asyncio.gather(*(step(*one) for one in steps), return_exceptions=True)
                failures = [one for one in done if isinstance(one, BaseException)]
                expected: tuple[type[XendError], ...] = (
                    ResourceError,
                    ConflictError,
                    DomainNotFound,
                    DomainStateError,
                    OperationCancelled,
                )
                assert all(isinstance(one, expected) for one in failures), failures
                assert host.free >= 0
                assert host.machine.get(DOM0).memory >= kib(least)
                assert not host.service._context.memory.promised
                assert await host.service._context.memory.available() == host.free

    asyncio.run(run())
