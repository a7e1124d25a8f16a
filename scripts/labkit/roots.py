"""The Debian tree that dom0's image is cut from and that compiles for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from labkit.cache import Cache, digest
from labkit.commands import run
from labkit.hosttools import as_root, is_root
from labkit.progress import Progress
from labkit.releases import Release

RECIPE = 4

# Of the kernel's 400 MB of modules a Xen host in QEMU uses a few; the others
# are not even written, which saves a third of the time of the whole build.
# MODULES stands for where the release's package has them.
UNUSED = (
    "/usr/share/man/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/iso-codes/*",
    "/boot/*.efi",
    "/boot/System.map*",
    "MODULES/*/kernel/drivers/*",
    "MODULES/*/kernel/sound/*",
    "MODULES/*/kernel/net/wireless/*",
    "MODULES/*/kernel/net/bluetooth/*",
)
USED = (
    "/usr/share/doc/*/copyright",
    "MODULES/*/kernel/drivers/block/*",
    "MODULES/*/kernel/drivers/md/*",
    "MODULES/*/kernel/drivers/virtio/*",
    "MODULES/*/kernel/drivers/xen/*",
    "MODULES/*/kernel/drivers/char/hw_random/virtio*",
    "MODULES/*/kernel/drivers/net/bonding/*",
    "MODULES/*/kernel/drivers/net/dummy*",
    "MODULES/*/kernel/drivers/net/ifb*",
    "MODULES/*/kernel/drivers/net/macv*",
    "MODULES/*/kernel/drivers/net/mii*",
    "MODULES/*/kernel/drivers/net/net_failover*",
    "MODULES/*/kernel/drivers/net/ethernet/intel/e1000/*",
    "MODULES/*/kernel/drivers/net/ethernet/realtek/8139*",
    "MODULES/*/kernel/drivers/net/tap*",
    "MODULES/*/kernel/drivers/net/tun*",
    "MODULES/*/kernel/drivers/net/veth*",
    "MODULES/*/kernel/drivers/net/virtio*",
    "MODULES/*/kernel/drivers/net/vxlan/*",
    "MODULES/*/kernel/drivers/net/xen*",
    "MODULES/*/kernel/drivers/scsi/scsi*",
    "MODULES/*/kernel/drivers/scsi/sd_mod*",
    "MODULES/*/kernel/drivers/scsi/xen*",
    "MODULES/*/kernel/drivers/watchdog/softdog*",
    "MODULES/*/kernel/drivers/watchdog/xen*",
)

DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEFAULT_SECURITY = "http://deb.debian.org/debian-security"

# Written inside the root before the compilers come, so that the image can be
# cut to what dom0 really has.
DOM0_LIST = "var/lib/xend-lab/dom0.list"
DOM0_STATUS = "var/lib/xend-lab/dpkg-status"


def mirrors() -> tuple[str, str]:
    """Debian's archive and its security archive; a site with its own names them."""
    return (
        os.environ.get("XEND_LAB_MIRROR", DEFAULT_MIRROR),
        os.environ.get("XEND_LAB_SECURITY_MIRROR", DEFAULT_SECURITY),
    )


def filters(release: Release) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Patterns of what dpkg leaves out, and of what it writes all the same."""
    excluded, included = (
        tuple(pattern.replace("MODULES", release.modules) for pattern in patterns)
        for patterns in (UNUSED, USED)
    )
    return excluded, included


def root_key(release: Release) -> str:
    """The hash of what makes a root."""
    return digest(
        RECIPE,
        release.sources(*mirrors()),
        release.packages,
        release.build_packages,
        *filters(release),
        is_root(),
    )


def proxy_options() -> list[str]:
    """The build machine's apt proxy, which mmdebstrap would not look up by itself."""
    if not shutil.which("apt-config"):
        return []
    done = subprocess.run(
        ["apt-config", "shell", "proxy", "Acquire::http::Proxy"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    _, _, value = done.stdout.strip().partition("=")
    proxy = value.strip("'\"")
    return [f'--aptopt=Acquire::http::Proxy "{proxy}"'] if proxy else []


def mmdebstrap_command(release: Release, target: Path) -> list[str]:
    """The command that unpacks Debian; kept apart so that it can be looked at."""
    build = " ".join(release.build_packages)
    unused, used = filters(release)
    return [
        "mmdebstrap",
        f"--mode={'root' if is_root() else 'unshare'}",
        "--variant=minbase",
        "--format=directory",
        f"--include={','.join(release.packages)}",
        "--aptopt=Apt::Install-Recommends false",
        '--aptopt=Acquire::Languages "none"',
        "--aptopt=Acquire::Retries 3",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in unused),
        *(f"--dpkgopt=path-include={pattern}" for pattern in used),
        *proxy_options(),
        '--customize-hook=mkdir -p "$1/var/lib/xend-lab"',
        f'--customize-hook=cp "$1/var/lib/dpkg/status" "$1/{DOM0_STATUS}"',
        f'--customize-hook=cd "$1" && find . -xdev -path ./proc -prune -o -path ./sys -prune '
        f"-o -path ./dev -prune -o -printf '%P\\n' >{DOM0_LIST}",
        # Through chroot: apt outside would hand the packages to the build machine's dpkg.
        f'--customize-hook=chroot "$1" apt-get install -y {build}',
        release.suite,
        str(target),
        *release.sources(*mirrors()),
    ]


def ensure_root(cache: Cache, release: Release, progress: Progress) -> Path:
    """The unpacked Debian of a release, from the cache or made now."""
    roots = cache.roots()
    final = roots / f"{release.suite}-{root_key(release)}"
    if final.exists():
        return final
    log = cache.folder("logs") / f"mmdebstrap-{release.suite}.log"
    log.unlink(missing_ok=True)
    work = roots / f"{final.name}.part"
    subprocess.run([*as_root(), "rm", "-rf", str(work)], check=False)
    with progress.step(f"unpacking Debian {release.suite} with Xen {release.xen}"):
        run(
            mmdebstrap_command(release, work),
            what="unpacking Debian",
            log=log,
            # Nobody boots this kernel with Debian's initramfs: making it takes 15 s.
            extra_env={"INITRD": "No"},
        )
    run([*as_root(), "mv", work, final], what="keeping the unpacked Debian")
    for older in roots.glob(f"{release.suite}-*"):
        if older != final:
            subprocess.run([*as_root(), "rm", "-rf", str(older)], check=False)
    return final
