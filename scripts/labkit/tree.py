"""A tree of files that is put together in memory and travels as an archive.

Not as a folder, because a user who builds an image cannot give files to root;
the archive is unpacked where that is possible.
"""

from __future__ import annotations

import io
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Node:
    """A file, a folder (no data) or a symbolic link (a target)."""

    kind: bytes
    mode: int
    data: bytes = b""
    target: str = ""


@dataclass
class Tree:
    """Files by their names, without a leading slash; all of them are root's."""

    nodes: dict[str, Node] = field(default_factory=dict)

    def put(self, name: str, data: bytes | str, mode: int = 0o644) -> None:
        """A regular file; folders above it appear by themselves."""
        content = data.encode() if isinstance(data, str) else data
        self.nodes[name] = Node(tarfile.REGTYPE, mode, content)

    def folder(self, name: str, mode: int = 0o755) -> None:
        """A folder, for its mode or because it is empty."""
        self.nodes[name] = Node(tarfile.DIRTYPE, mode)

    def symlink(self, name: str, target: str) -> None:
        """A symbolic link."""
        self.nodes[name] = Node(tarfile.SYMTYPE, 0o777, target=target)

    def copy(self, source: Path, at: str) -> None:
        """All files below a folder of this machine."""
        for path in sorted(source.rglob("*")):
            if path.is_file():
                mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
                self.put(f"{at}/{path.relative_to(source)}", path.read_bytes(), mode)

    def write(self, archive: tarfile.TarFile, prefix: str) -> None:
        """Add everything to an archive."""
        now = int(time.time())
        for name, node in sorted(self.nodes.items()):
            info = tarfile.TarInfo(f"{prefix}/{name}")
            info.type, info.mode, info.mtime = node.kind, node.mode, now
            info.uname = info.gname = "root"
            info.linkname = node.target
            info.size = len(node.data)
            archive.addfile(info, io.BytesIO(node.data))
