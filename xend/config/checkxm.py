"""A domain file of xm with all its mistakes in one go, and what there is to say of a good one.

The file is run once; then each option, and each entry of a list of devices, is read on its own by
what reads it for a create, so that one mistake does not hide the next.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import UUID

from xend.config import sxp, xmdevices
from xend.config.commandline import Settings
from xend.config.cpulists import parse_cpus
from xend.config.devicelists import add_device
from xend.config.devicesxp import Maker, decode_device
from xend.config.problems import MOST_HINTS, Note, Report, suggestion
from xend.config.vmsxp import decode_vm
from xend.config.xmcreate import Context, display_settings, load_config
from xend.config.xmfiles import shown
from xend.config.xmlimits import ExitRequested
from xend.config.xmmodules import foreign
from xend.config.xmoptions import COMMAND_LINE
from xend.config.xmplaces import Places
from xend.config.xmsource import Source
from xend.config.xmvalues import repr2, type_name
from xend.config.xmvm import find_file, make_vm
from xend.errors import ConfigError
from xend.model.devices import Device, Disk, Vif
from xend.model.domain import DomainConfig, HostAction, ShutdownAction
from xend.model.fields import Kind, Setting
from xend.model.platform import PLATFORM
from xend.model.table import DROPPED, names, table
from xend.model.values import choice, flag, number, refuse
from xend.model.vdev import vdev_number

Reader: TypeAlias = Callable[[xmdevices.Values], list[xmdevices.Tree]]

NOBODY: Final = UUID(int=0)
"""The uuid of a domain, or device, whose file gives none: each create makes a new one."""

_ACTIONS: Final = {
    **dict.fromkeys(("on_poweroff", "on_reboot", "on_crash"), ShutdownAction),
    **dict.fromkeys(("on_xend_start", "on_xend_stop"), HostAction),
}
_OLD_ACTIONS: Final = ("coredump_and_destroy", "coredump_and_restart", "rename_restart")
_FILE_SCHEMES: Final = ("file", "tap:aio", "tap2:aio", "tap:qcow2", "tap2:qcow2", "tap2:vhd")


class Checked:
    """What a file says: `config` is None if that is wrong."""

    def __init__(self) -> None:
        self.config: DomainConfig | None = None
        self.notes: tuple[Note, ...] = ()
        self.places: Places | None = None


def nameless() -> Maker:
    """Makes no uuid and no MAC address up: what the file leaves out stays out."""
    return Maker(new_uuid=lambda: NOBODY, new_mac=lambda: "")


def check_xm(
    path: str,
    *,
    cwd: str,
    env: dict[str, str],
    report: Report,
    words: Sequence[str] = (),
    here: bool = True,
) -> Checked:
    """Everything goes into `report`; nothing is raised.

    `words` are `NAME=VALUE` as after `xm create`.  `here`: it is for this host, whose files it
    names; else it is only mentioned that they are not there.
    """
    checked = Checked()
    context = Context(env=env, cwd=cwd, stdout=io.StringIO(), stderr=io.StringIO(), ignored={})
    try:
        settings = COMMAND_LINE.parse([path, *words])
    except ConfigError as error:
        tell(report, error, (1, 1))
        return checked
    settings.values["quiet"] = 1
    display_settings(settings.values, env)
    before = dict(settings.values)
    try:
        load_config(path, settings, COMMAND_LINE, context, ["xm", "create", path, *words])
    except ConfigError as error:
        tell(report, error, (1, 1))
        return checked
    except ExitRequested as leave:
        report.problem(1, 1, f"the file ends by itself: sys.exit({leave.code})", text=leave.text)
        return checked
    text = shown(Source.of_file(foreign(path), cwd).text)
    checked.places = places = Places(text)
    said = {name: value for name, value in settings.values.items() if before.get(name) != value}
    said |= {name: settings.values[name] for name in settings.given}
    _Check(said, settings, places, report, context, here).run(checked)
    checked.notes = tuple(sorted(report.notes, key=lambda note: (note.line, note.column)))
    return checked


class _Check:
    def __init__(
        self,
        said: dict[str, object],
        settings: Settings,
        places: Places,
        report: Report,
        context: Context,
        here: bool,
    ) -> None:
        self.here = here
        self.said = said
        self.values = settings.values
        self.places = places
        self.report = report
        self.context = context
        self.told: set[str] = set()

    def run(self, checked: Checked) -> None:
        self._names()
        self._passed_over()
        self._values()
        self._memory()
        self._cpus()
        self._files()
        self._devices()
        if not self.values.get("name") and self.values.get("defconfig"):
            self.values["name"] = Path(str(self.values["defconfig"])).name
        with_warnings = self.context.warn
        tree: Any = self._try(
            lambda: make_vm(
                self.values, self.context.env, self.context.cwd, with_warnings, here=False
            )
        )
        if tree is not None:
            plain = sxp.parse_one(sxp.show(sxp.wire(tree)))
            config: DomainConfig | None = self._try(lambda: decode_vm(plain, nameless()))
            if config is not None:
                self._kind(config)
            checked.config = config
        if self.report.wrong:
            checked.config = None

    def _try(self, step: Callable[[], Any]) -> Any:
        """The step's result; None if it found a mistake, which is told if none was before."""
        try:
            return step()
        except ConfigError as error:
            option = str(error.fields.get("field", "")).partition(".")[0]
            if option not in self.told and not (self.told and not option):
                place = self.places.find(option, str(error.fields.get("value") or ""))
                self._tell(option, error, place)
        return None

    def _tell(self, option: str, error: ConfigError, place: tuple[int, int]) -> None:
        self.told.add(option)
        tell(self.report, error, place, field=option)

    def _names(self) -> None:
        """Names that mean nothing here, and look as if they were to."""
        known, of_xl = names("xm"), names("xl")
        hints = MOST_HINTS
        obsolete = {dropped.name: dropped for dropped in DROPPED if dropped.face == "xm"}
        for name in self.said:
            line, column = self.places.place(name)
            if name in obsolete:
                dropped = obsolete[name]
                message = f"{name}: {dropped.reason}; use instead: {dropped.instead}"
                self.report.note(line, column, "deprecated", message, field=name)
            elif name in known or not self.places.used_once(name):
                continue
            elif name in of_xl:
                message = f"{name}: only files of xl have it; nothing reads it here"
                self.report.note(line, column, "ignored", message, field=name)
            elif (hints := hints - 1) >= 0 and (hint := suggestion(name, known)):
                self.report.problem(
                    line, column, f"{name}: no such option{hint}", field=name, text=name
                )
            else:
                message = f"{name}: no such option, and nothing else uses it"
                self.report.note(line, column, "unknown", message, field=name)

    def _passed_over(self) -> None:
        """Options with values of types that make none, as a comma too many does."""
        known = names("xm")
        for name, value in (self.context.ignored or {}).items():
            if name not in known or name in self.said:
                continue
            line, column = self.places.place(name)
            if (line, column) == (1, 1) and not self.places.is_set(name):
                continue
            kind = type_name(value)
            expected = _INSTEAD.get(kind)
            if expected is not None:
                if isinstance(value, tuple) and len(value) == 1 and name not in _READERS:
                    expected = "no comma behind it"
                shown = value if isinstance(value, str) else repr2(value)
                self.report.problem(
                    line,
                    column,
                    f"{name}: a {kind} is no value of an option; xm passes it over",
                    field=name,
                    text=str(shown),
                    expected=expected,
                )

    def _values(self) -> None:
        """Types, units and bounds, by each option's row."""
        for name, setting in _rows():
            value = self.said.get(name)
            if value in (None, ""):
                continue
            try:
                check_value(name, setting, value)
            except ConfigError as error:
                self._tell(name, error, self.places.find(name, str(value)))

    def _memory(self) -> None:
        now, most = self.values.get("memory"), self.said.get("maxmem")
        if not {"memory", "maxmem"} & self.told and now and most and int(f"{now}") > int(f"{most}"):
            line, column = self.places.find("memory", str(now))
            message = f"memory: {now} MiB, but at most {most} (maxmem)"
            self.report.problem(line, column, message, field="memory", expected=f"up to {most}")
            self.told.add("memory")

    def _cpus(self) -> None:
        """A list of which nothing is left would mean any CPU."""
        cpus = self.said.get("cpus")
        try:
            leaves_none = isinstance(cpus, str) and cpus and not parse_cpus(cpus)
        except ValueError:
            return  # told by what decodes it
        if leaves_none:
            line, column = self.places.find("cpus", str(cpus))
            message = f"cpus: '{cpus}' leaves no CPU"
            self.report.problem(line, column, message, field="cpus", expected="0-3,^1")
            self.told.add("cpus")

    def _files(self) -> None:
        for name in ("kernel", "ramdisk", "loader"):
            given = self.values.get(name)
            if given and (name == "loader" or not self.values.get("bootloader")):
                try:
                    find_file(name, given, self.context.cwd, name != "ramdisk")
                except ConfigError as error:
                    line, column = self.places.find(name, str(given))
                    if self.here or not isinstance(given, str):
                        self._tell(name, error, (line, column))
                    else:
                        message = f"{name}: {given} does not exist on this host"
                        self.report.note(line, column, "ignored", message, field=name)

    def _kind(self, config: DomainConfig) -> None:
        """What depends on the type of the domain."""
        if config.kind == "hvm":
            return
        if self.here and not config.kernel and not config.bootloader:
            self.report.problem(
                1, 1, "neither a kernel nor a bootloader", expected="kernel = '...'"
            )
        for row in PLATFORM:
            name = row.setting.xm or ""
            only_hvm = (row.setting.libxl or "").startswith("hvm.") or name in ("apic", "stdvga")
            if name and only_hvm and self.said.get(name) not in (None, "", 0, "0"):
                line, column = self.places.place(name)
                message = (
                    f"{name}: without effect for a {config.kind} domain, only with builder = 'hvm'"
                )
                self.report.note(line, column, "ignored", message, field=name)

    def _devices(self) -> None:
        """Each entry of each list by itself, and beside those before it."""
        found: list[Device] = []
        for name, reader in _READERS.items():
            value = self.said.get(name)
            if isinstance(value, str) and value:
                line, column = self.places.find(name, value)
                self.report.problem(
                    line,
                    column,
                    f"{name}: a text, where a list of texts is meant",
                    field=name,
                    text=value,
                    expected=f"{name} = ['...']",
                )
                self.told.add(name)
                continue
            for entry in _entries(value):
                self._entry(name, reader, entry, found)

    def _entry(self, name: str, reader: Reader, entry: object, found: list[Device]) -> None:
        if self.report.full:
            self.report.problem(0, 0, "")  # only counted
            return
        try:
            for tree in reader({**self.values, name: [entry]}):
                for device in decode_device(sxp.parse_one(sxp.show(tree)), nameless()):
                    if not isinstance(device, Vif) or device.mac:
                        add_device(found, device)
                    if isinstance(device, Disk) and vdev_number(device.vdev) is None:
                        refuse("disk", device.vdev, "a disk of a guest: xvda, hda, sda1")
        except ConfigError as error:
            self._tell(name, error, self.places.find(name, str(entry)))
        else:
            if name == "disk":
                self._backing(str(entry))

    def _backing(self, entry: str) -> None:
        """A disk's file that is not there: perhaps on the host that the domain is for."""
        scheme, _, path = entry.split(",")[0].rpartition(":")
        if scheme in _FILE_SCHEMES and path.startswith("/") and not Path(path).exists():
            line, column = self.places.find("disk", entry)
            message = f"disk: {path} does not exist on this host"
            self.report.note(line, column, "ignored", message, field="disk")


