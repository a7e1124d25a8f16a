"""A thousand domains on the simulated host: what adopting and listing them costs.

`python3 -m tests.bench.scale_sim` prints one line of JSON.  Times are of one processor (so that a
busy machine does not change them) and of the clock; RSS is of this process, in which the simulated
machine and its XenStore are, too.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.simhost import SimHost, disk, guest, vif
from tests.soak.usage import usage
from xend.api.clisock import CliSocket
from xend.api.facts import LinuxFacts
from xend.api.xmlrpc.domain_answer import DomainAnswers
from xend.core.views import ServiceSettings
from xend.model.units import kib

LISTING = {"id": 1, "method": "xend.private.listing", "params": ["all"]}
FULL = {"id": 1, "method": "xend.domains_with_state", "params": [True, "all", False]}
AT_ONCE = 50
"""Creates that share their listings."""


@dataclass(frozen=True)
class Scale:
    """Seconds; KiB."""

    domains: int
    adoption: float
    adoption_cpu: float
    snapshot_list: float
    """The service's answer, as REST and the rest get it."""
    answered_list: float
    """From the request of `xm list` to the last byte of its answer."""
    full_list: float
    """The same of `xend.domains_with_state`, all that there is to say of each domain."""
    rss: int

    def text(self) -> str:
        return (
            f"{self.domains} simulated domains: adopted in {self.adoption:.2f} s "
            f"({self.adoption_cpu:.2f} s of a processor); list {self.snapshot_list * 1e3:.1f} ms, "
            f"on the socket {self.answered_list * 1e3:.1f} ms, with all details "
            f"{self.full_list * 1e3:.1f} ms; RSS {self.rss / 1024:.0f} MiB"
        )


async def _median(times: int, act: Callable[[], Awaitable[Any]]) -> float:
    """Of CPU seconds."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        await act()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


async def _ask(path: Path, request: dict[str, Any]) -> None:
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 26)
    data = json.dumps(request).encode()
    writer.write(len(data).to_bytes(4, "big") + data)
    size = int.from_bytes(await reader.readexactly(4), "big")
    answer = await reader.readexactly(size)
    assert answer.startswith(b"{") and b'"fault"' not in answer[:100]
    writer.close()
    await writer.wait_closed()


async def _create(host: SimHost, name: str) -> None:
    config = guest(name, mib=16, disks=(disk(f"/srv/{name}.img"),), vifs=(vif(),))
    await host.service.create(config)


async def measure(count: int, folder: Path) -> Scale:
    settings = ServiceSettings(close_grace=0.0, list_max_age=-1.0)
    host = SimHost(folder, memory=kib(32 * 1024), settings=settings)
    await host.start()
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        await asyncio.gather(*(_create(host, f"guest{number:04d}") for number in numbers))
    await host.stop()
    gc.collect()
    began, began_cpu = time.monotonic(), time.process_time()
    await host.start()
    adoption, adoption_cpu = time.monotonic() - began, time.process_time() - began_cpu
    found = await host.service.list()
    assert len(found) == count + 1 and all(view.info for view in found)
    assert sum(view.origin.value == "xend" for view in found) == count
    cli = CliSocket(host.service, LinuxFacts(folder / "log"), DomainAnswers())
    path = folder / "cli.sock"
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        await cli.serve([listener])
        await _ask(path, FULL)
        answered = await _median(21, lambda: _ask(path, LISTING))
        full = await _median(21, lambda: _ask(path, FULL))
        listed = await _median(21, host.service.list)
        rss = usage(os.getpid()).rss
        await cli.close()
    await host.close()
    return Scale(count, adoption, adoption_cpu, listed, answered, full, rss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scale = asyncio.run(measure(options.domains, Path(folder)))
    print(json.dumps(asdict(scale)) if options.json else scale.text())


if __name__ == "__main__":
    main()
