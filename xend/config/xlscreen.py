"""What an xl file says of the guest's screen: VNC, a window by SDL, frame buffers, keyboards."""

from __future__ import annotations

from typing import Any, Final

from xend.config.modelbuild import build_device
from xend.config.problems import suggestion
from xend.config.xlgrammar import XlText
from xend.config.xlperipherals import read_keyboards, screen_number
from xend.config.xlsettings import XlSettings
from xend.config.xlwords import Words
from xend.errors import ConfigError
from xend.model.devices import Vfb, Vkbd
from xend.model.domain import DomainType

_SWITCHES: Final = ("vnc", "vncunused", "sdl", "opengl")
_TEXTS: Final = ("vnclisten", "vncpasswd", "display", "xauthority")
_TOP: Final = (*_SWITCHES, *_TEXTS, "vncdisplay")
_INT: Final = 2**31 - 1


def read_screens(settings: XlSettings, kind: DomainType) -> dict[str, Any]:
    """Fields of the model.  An HVM guest that says nothing has VNC (xl.cfg(5))."""
    buffers = [_frame_buffer(settings, item, kind) for item in settings.items("vfb")]
    frame_buffers = [each for each in buffers if each is not None]
    screens = list(frame_buffers)
    top = _top_level(settings)
    if kind is DomainType.HVM:
        screens = _card(settings, top) + frame_buffers
    elif kind is DomainType.PV and not frame_buffers:
        frame_buffers = screens = _from_top(settings, top)
    else:
        _without_effect(settings, top, kind)
    keyboards = [Vkbd() for _ in frame_buffers] + read_keyboards(settings)
    return {"vfbs": tuple(screens), "vkbds": tuple(keyboards)}


def _top_level(settings: XlSettings) -> dict[str, Any]:
    values: dict[str, Any] = {name: settings.flag(name) for name in _SWITCHES}
    values |= {name: settings.text(name) for name in _TEXTS}
    values["vncdisplay"] = settings.number("vncdisplay", -_INT, _INT)
    return {name: value for name, value in values.items() if value not in (None, "")}


def _card(settings: XlSettings, top: dict[str, Any]) -> list[Vfb]:
    """The emulated card's display."""
    if top.get("vncdisplay") and ":" in top.get("vnclisten", ""):
        settings.wrong(
            "vncdisplay",
            settings.at("vncdisplay"),
            f"vncdisplay: vnclisten = '{top['vnclisten'][:40]}' names a display, too",
            "one of both",
        )
    screen = _built(settings, settings.at("vnc"), top, {})
    return [] if screen is None or screen.type == "none" else [screen]


def _from_top(settings: XlSettings, top: dict[str, Any]) -> list[Vfb]:
    """A paravirtual guest's, by `vnc = 1` outside a vfb."""
    if not top.get("vnc"):
        _without_effect(settings, {name: top[name] for name in top if name != "vnc"}, DomainType.PV)
        return []
    keymap = settings.text("keymap")
    screen = _built(settings, settings.at("vnc"), top, {"keymap": keymap} if keymap else {})
    return [screen] if screen is not None else []


def _without_effect(settings: XlSettings, top: dict[str, Any], kind: DomainType) -> None:
    for name in top:
        settings.note(
            name,
            settings.at(name),
            "ignored",
            f"{name}: without effect for this {kind.value} domain; say it in vfb = ['...']",
        )


def _frame_buffer(settings: XlSettings, item: XlText, kind: DomainType) -> Vfb | None:
    words = Words(settings, "vfb", item)
    values: dict[str, Any] = {}
    for word in words.words():
        key, equals, value = word.partition("=")
        if equals and key in _SWITCHES:
            values[key] = int(screen_number(words, key, value) != 0)
        elif equals and key == "vncdisplay":
            values[key] = screen_number(words, key, value)
        elif equals and key in (*_TEXTS, "keymap"):
            values[key] = value
        else:
            hint = suggestion(key, (*_TOP, "keymap"))
            settings.passed_over("vfb", item, "unknown", f"vfb: '{word[:40]}' is not known{hint}")
    if not words.right:
        return None
    more = {"keymap": values.pop("keymap", ""), "paravirtual": kind is DomainType.HVM}
    return _built(settings, item, values, {name: value for name, value in more.items() if value})


def _built(
    settings: XlSettings, where: XlText, values: dict[str, Any], more: dict[str, Any]
) -> Vfb | None:
    """VNC is on and a window off, unless something else is said (libxl's defaults)."""
    fields = dict(values)
    vnc, sdl = fields.pop("vnc", 1), fields.pop("sdl", 0)
    fields["type"] = "vnc" if vnc else "sdl" if sdl else "none"
    if vnc and sdl:
        fields["sdl_too"] = True
    for name in ("vncunused", "opengl"):
        if name in fields:
            fields[name] = bool(fields[name])
    try:
        return build_device(Vfb, "vfb", **fields, **more)
    except ConfigError as error:
        settings.wrong("vfb", where, error.message)
        return None