_INSTEAD: Final = {
    "bool": "0 or 1",
    "long": "a number without the L",
    "unicode": "a text without the u",
    "tuple": "a list: [ … ]",
    "dict": "a text or a list",
    "set": "a list: [ … ]",
}
"""Values that xm passed over, and what would be an option; None is how files say `unset`."""
_UNIT: Final = re.compile(r"\s*(\d{1,9})\s*([kmgt])i?b?\s*", re.IGNORECASE)
_IN_MIB: Final = {"m": 1, "g": 1 << 10, "t": 1 << 20}


def check_value(name: str, setting: Setting, value: object) -> None:
    """Raises ConfigError unless xm's value of this option is one that its row knows."""
    if setting.kind is Kind.MIB and (match := _UNIT.fullmatch(str(value))):
        size, unit = int(match[1]), match[2].lower()
        mib = size >> 10 if unit == "k" else size * _IN_MIB[unit]
        raise ConfigError(
            f"{name}: {value!r} has a unit; it is a number of MiB",
            field=name,
            value=value,
            expected=f"{name} = {mib}",
        )
    if isinstance(value, list):
        if setting.kind not in (Kind.TEXTS, Kind.TEXT_OR_TEXTS, Kind.SPECIAL):
            refuse(name, value, "one value, not a list")
        return
    match setting.kind:
        case Kind.FLAG:
            flag(name, value)
        case Kind.INT | Kind.MIB:
            if number(name, setting, value) != value and isinstance(value, float):
                refuse(name, value, "a whole number")
        case Kind.CHOICE:
            choice(name, setting, value)
    if name in _ACTIONS:
        words = [action.value for action in _ACTIONS[name]]
        if value not in words and value not in _OLD_ACTIONS:
            refuse(name, value, f"one of {', '.join(words)}")
    if setting.kind is Kind.TEXT and not isinstance(value, (str, int, float)):
        refuse(name, value, "text")


