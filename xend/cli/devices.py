"""Disks and network interfaces of a domain."""

from __future__ import annotations

from xend.cli.failures import OptionError, UsageError
from xend.cli.listing import print_sxp
from xend.cli.records import as_json, pair_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.app import Xm

_VIF_KEYS = (
    *("type", "mac", "bridge", "ip", "script"),
    *("backend", "vifname", "rate", "model", "accel"),
)


def resource_domain(xm: Xm, command: str, args: list[str]) -> tuple[set[str], str]:
    """The flags and the one domain of a command that lists a domain's devices."""
    flags, params = xm.flags(command, args, "l:long :json")
    if not params:
        raise UsageError("No domain parameter given", command, on_stdout=True)
    if len(params) > 1:
        raise UsageError("No multiple domain parameters allowed", command, on_stdout=True)
    return flags, params[0]


class DeviceRow:
    """The columns of a device; what its frontend has not written is -1 or `??`."""

    def __init__(self, device: Any) -> None:
        pairs = device[1]
        self.index = int(device[0])
        self.backend_id = pair_value(pairs, "backend-id", int, -1)
        self.handle = pair_value(pairs, "handle", int, 0)
        self.state = pair_value(pairs, "state", int, -1)
        self.backend = pair_value(pairs, "backend", str, "??")
        self.event_channel = pair_value(pairs, "event-channel", int, -1)
        self.mac = pair_value(pairs, "mac", str, "??")
        self.ring_ref = pair_value(pairs, "ring-ref", int, -1)
        self.tx_ring_ref = pair_value(pairs, "tx-ring-ref", int, -1)
        self.rx_ring_ref = pair_value(pairs, "rx-ring-ref", int, -1)
        self.feature_host = pair_value(pairs, "feature-host", int, -1)


def devices_json(devices: list[Any]) -> str:
    """Each device's number and everything that is known of it."""
    return as_json([{"index": device[0], **_pairs(device[1])} for device in devices])


def _pairs(pairs: list[Any]) -> dict[str, Any]:
    return {pair[0]: pair[1] for pair in pairs if isinstance(pair, list) and len(pair) > 1}


def block_list(xm: Xm, args: list[str]) -> None:
    flags, domain = resource_domain(xm, "block-list", args)
    devices = xm.call("xend.domain.getDeviceSxprs", domain, "vbd")
    if _shown_otherwise(xm, flags, devices):
        return
    if devices:
        xm.print("Vdev  BE handle state evt-ch ring-ref BE-path")
    for row in map(DeviceRow, devices):
        xm.print(
            f"{row.index:<5d}  {row.backend_id:<3d}  {row.handle:<3d}   {row.state:<3d}    "
            f"{row.event_channel:<3d}    {row.ring_ref:<5d} {row.backend:<30s}  "
        )


def network_list(xm: Xm, args: list[str]) -> None:
    flags, domain = resource_domain(xm, "network-list", args)
    devices = xm.call("xend.domain.getDeviceSxprs", domain, "vif")
    if _shown_otherwise(xm, flags, devices):
        return
    if devices:
        xm.print("Idx BE     MAC Addr.     handle state evt-ch tx-/rx-ring-ref BE-path")
    for row in map(DeviceRow, devices):
        xm.print(
            f"{row.index:<3d} {row.backend_id:<3d}{row.mac:<17s}    {row.handle:<3d}   "
            f"{row.state:<3d}    {row.event_channel:<3d}   "
            f"{row.tx_ring_ref:<5d}/{row.rx_ring_ref:<5d}   {row.backend:<30s}  "
        )


def _shown_otherwise(xm: Xm, flags: set[str], devices: list[Any]) -> bool:
    if "json" in flags:
        xm.print(devices_json(devices))
    elif "long" in flags:
        print_sxp(xm, devices)
    return bool(flags)


def block_attach(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.device_create", args[0], _disk(args))


def block_configure(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.device_configure", args[0], _disk(args))


def _disk(args: list[str]) -> list[Any]:
    kind = "vbd"
    for prefix in ("tap2", "tap"):
        if args[1].startswith(prefix + ":"):
            kind = prefix
            break
    disk: list[Any] = [kind, ["uname", args[1]], ["dev", args[2]], ["mode", args[3]]]
    if len(args) == 5:
        disk.append(["backend", args[4]])
    return disk


def block_detach(xm: Xm, args: list[str]) -> None:
    kind = xm.call("xend.domain.getBlockDeviceClass", args[0], args[1])
    detach(xm, args, kind if kind in ("tap", "tap2") else "vbd")


def detach(xm: Xm, args: list[str], kind: str) -> None:
    """Take a device away; the option that forces it travels as it was typed."""
    domain, device, *option = args
    force = option[0] if option else None
    if force not in (None, "-f", "--force"):
        xm.print(f"Ignoring option {force}")
        force = None
    xm.call("xend.domain.destroyDevice", domain, kind, device, force, True)


def network_attach(xm: Xm, args: list[str]) -> None:
    settings = [_setting(word) for word in args[1:]]
    xm.call("xend.domain.device_create", args[0], ["vif", *settings])


def _setting(word: str) -> list[str]:
    parts = word.split("=")
    if len(parts) != 2 or not parts[1] or parts[0] not in _VIF_KEYS:
        raise UsageError(f"Invalid argument: {word}", "network-attach")
    return parts


def network_detach(xm: Xm, args: list[str]) -> None:
    domain, device, *option = args
    if len(device.split(":")) == 6:
        device = _index_of_mac(xm, domain, device)
    detach(xm, [domain, device, *option], "vif")


def _index_of_mac(xm: Xm, domain: str, mac: str) -> str:
    for device in xm.call("xend.domain.getDeviceSxprs", domain, "vif"):
        if DeviceRow(device).mac.lower() == mac.lower():
            return str(device[0])
    raise OptionError(f"Cannot find device '{mac}' in domain '{domain}'")
