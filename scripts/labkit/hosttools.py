"""What the build machine must have, and how it gets it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from labkit.cache import CHECKOUT
from labkit.commands import run
from labkit.errors import LabError
from labkit.progress import Progress

# program -> Debian package that has it
BUILD_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "sfdisk": "fdisk",
    "ssh-keygen": "openssh-client",
    "pip": "python3-pip",
    "zstd": "zstd",
}
RUN_TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "ssh": "openssh-client",
    "tar": "tar",
}
USER_TOOLS = {"newuidmap": "uidmap"}

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def add_sbin_to_path() -> None:
    """A user's PATH lacks the folders of mke2fs and sfdisk."""
    have = os.environ.get("PATH", "").split(":")
    os.environ["PATH"] = ":".join([*have, *(folder for folder in SBIN if folder not in have)])


def is_root() -> bool:
    """Whether packages can be installed and files be given away."""
    return os.geteuid() == 0


def as_root() -> list[str]:
    """Words before a command that has to own files of several users.

    A user borrows root's rights over the build root from a user namespace; it
    has to be mmdebstrap's, so that the ids agree with those it unpacked with.
    """
    return [] if is_root() else ["mmdebstrap", "--unshare-helper"]


def missing_packages(tools: dict[str, str]) -> list[str]:
    """Debian packages of the programs that are not there."""
    wanted = dict(tools)
    if not is_root():
        wanted.update(USER_TOOLS)
    missing = {package for program, package in wanted.items() if not shutil.which(program)}
    if "mmdebstrap" in tools and not DEBIAN_KEYRING.exists():
        missing.add("debian-archive-keyring")
    if "pip" in tools and pip_command() is not None:
        missing.discard("python3-pip")
    return sorted(missing)


def pip_command() -> list[str] | None:
    """A pip that can download for another Python, whichever this machine has."""
    ours = str(CHECKOUT / ".venv/bin/python")
    for words in (
        [ours, "-m", "pip"],
        ["python3", "-m", "pip"],
        ["/usr/bin/python3", "-m", "pip"],
        ["pip"],
    ):
        if not shutil.which(words[0]):
            continue
        done = subprocess.run(
            [*words, "--version"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode == 0:
            return words
    return None


def ensure(tools: dict[str, str], progress: Progress) -> None:
    """Install what is missing as root; say exactly what to install as anyone else."""
    add_sbin_to_path()
    missing = missing_packages(tools)
    if missing:
        _install(missing, progress)
    if "mmdebstrap" in tools and not is_root():
        _check_user_namespaces()


def _install(packages: list[str], progress: Progress) -> None:
    names = " ".join(packages)
    by_hand = f"sudo apt-get update && sudo apt-get install --no-install-recommends {names}"
    if not is_root():
        raise LabError(f"this machine lacks: {names}", f"install it with: {by_hand}")
    if not shutil.which("apt-get"):
        raise LabError(
            f"this machine lacks: {names}", "it has no apt-get; install the equivalents by hand"
        )
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-q", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300"]
    with progress.step(f"installing {names}"):
        # Another source of this machine may be out of order: what counts is whether ours install.
        with contextlib.suppress(LabError):
            run([*apt, "update"], what="apt-get update", extra_env=quiet)
        run(
            [*apt, "install", "-y", "--no-install-recommends", *packages],
            what="installing what the lab needs",
            extra_env=quiet,
            fix=f"try it by hand: {by_hand}",
        )


def _check_user_namespaces() -> None:
    """Without ids of their own and user namespaces, a user cannot unpack Debian."""
    user = os.environ.get("USER") or str(os.geteuid())
    done = subprocess.run(
        [*as_root(), "true"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode == 0:
        return
    raise LabError(
        "you are not root, and this machine gives you no user namespace to build the image in: "
        + (done.stderr.strip().splitlines() or ["no reason given"])[-1],
        f"either run it as root, or as root: usermod --add-subuids 100000-165535 "
        f"--add-subgids 100000-165535 {user} && "
        "sysctl -w kernel.unprivileged_userns_clone=1",
    )
