"""Where things are in XenStore.

Sources: docs/misc/xenstore-paths.pandoc, and the libxl of Xen 4.17 (tools/libs/light) for who
writes what: libxl_create.c (domain, /vm), libxl_device.c (front and back ends), libxl_console.c,
libxl_mem.c, libxl_domain.c (control, cpu), libxl_xshelp.c (/libxl).
"""

from __future__ import annotations

from typing import Final, NamedTuple

INTRODUCE_DOMAIN: Final = "@introduceDomain"
"""A special watch: xenstored was told of a new domain.  Says that, not which."""
RELEASE_DOMAIN: Final = "@releaseDomain"
"""A special watch: a domain shut down, crashed or is gone."""

DOMAINS: Final = "/local/domain"
VMS: Final = "/vm"
LIBXL: Final = "/libxl"


# -- a domain -------------------------------------------------------------------------------------


def domain(domid: int) -> str:
    return f"{DOMAINS}/{domid}"


def name(domid: int) -> str:
    """libxl_domain_rename keeps it and `vm_name` alike."""
    return f"{DOMAINS}/{domid}/name"


def vm_link(domid: int) -> str:
    """Its value is the path `vm(uuid)`."""
    return f"{DOMAINS}/{domid}/vm"


def vm(uuid: str) -> str:
    """`uuid`: in lower case with dashes, as libxl prints it."""
    return f"{VMS}/{uuid}"


def vm_name(uuid: str) -> str:
    return f"{VMS}/{uuid}/name"


def vm_start_time(uuid: str) -> str:
    """Seconds since the epoch, with two decimals; `xl uptime` reads it (libxl_create.c)."""
    return f"{VMS}/{uuid}/start_time"


def libxl(domid: int) -> str:
    """What libxl keeps for itself; guests cannot write here (libxl__xs_libxl_path)."""
    return f"{LIBXL}/{domid}"


# -- control --------------------------------------------------------------------------------------


def control_shutdown(domid: int) -> str:
    """poweroff, reboot, suspend, halt or crash asks the guest; it empties the node when it has
    seen it."""
    return f"{DOMAINS}/{domid}/control/shutdown"


def control_sysrq(domid: int) -> str:
    return f"{DOMAINS}/{domid}/control/sysrq"


def cpu_availability(domid: int, vcpu: int) -> str:
    """`online` or `offline`: what the guest is asked to make of it."""
    return f"{DOMAINS}/{domid}/cpu/{vcpu}/availability"


# -- memory: KiB ----------------------------------------------------------------------------------


def memory_target(domid: int) -> str:
    """KiB; the guest's balloon driver follows it."""
    return f"{DOMAINS}/{domid}/memory/target"


def memory_static_max(domid: int) -> str:
    """KiB."""
    return f"{DOMAINS}/{domid}/memory/static-max"


def memory_videoram(domid: int) -> str:
    """KiB; part of an HVM guest's memory that the target does not count."""
    return f"{DOMAINS}/{domid}/memory/videoram"


# -- consoles -------------------------------------------------------------------------------------


def console(domid: int) -> str:
    """Console 0 is the only front end that is not under `device`."""
    return f"{DOMAINS}/{domid}/console"


def console_tty(domid: int, number: int = 0) -> str:
    """Path of the pseudo-terminal in dom0; xenconsoled (or the device model) writes it."""
    if number == 0:
        return f"{console(domid)}/tty"
    return f"{frontend(domid, 'console', number)}/tty"


def serial_tty(domid: int, number: int = 0) -> str:
    """Pseudo-terminal of an HVM guest's serial port."""
    return f"{DOMAINS}/{domid}/serial/{number}/tty"


def console_limit(domid: int) -> str:
    """Bytes of output that xenconsoled keeps while nobody reads (LIBXL_XENCONSOLE_LIMIT)."""
    return f"{console(domid)}/limit"


def console_vnc_port(domid: int) -> str:
    """TCP port of the guest's VNC server; the device model writes it."""
    return f"{console(domid)}/vnc-port"


def console_vnc_listen(domid: int) -> str:
    return f"{console(domid)}/vnc-listen"


# -- devices --------------------------------------------------------------------------------------


class BackendPath(NamedTuple):
    """What the path of a back end says."""

    backend_domid: int
    kind: str
    domid: int
    devid: int


def frontends(domid: int, kind: str) -> str:
    """`kind`: vbd, vif, vfb, vkbd, pci, console …  The children are device numbers."""
    return f"{DOMAINS}/{domid}/device/{kind}"


def frontend(domid: int, kind: str, devid: int) -> str:
    return f"{DOMAINS}/{domid}/device/{kind}/{devid}"


def backends(backend_domid: int) -> str:
    """Under it: KIND/DOMID/DEVID."""
    return f"{DOMAINS}/{backend_domid}/backend"


def backend(domid: int, kind: str, devid: int, *, backend_domid: int = 0) -> str:
    """`kind` of the back end, which need not be that of the front end (a vbd may have a qdisk)."""
    return f"{DOMAINS}/{backend_domid}/backend/{kind}/{domid}/{devid}"


def libxl_device(domid: int, kind: str, devid: int) -> str:
    """Its child `backend` is the trustworthy way from a device to its back end: unlike the front
    end's, the guest cannot change it."""
    return f"{LIBXL}/{domid}/device/{kind}/{devid}"


def libxl_devices(domid: int, kind: str) -> str:
    return f"{LIBXL}/{domid}/device/{kind}"


def state(end: str) -> str:
    """`end`: path of a front or back end.  XenbusState: 1 initialising … 4 connected, 6 closed
    (xen/include/public/io/xenbus.h)."""
    return f"{end}/state"


def hotplug_status(backend_path: str) -> str:
    """`connected`, or `error` or `busy` with the reason in `hotplug_error`
    (tools/hotplug/Linux/xen-hotplug-common.sh)."""
    return f"{backend_path}/hotplug-status"


def hotplug_error(backend_path: str) -> str:
    return f"{backend_path}/hotplug-error"


# -- from a path back to what it belongs to -------------------------------------------------------


def domid_of(path: str) -> int | None:
    """The domain of /local/domain/N/…, /libxl/N/…, as a watch event names them."""
    for root in (DOMAINS, LIBXL):
        if path.startswith(f"{root}/"):
            return _number(path[len(root) + 1 :].partition("/")[0])
    return None


def uuid_of(path: str) -> str | None:
    """The uuid of /vm/UUID/…"""
    if path.startswith(f"{VMS}/"):
        return path[len(VMS) + 1 :].partition("/")[0] or None
    return None


def parse_backend(path: str) -> BackendPath | None:
    """None unless the path is at or below a back end's."""
    parts = path.split("/")
    if len(parts) < 8 or parts[:3] != ["", "local", "domain"] or parts[4] != "backend":
        return None
    numbers = [_number(parts[place]) for place in (3, 6, 7)]
    backend_domid, domid, devid = numbers
    if backend_domid is None or domid is None or devid is None:
        return None
    return BackendPath(backend_domid, parts[5], domid, devid)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
