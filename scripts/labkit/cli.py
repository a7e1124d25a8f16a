"""The verbs of `scripts/lab`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.cache import Cache, default_cache_dir
from labkit.errors import LabError
from labkit.hosttools import as_root
from labkit.image import ensure_image, find_image
from labkit.lab import Lab, Wish
from labkit.logs import collect
from labkit.measures import Measures
from labkit.progress import Progress
from labkit.releases import DEFAULT_XEN, RELEASES, release_of
from labkit.transfer import pull, push

FAILED = 1
USAGE = 2
NO_WAY_IN = 255
"""Of `exec` and `shell`, as ssh has it: the other statuses are the command's own."""

DESCRIPTION = """\
Real Xen on any Debian machine: builds a dom0 from Debian's packages, boots it
in QEMU and hands it out."""

EXAMPLES = """\
examples:
  scripts/lab up                          build if needed, boot, wait until dom0 is usable
  scripts/lab exec -- xl list             run a command in dom0; its exit status is yours
  scripts/lab exec -- 'xl list | wc -l'   one word is a shell command
  scripts/lab push tests /root/           copy files and folders, as cp -r does
  scripts/lab sync                        install this checkout into dom0
  scripts/lab shell                       a shell in dom0
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="lab",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--name",
        default=os.environ.get("XEND_LAB_NAME", "default"),
        help="which lab, when several run on one machine (XEND_LAB_NAME; default: %(default)s)",
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(
        name: str, summary: str, release: bool = False, host: bool = False
    ) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=summary, description=summary)
        one.add_argument("-q", "--quiet", action="store_true", help="no progress lines")
        if release:
            known = ", ".join(sorted(RELEASES))
            one.add_argument(
                "--xen",
                default=os.environ.get("XEND_LAB_XEN"),
                help=f"Xen release: {known} (XEND_LAB_XEN; default: {DEFAULT_XEN})",
            )
        if host:
            one.add_argument("--host", type=int, default=0, help="which host, counted from 0")
        return one

    verb("build", "build dom0's image, if it is not in the cache", release=True)
    up = verb("up", "boot the lab and wait until dom0 is usable", release=True)
    up.add_argument("--hosts", type=int, help="how many hosts, on one network (1)")
    up.add_argument("--memory", type=int, default=4096, help="MiB of each host")
    up.add_argument("--dom0-mem", type=int, default=1024, help="MiB of each dom0")
    up.add_argument("--cpus", type=int, default=0, help="CPUs of each host (2; 1 with more hosts)")
    up.add_argument("--cold", action="store_true", help="boot, even if there is a snapshot")
    sync = verb("sync", "install this checkout into the running dom0", host=True)
    sync.add_argument("--force", action="store_true", help="send everything, changed or not")
    run = verb("exec", "run a command in dom0 and exit with its status", host=True)
    run.add_argument("-t", "--tty", action="store_true", help="give the command a terminal")
    run.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- CMD",
        help="one word is a shell command; several are passed on unchanged",
    )
    for name, summary in (
        ("push", "copy local files and folders to dom0, as cp -r does"),
        ("pull", "copy files and folders of dom0 here, as cp -r does"),
    ):
        copy = verb(name, summary, host=True)
        copy.add_argument("source", nargs="+")
        copy.add_argument("target")
    verb("shell", "a shell in dom0", host=True)
    verb("logs", "collect the logs of Xen, xend and dom0, and print where they are")
    verb("reboot", "power a host off and on; its disk stays as it is", host=True)
    verb("down", "end the lab")
    verb("status", "whether the lab runs, and what was measured")
    verb("clean", "end the lab and remove everything that it keeps in its cache")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; every expected failure is a message, never a traceback."""
    words = parser().parse_args(argv)
    try:
        status = VERBS[words.verb](words)
        sys.stdout.flush()
        return status
    except LabError as err:
        for line in err.lines():
            print(f"lab: {line}", file=sys.stderr)
        return NO_WAY_IN if words.verb in ("exec", "shell") else FAILED
    except BrokenPipeError:
        # Who read our output has seen enough; Python's last flush shall not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130
    except OSError as err:
        where = f"{err.filename}: " if err.filename else ""
        print(f"lab: {where}{err.strerror or err}", file=sys.stderr)
        return FAILED


