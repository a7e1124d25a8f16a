"""xl's devices: block-*, network-*, cd-insert, cd-eject."""

from __future__ import annotations

import os

from xend.cli.failures import Exit
from xend.cli.xlcommand import number_at_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.xlcommand import Xl


def block_list(xl: Xl, args: list[str]) -> None:
    """A name that no domain has is told and passed over."""
    _, operands = xl.flags("block-list", args, least=1)
    xl.print(
        f"{'Vdev':<5s} {'BE':<3s} {'handle':<6s} {'state':<5s} {'evt-ch':<6s} {'ring-ref':<8s} "
        f"{'BE-path':<30s}"
    )
    for word in operands:
        domid = int(word) if word.isascii() and word.isdigit() else xl.domid_of(word)
        if domid is None:
            xl.complain(f"{word} is an invalid domain identifier")
            continue
        for devid, owner, state, channel, ring, _, backend, *_ in _devices(xl, domid, "vbd"):
            xl.print(
                f"{devid:<5d} {owner:<3d} {domid:<6d} {state:<5d} {channel:<6d} {ring:<8d} "
                f"{backend:<30s}"
            )


def network_list(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("network-list", args, least=1)
    xl.print(
        f"{'Idx':<3s} {'BE':<2s} {'Mac Addr.':<17s} {'handle':<6s} {'state':<5s} {'evt-ch':<6s} "
        f"{'tx-':>5s}/{'rx-ring-ref':<5s} {'BE-path':<30s}"
    )
    for word in operands:
        domid = xl.find(word)
        for devid, owner, state, channel, tx, rx, backend, mac, _ in _devices(xl, domid, "vif"):
            xl.print(
                f"{devid:<3d} {owner:<2d} {mac}{devid:6d} {state:5d} {channel:6d} "
                f"{tx:5d}/{rx:<11d} {backend:<30s}"
            )


def _devices(xl: Xl, domid: int, kind: str) -> list[list[Any]]:
    if xl.row(domid) is None:
        return []
    found: list[list[Any]] = xl.call("xend.private.devices", domid, kind)
    return found


def block_detach(xl: Xl, args: list[str]) -> None:
    flags, operands = xl.flags("block-detach", args, "f/force", least=2)
    domid = xl.find(operands[0])
    name = operands[1].removeprefix("/dev/")
    rows = _devices(xl, domid, "vbd")
    number = next((str(row[0]) for row in rows if name in (str(row[0]), row[8])), None)
    if number is None:
        xl.complain(f"Error: Device {operands[1]} not connected.")
        raise Exit(1)
    force = "f" in flags
    message = f"libxl_device_disk_{'destroy' if force else 'safe_remove'} failed."
    xl.require(message, "xend.domain.destroyDevice", domid, "vbd", number, force, True)


def network_detach(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("network-detach", args, least=2)
    domid = xl.find(operands[0])
    word = operands[1]
    for row in _devices(xl, domid, "vif"):
        by_mac = ":" in word
        if row[7].lower() == word.lower() if by_mac else row[0] == (number_at_start(word) or 0):
            message = "libxl_device_nic_del failed."
            xl.require(message, "xend.domain.destroyDevice", domid, "vif", str(row[0]), False, True)
            return
    xl.complain(f"Unknown device {word}.")
    raise Exit(1)


def block_attach(xl: Xl, args: list[str]) -> None:
    """Components may be words of their own; together they are one specification."""
    _, operands = xl.flags("block-attach", args, least=2)
    word = operands[0]
    domid = int(word) if word.isascii() and word.isdigit() else xl.domid_of(word)
    if domid is None:
        xl.complain(f"{word} is an invalid domain identifier")
        raise Exit(1)
    _attach(xl, domid, "vbd", ",".join(operands[1:]), "disk", "libxl_device_disk_add failed.")


def network_attach(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("network-attach", args, least=1)
    domid = xl.find(operands[0])
    spec = ",".join(operands[1:])
    _attach(xl, domid, "vif", spec, "vif", "libxl_device_nic_add failed.")


def _attach(xl: Xl, domid: int, kind: str, spec: str, title: str, message: str) -> None:
    if xl.dry_run:
        text = xl.require("Invalid device", "xend.private.planned_device", kind, spec)
        xl.print(f"{title}: {text}")
        return
    xl.require(message, "xend.private.attach", domid, kind, spec)


def cd_insert(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("cd-insert", args, least=3)
    domid = xl.find(operands[0])
    path = operands[2].removeprefix("phy:").removeprefix("file:")
    if path and not os.path.exists(path):  # noqa: PTH110
        xl.complain(f"Cannot stat file: {path}")
        raise Exit(1)
    _change_medium(xl, domid, operands[1], operands[2])


def cd_eject(xl: Xl, args: list[str]) -> None:
    _, operands = xl.flags("cd-eject", args, least=2)
    _change_medium(xl, xl.find(operands[0]), operands[1], "")


def _change_medium(xl: Xl, domid: int, device: str, path: str) -> None:
    uname = path if not path or ":" in path else f"file:{path}"
    config = ["vbd", ["uname", uname], ["dev", f"{device}:cdrom"], ["mode", "r"]]
    if not xl.tolerate("xend.domain.device_configure", domid, config):
        raise Exit(1)
