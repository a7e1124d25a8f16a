"""The Xen releases that the lab can boot: one row per release."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import LabError

DEFAULT_XEN = "4.17"

# What every dom0 has beside Xen itself.  net-tools, ping, socat and script are
# what the guides of the old days (and the project's own demo) type.
COMMON_PACKAGES = (
    "xenstore-utils",
    "openssh-server",
    "python3",
    "tini",
    "kmod",
    "udev",
    "procps",
    "psmisc",
    "iproute2",
    "net-tools",
    "iputils-ping",
    "bridge-utils",
    "ethtool",
    "tcpdump",
    "socat",
    "bsdutils",
    "bsdextrautils",
    "less",
    "file",
    "busybox-static",
    "e2fsprogs",
    "fdisk",
    "lsof",
    "strace",
    "ncurses-base",
    "ncurses-term",
    "lsb-base",
    "linux-image-amd64",
    "qemu-system-xen",
)

# What compiles the binding and the launcher against exactly dom0's libraries;
# it stays in the build root and does not get into the image.
BUILD_PACKAGES = (
    "gcc",
    "libc6-dev",
    "libxen-dev",
    "python3-dev",
    "python3-setuptools",
)


@dataclass(frozen=True)
class Release:
    """A Debian suite and the Xen in it."""

    xen: str
    suite: str
    python: str
    modules: str = "/lib/modules"
    """Where its kernel package has the modules: dpkg's filters go by the package's own paths."""
    more_build_packages: tuple[str, ...] = ()

    @property
    def build_packages(self) -> tuple[str, ...]:
        """What compiles for it."""
        return tuple(sorted((*BUILD_PACKAGES, *self.more_build_packages)))

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian packages of dom0."""
        return (
            f"xen-hypervisor-{self.xen}-amd64",
            f"xen-utils-{self.xen}",
            "xen-utils-common",
            *COMMON_PACKAGES,
        )

    def sources(self, mirror: str, security: str) -> tuple[str, ...]:
        """The apt lines of the suite, security fixes included."""
        return (
            f"deb {mirror} {self.suite} main",
            f"deb {security} {self.suite}-security main",
        )


# Debian 11 (Xen 4.14) has Python 3.9, too old for the project: the binding is only compiled against
# its libxl (scripts/check-libxl).
RELEASES = {
    release.xen: release
    for release in (
        Release(
            xen="4.17",
            suite="bookworm",
            python="3.11",
            more_build_packages=("python3-distutils",),
        ),
        Release(xen="4.20", suite="trixie", python="3.13", modules="/usr/lib/modules"),
    )
}


def release_of(xen: str) -> Release:
    """The row of a Xen version, or an error that names those there are."""
    try:
        return RELEASES[xen]
    except KeyError as err:
        known = ", ".join(sorted(RELEASES))
        raise LabError(
            f"the lab knows no Xen release {xen!r}", f"releases it can boot: {known}"
        ) from err
