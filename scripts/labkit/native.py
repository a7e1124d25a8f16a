"""Compile C for dom0 with dom0's own compiler and headers, but at full speed.

The build root is the same Debian as dom0, so what it links fits there; inside
dom0 the same compilation would take minutes under emulation.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from labkit.cache import Cache, digest
from labkit.errors import LabError
from labkit.hosttools import as_root
from labkit.progress import Progress

RECIPE = 1
TAIL_LINES = 20

# $1 is the root.  Sources come in and results go out as archives, because a
# user's own files are out of reach in the user namespace, and the other way round.
SCRIPT = """
set -e
work=$(mktemp -d "$1/tmp/lab.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/in" "$work/out"
tar -x -C "$work/in" --no-same-owner
chroot "$1" /bin/sh -ec "cd '${work#"$1"}/in'; $2" >&2 </dev/null
tar -c -C "$work/out" .
"""


def _pack(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o755
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def compile_in_root(
    cache: Cache,
    root: Path,
    what: str,
    files: Mapping[str, bytes],
    command: str,
    progress: Progress,
) -> dict[str, bytes]:
    """Run a shell command over the files in the root; it leaves its results in ../out.

    Results are kept by a hash of root, files and command.
    """
    key = digest(
        RECIPE,
        root.name,
        command,
        {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    )
    kept = cache.folder("native") / f"{what}-{key}.tar"
    if not kept.exists():
        with progress.step(f"compiling the {what} for dom0"):
            done = subprocess.run(
                [*as_root(), "sh", "-c", SCRIPT, "sh", str(root), command],
                input=_pack(files),
                capture_output=True,
                check=False,
            )
        if done.returncode != 0:
            text = done.stderr.decode(errors="replace").strip().splitlines()[-TAIL_LINES:]
            raise LabError(
                f"compiling the {what} for dom0 failed with status {done.returncode}\n"
                + "\n".join("    " + line for line in text)
            )
        part = kept.with_suffix(".part")
        part.write_bytes(done.stdout)
        part.rename(kept)
    results: dict[str, bytes] = {}
    with tarfile.open(kept) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                results[member.name.removeprefix("./")] = content.read()
    return results
