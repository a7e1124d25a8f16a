"""How fast domain files are read, warm, and the managed domains of a host; on any machine.

Of a file of xm Python's own `ast.parse` and `exec` of the same text is the measure: they are
written in C, and forbid nothing.  Times are of the processor, so that a busy machine does not
change them much.  Aims: a file of 4 KB in 5 ms, 1,000 managed domains in 1 s.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

from xend.config import sxp
from xend.config.dialect import read_domain_file
from xend.config.domainsxp import decode_managed, encode_managed
from xend.config.vmencode import encode_vm
from xend.config.vmsxp import decode_vm
from xend.config.xmfile import Run, load
from xend.config.xmsource import Source
from xend.model.devices import Disk, Vif
from xend.model.domain import DomainConfig

AIM_FILE_MS: Final = 5.0
AIM_MANAGED_S: Final = 1.0
DOMAINS: Final = 1000
SIZE: Final = 4096

_PROGRAM: Final = """\
import os, re

vmid = 3
arch = os.uname()[4]
if re.search('64', arch):
    libdir = 'lib64'
else:
    libdir = 'lib'

name = "vm%d" % vmid
memory = 256
vcpus = 2
kernel = "/boot/vmlinuz-" + arch
extra = "console=hvc0 root=/dev/xvda ro"
disk = []
for number in range(4):
    letter = chr(ord('a') + number)
    disk.append('phy:/dev/vg/%s-%d,xvd%s,w' % (name, number, letter))
vif = ['mac=00:16:3e:00:%02x:%02x,bridge=xenbr%d' % (vmid, n, n) for n in range(4)]
on_crash = 'destroy'

"""
_XL: Final = """\
name = "vm3"
type = "pv"
memory = 256
vcpus = 2
kernel = "/boot/vmlinuz"
cmdline = "console=hvc0 root=/dev/xvda ro"
disk = [ 'format=raw,vdev=xvda,access=rw,target=/dev/vg/a', '/dev/vg/b,raw,xvdb,rw' ]
vif = [ 'mac=00:16:3e:00:00:01,bridge=xenbr0', 'mac=00:16:3e:00:00:02,bridge=xenbr1' ]
on_crash = "destroy"

"""


def padded(text: str) -> str:
    """To SIZE bytes, half with comments as real files have them, half with plain settings."""
    number = 0
    while len(text) < SIZE:
        number += 1
        text += f"# What the setting after this line is for, and what else it could be ({number})\n"
        text += f'{"xm_" if "import" in text else "#"}setting_{number} = "value {number}"\n'
    return text


def milliseconds(step: Callable[[], object], seconds: float) -> float:
    """The median of as many runs as fit, after one that warms up."""
    step()
    runs: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(runs) < 5:
        started = time.process_time()
        step()
        runs.append((time.process_time() - started) * 1000)
    return statistics.median(runs)


def python(text: str) -> None:
    exec(compile(ast.parse(text), "file", "exec"), {})


def run_xm(text: str) -> None:
    """Reading alone: what `ast.parse` and `exec` do of the same."""
    source = Source.of_content(text, "file")
    run = Run(
        stdout=sys.stdout, stderr=sys.stderr, env={}, cwd="/", argv=["xm", "create"], variables={}
    )
    load("file", run, source)


def domain(number: int) -> DomainConfig:
    return DomainConfig(
        name=f"vm{number}",
        uuid=UUID(int=number + 1),
        memory=256 * 1024,
        vcpus=2,
        kernel="/boot/vmlinuz",
        cmdline="console=hvc0 root=/dev/xvda ro",
        disks=tuple(
            Disk(uuid=UUID(int=number * 8 + n + 9), scheme="phy", path=f"/dev/vg/{n}", vdev=vdev)
            for n, vdev in enumerate(("xvda", "xvdb"))
        ),
        vifs=(
            Vif(
                uuid=UUID(int=number + 99),
                mac=f"00:16:3e:00:{number // 256:02x}:{number % 256:02x}",
            ),
        ),
    )


def managed(folder: Path, count: int) -> float:
    """Seconds to read the managed domains from disk."""
    paths = []
    for number in range(count):
        path = folder / str(number)
        path.write_text(encode_managed(domain(number)))
        paths.append(path)
    started = time.process_time()
    found = [decode_managed(path.read_text()) for path in paths]
    took = time.process_time() - started
    assert [each.name for each in found] == [f"vm{number}" for number in range(count)]
    return took


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    parser.add_argument("--domains", type=int, default=DOMAINS, help="managed ones")
    given = parser.parse_args(argv)
    seconds, count = given.seconds, given.domains
    program, plain = padded(_PROGRAM), padded(_XL)
    static = padded(_XL.replace('type = "pv"\n', "").replace("cmdline", "extra"))
    static = static.replace("format=raw,vdev=xvda,access=rw,target=/dev/vg/a", "phy:a,xvda,w")
    static = static.replace("/dev/vg/b,raw,xvdb,rw", "phy:b,xvdb,w")
    tree = sxp.pretty(encode_vm(domain(1)))
    own = milliseconds(lambda: python(program), seconds)
    own_static = milliseconds(lambda: python(static), seconds)
    missed = 0
    print(f"{'files of 4 KB, warm':34} {'ms':>8} {'per second':>11}  against Python's own")
    rows: list[tuple[str, Callable[[], object], float]] = [
        ("xm, a program: run", lambda: run_xm(program), own),
        ("xm, plain settings: run", lambda: run_xm(static), own_static),
        (
            "xl: to the model",
            lambda: read_domain_file(plain, filename="f", dialect="xl"),
            own_static,
        ),
        (f"SXP ({len(tree)} bytes): to the model", lambda: decode_vm(sxp.parse_one(tree)), 0.0),
    ]
    for name, step, measure in rows:
        took = milliseconds(step, seconds)
        ratio = f"{took / measure:.1f} x" if measure else ""
        missed += took > AIM_FILE_MS
        print(f"{name:34} {took:8.2f} {1000 / took:11.0f}  {ratio}")
    with tempfile.TemporaryDirectory() as folder:
        took = managed(Path(folder), count)
    missed += took > AIM_MANAGED_S * count / DOMAINS
    print(f"{count} managed domains from disk: {took:.2f} s (aim {AIM_MANAGED_S:g} s)")
    print("every aim is reached" if not missed else f"{missed} aims are missed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
