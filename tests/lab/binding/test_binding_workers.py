"""Long operations on real Xen: what a killed worker leaves, save files, recovery."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.binding.support import Events, config, linux, until_it_listens
from tests.lab.conftest import domains, free_memory, run
from xend.core.ports import HypervisorEventKind, Progress
from xend.errors import InvalidArgument, OperationFailed, WorkerCrashed
from xend.libxl import savefile
from xend.libxl.hypervisor import XenHypervisor, partial_path
from xend.model.status import ShutdownReason
from xend.model.units import Domid

pytestmark = pytest.mark.lab


def kill_workers(xen: XenHypervisor) -> None:
    for pid in xen.worker_pids:
        os.kill(pid, signal.SIGKILL)


async def test_a_worker_killed_in_the_middle_of_a_create(xen: XenHypervisor) -> None:
    """One operation is lost, the daemon's process lives, the leftover can be removed, and all
    memory comes back."""
    before = free_memory()
    wanted = linux("killed")

    def kill(progress: Progress) -> None:
        kill_workers(xen)

    with pytest.raises(WorkerCrashed, match="SIGKILL") as caught:
        await xen.create(wanted, kill)
    domid = caught.value.fields["domid"]
    left = await xen.domain(domid)
    assert left.uuid == str(wanted.uuid) and left.paused, "what is left carries the reported domid"
    assert await xen.config_of(domid) is None, "and is not a whole domain"
    await xen.destroy(domid)
    for _ in range(60):
        if free_memory() >= before:
            break
        await asyncio.sleep(0.5)
    assert free_memory() >= before
    again = await xen.create(wanted)
    await xen.destroy(again)


async def test_a_cancelled_create_stops(xen: XenHypervisor) -> None:
    begun = asyncio.Event()
    seen: list[Domid] = []

    def note(progress: Progress) -> None:
        if progress.domid is not None:
            seen.append(progress.domid)
            begun.set()

    task = asyncio.create_task(xen.create(linux("cancelled"), note))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await xen.destroy(seen[0])


@pytest.mark.parametrize("checkpoint", [False, True])
async def test_save_and_restore(
    xen: XenHypervisor,
    tmp_path: Path,
    events: Events,
    checkpoint: bool,
) -> None:
    path = tmp_path / "saved"
    domid = await xen.create(linux("saved"))
    await xen.unpause(domid)
    await until_it_listens(domid)
    seen: list[Progress] = []
    await xen.save(domid, path, checkpoint=checkpoint, progress=seen.append)
    assert not partial_path(path).exists()
    assert path.stat().st_mode & 0o777 == 0o600
    assert any(progress.bytes_done for progress in seen)
    with path.open("rb", buffering=0) as stream:
        text, version = savefile.read(stream)
    assert '"bx-saved"' in text and version == 2
    info = await xen.domain(domid)
    if checkpoint:
        assert not info.shutdown, "it runs on"
    else:
        assert info.shutdown_reason is ShutdownReason.SUSPEND
        ended = await events.until(HypervisorEventKind.SHUTDOWN, domid)
        assert ended.reason is ShutdownReason.SUSPEND
    await xen.destroy(domid)

    restored = await xen.restore(path, None)
    assert (await xen.domain(restored)).paused and domains()["bx-saved"] == restored
    await xen.unpause(restored)
    await asyncio.sleep(3)  # it registers its watches anew
    await xen.request_shutdown(restored, "poweroff")
    ended = await events.until(HypervisorEventKind.SHUTDOWN, restored)
    assert ended.reason is ShutdownReason.POWEROFF, "the restored guest lives and listens"
    await xen.destroy(restored)

    if not checkpoint:
        done = run("xl", "restore", "-e", str(path))
        assert done.returncode == 0, done.stderr
        run("xl", "destroy", "bx-saved")


async def test_restore_under_another_configuration(xen: XenHypervisor, tmp_path: Path) -> None:
    path = tmp_path / "saved"
    wanted = linux("old")
    domid = await xen.create(wanted)
    await xen.unpause(domid)
    await until_it_listens(domid)
    await xen.save(domid, path)
    await xen.destroy(domid)
    restored = await xen.restore(path, wanted.model_copy(update={"name": "bx-new"}))
    assert domains()["bx-new"] == restored
    await xen.destroy(restored)


async def test_a_worker_killed_in_the_middle_of_a_save(xen: XenHypervisor, tmp_path: Path) -> None:
    path = tmp_path / "saved"
    domid = await xen.create(linux("cut"))
    await xen.unpause(domid)
    await until_it_listens(domid)

    def kill(progress: Progress) -> None:
        if progress.bytes_done:
            kill_workers(xen)

    with pytest.raises(WorkerCrashed):
        await xen.save(domid, path, progress=kill)
    assert not path.exists() and not partial_path(path).exists()
    # It may have been asked to suspend: then it does so by and by, and whoever asked wakes it.
    for _ in range(50):
        if (await xen.domain(domid)).shutdown:
            await xen.resume(domid)
            break
        await asyncio.sleep(0.1)
    assert not (await xen.domain(domid)).shutdown
    await xen.destroy(domid)


async def test_a_save_that_fails_leaves_the_guest_running(
    xen: XenHypervisor, tmp_path: Path
) -> None:
    domid = await xen.create(linux("full"))
    await xen.unpause(domid)
    await until_it_listens(domid)
    with pytest.raises(OperationFailed, match="No such file"):
        await xen.save(domid, tmp_path / "no" / "folder")
    assert not (await xen.domain(domid)).shutdown
    await xen.destroy(domid)


async def test_files_that_are_no_saved_domains(xen: XenHypervisor, tmp_path: Path) -> None:
    path = tmp_path / "junk"
    path.write_bytes(b"junk" * 1000)
    with pytest.raises(InvalidArgument, match="not a valid guest state file: found"):
        await xen.restore(path, None)
    with pytest.raises(OperationFailed, match="No such file"):
        await xen.restore(tmp_path / "missing", None)


DAEMON = """
import asyncio, sys
from xend.libxl.hypervisor import XenHypervisor
async def main():
    xen = XenHypervisor()
    await xen.start()
    while not xen.worker_pids:
        await asyncio.sleep(0.05)
    print(xen.worker_pids[0], flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_workers_die_with_the_daemon() -> None:
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert daemon.stdout is not None
    worker = int(daemon.stdout.readline())
    assert Path(f"/proc/{worker}").exists()
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break  # dead, and its new parent has not looked yet
        time.sleep(0.1)
    else:
        assert not Path(f"/proc/{worker}").exists()


def resident(pid: int) -> int:
    """KiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4


async def test_a_worker_is_small(xen: XenHypervisor, tiny: Path) -> None:
    domid = await xen.create(config("small", tiny))
    await xen.destroy(domid)
    assert resident(xen.worker_pids[0]) < 24 * 1024
