"""The guests that the lab ships: one to play with, some that are small and quick."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.cache import DATA, Cache
from labkit.kernels import (
    Entry,
    character_device,
    cpio,
    directory,
    file,
    loadable,
    symlink,
)
from labkit.native import compile_in_root
from labkit.progress import Progress
from labkit.tree import Tree

IMAGES = "var/lib/xen/images"
MIB = 1024 * 1024
PARTITION_OFFSET = MIB

# Root's password in the shipped guest is "prospero", hashed in the way of its time.
PASSWORD_HASH = "$1$xendlab$ACm9C7d9RpV3sfC9BweHa1"

LINUX_MODULES = ("xen_netfront", "xen_blkfront")
ROOT_MODULES = ("xen_blkfront", "crc32c_generic", "ext4")
NETWORK_MODULES = ("xen_netfront",)

# Applets that have to be where the kernel and old habits look for them.
SBIN = (
    *("init", "poweroff", "reboot", "halt", "getty", "ifconfig", "ip", "insmod", "rmmod"),
    *("lsmod", "modprobe", "route", "fdisk", "blkid", "swapon", "swapoff", "sysctl"),
)
BIN = (
    *("sh", "ash", "login", "ls", "cat", "cp", "mv", "rm", "mkdir", "rmdir", "ln", "echo", "ps"),
    *("mount", "umount", "df", "du", "free", "top", "dmesg", "uname", "hostname", "date", "ping"),
    *("grep", "sed", "awk", "head", "tail", "wc", "sort", "uniq", "cut", "tr", "find", "xargs"),
    *("sleep", "usleep", "kill", "killall", "dd", "sync", "touch", "chmod", "chown", "id"),
    *("who", "whoami", "uptime", "vi", "more", "less", "tar", "gzip", "gunzip", "zcat", "nc"),
    *("wget", "telnet", "netstat", "basename", "dirname", "readlink", "env", "test", "expr"),
    *("true", "false", "uevent", "stty", "tty", "seq", "yes", "md5sum", "od", "hexdump", "clear"),
    *("pidof", "nproc", "stat", "watch", "time", "su", "passwd", "reset", "mknod", "taskset"),
)


@dataclass(frozen=True)
class GuestFiles:
    """What the guests are made from."""

    kernel: bytes
    version: str
    modules: Path
    busybox: bytes


@dataclass
class Guests:
    """Files for dom0's image folder, and disk images that need root to make."""

    files: dict[str, bytes] = field(default_factory=dict)
    disks: list[dict[str, Any]] = field(default_factory=list)
    trees: dict[str, Tree] = field(default_factory=dict)

    def disk(self, name: str, mib: int, tree: Tree, offset: int = PARTITION_OFFSET) -> None:
        """A disk with the kind of file system of the CentOS 5 days, by default in a partition."""
        folder = f"disk{len(self.disks)}"
        # pygrub reads a block at a time: small ones make it half as fast again.
        block = 1024 if mib < 16 else 4096
        journal = 1 if mib < 16 else 4
        self.trees[folder] = tree
        self.disks.append(
            {
                "path": f"{IMAGES}/{name}",
                "folder": folder,
                "mib": mib,
                "type": "ext3",
                "offset": offset,
                "mke2fs": [
                    *("-m", "0", "-L", "/", "-I", "128", "-b", str(block)),
                    *("-J", f"size={journal}"),
                ],
            }
        )


def build_guests(cache: Cache, root: Path, parts: GuestFiles, progress: Progress) -> Guests:
    """Everything for /var/lib/xen/images."""
    tiny = compile_in_root(
        cache,
        root,
        "tiny guest",
        {name: (DATA / "guest" / name).read_bytes() for name in ("tiny.S", "tiny.lds")},
        "gcc -nostdlib -static -no-pie -s -T tiny.lds -Wl,-nmagic -Wl,--build-id=none "
        "-o ../out/tiny tiny.S",
        progress,
    )
    guests = Guests()
    guests.files["tiny"] = tiny["tiny"]
    guests.files["vmlinux"] = parts.kernel
    guests.files["initrd.img"] = linux_initrd(parts)
    for name in ("tiny.cfg", "linux.cfg", "prospero.cfg"):
        guests.files[name] = (DATA / "guest" / name).read_bytes()

    guests.disk("prospero.img", 96, prospero_tree(parts))
    # For what goes wrong: a disk with a file system, but nothing to boot in it.
    nokernel = Tree()
    nokernel.put("etc/issue", "There is no kernel on this disk.\n")
    guests.disk("nokernel.img", 8, nokernel)
    # A second disk to attach: a file system right at its beginning.
    data = Tree()
    data.put("README", "A disk to attach to guests.\n")
    guests.disk("data.img", 8, data, offset=0)
    return guests


