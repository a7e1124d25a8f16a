"""Copy files and folders into and out of a dom0, with the semantics of `cp -r`."""

from __future__ import annotations

import gzip
import shlex
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from labkit.errors import LabError
from labkit.remote import Remote


def _owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


@contextmanager
def packing(sink: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """An archive for dom0's `tar -xz`.

    Compressed a little, because dom0 unzips faster than it decrypts.
    """
    with (
        gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=1) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", bufsize=1 << 18) as archive,
    ):
        yield archive


def push(remote: Remote, sources: Sequence[Path], target: str) -> None:
    """Copy local files and folders to dom0."""
    for source in sources:
        if not source.exists():
            raise LabError(f"there is no {source} to push")
    place = PurePosixPath("/root") / target
    quoted = shlex.quote(str(place))
    into = target.endswith("/") or len(sources) > 1
    if not into:
        into = remote.run(f"test -d {quoted} && echo yes || echo no").strip() == "yes"
    folder = place if into else place.parent

    def write(sink: IO[bytes]) -> None:
        with packing(sink) as archive:
            for source in sources:
                name = source.resolve().name if into else place.name
                archive.add(source, arcname=name, filter=_owned_by_root)

    where = shlex.quote(str(folder))
    remote.send(
        f"mkdir -p {where} && tar -xz -C {where}",
        write,
        f"pushing to {place} of host {remote.index}",
    )


def pull(remote: Remote, sources: Sequence[str], target: Path, slash: bool) -> None:
    """Copy files and folders of dom0 here."""
    into = slash or len(sources) > 1 or target.is_dir()
    folder = target if into else target.parent
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        place = PurePosixPath("/root") / source

        def read(stream: IO[bytes], top: str = place.name) -> None:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 18) as archive:
                # Where Python has it: refuse names that lead out of the folder.
                archive.extraction_filter = getattr(tarfile, "tar_filter", None)
                for member in archive:
                    if not into:
                        member.name = target.name + member.name.removeprefix(top)
                        if member.islnk():
                            member.linkname = target.name + member.linkname.removeprefix(top)
                    # Devices and sockets of dom0's folders are of no use here.
                    if member.isfile() or member.isdir() or member.issym() or member.islnk():
                        archive.extract(member, folder, set_attrs=True)

        command = (
            f"tar -c --ignore-failed-read -C {shlex.quote(str(place.parent))} "
            f"-- {shlex.quote(place.name)}"
        )
        remote.fetch(command, read, f"pulling {place} of host {remote.index}")
