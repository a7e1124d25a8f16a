"""What an xl file says of a domain's kind, of how it boots and of what follows its end."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from xend.config.xlgrammar import XlList
from xend.config.xlsettings import XlSettings
from xend.model.domain import DomainType, ShutdownAction

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EVENTS: Final = {
    "on_poweroff": ShutdownAction.DESTROY,
    "on_reboot": ShutdownAction.RESTART,
    "on_watchdog": ShutdownAction.DESTROY,
    "on_crash": ShutdownAction.DESTROY,
    "on_soft_reset": ShutdownAction.SOFT_RESET,
}
_TYPES: Final = ("hvm", "pv", "pvh")
"""In the order in which xl tries whether an abbreviation is one of them."""
_BUILDERS: Final = {"hvm": DomainType.HVM, "generic": DomainType.PV}
_FIRMWARE: Final = "/usr/lib/xen/boot"
"""Where Xen has its boot loaders for paravirtual guests, unless its packager moved them."""


def read_type(settings: XlSettings) -> DomainType:
    """`type`, or the older `builder`; PV if neither is there."""
    kind = _kind(settings, "type", {name: DomainType(name) for name in _TYPES})
    built = _kind(settings, "builder", _BUILDERS)
    if built is not None:
        settings.note(
            "builder",
            settings.at("builder"),
            "deprecated",
            f"builder: deprecated; type = '{built.value}'",
        )
    if kind is not None and built is not None and kind is not built:
        settings.wrong(
            "builder", settings.at("builder"), "builder: type says something else", "one of both"
        )
    return kind or built or DomainType.PV


def _kind(settings: XlSettings, name: str, kinds: dict[str, DomainType]) -> DomainType | None:
    """xl takes the beginning of a word for the word."""
    atom = settings.atom(name)
    if atom is None:
        return None
    for word, kind in kinds.items():
        if word.startswith(atom.text):
            if word != atom.text:
                settings.note(
                    name, atom, "deprecated", f"{name}: '{atom.text}' is taken for '{word}'"
                )
            return kind
    settings.wrong(
        name, atom, f"{name}: '{atom.text[:40]}' is none of its values", ", ".join(kinds)
    )
    return None


def read_identity(settings: XlSettings, new_uuid: Callable[[], UUID]) -> dict[str, Any]:
    name = settings.text("name")
    if not name:
        settings.wrong("name", settings.at("name"), "name: missing", 'name = "NAME"')
    return {
        "name": name or "unnamed",
        "uuid": _uuid(settings, new_uuid),
        "pool": settings.text("pool") or "Pool-0",
    }


def _uuid(settings: XlSettings, new_uuid: Callable[[], UUID]) -> UUID:
    atom = settings.atom("uuid")
    if atom is None:
        settings.note(
            "uuid",
            settings.at("uuid"),
            "computed",
            "uuid: a new one for each reading of the file, since it has none",
        )
        return new_uuid()
    if _UUID.fullmatch(atom.text):
        return UUID(atom.text)
    settings.wrong("uuid", atom, f"uuid: '{atom.text[:40]}' is not a UUID", "as uuidgen prints it")
    return new_uuid()


def read_events(settings: XlSettings) -> dict[str, ShutdownAction]:
    return {
        name: _action(settings, name) or default if name in settings else default
        for name, default in _EVENTS.items()
    }


def _action(settings: XlSettings, name: str) -> ShutdownAction | None:
    atom = settings.atom(name)
    if atom is None:
        return None
    names = [action.value for action in ShutdownAction]
    if atom.text in names:
        return ShutdownAction(atom.text)
    settings.wrong(
        name, atom, f"{name}: '{atom.text[:40]}' is none of its values", ", ".join(names)
    )
    return None


def read_boot(settings: XlSettings, kind: DomainType) -> dict[str, str]:
    """Kernel, its arguments, boot loader."""
    kernel = settings.text("kernel")
    if kind is DomainType.HVM:
        if kernel.rpartition("/")[2] == "hvmloader":
            settings.note(
                "kernel",
                settings.at("kernel"),
                "ignored",
                "kernel: hvmloader is taken anyway; firmware_override names another",
            )
            kernel = ""
    else:
        kernel = _loader_kernel(settings, kernel)
        if not kernel and not settings.text("bootloader") and not settings.report.wrong:
            settings.wrong(
                "kernel",
                settings.at("kernel"),
                "neither a kernel nor a bootloader",
                "kernel = '...'",
            )
    return {
        "kernel": kernel,
        "ramdisk": settings.text("ramdisk"),
        "cmdline": _cmdline(settings),
        "bootloader": settings.text("bootloader"),
        "bootloader_args": _bootloader_args(settings),
    }


def _loader_kernel(settings: XlSettings, kernel: str) -> str:
    """`firmware` of a paravirtual domain: the name of one of Xen's own boot loaders."""
    name = settings.text("firmware")
    if not name:
        return kernel
    if kernel:
        settings.wrong(
            "firmware", settings.at("firmware"), "firmware: there is a kernel, too", "one of both"
        )
    elif name not in ("pvgrub32", "pvgrub64"):
        settings.wrong(
            "firmware",
            settings.at("firmware"),
            f"firmware: '{name[:40]}' is for type = 'hvm'",
            "pvgrub32 or pvgrub64",
        )
        kernel = name
    else:
        kernel = f"{_FIRMWARE}/{name}.bin"
        settings.note(
            "firmware", settings.at("firmware"), "computed", f"firmware: kernel = '{kernel}'"
        )
    return kernel


def _cmdline(settings: XlSettings) -> str:
    """`cmdline`, or what the older `root` and `extra` make together."""
    root, extra = settings.text("root"), settings.text("extra")
    if "cmdline" not in settings:
        return " ".join(word for word in (f"root={root}" if root else "", extra) if word)
    for name in ("root", "extra"):
        if settings.text(name):
            settings.note(
                name, settings.at(name), "ignored", f"{name}: without effect beside cmdline"
            )
    return settings.text("cmdline")


def _bootloader_args(settings: XlSettings) -> str:
    """Words, quoted as a shell has them."""
    value = settings.value("bootloader_args")
    if isinstance(value, XlList):
        words = [item.text for item in settings.texts_of("bootloader_args", value)]
    elif value is not None:
        settings.note(
            "bootloader_args",
            value,
            "deprecated",
            "bootloader_args: as a text deprecated; a list of words",
        )
        words = re.findall(r"[^ \t\n]+", value.text)
    else:
        words = []
    return shlex.join(words)
