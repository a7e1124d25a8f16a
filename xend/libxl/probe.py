"""Why there is no hypervisor here, and what to do about it."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from xend.errors import HypervisorUnavailable

if TYPE_CHECKING:
    from types import ModuleType

    from xend.libxl.ctx import Context
    from xend.libxl.handle import XlError

HYPERVISOR_TYPE = Path("/sys/hypervisor/type")
CAPABILITIES = Path("/proc/xen/capabilities")
PRIVCMD = (Path("/dev/xen/privcmd"), Path("/proc/xen/privcmd"))
XENSTORED = (Path("/run/xenstored/socket"), Path("/var/run/xenstored/socket"))

_SIMULATOR = "`xend --hypervisor sim` runs without Xen."


def load_binding() -> ModuleType:
    """The module `xend.libxl.ctx`; raises HypervisorUnavailable if it cannot be had."""
    try:
        return importlib.import_module("xend.libxl.ctx")
    except ModuleNotFoundError as error:
        if error.name != "xend.libxl._xl":
            raise
        raise HypervisorUnavailable(
            reason="the libxl binding was not built when xend was installed",
            remedy="Install libxen-dev and gcc and install xend again. " + _SIMULATOR,
        ) from error
    except ImportError as error:
        raise HypervisorUnavailable(
            reason=f"the libxl binding does not fit the installed Xen tools ({error})",
            remedy="Install xend again, against the libxen-dev of the Xen that runs here.",
        ) from error


def check_host() -> None:
    """Raises HypervisorUnavailable for what can be seen without libxl."""
    if not _runs_on_xen():
        raise HypervisorUnavailable(
            reason="this machine does not run on Xen",
            remedy="Boot the Xen hypervisor (package xen-system). " + _SIMULATOR,
        )
    if CAPABILITIES.exists() and "control_d" not in CAPABILITIES.read_text():
        raise HypervisorUnavailable(
            reason="this is a Xen guest, not the host's Domain-0",
            remedy="Run xend in Domain-0.",
        )
    privcmd = next((path for path in PRIVCMD if path.exists()), None)
    if privcmd is None:
        raise HypervisorUnavailable(
            reason="there is no /dev/xen/privcmd",
            remedy="Load the module xen-privcmd and mount xenfs on /proc/xen.",
        )
    if not os.access(privcmd, os.R_OK | os.W_OK):
        raise HypervisorUnavailable(
            reason=f"no permission to use {privcmd}",
            remedy="Run xend as root.",
        )
    if not any(path.exists() for path in XENSTORED):
        raise HypervisorUnavailable(
            reason="xenstored is not running",
            remedy="Start it: systemctl start xenstored (or /etc/init.d/xen start).",
        )


def _runs_on_xen() -> bool:
    try:
        return HYPERVISOR_TYPE.read_text().strip() == "xen"
    except OSError:
        return CAPABILITIES.exists()


def check_context(context: Context) -> None:
    """The tools must be of the hypervisor's own release: its control interface has no other
    compatibility than its version number.  Raises HypervisorUnavailable."""
    from xend.libxl.handle import XlError

    try:
        context.physinfo()
    except XlError as error:
        raise refused(error, _version(context)) from error


def _version(context: Context) -> str:
    found = context.version()
    return f"{found['xen_version_major']}.{found['xen_version_minor']}"


def refused(error: XlError, running: str = "") -> HypervisorUnavailable:
    """libxl opens no context, or the hypervisor does not understand it."""
    log = "; ".join(text for _, text in error.log)
    what = f"Xen {running} is running, and" if running else "this host's"
    return HypervisorUnavailable(
        reason=f"{what} libxl cannot talk to it ({error.rc_name}{': ' + log if log else ''})",
        remedy="Boot the hypervisor and install the tools of the same Xen release.",
        log=tuple(text for _, text in error.log),
    )
