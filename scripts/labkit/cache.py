"""Where the lab keeps things, and the hashes under which it finds them again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import LabError

KEY_LENGTH = 16
LABKIT = Path(__file__).resolve().parent
DATA = LABKIT / "data"
CHECKOUT = LABKIT.parent.parent

# Socket paths are limited to 107 bytes, and ssh appends a suffix of its own to
# a control socket while it makes it.
LONGEST_SOCKET_DIR = 70


def default_cache_dir() -> Path:
    """`XEND_LAB_CACHE`, or the user's cache folder; never the checkout."""
    named = os.environ.get("XEND_LAB_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "xend-lab"


def digest(*parts: object) -> str:
    """A short name for a combination of inputs, the same in every run."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def digest_files(paths: Iterable[Path], base: Path = CHECKOUT) -> str:
    """A hash over names, modes and contents of files; folders are walked."""
    total = hashlib.sha256()
    for path in sorted(_files_below(paths)):
        name = path.relative_to(base) if path.is_relative_to(base) else path
        mode = "x" if os.access(path, os.X_OK) else "-"
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{name}\0{mode}\0{content}\n".encode())
    return total.hexdigest()[:KEY_LENGTH]


def _files_below(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (
                file
                for file in path.rglob("*")
                if file.is_file() and "__pycache__" not in file.parts
            )
        else:
            yield path


@dataclass(frozen=True)
class Cache:
    """The folder outside the checkout that holds all that the lab builds and runs."""

    top: Path

    def folder(self, *names: str) -> Path:
        """A folder below the cache, made when missing."""
        path = self.top.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def roots(self) -> Path:
        """Where build roots are unpacked: in the cache, if other ids can get there.

        A user's root belongs to ids of a user namespace, which cannot pass
        through a home folder that is closed to everybody else.
        """
        if os.geteuid() == 0:
            return self.folder("roots")
        path = self.folder("roots")
        if not all(parent.stat().st_mode & 0o001 for parent in path.parents):
            path = Path(f"/var/tmp/xend-lab-{os.geteuid()}") / digest(str(self.top))
            path.parent.mkdir(mode=0o755, exist_ok=True)
            if path.parent.stat().st_uid != os.geteuid():
                raise LabError(f"{path.parent} belongs to somebody else", "remove it")
            path.mkdir(exist_ok=True)
        path.chmod(0o777)
        return path

    def run_dir(self, name: str) -> Path:
        """State of one lab: its disks, pids and logs."""
        return self.folder("run", name)

    def socket_dir(self, name: str) -> Path:
        """A folder whose path is short enough for Unix sockets."""
        run_dir = self.run_dir(name)
        if len(str(run_dir)) <= LONGEST_SOCKET_DIR:
            return run_dir
        short = Path(f"/tmp/xend-lab-{os.geteuid()}")
        short.mkdir(mode=0o700, exist_ok=True)
        if short.stat().st_uid != os.geteuid():
            raise LabError(
                f"{short} belongs to somebody else", "set XEND_LAB_CACHE to a short path"
            )
        path = short / digest(str(run_dir))
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    @contextmanager
    def lock(self, name: str, waiting: str = "") -> Iterator[None]:
        """Hold a lock of the cache; tell who waits for what when it is taken."""
        path = self.folder("locks") / name
        with path.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    print(f"lab: {waiting}", flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def remove(self, as_root: list[str]) -> None:
        """Remove everything; a user's build root belongs to ids that only `as_root` may touch."""
        if as_root:
            roots = self.roots()
            subprocess.run([*as_root, "find", roots, "-mindepth", "1", "-delete"], check=False)
            shutil.rmtree(roots, ignore_errors=True)
            if not roots.is_relative_to(self.top):
                with contextlib.suppress(OSError):
                    roots.parent.rmdir()
        try:
            if self.top.exists():
                shutil.rmtree(self.top)
        except PermissionError as err:
            raise LabError(
                f"{err.filename} cannot be removed: it belongs to somebody else",
                f"as root: rm -rf {self.top}",
            ) from err