def _lab(words: argparse.Namespace) -> Lab:
    return Lab(Cache(default_cache_dir()), words.name, Progress(words.quiet))


def _build(words: argparse.Namespace) -> int:
    cache, progress = Cache(default_cache_dir()), Progress(words.quiet)
    image = ensure_image(cache, release_of(words.xen or DEFAULT_XEN), progress)
    facts = image.manifest
    print(
        f"{image.folder} (Xen {facts['xen']}, kernel {facts['kernel']}; "
        f"built in {facts['build_seconds']} s from {facts['build_from']})"
    )
    return 0


def _up(words: argparse.Namespace) -> int:
    lab = _lab(words)
    running = lab.state()
    # Whatever runs will do, where nothing else is asked for.
    wish = Wish(
        release_of(words.xen or (running.xen if running else DEFAULT_XEN)),
        words.hosts if words.hosts is not None else len(running.hosts) if running else 1,
        words.memory,
        words.dom0_mem,
        words.cpus,
        words.cold,
    )
    state = lab.up(wish)
    print(
        f"running: Xen {state.xen}, {len(state.hosts)} host(s), {state.accel}; "
        f"dom0 usable {state.seconds} s after the start ({state.how} boot)"
    )
    return 0


def _sync(words: argparse.Namespace) -> int:
    from labkit.sync import sync

    sync(_lab(words), words.host, words.force)
    return 0


def _exec(words: argparse.Namespace) -> int:
    command = words.command[1:] if words.command[:1] == ["--"] else words.command
    if not command:
        print("lab: exec needs a command: scripts/lab exec -- CMD...", file=sys.stderr)
        return USAGE
    _lab(words).remote(words.host).call(command, words.tty)
    return NO_WAY_IN


def _shell(words: argparse.Namespace) -> int:
    _lab(words).remote(words.host).call(["bash", "-l"], terminal=True)
    return NO_WAY_IN


def _push(words: argparse.Namespace) -> int:
    push(_lab(words).remote(words.host), [Path(source) for source in words.source], words.target)
    return 0


def _pull(words: argparse.Namespace) -> int:
    target = Path(words.target)
    pull(_lab(words).remote(words.host), words.source, target, words.target.endswith("/"))
    return 0


def _logs(words: argparse.Namespace) -> int:
    print(collect(_lab(words)))
    return 0


def _reboot(words: argparse.Namespace) -> int:
    state = _lab(words).reboot(words.host)
    print(f"dom0 {words.host} is usable again after {state.seconds} s")
    return 0


def _down(words: argparse.Namespace) -> int:
    print("down" if _lab(words).down() else "down (it was not running)")
    return 0


def _status(words: argparse.Namespace) -> int:
    lab = _lab(words)
    state = lab.state()
    print("running" if state else "down")
    if state:
        print(f"xen: {state.xen}")
        print(f"acceleration: {state.accel} ({state.why})")
        print(f"this boot: {state.seconds} s from start to a usable dom0 ({state.how} boot)")
        for index, host in enumerate(state.hosts):
            print(f"host {index}: qemu {host.pid}, ssh on 127.0.0.1:{host.port}")
        print(f"serial logs: {lab.folder}/host*/serial.log")
    print(f"cache: {lab.cache.top}")
    for release in RELEASES.values():
        image = find_image(lab.cache, release)
        if image:
            print(f"image: {image.folder.name}, built in {image.manifest['build_seconds']} s")
    for what, measured in sorted(Measures(lab.cache).all().items()):
        print(f"measured: {what}: {measured['seconds']} s ({measured['when']})")
    return 0


def _clean(words: argparse.Namespace) -> int:
    cache = Cache(default_cache_dir())
    for folder in cache.folder("run").iterdir():
        Lab(cache, folder.name, Progress(words.quiet)).down()
    cache.remove(as_root())
    print(f"removed {cache.top}")
    return 0


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "build": _build,
    "up": _up,
    "sync": _sync,
    "exec": _exec,
    "push": _push,
    "pull": _pull,
    "shell": _shell,
    "logs": _logs,
    "reboot": _reboot,
    "down": _down,
    "status": _status,
    "clean": _clean,
}
