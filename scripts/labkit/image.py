"""Dom0's image: the build root cut to size, the project's needs, the lab's own boot."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import subprocess
import tarfile
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labkit.cache import DATA, LABKIT, Cache, digest, digest_files
from labkit.commands import run
from labkit.errors import LabError
from labkit.guests import IMAGES, GuestFiles, build_guests
from labkit.hosttools import BUILD_TOOLS, as_root, ensure, is_root
from labkit.kernels import cpio, directory, file, loadable, slim_elf, vmlinux_of
from labkit.measures import Measures
from labkit.native import compile_in_root
from labkit.progress import Progress
from labkit.pydeps import SITE_PACKAGES, ensure_site_packages, resolved
from labkit.releases import Release
from labkit.roots import DOM0_LIST, DOM0_STATUS, ensure_root
from labkit.tree import Tree

RECIPE = 1
DISK_MIB = 6144

# In the order in which dom0 needs them before it has a root file system.
DOM0_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "ext4")

# Of what the list names, left out of the image.
SKIP = (
    "boot/initrd",
    "var/cache/apt/",
    "var/cache/debconf/",
    "var/lib/apt/lists/",
    "var/log/",
)


@dataclass(frozen=True)
class Image:
    """The files that QEMU boots."""

    folder: Path

    @property
    def disk(self) -> Path:
        """Dom0's root file system."""
        return self.folder / "dom0.img"

    @property
    def hypervisor(self) -> Path:
        """Xen, uncompressed."""
        return self.folder / "xen"

    @property
    def kernel(self) -> Path:
        """Dom0's kernel, uncompressed and slimmed."""
        return self.folder / "vmlinux"

    @property
    def initrd(self) -> Path:
        """Dom0's RAM disk."""
        return self.folder / "initrd"

    @property
    def manifest(self) -> dict[str, Any]:
        """What is inside, and how long it took."""
        loaded: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return loaded


@dataclass(frozen=True)
class Ingredients:
    """What an image is made of; its hash names the image."""

    root: Path
    site: Path
    keys: Path

    def key(self) -> str:
        """The same key means the same image."""
        makers = [LABKIT / f"{name}.py" for name in ("image", "stage", "guests", "kernels", "tree")]
        return digest(
            RECIPE,
            self.root.name,
            resolved(self.site),
            digest_files([DATA, *makers]),
            (self.keys / "client.pub").read_text(),
        )


def ensure_keys(cache: Cache) -> Path:
    """ssh keys of this cache: dom0 knows the client's, and the client knows dom0's."""
    keys = cache.folder("keys")
    with cache.lock("keys"):
        for name in ("client", "host"):
            if not (keys / f"{name}.pub").exists():
                run(
                    [
                        "ssh-keygen",
                        "-q",
                        "-t",
                        "ed25519",
                        "-N",
                        "",
                        "-C",
                        "xend-lab",
                        "-f",
                        str(keys / name),
                    ],
                    what="making the lab's ssh keys",
                )
        known = "xend-lab " + (keys / "host.pub").read_text()
        (keys / "known_hosts").write_text(known)
    return keys


def find_image(cache: Cache, release: Release) -> Image | None:
    """The newest image of a release, whether or not the sources have changed since."""
    found = sorted(
        cache.folder("images").glob(f"{release.xen}-*/manifest.json"),
        key=lambda path: path.stat().st_mtime,
    )
    return Image(found[-1].parent) if found else None


