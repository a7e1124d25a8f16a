"""The simulator against the real xenstored, operation by operation; the decoder against noise."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.contract.xenstored.daemon import RealXenstored, build_shim
from xend.core.ports import XenStore, XenStoreWatch, XenStoreWriter
from xend.errors import XenStoreConflict, XenStoreError
from xend.sim.xenstore import SimXenStore
from xend.sim.xenstored import SimXenstored
from xend.store import wire
from xend.store.client import XenStoreClient

# -- the decoder ----------------------------------------------------------------------------------


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        yield data[start:end]


def decode(chunks: Iterator[bytes]) -> tuple[list[wire.Packet], bool]:
    """(packets, whether the stream made sense)."""
    decoder = wire.Decoder()
    found: list[wire.Packet] = []
    try:
        for chunk in chunks:
            found.extend(decoder.feed(chunk))
    except wire.WireError:
        return found, False
    assert decoder.pending < wire.HEADER.size + wire.PAYLOAD_MAX
    return found, True


packets = st.builds(
    wire.Packet,
    st.sampled_from(wire.Op),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=100),
)
cutting = st.lists(st.integers(0, 5000), max_size=12)


def on_the_wire(packet: wire.Packet) -> bytes:
    header = (packet.op, packet.request, packet.transaction, len(packet.payload))
    return wire.HEADER.pack(*header) + packet.payload


@given(st.lists(packets, max_size=8), cutting)
def test_any_cut_of_a_good_stream_gives_the_same_packets(
    sent: list[wire.Packet], cuts: list[int]
) -> None:
    assert decode(pieces(b"".join(map(on_the_wire, sent)), cuts)) == (sent, True)


@given(st.binary(max_size=300), cutting)
def test_noise_is_packets_or_an_error_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    whole, sense = decode(iter([data]))
    cut, cut_sense = decode(pieces(data, cuts))
    assert (cut, cut_sense) == (whole, sense)


@given(st.lists(packets, min_size=1, max_size=4), st.data())
def test_a_truncated_stream_gives_what_was_complete(
    sent: list[wire.Packet], data: st.DataObject
) -> None:
    stream = b"".join(map(on_the_wire, sent))
    length = data.draw(st.integers(0, len(stream) - 1))
    found, sense = decode(iter([stream[:length]]))
    assert sense
    assert found == sent[: len(found)]
    assert len(found) < len(sent)


@given(st.binary(max_size=200))
def test_payloads_of_noise(payload: bytes) -> None:
    parsers: list[Callable[[bytes], object]] = [
        wire.watch_event,
        wire.directory_part,
        wire.transaction_id,
        wire.names,
        wire.error_name,
    ]
    for parser in parsers:
        try:
            parser(payload)
        except wire.WireError as error:
            assert str(error)
    answer = wire.error(wire.Op.READ, "/a", wire.error_name(payload))
    assert answer.fields["errno_name"].startswith("E")


@given(st.text(max_size=50), st.binary(max_size=50))
def test_text_survives_the_wire(text: str, data: bytes) -> None:
    assert wire.encode_text(wire.decode_text(data)) == data
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    assert wire.decode_text(wire.encode_text(encodable)) == encodable


# -- the model ------------------------------------------------------------------------------------

# Few names and short values, so that steps often meet; now and then something odd.
_near = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)
_odd = st.sampled_from(["", "c/c/c", "a//b", "a/", "a b", "ä", "x" * 2100])
_values = st.sampled_from(["", "x", "y", "nul\0inside", "\udcff", "v" * 4000, "v" * 4096])
_permissions = st.sampled_from([["n0"], ["r0", "b1"], ["b2", "n0", "w1"], [], ["n"], ["n0", "q1"]])


@dataclass(frozen=True)
class Step:
    """`session`: 0 and 1 are clients outside, 2 and 3 their transactions, which begin when they
    are first used."""

    session: int
    verb: str
    path: str = ""
    argument: Any = None


def _step(kind: int, session: int, path: str, value: str, permissions: list[str]) -> Step:
    """`kind`: a number below 40, which gives each verb its weight."""
    for limit, verb in (
        (10, "write"), (14, "mkdir"), (20, "remove"), (24, "read"), (27, "directory"),
    ):  # fmt: skip
        if kind < limit:
            return Step(session, verb, path, value if verb == "write" else None)
    if kind < 30:
        return Step(session, "set", path, permissions)
    if kind < 32:
        return Step(session, "get", path)
    return Step(2 + session % 2, "commit" if kind < 38 else "discard")


_one_step = st.builds(
    _step,
    st.integers(0, 39),
    st.integers(0, 3),
    st.one_of(_near, _near, _near, _near, _near, _odd),
    st.one_of(st.just("x"), _values),
    _permissions,
)
# Lists left to themselves are short: most would end before anything meets.
_steps = st.integers(1, 60).flatmap(
    lambda length: st.lists(_one_step, min_size=length, max_size=length)
)


class Discarded(Exception):
    """Ends a transaction without its commit."""


class OpenTransaction:
    """A transaction that is driven from outside, step by step, through the port alone."""

    def __init__(self, store: XenStore) -> None:
        self._opened: asyncio.Future[XenStoreWriter] = asyncio.Future()
        self._end: asyncio.Future[bool] = asyncio.Future()
        self._task = asyncio.create_task(store.transact(self._body, tries=1))

    async def handle(self) -> XenStoreWriter:
        return await self._opened

    async def finish(self, *, commit: bool) -> str:
        await self._opened
        self._end.set_result(commit)
        try:
            await self._task
        except Discarded:
            return "discarded"
        except XenStoreConflict:
            return "conflict"
        except XenStoreError as error:
            return str(error.fields["errno_name"])
        return "committed"

    async def _body(self, inside: XenStoreWriter) -> None:
        self._opened.set_result(inside)
        if not await self._end:
            raise Discarded


class Run:
    """One sequence on one implementation; says what came out of each step."""

    def __init__(self, clients: list[XenStore], root: str) -> None:
        self._clients = clients
        self._root = root
        self._transactions: dict[int, OpenTransaction] = {}

    async def steps(self, steps: list[Step]) -> list[object]:
        outcomes: list[object] = []
        await self._clients[0].mkdir(self._root)
        watched = (self._root, f"{self._root}/a", f"{self._root}/a/b", f"{self._root}/b/b/a")
        watches = [await self._clients[0].watch(path) for path in watched]
        for step in steps:
            outcomes.append(await self._outcome(step))
            outcomes.append(await self._events(watches))
        for transaction in self._transactions.values():
            await transaction.finish(commit=False)
        outcomes.append(await self._dump(self._root))
        for watch in watches:
            await watch.close()
        return outcomes

    async def _outcome(self, step: Step) -> object:
        if step.verb in ("commit", "discard"):
            transaction = self._transactions.pop(step.session, None)
            if transaction is None:
                return None
            return await transaction.finish(commit=step.verb == "commit")
        store: XenStoreWriter = self._clients[step.session % 2]
        if step.session >= 2:
            if step.session not in self._transactions:
                self._transactions[step.session] = OpenTransaction(self._clients[step.session - 2])
            store = await self._transactions[step.session].handle()
        try:
            return await self._do(store, step)
        except XenStoreError as error:
            return type(error).__name__, error.fields["errno_name"], error.fields.get("limit")

    def _do(self, store: XenStoreWriter, step: Step) -> Awaitable[object]:
        path = f"{self._root}/{step.path}" if step.path else self._root
        if step.verb == "write":
            return store.write(path, step.argument)
        if step.verb == "set":
            return store.set_permissions(path, step.argument)
        plain: dict[str, Callable[[str], Awaitable[object]]] = {
            "read": store.read,
            "directory": store.directory,
            "mkdir": store.mkdir,
            "remove": store.remove,
            "get": store.get_permissions,
        }
        return plain[step.verb](path)

    async def _events(self, watches: list[XenStoreWatch]) -> list[list[str]]:
        """What each watch has seen by now.  The answer to a request of the client that watches
        comes behind all events of earlier changes, whoever made them."""
        await self._clients[0].exists("/")
        seen = []
        for watch in watches:
            inbox = watch.inbox  # type: ignore[attr-defined]
            paths = [await anext(inbox) for _ in range(len(inbox))]
            seen.append([path.removeprefix(self._root) for path in paths])
        return seen

    async def _dump(self, path: str) -> object:
        store = self._clients[0]
        if not await store.exists(path):
            return None
        children = await store.directory(path)
        return (
            await store.read(path),
            await store.get_permissions(path),
            [(child, await self._dump(f"{path}/{child}")) for child in children],
        )


@pytest.fixture(scope="module")
def xenstored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealXenstored]:
    folder = tmp_path_factory.mktemp("xenstored")
    daemon = RealXenstored(folder / "run", build_shim(folder))
    daemon.start()
    yield daemon
    daemon.kill()


_roots = itertools.count(1)


async def both(xenstored: RealXenstored, steps: list[Step]) -> tuple[list[object], list[object]]:
    root = f"/fuzz{next(_roots)}"
    daemon = SimXenstored()
    results = []
    clients: list[list[XenStore]] = [
        [SimXenStore(daemon), SimXenStore(daemon)],
        [XenStoreClient(xenstored.socket), XenStoreClient(xenstored.socket)],
    ]
    for pair in clients:
        for store in pair:
            await store.start()
        results.append(await Run(pair, root).steps(steps))
        await pair[0].remove(root)
        for store in pair:
            await store.close()
    return results[0], results[1]


@settings(
    max_examples=150,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=_steps)
def test_the_simulator_does_what_xenstored_does(
    xenstored: RealXenstored, steps: list[Step]
) -> None:
    simulated, real = asyncio.run(both(xenstored, steps))
    assert simulated == real
