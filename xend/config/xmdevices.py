"""The devices of a domain file as the SXP that is sent: `(device (vbd …))` and so on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from xend.config import pcinames
from xend.config.pydict import KeyTable, hash_bytes, hash_int, ordered
from xend.errors import ConfigError

Values: TypeAlias = Mapping[str, object]
"""Options by name: what the command line and the file say, else the defaults."""

Tree: TypeAlias = list[object]

_XENBUS_INITIALISING: Final = 1
_MOST_VIFS: Final = 1000
_VIF_KEYS: Final = frozenset(
    (
        *("backend", "bridge", "ip", "mac", "script", "type", "vifname", "rate", "model"),
        *("accel", "policy", "label"),
    )
)
_VIF2_KEYS: Final = frozenset(
    (
        *("front_mac", "back_mac", "backend", "trusted", "back_trusted", "front_filter_mac"),
        *("filter_mac", "bridge", "pdev", "max_bypasses"),
    )
)
_VFB_KEYS: Final = frozenset(
    (
        *("vnclisten", "vncunused", "vncdisplay", "display", "videoram", "xauthority", "sdl"),
        *("vnc", "vncpasswd", "opengl", "keymap", "serial", "monitor"),
    )
)


def entries(values: Values, name: str) -> list[str]:
    """The texts of a list option; a plain text counts as the list of its characters.

    That is how the original took it; it makes the mistake show as an invalid first character.
    """
    value = values.get(name)
    if not value:
        return []
    if isinstance(value, str):
        return list(value)
    if not isinstance(value, (list, tuple)):
        raise ConfigError(
            f"{name}: expected a list of texts, not {value!r}",
            field=name,
            value=value,
            expected="a list of texts",
        )
    for item in value:
        if not isinstance(item, str):
            raise ConfigError(
                f"{name}: expected a list of texts, but it holds {item!r}",
                field=name,
                value=item,
                expected="a list of texts",
            )
    return list(value)


def pairs(text: str, field: str) -> dict[str, str]:
    """`key=value,key=value`, in the order given; a key given twice has its last value."""
    found: dict[str, str] = {}
    text = text.strip()
    for part in text.split(",") if text else []:
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(
                f"{part} should be a pair, separated by an equals sign.",
                field=field,
                value=part,
                expected="KEY=VALUE",
            )
        found[key.strip()] = value.strip()
    return found


def disks(values: Values) -> list[Tree]:
    found = []
    for text in entries(values, "disk"):
        fields = text.split(",")
        if not 3 <= len(fields) <= 5:
            raise ConfigError(
                f"Invalid disk specifier: {text}",
                field="disk",
                value=text,
                expected="UNAME,DEV,MODE[,BACKEND[,PROTOCOL]]",
            )
        uname, dev, mode, backend, protocol = (*fields, "", "")[:5]
        kind = next((c for c in ("tap2", "tap") if uname.startswith(c + ":")), "vbd")
        device: Tree = [kind, ["uname", uname], ["dev", dev], ["mode", mode]]
        if backend:
            device.append(["backend", backend])
        if protocol:
            device.append(["protocol", protocol])
        found.append(device)
    return found


def pci_functions(values: Values) -> list[pcinames.PciFunction]:
    return [function for name in entries(values, "pci") for function in pcinames.parse(name)]


def pcis(functions: list[pcinames.PciFunction]) -> list[Tree]:
    """All PCI functions are one device."""
    if not functions:
        return []
    device: Tree = ["pci"]
    for function in functions:
        fields = function.fields()
        keys = ordered([*fields, *(["opts"] if function.options else [])], expected=len(fields))
        dev: Tree = ["dev"]
        for key in keys:
            if key == "opts":
                dev.extend(["opts", option] for option in function.options)
            else:
                dev.append([key, fields[key]])
        device.append(dev)
    return [device]


def pci_tuples(functions: list[pcinames.PciFunction]) -> Tree:
    """The form in which an HVM image repeats them."""
    return [(f.domain, f.bus, f.slot, f.func, f.vdevfn, f.options, f.key) for f in functions]


def ioports(values: Values) -> list[Tree]:
    found: list[Tree] = []
    for text in entries(values, "ioports"):
        ends = text.split("-")
        if len(ends) > 2:
            raise ConfigError(
                f"Invalid i/o port range specifier: {text}",
                field="ioports",
                value=text,
                expected="FROM[-TO] in hexadecimal",
            )
        found.append(["ioports", ["from", "0x" + ends[0]], ["to", "0x" + ends[-1]]])
    return found


def irqs(values: Values) -> list[Tree]:
    """A number as it is; a text keeps its quotes, as the original's repr had them."""
    value = values.get("irq") or []
    items = value if isinstance(value, (list, str)) else [value]
    return [["irq", ["irq", repr(item)]] for item in items]


