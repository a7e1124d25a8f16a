"""Disks of an xl file (xl-disk-configuration(5)): by position, by key, and with old prefixes.

The text is cut as xl's own scanner cuts it (libxlu_disk_l.l): at each place the rule that takes
the most wins, so `target=` takes the rest of the text and an old prefix ends at its colon.
"""

from __future__ import annotations

import re
from typing import Any, Final

from xend.config.modelbuild import build_device
from xend.config.problems import suggestion
from xend.config.xlgrammar import XlText
from xend.config.xlnumbers import atoi
from xend.config.xlsettings import XlSettings
from xend.errors import ConfigError
from xend.model.devices import Disk

_FORMATS: Final = ("raw", "qcow", "qcow2", "vhd", "empty", "qed")
_BACKENDS: Final = ("phy", "tap", "qdisk", "standalone")
_COLO_TEXTS: Final = {
    "colo-host": "colo_host",
    "colo-export": "colo_export",
    "active-disk": "active_disk",
    "hidden-disk": "hidden_disk",
}
_KEYS: Final = (
    *("format", "devtype", "access", "backend", "backendtype", "specification", "vdev"),
    *("script", "colo-port", *_COLO_TEXTS),
)
_SWITCHES: Final[dict[str, tuple[str, Any]]] = {
    "cdrom": ("device_type", "cdrom"),
    "direct-io-safe": ("direct_io_safe", True),
    "discard": ("discard", True),
    "no-discard": ("discard", False),
    "trusted": ("trusted", True),
    "untrusted": ("trusted", False),
}
_TOKEN: Final = re.compile(
    rf"""(?P<blank>[ \t\n]+)
       | target=(?P<target>[^\n]*)
       | (?P<key>{"|".join(_KEYS)})=(?P<value>[^,]*),?
       | (?P<switch>{"|".join(_SWITCHES)}|colo|no-colo)(?:,|(?==)|\Z)
       | (?P<prefix>raw|qcow2?|vhd|iscsi|e?nbd|drbd|tapdisk|tap2?|aio|ioemu|file|phy):
       | (?P<unknown>[a-z][a-z0-9]*):(?=[^a-z0-9]|\Z)
       | (?P<position>[^=,]*+,|[^=,]++\Z)
       | (?P<wrong>[^,]*)""",
    re.VERBOSE,
)
_SCRIPTS: Final = frozenset(("iscsi", "nbd", "enbd", "drbd"))
_KEPT_SCHEMES: Final = re.compile(r"file|phy|tap2?(:tapdisk)?:(aio|qcow2?|vhd)")
"""Prefixes that the model keeps, since old clients read them back."""


class _Bad(Exception):
    """What is wrong with the text, and what would be right."""

    def __init__(self, message: str, expected: str = "") -> None:
        self.expected = expected
        super().__init__(message)


def read_disk(settings: XlSettings, item: XlText) -> Disk | None:
    """None if it is wrong, which is then reported."""
    try:
        return _Spec(item.text).disk()
    except _Bad as error:
        settings.wrong("disk", item, f"disk: {error} in '{item.text[:80]}'", error.expected)
    except ConfigError as error:
        settings.wrong("disk", item, f"disk: {error.message}", str(error.fields.get("expected")))
    return None


