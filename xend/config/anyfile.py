"""A domain's file of any kind, with every mistake and remark, for `xend check` and `convert`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from xend.config import sxp
from xend.config.checkjson import read_json
from xend.config.checkxm import check_xm, nameless, tell
from xend.config.devicesxp import decode_device
from xend.config.dialectmarks import Dialect, told
from xend.config.problems import MOST_PROBLEMS, InvalidFile, Note, Problem, Report, suggestion
from xend.config.sxpvalues import child_whole
from xend.config.vmsxp import Decoder
from xend.config.xlcfg import read as read_xl
from xend.config.xlwrite import completed
from xend.config.xmplaces import Places
from xend.config.xmsource import MAX_FILE
from xend.errors import ConfigError
from xend.model.domain import DomainConfig
from xend.model.table import split, table

DIALECTS: Final[tuple[Dialect, ...]] = ("xm", "xl", "sxp", "json")


@dataclass(frozen=True, slots=True)
class AnyFile:
    """What is in a file; `config` is None if there are problems."""

    path: str
    dialect: Dialect
    config: DomainConfig | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()
    places: Places | None = None
    """Of a file of xm."""
    more: int = 0
    """Mistakes beside `problems`."""


def read_any(
    path: str,
    *,
    dialect: Dialect | None = None,
    cwd: str,
    env: Mapping[str, str],
    words: Sequence[str] = (),
    here: bool = True,
) -> AnyFile:
    """Nothing is raised: a file that cannot be read is a problem of line 1.

    `words` and `here`: see `check_xm`.
    """
    report = Report(path, strict=True)
    try:
        text = _text(path, cwd)
        kind = dialect or dialect_of(text)
    except ConfigError as error:
        tell(report, error, (1, 1))
        return _wrong(path, dialect or "xm", report)
    if kind == "xm":
        checked = check_xm(path, cwd=cwd, env=dict(env), report=report, words=words, here=here)
        if checked.config is None:
            return _wrong(path, kind, report, checked.notes)
        return AnyFile(path, kind, checked.config, (), checked.notes, checked.places)
    try:
        if kind == "xl":
            text = completed(text, dict(word.split("=", 1) for word in words)) if words else text
            result = read_xl(text, filename=path, strict=True, new_uuid=nameless().new_uuid)
            _missing_files(result.config, text, cwd, here, report)
            report.check()
            notes = [*(note for note in result.notes if note.field != "uuid"), *report.notes]
            return AnyFile(path, kind, result.config, (), tuple(notes))
        if words:
            raise ConfigError("variables are for files of xm and xl", value=words[0])
        config = read_json(text, report) if kind == "json" else _read_sxp(text, path, report)
        return AnyFile(path, kind, config, (), tuple(report.notes))
    except InvalidFile as error:
        return AnyFile(path, kind, None, error.problems, tuple(report.notes), None, error.more)
    except ConfigError as error:
        tell(report, error, _place_in(text, error))
        return _wrong(path, kind, report)


def dialect_of(text: str) -> Dialect:
    """By the first character that is no comment's, else as `xm create` tells it."""
    start = text.lstrip("\ufeff \t\r\n")
    while start.startswith("#"):
        start = start.partition("\n")[2].lstrip()
    if start.startswith("("):
        return "sxp"
    if start.startswith("{"):
        return "json"
    if start.startswith("<"):
        raise ConfigError(
            "an XML file: these are for the Xen-API only", expected="a file of xm or xl, or SXP"
        )
    return told(text) or "xm"


def _missing_files(config: DomainConfig, text: str, cwd: str, here: bool, report: Report) -> None:
    """Of a file of xl: files that it names and this host has not."""
    for name in ("kernel", "ramdisk"):
        given = getattr(config, name)
        said = re.search(rf"^[ \t]*({name})[ \t]*=", text, re.MULTILINE)
        if not given or not said or config.bootloader or Path(cwd, given).exists():
            continue
        place = _line_and_column(text, said.start(1))
        message = f"{name}: {given} does not exist on this host"
        if here:
            report.problem(*place, message, field=name, expected="a file that exists")
        else:
            report.note(*place, "ignored", message, field=name)
    for disk in config.disks:
        is_file = disk.path.startswith("/") and not disk.path.startswith("/dev/")
        if is_file and disk.scheme != "phy" and not Path(disk.path).exists():
            message = f"disk: {disk.path} does not exist on this host"
            report.note(*_find(text, disk.path), "ignored", message, field="disk")


def _text(path: str, cwd: str) -> str:
    """Bytes that are no UTF-8 come as lone surrogates.  Only regular files, of bearable size."""
    place = Path(cwd, path)
    try:
        if not place.is_file() and place.exists():
            raise ConfigError(f"{path} is not a regular file", expected="a file")
        with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            data = opened.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", expected="a file that can be read"
        ) from error
    if len(data) > MAX_FILE:
        raise ConfigError(
            f"{path} is too large: at most {MAX_FILE} bytes are read",
            expected=f"at most {MAX_FILE} bytes",
        )
    return data.decode("utf-8", "surrogateescape")


