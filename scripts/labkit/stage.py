"""Cut dom0's tree out of the build root and turn it into a disk image.

Runs as a program of its own, because it has to own files of several users: as
root, or in the user namespace that unpacked the build root.  It therefore
imports nothing of the lab, and reads what to do as JSON from its input.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any


def link_listed(root: Path, names: list[str], skip: tuple[str, ...], target: Path) -> None:
    """Hard-link the listed files of the root into a new tree; folders are made anew."""
    for name in sorted(names):
        if not name or name.startswith(skip):
            continue
        source, copy = root / name, target / name
        try:
            info = source.lstat()
        except FileNotFoundError:
            continue  # replaced by an alternative since the list was made
        if stat.S_ISDIR(info.st_mode):
            copy.mkdir(exist_ok=True)
            os.chown(copy, info.st_uid, info.st_gid)
            copy.chmod(stat.S_IMODE(info.st_mode))
        elif copy.parent.is_dir():
            os.link(source, copy, follow_symlinks=False)


def lay_over(source: Path, target: Path) -> None:
    """Copy a prepared tree over another; everything in it becomes root's."""
    for folder, folders, files in os.walk(source):
        here = target / Path(folder).relative_to(source)
        for name in folders:
            path = Path(folder) / name
            if path.is_symlink():
                files.append(name)
            elif not (here / name).is_dir():
                (here / name).mkdir()
                (here / name).chmod(stat.S_IMODE(path.stat().st_mode))
                os.chown(here / name, 0, 0)
        for name in files:
            copy = here / name
            # Unlink first: the old name may be a hard link into the build root.
            copy.unlink(missing_ok=True)
            shutil.copy2(Path(folder) / name, copy, follow_symlinks=False)
            os.chown(copy, 0, 0, follow_symlinks=False)


def make_disk(disk: dict[str, Any], tree: Path, target: Path) -> None:
    """A disk image with an ext file system of the tree, in a partition if it has an offset."""
    image = target / disk["path"]
    image.unlink(missing_ok=True)
    with image.open("wb") as handle:
        handle.truncate(disk["mib"] * 1024 * 1024)
    offset = disk.get("offset", 0)
    options = ["-E", f"root_owner=0:0,lazy_itable_init=0,offset={offset}"] if offset else []
    blocks = (disk["mib"] * 1024 * 1024 - offset) // 1024
    if offset:
        table = f"label: dos\nlabel-id: 0x786c6162\nstart={offset // 512}, type=83, bootable\n"
        subprocess.run(["sfdisk", "-q", str(image)], input=table.encode(), check=True)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", disk["type"], *disk.get("mke2fs", []), *options]
        + (["-d", str(tree)] if tree.is_dir() else [])
        + [str(image), f"{blocks}k"],
        check=True,
        stdin=subprocess.DEVNULL,
    )


def main() -> int:
    """Do what the JSON on standard input says."""
    plan = json.load(sys.stdin)
    work, root = Path(plan["work"]), Path(plan["root"])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    work.chmod(0o755)
    tree = work / "tree"
    tree.mkdir()
    tree.chmod(0o755)
    names = (root / plan["list"]).read_text().splitlines()
    link_listed(root, names, tuple(plan["skip"]), tree)
    for folder in ("proc", "sys", "dev", "run", "tmp"):
        (tree / folder).mkdir(exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    for overlay in plan["overlays"]:
        (tree / overlay["at"]).mkdir(parents=True, exist_ok=True)
        lay_over(Path(overlay["from"]), tree / overlay["at"])
    for number, disk in enumerate(plan["disks"]):
        disk_tree = work / f"disk{number}"
        if disk["from"]:
            disk_tree.mkdir()
            disk_tree.chmod(0o755)
            lay_over(Path(disk["from"]), disk_tree)
        (tree / disk["path"]).parent.mkdir(parents=True, exist_ok=True)
        make_disk(disk, disk_tree, tree)
    make_disk(plan["image"], tree, work)
    image = work / plan["image"]["path"]
    image.chmod(0o644)
    with contextlib.suppress(PermissionError):
        Path(plan["out"]).unlink(missing_ok=True)
    if plan["stream"]:
        with image.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer, 1 << 20)
    else:
        image.rename(plan["out"])
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