class _Spec:
    def __init__(self, text: str) -> None:
        self._text = text
        self._fields: dict[str, Any] = {}
        self._prefixes: list[str] = []
        self._format = ""
        self._target: str | None = None
        self._vdev: str | None = None
        self._access = ""
        self._access_by_position = False
        self._colo: dict[str, Any] = {}

    def disk(self) -> Disk:
        place = 0
        while place < len(self._text):
            match = _TOKEN.match(self._text, place)
            if match is None or match.end() == place or match["wrong"] is not None:
                raise _Bad(
                    f"'{self._text[place:][:40]}' is not understood", _hint(self._text[place:])
                )
            self._take(match)
            place = match.end()
        return self._built()

    def _take(self, match: re.Match[str]) -> None:
        if match["target"] is not None:
            self._set_target(match["target"].removesuffix(","))
        elif match["key"]:
            self._key(match["key"], match["value"])
        elif match["switch"] in ("colo", "no-colo"):
            self._colo["colo_enable"] = "True" if match["switch"] == "colo" else "False"
        elif match["switch"]:
            name, value = _SWITCHES[match["switch"]]
            self._fields[name] = value
        elif match["prefix"]:
            self._prefix(match["prefix"])
        elif match["unknown"]:
            raise _Bad(
                f"'{match['unknown']}:' is no prefix of a disk", "format=, script= or target="
            )
        elif match["position"] is not None:
            self._position(match["position"].removesuffix(","))

    def _key(self, key: str, value: str) -> None:
        if key == "format":
            self._set_format(value)
        elif key == "devtype":
            self._fields["device_type"] = _one_of(key, value, ("cdrom", "disk"))
        elif key == "access":
            self._access = _one_of(key, value or "rw", ("r", "ro", "rw", "w"))
        elif key == "vdev":
            self._set_vdev(value)
        elif key == "colo-port":
            self._colo["colo_port"] = atoi(value)
            if not 0 < self._colo["colo_port"] < 65536:
                raise _Bad(f"colo-port: '{value}' is no port", "1 to 65535")
        elif key in _COLO_TEXTS:
            self._once(self._colo, _COLO_TEXTS[key], value)
        elif key == "backendtype":
            self._once(self._fields, "backend_type", _one_of(key, value, _BACKENDS))
        elif key == "specification":
            self._once(self._fields, key, _one_of(key, value, ("xen", "virtio")))
        else:
            self._once(self._fields, key, value)

    def _prefix(self, prefix: str) -> None:
        self._prefixes.append(prefix)
        if prefix in _SCRIPTS:
            self._once(self._fields, "script", f"block-{prefix}")
        elif prefix in _FORMATS:
            self._set_format(prefix)

    def _position(self, word: str) -> None:
        """Target, format, device and access, in this order; no format after an old prefix."""
        if self._target is None:
            self._target = word
        elif not self._prefixes and not self._format:
            if not self._target and self._device_and_type(word):
                self._format = "empty"
            else:
                self._set_format(word)
        elif self._vdev is None:
            if not self._device_and_type(word):
                self._set_vdev(word)
        elif not self._access_by_position:
            self._access_by_position = True
            self._access = _one_of("access", word or "rw", ("r", "ro", "rw", "w"))
        else:
            raise _Bad(f"'{word[:40]}' is one more than target, format, device and access")

    def _device_and_type(self, word: str) -> bool:
        """`hdc:cdrom`; whether it was one."""
        device, colon, kind = word.rpartition(":")
        if not colon:
            return False
        self._set_vdev(device)
        self._fields["device_type"] = _one_of("the type after the device", kind, ("cdrom", "disk"))
        return True

    def _set_target(self, value: str) -> None:
        if self._target:
            raise _Bad(f"a second target, '{value[:40]}'", "one target")
        self._target = value

    def _set_vdev(self, value: str) -> None:
        if self._vdev:
            raise _Bad(f"a second device, '{value[:40]}'", "one vdev")
        self._vdev = value

    def _set_format(self, value: str) -> None:
        found = _one_of("format", value or "raw", _FORMATS)
        if self._format not in ("", found):
            raise _Bad(f"a second format, '{found}'", self._format)
        self._format = found

    def _once(self, fields: dict[str, Any], name: str, value: str) -> None:
        if fields.get(name) not in (None, "", value):
            raise _Bad(f"a second {name}, '{value[:40]}'", "one")
        fields[name] = value

    def _built(self) -> Disk:
        if self._vdev is None:
            raise _Bad("no device", "the guest's name for it, such as vdev=xvda")
        cdrom = self._fields.get("device_type") == "cdrom"
        if self._target is None and not cdrom:
            raise _Bad("no target", "target=PATH (only a CD drive may be empty)")
        path = self._target or ""
        kind = "empty" if cdrom and not path else self._format or "raw"
        if self._fields.get("backend_type") == "qdisk":
            self._fields |= {"backend_type": "", "qdisk": True}
        scheme = self._scheme(path, kind)
        return build_device(
            Disk,
            "disk",
            **self._fields,
            scheme=scheme,
            path=path,
            vdev=self._vdev.removeprefix("/dev/"),
            access="r" if cdrom or self._access in ("r", "ro") else "w",
            image_format=kind if kind not in ("raw", scheme.rpartition(":")[2]) else "",
            **({"colo": self._colo} if self._colo else {}),
        )

    def _scheme(self, path: str, kind: str) -> str:
        """The prefix that it has, or that an old file would give it."""
        given = ":".join(prefix for prefix in self._prefixes if prefix != "ioemu")
        if _KEPT_SCHEMES.fullmatch(given):
            return given
        if not path or self._fields.get("script") or kind == "empty":
            return ""
        if kind != "raw":
            return f"tap2:{kind}"
        return "phy" if path.startswith("/dev/") else "file"


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        hint = suggestion(value, choices)
        raise _Bad(f"{name}: '{value[:40]}' is none of its values{hint}", ", ".join(choices))
    return value


def _hint(rest: str) -> str:
    key = rest.partition("=")[0].strip(" ,")
    known = (*_KEYS, *_SWITCHES, "target")
    close = suggestion(key, known).partition("'")[2].rstrip("'?")
    return f"{close}=" if close else "target=PATH at the end, if it has an = in it"