def _busybox_links() -> Iterable[tuple[str, str]]:
    for name in SBIN:
        yield f"sbin/{name}", "../bin/busybox"
    for name in BIN:
        yield f"bin/{name}", "busybox"


def linux_initrd(parts: GuestFiles) -> bytes:
    """A Linux guest that is nothing but a kernel and this RAM disk."""
    guest = DATA / "guest"
    drivers = loadable(parts.modules, LINUX_MODULES)
    all_drivers = {**drivers, **loadable(parts.modules, ROOT_MODULES)}
    folders = ("bin", "sbin", "dev", "proc", "sys", "etc", "lib", "lib/modules", "root", "run")
    entries: list[Entry] = [
        *(directory(name) for name in folders),
        character_device("dev/console", 5, 1),
        character_device("dev/null", 1, 3),
        file("bin/busybox", parts.busybox, executable=True),
        *(symlink(name, target) for name, target in _busybox_links()),
        symlink("init", "sbin/init"),
        file("etc/inittab", (guest / "linux/inittab").read_bytes()),
        file("etc/init-rc", (guest / "linux/init-rc").read_bytes(), executable=True),
        file("etc/hotplug", (guest / "hotplug").read_bytes(), executable=True),
        file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n"),
        file("lib/modules/order", "".join(f"{name}\n" for name in drivers).encode()),
        *(file(f"lib/modules/{name}", data) for name, data in all_drivers.items()),
    ]
    return cpio(entries)


def _prospero_initrd(parts: GuestFiles) -> bytes:
    drivers = loadable(parts.modules, ROOT_MODULES)
    return cpio(
        [
            *(directory(name) for name in ("bin", "dev", "modules", "proc", "sysroot")),
            character_device("dev/console", 5, 1),
            file("bin/busybox", parts.busybox, executable=True),
            file("init", (DATA / "guest/prospero/initrd-init").read_bytes(), executable=True),
            file("modules/order", "".join(f"{name}\n" for name in drivers).encode()),
            *(file(f"modules/{name}", data) for name, data in drivers.items()),
        ]
    )


def prospero_tree(parts: GuestFiles) -> Tree:
    """The root file system of the guest to play with."""
    guest = DATA / "guest"
    source = guest / "prospero"
    tree = Tree()
    put = tree.put
    for folder in ("dev", "proc", "sys", "tmp", "root", "mnt", "var/log", "var/run", "home"):
        tree.folder(folder)
    tree.folder("tmp", 0o1777)
    put("bin/busybox", parts.busybox, 0o755)
    for name, target in _busybox_links():
        tree.symlink(name, target)

    version = parts.version
    put(f"boot/vmlinuz-{version}", parts.kernel)
    put(f"boot/initrd-{version}.img", _prospero_initrd(parts))
    grub = (source / "grub.conf").read_text().replace("@VERSION@", version)
    put("boot/grub/grub.conf", grub, 0o600)
    tree.symlink("boot/grub/menu.lst", "./grub.conf")
    put("boot/grub/device.map", "(hd0)     /dev/xvda\n")
    for name, data in loadable(parts.modules, NETWORK_MODULES).items():
        put(f"lib/modules/{version}/{name}", data)

    put("etc/inittab", (source / "inittab").read_bytes())
    put("etc/rc.sysinit", (source / "rc.sysinit").read_bytes(), 0o755)
    put("etc/hotplug", (guest / "hotplug").read_bytes(), 0o755)
    put("etc/issue", (source / "issue").read_bytes())
    put("etc/profile", (source / "profile").read_bytes())
    put("etc/sysconfig/network-scripts/ifcfg-eth0", (source / "ifcfg-eth0").read_bytes())
    put("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:99:99:Nobody:/:/bin/false\n")
    put("etc/shadow", f"root:{PASSWORD_HASH}:14000:0:99999:7:::\n", 0o600)
    put("etc/group", "root:x:0:\ntty:x:5:\nnobody:x:99:\n")
    put("etc/hostname", "prospero\n")
    put("etc/hosts", "127.0.0.1 localhost\n10.77.0.1 dom0\n10.77.0.2 prospero\n")
    put("etc/shells", "/bin/sh\n")
    put("etc/securetty", "hvc0\nconsole\ntty1\n")
    put("etc/fstab", "/dev/xvda1 / ext3 defaults 1 1\nproc /proc proc defaults 0 0\n")
    return tree