def ensure_image(cache: Cache, release: Release, progress: Progress) -> Image:
    """The image for the present sources, from the cache or built now."""
    begun = time.monotonic()
    ensure(BUILD_TOOLS, progress)
    with cache.lock("build", "another build is under way; waiting for it"):
        fresh_root = False
        with ThreadPoolExecutor(max_workers=2) as pool:
            site_later = pool.submit(ensure_site_packages, cache, release, progress)
            before = set(cache.roots().iterdir())
            root = ensure_root(cache, release, progress)
            fresh_root = root not in before
            site = site_later.result()
        parts = Ingredients(root, site, ensure_keys(cache))
        final = cache.folder("images") / f"{release.xen}-{parts.key()}"
        if final.exists():
            return Image(final)
        with progress.step("making dom0's image"):
            build = Path(tempfile.mkdtemp(prefix="part-", dir=cache.folder("images")))
            try:
                facts = _assemble(cache, release, parts, build, progress)
            except BaseException:
                shutil.rmtree(build, ignore_errors=True)
                raise
            build.chmod(0o755)
        facts["build_seconds"] = round(time.monotonic() - begun, 1)
        facts["build_from"] = "nothing" if fresh_root else "a cached Debian root"
        (build / "manifest.json").write_text(json.dumps(facts, indent=2) + "\n")
        build.rename(final)
        Measures(cache).build(release.xen, facts["build_from"], facts["build_seconds"])
        _forget_older(cache, release, final)
    return Image(final)


def _forget_older(cache: Cache, release: Release, keep: Path) -> None:
    """Images are half a gigabyte each: keep the one before and those that run, drop the rest."""
    running = "".join(
        path.read_text() for path in cache.folder("run").glob("*/state.json") if path.exists()
    )
    others = sorted(
        (path for path in cache.folder("images").glob(f"{release.xen}-*") if path != keep),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in others[1:]:
        if str(path) not in running:
            shutil.rmtree(path, ignore_errors=True)


def _assemble(
    cache: Cache, release: Release, parts: Ingredients, build: Path, progress: Progress
) -> dict[str, Any]:
    root = parts.root
    bzimage = _only(root / "boot", "vmlinuz-*")
    version = bzimage.name.removeprefix("vmlinuz-")
    modules = root / "lib/modules" / version
    busybox = (root / "bin/busybox").read_bytes()

    kernel = slim_elf(vmlinux_of(bzimage.read_bytes(), bzimage.name))
    (build / "vmlinux").write_bytes(kernel)
    hypervisor = _only(root / "boot", f"xen-{release.xen}-amd64.gz")
    (build / "xen").write_bytes(_gunzip(hypervisor))
    (build / "initrd").write_bytes(_dom0_initrd(busybox, modules))

    tools = compile_in_root(
        cache,
        root,
        "labrun",
        {"labrun.c": (DATA / "dom0/labrun.c").read_bytes()},
        "gcc -O2 -Wall -Wextra -static -s -o ../out/labrun labrun.c",
        progress,
    )
    guests = build_guests(cache, root, GuestFiles(kernel, version, modules, busybox), progress)
    tree = _dom0_tree(parts, tools)
    tree.copy(parts.site, SITE_PACKAGES.lstrip("/"))
    for name, data in guests.files.items():
        tree.put(f"{IMAGES}/{name}", data)
    # A place that the unpacking side may write to; below the root for hard links.
    handover = Path(tempfile.mkdtemp(prefix="image-", dir=root.parent))
    handover.chmod(0o777)
    plan = {
        "root": str(root),
        "work": str(handover / "stage"),
        "list": DOM0_LIST,
        "skip": SKIP,
        "disks": guests.disks,
        "image": {
            "mib": DISK_MIB,
            "type": "ext4",
            # No journal and no checksums: the disk is a throw-away overlay, and
            # checksums are computed in software under emulation.
            "mke2fs": [
                *("-O", "^has_journal,^metadata_csum,^64bit,^resize_inode", "-m", "0"),
                *("-N", "131072", "-E", "lazy_itable_init=1,nodiscard"),
            ],
        },
        "out": str(handover / "dom0.img"),
    }
    try:
        _run_stage(plan, {"tree": tree, **guests.trees})
        _take_over(handover / "dom0.img", build / "dom0.img")
    finally:
        subprocess.run([*as_root(), "rm", "-rf", str(handover)], check=False)
        shutil.rmtree(handover, ignore_errors=True)
    return {
        # Two builds from equal inputs are not equal bytes; a snapshot fits only one.
        "id": uuid.uuid4().hex,
        "xen": release.xen,
        "suite": release.suite,
        "kernel": version,
        "key": parts.key(),
        "root": root.name,
        "python": resolved(parts.site),
        "packages": _package_versions(root),
        "release": asdict(release),
    }


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise LabError(f"expected one {pattern} in {folder}, found {len(found)}")
    return found[0]


def _gunzip(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def _dom0_initrd(busybox: bytes, modules: Path) -> bytes:
    drivers = loadable(modules, DOM0_MODULES)
    return cpio(
        [
            *(directory(name) for name in ("bin", "dev", "modules", "proc", "root", "sys")),
            file("bin/busybox", busybox, executable=True),
            file("init", (DATA / "dom0/initramfs-init").read_bytes(), executable=True),
            file("modules/order", "".join(f"{name}\n" for name in drivers).encode()),
            *(file(f"modules/{name}", data) for name, data in drivers.items()),
        ]
    )


def _dom0_tree(parts: Ingredients, tools: dict[str, bytes]) -> Tree:
    """Everything of dom0 that no Debian package brings."""
    tree = Tree()
    put = tree.put
    dom0 = DATA / "dom0"
    for name in ("init", "boot", "identity"):
        put(f"usr/lib/xend-lab/{name}", (dom0 / name).read_bytes(), 0o755)
    put("usr/lib/xend-lab/labrun", tools["labrun"], 0o755)
    put("etc/fstab", (dom0 / "fstab").read_bytes())
    put("etc/ssh/sshd_config", (dom0 / "sshd_config").read_bytes())
    put("etc/ssh/ssh_host_ed25519_key", (parts.keys / "host").read_bytes(), 0o600)
    put("etc/ssh/ssh_host_ed25519_key.pub", (parts.keys / "host.pub").read_bytes())
    tree.folder("root", 0o700)
    tree.folder("root/.ssh", 0o700)
    put("root/.ssh/authorized_keys", (parts.keys / "client.pub").read_bytes(), 0o600)
    put("root/.bashrc", (dom0 / "bashrc").read_bytes())
    put("etc/hostname", "lab0\n")
    names = [("10.77.0.1", "lab0"), ("10.77.0.2", "prospero")]
    names += [(f"10.77.0.{200 + index}", f"lab{index}") for index in range(1, 8)]
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for address, name in names)]
    put("etc/hosts", "\n".join(lines) + "\n")
    put("etc/resolv.conf", "")
    put("var/lib/dpkg/status", (parts.root / DOM0_STATUS).read_bytes())
    put("var/log/lastlog", "")
    for folder in ("var/log/xen", "var/log/apt", "var/lib/xend", "var/cache/debconf"):
        tree.folder(folder)
    return tree