def vusbs(values: Values) -> list[Tree]:
    found: list[Tree] = []
    for text in entries(values, "vusb"):
        given = pairs(text, "vusb")
        version = _whole(given, "usbver", 2)
        if version not in (1, 2):
            raise _invalid_vusb("usbver", given, "1 or 2")
        count = _whole(given, "numports", 8)
        if not 1 <= count <= 16:
            raise _invalid_vusb("numports", given, "1 to 16")
        ports = [[str(number), given.get(f"port_{number}", "")] for number in range(1, count + 1)]
        shown = given.get("numports", str(count))
        found.append(["vusb", ["usb-ver", str(version)], ["num-ports", shown], ["port", *ports]])
    return found


def _whole(given: dict[str, str], key: str, default: int) -> int:
    text = given.get(key, str(default))
    try:
        return int(text)
    except ValueError:
        raise ConfigError(
            f"invalid literal for int() with base 10: {text!r}", field="vusb", value=text
        ) from None


def _invalid_vusb(key: str, given: dict[str, str], expected: str) -> ConfigError:
    return ConfigError(
        f"Invalid vusb option: {key}", field="vusb", value=given.get(key), expected=expected
    )


def vifs(values: Values, warn: Callable[[str], None]) -> list[Tree]:
    texts = entries(values, "vif")
    count = values.get("nics")
    if not isinstance(count, int):
        raise ConfigError(
            f"nics: expected a number, not {count!r}", field="nics", value=count, expected="0"
        )
    if count > 0:
        warn(
            "The nics option is deprecated.  Please use an empty vif entry instead:\n\n"
            "  vif = [ '' ]\n"
        )
        texts += [""] * min(count - len(texts), _MOST_VIFS)
    elif count == 0:
        warn("The nics option is deprecated.  Please remove it.")
    return [_keyed("vif", text, _VIF_KEYS) for text in texts]


def vif2s(values: Values) -> list[Tree]:
    return [_keyed("vif2", text, _VIF2_KEYS) for text in entries(values, "vif2")]


def _keyed(kind: str, text: str, known: frozenset[str]) -> Tree:
    given = pairs(text, kind)
    device: Tree = [kind]
    for key in ordered(given):
        if key not in known:
            raise ConfigError(
                f"Invalid {kind} option: {key}",
                field=kind,
                value=key,
                expected=", ".join(sorted(known)),
            )
        device.append([key, given[key]])
    return device


def vfbs(values: Values, env: Mapping[str, str], xauthority: str) -> list[Tree]:
    """A keyboard precedes each frame buffer."""
    found: list[Tree] = []
    for text in entries(values, "vfb"):
        given = pairs(text, "vfb")
        device: Tree = ["vfb"]
        for key in _vfb_order(given):
            if key not in _VFB_KEYS:
                raise ConfigError(
                    f"configuration option {key} unknown to vfbs",
                    field="vfb",
                    value=key,
                    expected=", ".join(sorted(_VFB_KEYS)),
                )
            device.append([key, given[key]])
        if "keymap" not in given and values.get("keymap"):
            device.append(["keymap", values["keymap"]])
        if "display" not in given and "DISPLAY" in env:
            device.append(["display", env["DISPLAY"]])
        if "xauthority" not in given:
            device.append(["xauthority", xauthority])
        found += [["vkbd"], device]
    return found


def _vfb_order(given: dict[str, str]) -> list[str]:
    """The keys in order, after the old spelling `type=vnc` has become `vnc=1`."""
    table = KeyTable()
    for key in given:
        table.insert(key, hash_bytes(key.encode("utf-8", "surrogateescape")))
    if "type" in given:
        kind = given["type"]
        if kind not in given:
            table.insert(kind, hash_bytes(kind.encode("utf-8", "surrogateescape")))
        given[kind] = "1"
        table.remove("type")
        del given["type"]
    return [str(key) for key in table.order()]