def _rows() -> Iterator[tuple[str, Setting]]:
    """Options of xm that have one value, with their rows."""
    for row in table():
        name = row.setting.xm
        if row.group != "domain" or not name or "," in name:
            continue
        kind = row.setting.kind
        if kind is None and row.kind == "number":
            numbers = Setting(kind=Kind.INT, low=row.setting.low, high=row.setting.high)
            yield name, numbers
        elif kind is not Kind.SPECIAL and name not in _READERS:
            yield name, row.setting
    yield "vcpus", Setting(kind=Kind.INT, low=0, high=4096)  # 0 leaves it to maxvcpus


def _entries(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    return [] if value in (None, "", 0) else [value]


def _vscsi(values: xmdevices.Values) -> list[xmdevices.Tree]:
    xmdevices.vscsi_names(values)  # the rest needs the host's devices
    return []


_READERS: Final[dict[str, Reader]] = {
    "disk": xmdevices.disks,
    "vif": lambda values: xmdevices.vifs({**values, "nics": -1}, lambda text: None),
    "vif2": xmdevices.vif2s,
    "vfb": lambda values: xmdevices.vfbs(values, {}, ""),
    "pci": lambda values: xmdevices.pcis(xmdevices.pci_functions(values)),
    "ioports": xmdevices.ioports,
    "irq": xmdevices.irqs,
    "vusb": xmdevices.vusbs,
    "vscsi": _vscsi,
}


def tell(report: Report, error: ConfigError, place: tuple[int, int], field: str = "") -> None:
    """Adds an error: at its own place, if it knows it, else at `place`."""
    fields = error.fields
    line, column = place
    if fields.get("line"):
        line, column = int(fields["line"]), int(fields.get("column") or 1)
    message = str(error).strip()
    if fields.get("reason"):
        message = f"syntax error: {fields['reason']}"
    expected = str(fields.get("expected") or "")
    prefix = f"{fields.get('file')}:{fields.get('line')}:{fields.get('column')}: "
    report.problem(
        line,
        column,
        message.removeprefix(prefix).replace("\n\t", ": ").removeprefix("Invalid Configuration: "),
        field=field or str(fields.get("field", "")),
        text="" if fields.get("value") is None else str(fields["value"]),
        expected="" if expected in message else expected,
    )
