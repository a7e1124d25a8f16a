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
from labkit.releases import BUILD_PACKAGES, Release

RECIPE = 4

# Of the kernel's 400 MB of modules a Xen host in QEMU uses a few; the others
# are not even written, which saves a third of the time of the whole build.
UNUSED = (
    "/usr/share/man/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/iso-codes/*",
    "/boot/*.efi",
    "/boot/System.map*",
    "/lib/modules/*/kernel/drivers/*",
    "/lib/modules/*/kernel/sound/*",
    "/lib/modules/*/kernel/net/wireless/*",
    "/lib/modules/*/kernel/net/bluetooth/*",
)
USED = (
    "/usr/share/doc/*/copyright",
    "/lib/modules/*/kernel/drivers/block/*",
    "/lib/modules/*/kernel/drivers/md/*",
    "/lib/modules/*/kernel/drivers/virtio/*",
    "/lib/modules/*/kernel/drivers/xen/*",
    "/lib/modules/*/kernel/drivers/char/hw_random/virtio*",
    "/lib/modules/*/kernel/drivers/net/bonding/*",
    "/lib/modules/*/kernel/drivers/net/dummy*",
    "/lib/modules/*/kernel/drivers/net/ifb*",
    "/lib/modules/*/kernel/drivers/net/macv*",
    "/lib/modules/*/kernel/drivers/net/mii*",
    "/lib/modules/*/kernel/drivers/net/net_failover*",
    "/lib/modules/*/kernel/drivers/net/ethernet/intel/e1000/*",
    "/lib/modules/*/kernel/drivers/net/ethernet/realtek/8139*",
    "/lib/modules/*/kernel/drivers/net/tap*",
    "/lib/modules/*/kernel/drivers/net/tun*",
    "/lib/modules/*/kernel/drivers/net/veth*",
    "/lib/modules/*/kernel/drivers/net/virtio*",
    "/lib/modules/*/kernel/drivers/net/vxlan/*",
    "/lib/modules/*/kernel/drivers/net/xen*",
    "/lib/modules/*/kernel/drivers/scsi/scsi*",
    "/lib/modules/*/kernel/drivers/scsi/sd_mod*",
    "/lib/modules/*/kernel/drivers/scsi/xen*",
    "/lib/modules/*/kernel/drivers/watchdog/softdog*",
    "/lib/modules/*/kernel/drivers/watchdog/xen*",
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


def root_key(release: Release) -> str:
    """The hash of what makes a root."""
    return digest(
        RECIPE,
        release.sources(*mirrors()),
        release.packages,
        BUILD_PACKAGES,
        UNUSED,
        USED,
        is_root(),
    )


def _proxy_options() -> list[str]:
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
    build = " ".join(BUILD_PACKAGES)
    return [
        "mmdebstrap",
        f"--mode={'root' if is_root() else 'unshare'}",
        "--variant=minbase",
        "--format=directory",
        f"--include={','.join(release.packages)}",
        "--aptopt=Apt::Install-Recommends false",
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNUSED),
        *(f"--dpkgopt=path-include={pattern}" for pattern in USED),
        *_proxy_options(),
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
