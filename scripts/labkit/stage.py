"""Cut dom0's tree out of the build root and turn it into a disk image.

Runs as a program of its own, because it has to own files of several users: as
root, or in the user namespace that unpacked the build root.  It imports nothing
of the lab, which may be out of reach there.  Its argument is a plan in JSON; its
input is an archive with `tree/`, laid over dom0's tree, and a folder per disk.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

MIB = 1024 * 1024


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


def make_disk(disk: dict[str, Any], tree: Path, image: Path) -> None:
    """A disk image with an ext file system of the tree, in a partition if it has an offset."""
    offset = disk.get("offset", 0)
    with image.open("wb") as handle:
        handle.truncate(disk["mib"] * MIB)
    options = list(disk.get("mke2fs", []))
    if offset:
        table = f"label: dos\nlabel-id: 0x786c6162\nstart={offset // 512}, type=83, bootable\n"
        subprocess.run(["sfdisk", "-q", str(image)], input=table.encode(), check=True)
        options += ["-E", f"offset={offset}"]
    blocks = (disk["mib"] * MIB - offset) // 1024
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", disk["type"], *options, "-d", tree, image, f"{blocks}k"],
        check=True,
        stdin=subprocess.DEVNULL,
    )


def main() -> int:
    """Do what the plan says."""
    plan = json.loads(sys.argv[1])
    work, root = Path(plan["work"]), Path(plan["root"])
    shutil.rmtree(work, ignore_errors=True)
    tree = work / "tree"
    tree.mkdir(parents=True)
    for folder in (work, tree):
        folder.chmod(0o755)
    names = (root / plan["list"]).read_text().splitlines()
    link_listed(root, names, tuple(plan["skip"]), tree)
    for name in ("proc", "sys", "dev", "run", "tmp"):
        (tree / name).mkdir(exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    # tar replaces files, and does not write through a hard link into the root.
    subprocess.run(["tar", "-x", "-p", "--same-owner", "-C", work], check=True)
    for disk in plan["disks"]:
        image = tree / disk["path"]
        image.parent.mkdir(parents=True, exist_ok=True)
        make_disk(disk, work / disk["folder"], image)
    make_disk(plan["image"], tree, work / "image")
    (work / "image").chmod(0o644)
    (work / "image").rename(plan["out"])
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
