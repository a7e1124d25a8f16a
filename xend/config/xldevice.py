"""What `xl` takes on its command line besides files: one device, and a file of a CPU pool."""

from __future__ import annotations

from xend.config.problems import Report
from xend.config.xldisk import read_disk
from xend.config.xlgrammar import XlList, XlText, parse
from xend.config.xlnetwork import read_vif
from xend.config.xlsettings import XlSettings
from xend.model.devices import Disk, Vif

_WHERE = "command line"


def disk(spec: str) -> Disk:
    """A disk as in `block-attach`.  Raises InvalidFile."""
    settings, item = _one(spec)
    found = read_disk(settings, item)
    settings.report.check()
    assert found is not None  # else there was a problem
    return found


def vif(spec: str) -> Vif:
    """A network interface as in `network-attach`.  Raises InvalidFile."""
    settings, item = _one(spec)
    found = read_vif(settings, item)
    settings.report.check()
    assert found is not None  # else there was a problem
    return found


def _one(spec: str) -> tuple[XlSettings, XlText]:
    return XlSettings({}, Report(_WHERE)), XlText(spec, 1, 1)


def plain_settings(text: str, filename: str) -> dict[str, str | list[str]]:
    """Names and values of a file that does not describe a domain (xlcpupool.cfg(5)): texts, and
    lists of texts.  Raises InvalidFile."""
    report = Report(filename)
    settings = parse(text, report)
    report.check()
    return {name: _plain(setting.value) for name, setting in settings.items()}


def _plain(value: XlText | XlList) -> str | list[str]:
    if isinstance(value, XlText):
        return value.text
    return [item.text for item in value.items if isinstance(item, XlText)]
