"""Install this checkout into a running dom0, in seconds.

Everything slow happens on this side: the binding and the launcher are compiled
in the build root, Python is byte-compiled, and only what has changed since the
last time is sent, as one archive over the open connection.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from labkit.cache import CHECKOUT, DATA, Cache
from labkit.errors import LabError
from labkit.image import Image
from labkit.lab import Lab, Running
from labkit.native import compile_in_root
from labkit.progress import Progress
from labkit.pydeps import SITE_PACKAGES, byte_compile_files, ensure_site_packages, resolved
from labkit.releases import Release, release_of
from labkit.roots import ensure_root
from labkit.transfer import packing

INSTALLED = "usr/lib/xend/lib"
FOLDERS = ("xend", "tests", "scripts", "etc", "systemd", "docs")
FILES = ("pyproject.toml", "setup.py", "README.md", "CHANGELOG.md", "LICENSE", "Makefile")
UNWANTED_FOLDERS = {
    "__pycache__",
    ".git",
    ".venv",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".import_linter_cache",
    "build",
    "dist",
    "node_modules",
}
UNWANTED_SUFFIXES = {".pyc", ".pyo", ".so", ".swp", ".o", ".egg-info"}

BUILD_FFI = CHECKOUT / "xend/libxl/build_ffi.py"
DECLARATIONS = CHECKOUT / "xend/libxl/decl"
LAUNCHER = CHECKOUT / "scripts/launcher"
LAUNCHER_SOURCES = ("xm.c", "bare.c")
INIT_SCRIPT = CHECKOUT / "scripts/init.d/xend"
CONFIGURATION = CHECKOUT / "etc/xen"
PROGRAMS = DATA / "dom0/programs"


@dataclass(frozen=True)
class Item:
    """One file of dom0."""

    data: bytes
    mode: int = 0o644
    link: str = ""

    def digest(self) -> str:
        """Tells whether it has to be sent again."""
        return hashlib.sha256(b"%o\0%s\0" % (self.mode, self.link.encode()) + self.data).hexdigest()


Items = dict[str, Item]


def checkout_files(top: Path = CHECKOUT) -> Iterator[Path]:
    """The files of the checkout that dom0 gets."""
    for name in FILES:
        if (top / name).is_file():
            yield top / name
    for name in FOLDERS:
        for folder, folders, files in os.walk(top / name):
            folders[:] = sorted(set(folders) - UNWANTED_FOLDERS)
            for file in sorted(files):
                path = Path(folder) / file
                if path.suffix not in UNWANTED_SUFFIXES and path.is_file():
                    yield path


def source_items(release: Release, cache: Cache) -> Items:
    """The checkout below /usr/lib/xend/lib, byte-compiled."""
    items: Items = {}
    sources: dict[str, bytes] = {}
    for path in checkout_files():
        try:
            data, mode = path.read_bytes(), path.stat().st_mode
        except FileNotFoundError:
            continue  # somebody is at work in the checkout
        name = str(path.relative_to(CHECKOUT))
        items[f"{INSTALLED}/{name}"] = Item(data, 0o755 if mode & 0o100 else 0o644)
        if path.suffix == ".py" and name.startswith(("xend/", "tests/")):
            sources[name] = data
    compiled = byte_compile_files(release, cache, sources, f"/{INSTALLED}")
    for name, data in compiled.items():
        items[f"{INSTALLED}/{name}"] = Item(data)
    return items


def binding_items(cache: Cache, root: Path, site: Path, progress: Progress) -> Items:
    """The extension module around libxl, built against dom0's own."""
    if not BUILD_FFI.exists():
        progress.say("no xend/libxl/build_ffi.py yet: the binding is left out")
        return {}
    files = {"xend/libxl/build_ffi.py": BUILD_FFI.read_bytes()}
    for path in sorted(DECLARATIONS.glob("*")):
        files[f"xend/libxl/decl/{path.name}"] = path.read_bytes()
    for pattern in ("cffi", "pycparser", "_cffi_backend*"):
        for top in site.glob(pattern):
            for path in [top] if top.is_file() else sorted(top.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    files[f"site/{path.relative_to(site)}"] = path.read_bytes()
    built = compile_in_root(
        cache,
        root,
        "binding",
        files,
        "PYTHONPATH=site PYTHONDONTWRITEBYTECODE=1 python3 xend/libxl/build_ffi.py --out ../out",
        progress,
    )
    return {
        f"{INSTALLED}/{name}": Item(data, 0o755)
        for name, data in built.items()
        if name.endswith(".so")
    }


def program_items(cache: Cache, root: Path, progress: Progress) -> Items:
    """What is installed outside /usr/lib/xend/lib."""
    items: Items = {
        "usr/sbin/xend": Item((PROGRAMS / "xend").read_bytes(), 0o755),
        "usr/lib/xend/bin/xl": Item(b"", link="/usr/sbin/xm"),
        "usr/lib/python3/dist-packages/xend.pth": Item((PROGRAMS / "xend.pth").read_bytes()),
    }
    if (LAUNCHER / "xm.c").exists():
        built = compile_in_root(
            cache,
            root,
            "launcher",
            {name: (LAUNCHER / name).read_bytes() for name in LAUNCHER_SOURCES},
            "gcc -O2 -static -nostdlib -ffreestanding -fno-stack-protector -s -o ../out/xm "
            + " ".join(LAUNCHER_SOURCES),
            progress,
        )
        items["usr/sbin/xm"] = Item(built["xm"], 0o755)
    else:
        progress.say("no scripts/launcher/xm.c yet: xm starts as plain Python")
        items["usr/sbin/xm"] = Item((PROGRAMS / "xm").read_bytes(), 0o755)
    if INIT_SCRIPT.exists():
        items["etc/init.d/xend"] = Item(INIT_SCRIPT.read_bytes(), 0o755)
    else:
        progress.say("no scripts/init.d/xend yet: /etc/init.d/xend is left out")
    for path in sorted(CONFIGURATION.glob("*")):
        if path.is_file():
            items[f"etc/xen/{path.name}"] = Item(path.read_bytes())
    return items


def dependency_items(image: Image, site: Path, progress: Progress) -> Items:
    """The Python dependencies, when they are others than those in the image."""
    if resolved(site) == image.manifest["python"]:
        return {}
    progress.say("the Python dependencies have changed since the image was made: sending them")
    prefix = SITE_PACKAGES.lstrip("/")
    return {
        f"{prefix}/{path.relative_to(site)}": Item(path.read_bytes())
        for path in sorted(site.rglob("*"))
        if path.is_file()
    }


class Sent:
    """What a dom0 already has: remembered here, because asking would take longer."""

    def __init__(self, folder: Path, running: Running) -> None:
        self._path = folder / "sent.json"
        self._boot = f"{running.pid} {running.started}"

    def load(self) -> dict[str, str]:
        """Names and hashes; nothing when dom0 has been booted since."""
        try:
            kept = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        files: dict[str, str] = kept["files"] if kept.get("boot") == self._boot else {}
        return files

    def save(self, files: Mapping[str, str]) -> None:
        """Remember."""
        self._path.write_text(json.dumps({"boot": self._boot, "files": dict(files)}))


def _archive(sink: IO[bytes], items: Items) -> None:
    now = int(time.time())
    with packing(sink) as archive:
        for name, item in sorted(items.items()):
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = item.mode, now
            info.uname = info.gname = "root"
            if item.link:
                info.type, info.linkname = tarfile.SYMTYPE, item.link
            info.size = len(item.data)
            archive.addfile(info, io.BytesIO(item.data))


def sync(lab: Lab, index: int, force: bool) -> None:
    """Bring a dom0 to the state of this checkout."""
    begun = time.monotonic()
    remote = lab.remote(index)
    state = lab.state()
    if state is None:
        raise LabError("the lab has just ended")
    release = release_of(state.xen)
    cache, progress = lab.cache, lab.progress
    with cache.lock("build"):
        root = ensure_root(cache, release, progress)
        site = ensure_site_packages(cache, release, progress)
        items = {
            **dependency_items(Image(Path(state.image)), site, progress),
            **source_items(release, cache),
            **binding_items(cache, root, site, progress),
            **program_items(cache, root, progress),
        }
    wanted = {name: item.digest() for name, item in items.items()}
    with cache.lock(f"sync-{lab.name}-{index}"):
        sent = Sent(lab.host(index).folder, state.hosts[index])
        have = {} if force else sent.load()
        changed = {name: items[name] for name in items if have.get(name) != wanted[name]}
        gone = sorted(set(have) - set(wanted))
        if changed or gone:
            sent.save({})
            names = "".join(f"{name}\0" for name in gone).encode()
            if gone:
                remote.send("cd / && xargs -0 rm -f", lambda sink: _write(sink, names), "sync")
            if changed:
                remote.send("tar -xz -C /", lambda sink: _archive(sink, changed), "sync")
                # A daemon that runs has the old code, and so do the warm processes of its xm.
                remote.run("! [ -S /var/run/xend/warm.sock ] || /etc/init.d/xend restart")
            sent.save(wanted)
    size = sum(len(item.data) for item in changed.values())
    progress.say(
        f"dom0 {index} has this checkout: {len(changed)} of {len(items)} files sent "
        f"({size // 1024} KiB), {len(gone)} removed, in {time.monotonic() - begun:.1f} s"
    )


def _write(sink: IO[bytes], data: bytes) -> None:
    sink.write(data)
