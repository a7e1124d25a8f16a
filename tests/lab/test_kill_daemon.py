"""`kill -9` of the daemon, and apart from that of the worker in which libxl runs, at every
journalled step of every verb: on real Xen, with a real daemon process and the real `xm`.

After each kill (and the daemon's next start) no domain is half-made, Xen has the memory it had, no
configuration is lost or doubled, and the other guests have noticed nothing.  XEND_TEST_SOAK=1
tries every point of every verb; otherwise a few of each, by a fixed seed.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.killing import tried
from tests.lab.conftest import run
from tests.lab.guests import IMAGES, config, linux
from tests.lab.killhost import XM, DaemonMaker, KillHost, WarmCli, kill_host

pytestmark = pytest.mark.lab

ALL_POINTS = bool(os.environ.get("XEND_TEST_SOAK"))
FEW = 2
"""Points of each verb at which the short form kills the daemon."""
WEB, WWW, LINUX, BYSTANDER = "kill-web", "kill-www", "kill-linux", "kill-bystander"
DISK = f"file:{IMAGES}/data.img"

IDLE_NANOSECONDS = 25_000_000
"""That a guest with nothing to do uses in half a second."""

Step = Callable[[KillHost], None]


# -- From whatever a kill has left to where a verb begins ----------------------------------------


def _image(host: KillHost) -> Path:
    return host.images / "linux.save"


def _without(host: KillHost, name: str) -> None:
    there = host.xm_guests()
    if there.get(name) is not None:
        host.xm_must("destroy", name)
    if name in host.configs():
        host.xm_must("delete", name)


def no_web(host: KillHost) -> None:
    _without(host, WEB)
    _without(host, WWW)


def web_runs(host: KillHost) -> None:
    guest = host.guests().get(WEB)
    if guest is None or not guest.running or WEB in host.configs():
        no_web(host)
        host.xm_must("create", "-q", str(config(host.folder, WEB)))


def web_is_defined(host: KillHost) -> None:
    if host.xm_guests().get(WEB, 0) is not None:
        no_web(host)
        host.xm_must("new", str(config(host.folder, WEB)))


def managed_web_runs(host: KillHost) -> None:
    if host.guests().get(WWW) is not None and WWW in host.configs():
        host.xm_must("rename", WWW, WEB)
    if host.xm_guests().get(WEB) is None or WEB not in host.configs():
        no_web(host)
        host.xm_must("new", str(config(host.folder, WEB)))
        host.xm_must("start", WEB)


def linux_runs(host: KillHost) -> None:
    if LINUX not in host.configs():
        host.xm_must("new", str(linux(host.folder, LINUX, memory=96)))
    if host.xm_guests()[LINUX] is None:
        if _image(host).exists():
            host.xm_must("restore", str(_image(host)))
        elif (host.state / "domains" / host.configs()[LINUX] / "checkpoint.chk").exists():
            host.xm_must("resume", LINUX)
        else:
            host.xm_must("start", LINUX)
    _image(host).unlink(missing_ok=True)
    _wait_for_linux(host)


def linux_was_started(host: KillHost) -> None:
    """Not by a reboot: of those only so many may follow each other at once."""
    if LINUX in host.guests():
        host.xm_must("destroy", LINUX)
    linux_runs(host)


def _wait_for_linux(host: KillHost) -> None:
    """Until it would answer a request: its kernel listens, and its init waits for a key, which
    shows as hardly any processor time in two half seconds one after the other."""
    deadline = time.monotonic() + 90
    quiet, spent = 0, 0
    while quiet < 2:
        assert time.monotonic() < deadline, f"{LINUX} does not come up"
        guest = host.guests()[LINUX]
        listens = host.exists(f"/local/domain/{guest.domid}/control/feature-suspend")
        idle = 0 <= guest.cpu_time - spent < IDLE_NANOSECONDS
        quiet = quiet + 1 if listens and idle else 0
        spent = guest.cpu_time
        time.sleep(0.5)


def linux_is_saved(host: KillHost) -> None:
    if host.xm_guests().get(LINUX, 0) is not None or not _image(host).exists():
        linux_runs(host)
        host.xm_must("save", LINUX, str(_image(host)))


def linux_is_suspended(host: KillHost) -> None:
    if not _checkpoint(host):
        linux_runs(host)
        host.xm_must("suspend", LINUX)


def _checkpoint(host: KillHost) -> bool:
    uuid = host.configs().get(LINUX)
    return bool(uuid) and (host.state / "domains" / str(uuid) / "checkpoint.chk").exists()


def _attached(host: KillHost) -> bool:
    return "51728" in host.xm_must("block-list", LINUX)


def linux_without_disk(host: KillHost) -> None:
    linux_runs(host)
    if _attached(host):
        host.xm_must("block-detach", LINUX, "xvdb")


def linux_with_disk(host: KillHost) -> None:
    linux_runs(host)
    if not _attached(host):
        host.xm_must("block-attach", LINUX, DISK, "xvdb", "w")


# -- What may have become of it --------------------------------------------------------------------


def gone_or_whole(host: KillHost) -> None:
    """As `xm create` leaves it: made, and perhaps not unpaused yet when its client was cut off."""
    guest = host.guests().get(WEB)
    assert guest is None or not set(guest.state) & set("sdc")
    assert WEB not in host.configs()


def gone_or_running(host: KillHost) -> None:
    guest = host.guests().get(WEB)
    assert guest is None or guest.running


def running(host: KillHost) -> None:
    assert host.guests()[WEB].running


def defined_or_not(host: KillHost) -> None:
    assert (WEB in host.xm_guests()) == (WEB in host.configs())


def named_alike_everywhere(host: KillHost) -> None:
    [name] = set(host.guests()) & {WEB, WWW}
    assert set(host.configs()) & {WEB, WWW} == {name}
    assert host.guests()[name].running


def linux_lives(host: KillHost) -> None:
    assert host.guests()[LINUX].running


def saved_or_running(host: KillHost) -> None:
    assert _image(host).exists() != (LINUX in host.guests())


def saved_still(host: KillHost) -> None:
    assert _image(host).exists()
    guest = host.guests().get(LINUX)
    assert guest is None or not set(guest.state) & set("sdc")


def suspended_or_running(host: KillHost) -> None:
    assert _checkpoint(host) != (LINUX in host.guests())


def disk_as_configured(host: KillHost) -> None:
    text = (host.state / "domains" / host.configs()[LINUX] / "config.sxp").read_text()
    assert _attached(host) == ("xvdb" in text)
    assert host.guests()[LINUX].running


@dataclass(frozen=True)
class Verb:
    ready: Step
    words: tuple[str, ...]
    after: Step
    waits: bool = False
    """The command only asks; what is killed comes later."""


VERBS = {
    "create": Verb(no_web, ("create", "-q", "FOLDER/" + WEB), gone_or_whole),
    "destroy": Verb(web_runs, ("destroy", WEB), gone_or_running),
    "reset": Verb(web_runs, ("reset", WEB), running),
    "new": Verb(no_web, ("new", "-q", "FOLDER/" + WEB), defined_or_not),
    "delete": Verb(web_is_defined, ("delete", WEB), defined_or_not),
    "rename": Verb(managed_web_runs, ("rename", WEB, WWW), named_alike_everywhere),
    "block-attach": Verb(
        linux_without_disk, ("block-attach", LINUX, DISK, "xvdb", "w"), disk_as_configured
    ),
    "block-detach": Verb(linux_with_disk, ("block-detach", LINUX, "xvdb"), disk_as_configured),
    "save": Verb(linux_runs, ("save", LINUX, "FOLDER/images/linux.save"), saved_or_running),
    "restore": Verb(linux_is_saved, ("restore", "FOLDER/images/linux.save"), saved_still),
    "suspend": Verb(linux_runs, ("suspend", LINUX), suspended_or_running),
    "resume": Verb(linux_is_suspended, ("resume", LINUX), suspended_or_running),
    "reboot": Verb(linux_was_started, ("reboot", LINUX), linux_lives, waits=True),
}
WITHOUT_WORKER = frozenset({"new", "delete", "rename"})


# -- The test --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillHost]:
    """With a guest that has nothing to do with it."""
    ran = run("/etc/init.d/xend", "status").returncode == 0
    run("/etc/init.d/xend", "stop")
    maker, warm = DaemonMaker(), WarmCli()
    try:
        with kill_host(tmp_path_factory.mktemp("kill"), maker) as host:
            config(host.folder, WEB)
            host.xm_must("create", "-q", str(config(host.folder, BYSTANDER)))
            yield host
            for victim in ("daemon", "worker"):
                points = len([where for where in host.killed if f", {victim} killed" in where])
                tried(f"the {victim}, on real Xen", points)
    finally:
        warm.close()
        maker.close()
        if ran:
            run("/etc/init.d/xend", "start")


@pytest.fixture(autouse=True)
def _a_failure_stays_one(host: KillHost, request: pytest.FixtureRequest) -> Iterator[None]:
    """What a failed test leaves half-way is no ground for the next."""
    before = request.session.testsfailed
    yield
    if request.session.testsfailed > before:
        host.begin_again(BYSTANDER)


def _bystander(host: KillHost) -> tuple[int, int]:
    """Its domid and how long it is up, in seconds, as xend says."""
    line = host.xm_must("uptime", BYSTANDER).splitlines()[-1]
    found = re.fullmatch(BYSTANDER + r" +(\d+) +(\d+):(\d\d):(\d\d) *", line)
    assert found, line
    domid, hours, minutes, seconds = map(int, found.groups())
    return domid, hours * 3600 + minutes * 60 + seconds


def _domid(host: KillHost, name: str) -> int | None:
    guest = host.guests().get(name)
    return None if guest is None else guest.domid


def _act(host: KillHost, verb: Verb, at: int) -> str:
    """What the client said."""
    words = [word.replace("FOLDER", str(host.folder)) for word in verb.words]
    before = _domid(host, LINUX)
    done = subprocess.run([XM, *words], capture_output=True, text=True, timeout=180, check=False)
    if verb.waits:
        deadline = time.monotonic() + 90
        while len(host.passed()) < at and time.monotonic() < deadline:
            if _domid(host, LINUX) not in (None, before) and not host.open_intents():
                break
            time.sleep(0.2)
    return f"exit {done.returncode}: {(done.stdout + done.stderr).strip()}"


def _try(host: KillHost, name: str, at: int, victim: str) -> list[str]:
    """The points that were passed, the fatal one last if there was one."""
    verb = VERBS[name]
    watch = [time.monotonic()]
    verb.ready(host)
    domid, up = _bystander(host)
    host.arm(at, victim)
    watch.append(time.monotonic())
    said = _act(host, verb, at)
    watch.append(time.monotonic())
    passed = host.passed()
    killed = len(passed) >= at
    if killed and victim == "daemon":
        host.died()
        host.start()
    host.disarm()
    watch.append(time.monotonic())
    where = f"{name}, {victim} killed at {at}: {passed[at - 1] if killed else 'nothing'} ({said})"
    host.check(where)
    verb.after(host)
    after = _bystander(host)
    assert after[0] == domid and after[1] >= up, f"{where}: the bystander was disturbed"
    assert host.guests()[BYSTANDER].running, where
    watch.append(time.monotonic())
    if killed:
        host.killed.append(where)
    phases = " ".join(f"{end - begin:.1f}" for begin, end in pairwise(watch))
    print(f"{where} (ready, act, start, check: {phases} s)", flush=True)
    return passed[:at]


@pytest.mark.parametrize("victim", ["daemon", "worker"])
@pytest.mark.parametrize("name", VERBS)
def test_killed(host: KillHost, name: str, victim: str) -> None:
    if victim == "worker" and name in WITHOUT_WORKER:
        _no_worker_is_needed(host, name)
        return
    if victim == "worker" and not ALL_POINTS:
        _kill_early(host, name)
        return
    points = len(_try(host, name, 10**6, victim))
    assert points >= (1 if victim == "worker" else 2)
    chosen = [*range(1, points + 1)]
    if not ALL_POINTS:
        few = min(FEW, points)
        chosen = sorted(random.Random(f"{name} {victim}").sample(chosen, few))
    before = len(host.killed)
    for at in chosen:
        _try(host, name, at, victim)
    hit = len(host.killed) - before
    print(f"{name}: the {victim} was killed at {hit} of {points} points")
    assert hit >= len(chosen) * 3 // 4


MOMENTS = ("save", "restore", "create", "block-attach", "reboot")
"""Verbs in which much happens between two points: in the worker, in libxl's own children, and in
the guest."""


@pytest.mark.parametrize("name", MOMENTS if ALL_POINTS else MOMENTS[:1])
def test_killed_at_any_moment(host: KillHost, name: str) -> None:
    """Not at a point but some time after the client has asked."""
    dice = random.Random(name)
    for _ in range(12 if ALL_POINTS else 2):
        verb = VERBS[name]
        verb.ready(host)
        domid, _ = _bystander(host)
        words = [word.replace("FOLDER", str(host.folder)) for word in verb.words]
        moment = dice.uniform(0.05, 1.5)
        with subprocess.Popen([XM, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as xm:
            time.sleep(moment)
            host.kill()
            said = (xm.communicate(timeout=60)[0] or b"").decode().strip()
        host.start()
        where = f"{name}, daemon killed after {moment:.2f} s ({said})"
        host.killed.append(where)
        print(where, flush=True)
        host.check(where)
        verb.after(host)
        assert _bystander(host)[0] == domid, where


def _kill_early(host: KillHost, name: str) -> None:
    """When the worker has said something; verbs about which it says nothing, when it was asked."""
    before = len(host.killed)
    for at in (2, 1):
        if len(host.killed) == before:
            _try(host, name, at, "worker")
    assert len(host.killed) > before


def _no_worker_is_needed(host: KillHost, name: str) -> None:
    assert _try(host, name, 10**6, "worker") == []


def test_the_uptime_goes_on(host: KillHost) -> None:
    """The check of the bystander would be empty if it stood still."""
    _, before = _bystander(host)
    time.sleep(2)
    assert _bystander(host)[1] > before
