"""The functions on IPv4 addresses that every domain file has (module xen.util.ip).

The original asked `/sbin/ip` and `/sbin/ifconfig`; here the kernel is asked, no process started.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from xend.config.xmvalues import Builtin, throw, type_name

_ROUTES: Final = Path("/proc/net/route")
_GET_ADDRESS: Final = 0x8915
"""SIOCGIFADDR of <linux/sockios.h>."""
_GET_NETMASK: Final = 0x891B
"""SIOCGIFNETMASK."""
_IS_GATEWAY: Final = 0x2
"""RTF_GATEWAY of <linux/route.h>."""


def _routes() -> list[tuple[str, str, str]]:
    """(interface, destination, gateway) of each IPv4 route that has a gateway."""
    try:
        lines = _ROUTES.read_text().splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) > 3 and int(fields[3], 16) & _IS_GATEWAY:
            found.append((fields[0], _kernel_address(fields[1]), _kernel_address(fields[2])))
    return found


def _kernel_address(digits: str) -> str:
    """The kernel prints addresses as hexadecimal in the machine's byte order."""
    return socket.inet_ntoa(struct.pack("=I", int(digits, 16)))


def _default_route() -> list[object]:
    for device, destination, gateway in _routes():
        if destination == "0.0.0.0":
            return [gateway, device]
    return [None, None]


def _ask_interface(device: object, request: int) -> object:
    import fcntl

    if device == "defaultroute":
        device = _default_route()[1]
    if not isinstance(device, str) or not device:
        return None
    name = str(device).encode("latin-1")[:15]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), request, struct.pack("256s", name))
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])


def _gateway(device: object) -> object:
    if device == "defaultroute":
        return _default_route()[0]
    return next((gateway for name, _, gateway in _routes() if name == device), None)


def packed(address: object) -> bytes:
    """The four bytes of an address in dot notation."""
    if not isinstance(address, str):
        raise TypeError(f"inet_aton() argument 1 must be string, not {type_name(address)}")
    try:
        return socket.inet_aton(str(address))
    except (OSError, UnicodeError):
        return throw("IOError", "illegal IP address string passed to inet_aton")


def _to_number(address: object) -> int:
    return int.from_bytes(packed(address), "big")


def _to_text(number: object) -> str:
    if not isinstance(number, int):
        raise TypeError("cannot convert argument to integer")
    if not 0 <= number < 1 << 32:
        throw("ValueError", "integer out of range for 'I' format code")
    return socket.inet_ntoa(int(number).to_bytes(4, "big"))


def _add_offset(address: object, offset: object) -> str:
    if not isinstance(offset, int):
        raise TypeError(f"unsupported operand type(s) for +=: 'int' and '{type_name(offset)}'")
    return _to_text(_to_number(address) + int(offset))


def _in_subnet(address: object, network: object, mask: object) -> bool:
    bits = _to_number(mask)
    return _to_number(address) & bits == _to_number(network) & bits


def ip_members() -> dict[str, object]:
    """The module's functions by name."""
    table: dict[str, tuple[list[str], Callable[..., object]]] = {
        "get_defaultroute": ([], _default_route),
        "get_current_ipaddr": (["dev"], lambda dev: _ask_interface(dev, _GET_ADDRESS)),
        "get_current_ipmask": (["dev"], lambda dev: _ask_interface(dev, _GET_NETMASK)),
        "get_current_ipgw": (["dev"], _gateway),
        "inet_aton": (["addr"], _to_number),
        "inet_ntoa": (["n"], _to_text),
        "add_offset_to_ip": (["addr", "offset"], _add_offset),
        "check_subnet": (["ip", "network", "netmask"], _in_subnet),
    }

    def wrap(name: str, parameters: list[str], function: Callable[..., object]) -> Builtin:
        def called(given: list[object], keywords: dict[str, object]) -> object:
            values = dict(zip(parameters, given, strict=False)) | keywords
            if parameters == ["dev"]:
                values.setdefault("dev", "defaultroute")
            if len(given) > len(parameters) or set(values) != set(parameters):
                count = len(given) + len(keywords)
                raise TypeError(
                    f"{name}() takes exactly {len(parameters)} arguments ({count} given)"
                )
            return function(*[values[parameter] for parameter in parameters])

        return Builtin(name, called)

    return {name: wrap(name, *row) for name, row in table.items()}