def vscsi_names(values: Values) -> list[tuple[str, str, str | None]]:
    """(physical device, virtual device, backend) of each entry."""
    return [_vscsi_fields(text) for text in entries(values, "vscsi")]


def vscsis(wanted: list[tuple[str, str, str | None]], env: Mapping[str, str]) -> list[Tree]:
    """One device per virtual host adapter."""
    if not wanted:
        return []
    from xend.config import scsidevices

    known = scsidevices.devices(env)
    hosts: dict[int, _ScsiHost] = {}
    seen: list[tuple[str, str]] = []
    for physical, virtual, backend in wanted:
        device = scsidevices.find(physical, known, env)
        if device is None:
            raise ConfigError(f'Cannot find device "{physical}"', field="vscsi", value=physical)
        whole = virtual == "host"
        if whole:
            number = _host_number(device.address)
            targets = [
                (one.address, one.name, one.address)
                for one in known
                if _host_number(one.address) == number
            ]
        else:
            number = _host_number(virtual)
            targets = [(device.address, device.name, virtual)]
        host = hosts.setdefault(number, _ScsiHost(whole, backend))
        host.add(number, targets, seen)
        host.check_like(whole, backend, targets[0][0])
    table = KeyTable()
    for number in hosts:
        table.insert(number, hash_int(number))
    return [hosts[number].tree() for number in _numbers_in_order(table)]


def _numbers_in_order(table: KeyTable) -> list[int]:
    """The adapters as the original's dictionary of numbers gave them."""
    return [number for number in table.order() if isinstance(number, int)]


def _vscsi_fields(text: str) -> tuple[str, str, str | None]:
    fields = [field.strip() for field in text.split(",")]
    if len(fields) not in (2, 3):
        raise ConfigError(
            f'vscsi syntax error "{text}"', field="vscsi", value=text, expected="PDEV,VDEV[,DOM]"
        )
    if len(fields) == 2 and fields[1] != "host" and len(fields[1].split(":")) != 4:
        raise ConfigError(
            f'vscsi syntax error "{fields[1]}"',
            field="vscsi",
            value=fields[1],
            expected="host, or HOST:CHANNEL:TARGET:LUN",
        )
    return fields[0], fields[1], fields[2] if len(fields) == 3 else None


def _host_number(address: str) -> int:
    number = address.split(":")[0]
    try:
        return int(number)
    except ValueError:
        raise ConfigError(
            f"invalid literal for int() with base 10: {number!r}", field="vscsi", value=address
        ) from None


class _ScsiHost:
    def __init__(self, whole: bool, backend: str | None) -> None:
        self.whole = whole
        self.backend = backend
        self.devices: list[Tree] = []

    def add(
        self,
        number: int,
        targets: list[tuple[str, str | None, str]],
        seen: list[tuple[str, str]],
    ) -> None:
        for physical, name, virtual in targets:
            for kind, place, address in (("physical", 0, physical), ("virtual", 1, virtual)):
                if any(pair[place] == address for pair in seen):
                    raise ConfigError(
                        f'The {kind} device "{address}" is already defined',
                        field="vscsi",
                        value=address,
                    )
            seen.append((physical, virtual))
            self.devices.append(
                [
                    "dev",
                    ["state", _XENBUS_INITIALISING],
                    ["devid", number],
                    ["p-dev", physical],
                    ["p-devname", name],
                    ["v-dev", virtual],
                ]
            )

    def check_like(self, whole: bool, backend: str | None, physical: str) -> None:
        for different, what in (
            (self.whole != whole, "mode"),
            (self.backend != backend, "backend"),
        ):
            if different:
                raise ConfigError(
                    f'The physical device "{physical}" cannot define because {what} is different',
                    field="vscsi",
                    value=physical,
                )

    def tree(self) -> Tree:
        device: Tree = ["vscsi", ["feature-host", int(self.whole)], *self.devices]
        if self.backend:
            device.append(["backend", self.backend])
        return device
