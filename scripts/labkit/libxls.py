"""The binding against libxl of several Xen releases: one source, compiled and linked for each.

Headers and libraries come from the Debian release that has that Xen; nothing is installed and
nothing runs.  What runs is what `scripts/lab --xen` boots.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from labkit.cache import CHECKOUT, Cache, digest
from labkit.commands import run
from labkit.errors import LabError
from labkit.hosttools import ensure, is_root
from labkit.progress import Progress
from labkit.roots import mirrors, proxy_options

RECIPE = 1
SUITES = {"4.14": "bullseye", "4.17": "bookworm", "4.20": "trixie"}
PACKAGE = "libxen-dev"
ARCHIVED = "http://archive.debian.org/debian"
"""Where a suite goes when Debian's mirrors drop it."""
HEADERS = ("libxl*.h", "_libxl*.h", "xen*.h", "xs*.h", "xen", "xenstore-compat")
LIBRARIES = "libxen*.so*"
TOOLS = {"mmdebstrap": "mmdebstrap", "gcc": "gcc", "tar": "tar"}
BUILD_FFI = CHECKOUT / "xend/libxl/build_ffi.py"


def check_all(cache: Cache, python: str, progress: Progress) -> list[str]:
    """Compiles and links the binding for each release; a line about each.  LabError otherwise."""
    ensure(TOOLS, progress)
    source = cache.folder("libxl") / "_xl.c"
    run([python, BUILD_FFI, "--emit-c", source], what="writing the binding's C source")
    told = []
    for xen in SUITES:
        library = compile_against(unpacked(cache, xen, progress), source)
        told.append(f"libxl {xen}: compiles without a warning, and every symbol is in {library}")
    return told


def unpacked(cache: Cache, xen: str, progress: Progress) -> Path:
    """A folder with `include` and `lib` of a release's libxl, from the cache or fetched now."""
    mirror, _ = mirrors()
    suite = SUITES[xen]
    final = cache.folder("libxl") / f"{suite}-{digest(RECIPE, suite, mirror)}"
    if not final.exists():
        with progress.step(f"fetching {PACKAGE} of Debian {suite} (Xen {xen})"):
            try:
                _fetch(suite, mirror, final)
            except LabError:
                if mirror == ARCHIVED:
                    raise
                _fetch(suite, ARCHIVED, final)
    return final


def _fetch(suite: str, mirror: str, final: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="part-", dir=final.parent) as scratch:
        archive, tree, part = (Path(scratch) / name for name in ("a.tar", "tree", "part"))
        run(
            [
                "mmdebstrap",
                f"--mode={'root' if is_root() else 'unshare'}",
                "--variant=extract",
                f"--include={PACKAGE}",
                "--aptopt=Acquire::Retries 3",
                *proxy_options(),
                suite,
                "-",
                f"deb {mirror} {suite} main",
            ],
            what=f"unpacking {PACKAGE} of Debian {suite}",
            output=archive,
        )
        tree.mkdir()
        run(
            ["tar", "-x", "--no-same-owner", "-f", archive, "-C", tree, "./usr"],
            what=f"unpacking {PACKAGE} of Debian {suite}",
        )
        _keep(tree / "usr/include", HEADERS, part / "include")
        _keep(tree / "usr/lib/x86_64-linux-gnu", (LIBRARIES,), part / "lib")
        part.rename(final)


def _keep(source: Path, patterns: tuple[str, ...], target: Path) -> None:
    """Xen's own and nothing of the suite's C library, which is not this machine's."""
    target.mkdir(parents=True)
    for pattern in patterns:
        for path in source.glob(pattern):
            if path.is_dir():
                shutil.copytree(path, target / path.name)
            else:
                shutil.copy(path, target / path.name, follow_symlinks=False)


def compile_against(release: Path, source: Path) -> str:
    """Compiles with warnings as errors, links with nothing left undefined; libxl's file name."""
    library = next((release / "lib").glob("libxenlight.so.*.*.*")).name
    python = sysconfig.get_config_vars()
    with tempfile.TemporaryDirectory(prefix="xend-lab-") as scratch:
        done = subprocess.run(
            [
                *("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"),
                *("-Wno-unused-parameter", "-Wno-missing-field-initializers"),
                # Xen's headers as a system's: their own warnings are not ours.
                *("-isystem", str(release / "include"), "-I", str(python["INCLUDEPY"])),
                *("-o", f"{scratch}/_xl.so", str(source)),
                *("-L", str(release / "lib"), "-L", str(python["LIBDIR"])),
                *("-lxenlight", "-lxentoollog", "-lxenstore", f"-lpython{python['LDVERSION']}"),
                # What libxl itself needs of its own release is not our business.
                *("-Wl,-z,defs", "-Wl,--allow-shlib-undefined"),
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    if done.returncode:
        tail = "\n".join("    " + line for line in done.stderr.splitlines()[:20])
        raise LabError(f"the binding does not fit {library}\n{tail}")
    return library
