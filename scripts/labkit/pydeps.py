"""The project's Python dependencies, made ready for dom0's own Python.

Nothing is installed inside dom0: a guest of the lab has no way to a package
index.  Wheels for dom0's Python are unpacked and byte-compiled here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from labkit.cache import CHECKOUT, Cache, digest
from labkit.commands import run
from labkit.errors import LabError
from labkit.hosttools import pip_command
from labkit.progress import Progress
from labkit.releases import Release

RECIPE = 2
SITE_PACKAGES = "/usr/lib/xend/site-packages"
EXTRAS = ("test",)
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")


def requirements(pyproject: Path = CHECKOUT / "pyproject.toml") -> list[str]:
    """What the project and its tests need, as pyproject.toml declares it."""
    try:
        project = tomllib.loads(pyproject.read_text())["project"]
    except FileNotFoundError as err:
        raise LabError(f"there is no {pyproject}", "run the lab from a checkout") from err
    wanted = list(project.get("dependencies", []))
    optional = project.get("optional-dependencies", {})
    for extra in EXTRAS:
        wanted += optional.get(extra, [])
    return sorted(wanted)


def resolved(site: Path) -> list[str]:
    """Names and versions that are really there."""
    return sorted(info.name.removesuffix(".dist-info") for info in site.glob("*.dist-info"))


def ensure_site_packages(cache: Cache, release: Release, progress: Progress) -> Path:
    """A folder of installed wheels for the release's Python, from the cache or made now."""
    wanted = requirements()
    folder = cache.folder("python")
    final = folder / f"{release.python}-{digest(RECIPE, wanted, release.python, PLATFORMS)}"
    if final.exists():
        return final
    pip = pip_command()
    if pip is None:
        raise LabError("there is no pip", "install it with: apt-get install python3-pip")
    log = cache.folder("logs") / "pip.log"
    log.unlink(missing_ok=True)
    work = folder / f"{final.name}.part"
    shutil.rmtree(work, ignore_errors=True)
    with progress.step("fetching Python dependencies for dom0"):
        run(
            [
                *pip,
                "install",
                "--quiet",
                "--no-compile",
                "--disable-pip-version-check",
                "--only-binary=:all:",
                f"--python-version={release.python}",
                "--implementation=cp",
                *(f"--platform={platform}" for platform in PLATFORMS),
                f"--target={work}",
                *wanted,
            ],
            what="fetching the project's Python dependencies",
            log=log,
            fix="pip must reach a package index; set PIP_INDEX_URL or a proxy if it needs one",
        )
    shutil.rmtree(work / "bin", ignore_errors=True)
    byte_compile(release, work, SITE_PACKAGES)
    work.rename(final)
    return final


def matching_python(release: Release) -> str | None:
    """A Python of this machine whose byte code dom0's Python takes."""
    for name in (f"python{release.python}", "python3"):
        for python in (shutil.which(name, path="/usr/bin"), shutil.which(name)):
            if python and _version_of(python) == release.python:
                return python
    return None


def _version_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def byte_compile(release: Release, folder: Path, installed_at: str) -> bool:
    """Byte-compile a tree for dom0's Python, if this machine has one of the same version.

    Dom0 then trusts the result without looking at the sources: comparing times
    costs a stat per module, and files that travel in an archive would not match.
    """
    python = matching_python(release)
    if python is None:
        return False
    done = subprocess.run(
        [
            *(python, "-I", "-m", "compileall", "-q", "-j", str(os.cpu_count() or 1)),
            *("--invalidation-mode", "unchecked-hash", "-s", folder, "-p", installed_at),
            folder,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    # A dependency may ship a file for another Python only: that one is left alone.
    return done.returncode == 0


def byte_compile_files(
    release: Release, cache: Cache, sources: Mapping[str, bytes], installed_at: str
) -> dict[str, bytes]:
    """Byte code of single files by their names below `installed_at`, kept by content."""
    python = matching_python(release)
    if python is None:
        return {}
    kept = cache.folder("bytecode", release.python)
    key_of = {
        name: digest(RECIPE, installed_at, name, hashlib.sha256(data).hexdigest())
        for name, data in sources.items()
    }
    missing = {name for name, key in key_of.items() if not (kept / key).exists()}
    if missing:
        with tempfile.TemporaryDirectory(prefix="xend-lab-") as scratch:
            for name in missing:
                path = Path(scratch) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(sources[name])
            # A file with a syntax error gets no byte code: Python in dom0 will tell.
            byte_compile(release, Path(scratch), installed_at)
            for name in missing:
                made = _byte_code_of(Path(scratch) / name, release)
                if made.exists():
                    shutil.move(made, kept / key_of[name])
    result: dict[str, bytes] = {}
    for name, key in key_of.items():
        if (kept / key).exists():
            result[str(_byte_code_of(Path(name), release))] = (kept / key).read_bytes()
    return result


def _byte_code_of(path: Path, release: Release) -> Path:
    tag = "cpython-" + release.python.replace(".", "")
    return path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc"