def _package_versions(root: Path) -> dict[str, str]:
    versions: dict[str, str] = {}
    name = ""
    for line in (root / DOM0_STATUS).read_text().splitlines():
        if line.startswith("Package: "):
            name = line.removeprefix("Package: ")
        elif line.startswith("Version: "):
            versions[name] = line.removeprefix("Version: ")
    return versions


def _run_stage(plan: dict[str, Any], trees: dict[str, Tree]) -> None:
    """Run stage.py where files can be given to their owners."""
    program = (LABKIT / "stage.py").read_text()
    # Debian's Python, and the program as text: a user's own files may be out of
    # reach in the user namespace.
    command = [*as_root(), "/usr/bin/python3", "-I", "-c", program, json.dumps(plan)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
    )
    assert process.stdin is not None and process.stderr is not None
    with contextlib.suppress(BrokenPipeError):
        with tarfile.open(fileobj=process.stdin, mode="w|", bufsize=1 << 20) as archive:
            for prefix, tree in trees.items():
                archive.addfile(_folder(prefix))
                tree.write(archive, prefix)
        process.stdin.close()
    said = process.stderr.read().decode(errors="replace")
    if process.wait() != 0:
        tail = said.strip().splitlines()[-15:]
        raise LabError("making dom0's image failed\n" + "\n".join("    " + line for line in tail))


def _folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info


def _take_over(made: Path, final: Path) -> None:
    """Make the image ours: one that came out of a user namespace is somebody else's file."""
    if is_root():
        made.rename(final)
    else:
        run(["cp", "--sparse=always", made, final], what="taking over dom0's image")