def _read_sxp(text: str, path: str, report: Report) -> DomainConfig:
    """`(vm …)`, as `xm create -n` prints it, or a managed domain's `(domain …)`."""
    forms = sxp.parse(text, file=path)
    if not forms:
        raise ConfigError("there is nothing in it", expected="(vm ...)")
    tree = forms[0]
    if len(forms) > 1:
        shown = sxp.show(forms[1])
        report.problem(*_find(text, shown[:20]), "more than one configuration", text=shown)
    decoder = Decoder(tree, nameless(), fresh=sxp.name_of(tree) == "vm")
    _unknown_children(tree, text, report)
    told: set[str] = set()
    for part in (*_parts(decoder), decoder.config):
        try:
            part()
        except ConfigError as error:
            if str(error) not in told and not (part == decoder.config and report.wrong):
                told.add(str(error))
                tell(report, error, _place_in(text, error))
    report.check()
    return decoder.config()


def _parts(decoder: Decoder) -> Iterator[Callable[[], object]]:
    """What can be wrong by itself."""
    kind = decoder.domain_type()
    yield lambda: child_whole(decoder.tree, "vcpus")
    yield from (decoder.uuid, decoder.memory, decoder.events)
    yield lambda: decoder.share("cpu_weight", "weight", 256)
    yield lambda: decoder.share("cpu_cap", "cap", 0)
    yield lambda: decoder.affinity(child_whole(decoder.tree, "vcpus") or 1)
    yield lambda: decoder.platform(kind)
    for child in sxp.children(decoder.tree, "device"):
        if kids := sxp.children(child):
            yield partial(decode_device, kids[0], nameless())


_MANAGED: Final = frozenset(
    (
        *("domid", "status", "state", "start_time", "cpu_time", "online_vcpus", "vcpus_params"),
        *("VCPUs_max", "VCPUs_live", "vcpus_number", "store_mfn", "console_mfn", "up_time"),
        *("shadow_memory", "memory_static_min", "memory_static_max", "memory_dynamic_min"),
        *("memory_dynamic_max", "actions_after_shutdown", "actions_after_reboot"),
        *("actions_after_crash", "name_label", "Description", "name_description", "shutdown"),
        *("platform", "other_config", "tools_version", "security", "is_a_template", "HVM_boot"),
        *("HVM_boot_policy", "HVM_boot_params", "PV_kernel", "PV_ramdisk", "PV_args", "xend"),
        *("PV_bootloader", "PV_bootloader_args", "auto_power_on", "device", "image", "cpu"),
        *("vcpu_avail", "cpu_weight", "cpu_cap", "restart", "localtime", "oos", "pool_name"),
        *("shadow_optimized", "node_affinity", "cpuid", "cpuid_check", "bootloader_args"),
        *("shutdown_reason", "reboot", "superpages", "VCPUs_at_startup", "change_home_server"),
        *("affinity", "user_version", "is_control_domain"),
    )
)
"""Children that are in no row of the table, or only under another name."""


def _unknown_children(tree: sxp.Value, text: str, report: Report) -> None:
    """Names that nothing reads: they are kept out of the domain in silence, as ever."""
    known = set(_MANAGED)
    for row in table():
        known |= {name for name in split(row.setting.sxp) if "." not in name}
    names = [str(sxp.name_of(child) or "") for child in sxp.children(tree)]
    for name in [name for name in names if name and name not in known][:MOST_PROBLEMS]:
        if not report.full:
            line, column = _find(text, f"({name}")
            if hint := suggestion(name, known):
                report.problem(line, column, f"{name}: nothing has this name{hint}", field=name)
            else:
                report.note(line, column, "unknown", f"{name}: nothing reads it", field=name)


def _find(text: str, part: str) -> tuple[int, int]:
    return _line_and_column(text, max(0, text.find(part)))


def _line_and_column(text: str, start: int) -> tuple[int, int]:
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def _place_in(text: str, error: ConfigError) -> tuple[int, int]:
    """Where an SXP has the field's name, and after it the value."""
    field, _, key = str(error.fields.get("field") or "").partition(".")
    start = text.find(f"({field} ") if field else -1
    if start < 0 and key:
        start = text.find(f"({key} {error.fields.get('value')}")
    if start < 0:
        return 1, 1
    value = str(error.fields.get("value") or "")
    for wanted in (f"({key} {value}" if key else value, value):
        found = text.find(wanted, start) if value else -1
        if found >= 0:
            start = found + len(wanted) - len(value)
            break
    return _line_and_column(text, start)


def _wrong(path: str, dialect: Dialect, report: Report, notes: tuple[Note, ...] = ()) -> AnyFile:
    try:
        report.check()
    except InvalidFile as error:
        return AnyFile(path, dialect, None, error.problems, notes, None, error.more)
    return AnyFile(path, dialect, None, (), notes)
