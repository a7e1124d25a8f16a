"""In which language a file is, and `xm create` of a file that only xl understands."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.xlcases import UUID
from xend.config import sxp
from xend.config.dialect import read_domain_file
from xend.config.dialectmarks import XL_ONLY, XM_ONLY, Dialect, told
from xend.config.problems import InvalidFile
from xend.config.vmencode import encode_vm
from xend.config.vmsxp import decode_vm
from xend.config.xlcfg import NAMES, read
from xend.config.xlcreate import request_of
from xend.config.xmcreate import CreateRequest, prepare
from xend.config.xmoptions import VARIABLES
from xend.errors import ConfigError

XL = f'name = "guest"\nuuid = "{UUID}"\ntype = "pvh"\nkernel = "/k"\nmemory = 64\n'


def test_the_marks_are_what_only_one_of_both_knows() -> None:
    xm = {option.name for option in VARIABLES}
    assert NAMES - xm - {"maxvcpus", "vtpm"} == XL_ONLY
    assert xm - NAMES == XM_ONLY


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ('name = "a"\nkernel = "/k"\nmemory = 64\n', None),
        ("import os\nname = 'a'\n", "xm"),
        (XL, "xl"),
        (XL + "on_xend_start = 'start'\n", None),
        ("disk = ['/dev/vg/a,raw,xvda,rw']\n", "xl"),
        ("disk = ['vdev=xvda,target=/a']\n", "xl"),
        ("disk = ['phy:/dev/vg/a,xvda,w']\n", None),
        ("disk = ['phy:/dev/vg/a,xvda']\n", None),
        ("disk = ['/dev/vg/a,,xvda']\n", "xl"),
        ("vif = ['bridge=b, mtu=9000']\n", "xl"),
        ("vif = ['bridge=b, mac=00:16:3e:00:00:01']\n", None),
        ("cpuid = 'host,sse3=0'\n", "xl"),
        ("cpuid = ['1:ecx=x']\n", None),
        ("tsc_mode = 'native'\n", "xl"),
        ("tsc_mode = 1\n", None),
        ("viridian = ['base']\n", "xl"),
        ("builder = 'generic'\n", "xl"),
        ("pci = ['03:00.0,permissive=1']\n", "xl"),
        ("pci = ['03:00.0,msitranslate=1']\n", None),
        ("disk = ['phy:/dev/vg/a,xvda,w!,dom1']\n", None),
        ("(vm (name a))", "sxp"),
        (" (domain\n (name a))", "sxp"),
        ('{"name": "a"}', "json"),
        ("{'a': 1}['a']", "xm"),
    ],
)
def test_the_language_is_told(text: str, dialect: str | None) -> None:
    assert told(text) == dialect


def test_each_language_is_read(tmp_path: Path) -> None:
    found = read_domain_file(XL, filename="a.cfg")
    assert (found.dialect, found.config.kind) == ("xl", "pvh")
    text = sxp.show(encode_vm(found.config))
    again = read_domain_file(text, filename="a.sxp")
    assert (again.dialect, again.config) == ("sxp", found.config)
    again = read_domain_file(found.config.model_dump_json(), filename="a.json")
    assert (again.dialect, again.config) == ("json", found.config)
    kernel = tmp_path / "kernel"
    kernel.touch()
    xm = f"import os\nname = 'g'\nprint 'hello'\nkernel = '{kernel}'\nmemory = 2 * 32\n"
    again = read_domain_file(xm, filename="a.cfg")
    assert (again.dialect, again.config.memory) == ("xm", 64 * 1024)
    assert [note.message for note in again.notes] == ["the file says: hello"]


def test_what_has_marks_of_both_and_xm_cannot_read_is_read_as_xl() -> None:
    text = XL + "on_xend_start = 'start'\nvif = ['mtu=9000']\n"
    found = read_domain_file(text, filename="a.cfg")
    assert found.dialect == "xl"
    assert "since xm says: Cannot find kernel" in found.notes[0].message
    with pytest.raises(ConfigError, match="Cannot find kernel"):
        read_domain_file(text, filename="a.cfg", dialect="xm")


def test_what_neither_can_read_has_the_words_of_xm() -> None:
    with pytest.raises(ConfigError, match="Errors were found at line 1"):
        read_domain_file("name = = 'a'\n", filename="a.cfg")
    with pytest.raises(InvalidFile, match="explode"):
        read_domain_file(XL + "on_crash = 'explode'\n", filename="a.cfg")


@pytest.mark.parametrize("text", ["{", '{"name": 5}', "(vm", '{"a": ' + "[" * 100_000])
def test_broken_documents_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_domain_file(text, filename="a", dialect="json" if text.startswith("{") else None)


@pytest.mark.parametrize("dialect", [None, "xm", "xl", "sxp", "json"])
def test_a_huge_file_is_refused_in_time(dialect: Dialect | None) -> None:
    started = time.process_time()
    with pytest.raises(ConfigError):
        read_domain_file("a = 1\n" * 17_000_000, filename="a", dialect=dialect)
    assert time.process_time() - started < 1


def run(tmp_path: Path, text: str, *words: str) -> tuple[CreateRequest | int, str, str]:
    (tmp_path / "guest.cfg").write_text(text)
    out, err = io.StringIO(), io.StringIO()
    request = prepare(
        ["guest.cfg", *words],
        command="create",
        env={"HOME": "/root"},
        cwd=str(tmp_path),
        stdout=out,
        stderr=err,
    )
    return request, out.getvalue(), err.getvalue()


def test_xm_create_of_a_file_of_xl(tmp_path: Path) -> None:
    text = XL + "disk = ['vdev=xvda,format=qcow2,target=/a.qcow2']\nvpmu = 1\n"
    request, out, err = run(tmp_path, text, "memory=96", "extra=quiet", "maxmem=128")
    assert isinstance(request, CreateRequest)
    assert (request.name, out, err) == ("guest", 'Using config file "./guest.cfg".\n', "")
    config = decode_vm(request.sxp)
    lines = "memory = 96\nmaxmem = 128\nextra = 'quiet'\n"
    assert config == read(text + lines, filename="").config
    assert (config.memory, config.cmdline, config.platform["vpmu"]) == (96 * 1024, "quiet", 1)


def test_a_dry_run_of_a_file_of_xl_prints_what_would_be_sent(tmp_path: Path) -> None:
    request, out, _ = run(tmp_path, XL, "--dryrun")
    assert request == 0
    sent = sxp.parse_one(out.partition("\n")[2])
    assert decode_vm(sent) == read(XL, filename="").config


def test_a_create_says_what_is_passed_over(tmp_path: Path) -> None:
    _, _, err = run(tmp_path, XL + "memroy = 5\n")
    assert err == (
        "Warning: ./guest.cfg:6:1: 'memroy' is no setting of xl; did you mean 'memory'?\n"
    )


def test_the_daemon_is_asked_to_read_a_file_of_xl(tmp_path: Path) -> None:
    (tmp_path / "guest.cfg").write_text(XL + "vcpus = 2\ncpus = 'node:1'\n")
    request = prepare(
        ["guest.cfg", "-q"],
        command="create",
        env={"HOME": "/root"},
        cwd=str(tmp_path),
        stdout=io.StringIO(),
        stderr=io.StringIO(),
        read_xl=lambda text, path: request_of(text, path, {0: [0, 1], 1: [2, 3]}),
    )
    assert isinstance(request, CreateRequest)
    assert decode_vm(request.sxp).affinity == ((2, 3), (2, 3))
    refused, _, err = run(tmp_path, XL + "cpus = 'node:1'\n")
    assert refused == 1
    assert "the NUMA nodes of the host are not known here" in err


def test_the_command_line_needs_no_model_for_a_file_of_xl(tmp_path: Path) -> None:
    """xm has no libraries beside Python's own; only the daemon has."""
    (tmp_path / "guest.cfg").write_text(XL)
    program = """
import io, sys
from xend.config import xmcreate
xmcreate.prepare(
    ["guest.cfg", "memory=96"], command="create", env={"HOME": "/"}, cwd=sys.argv[1],
    stdout=io.StringIO(), stderr=io.StringIO(),
    read_xl=lambda text, path: {"vm": ["vm", ["name", "a"]], "notes": [], "problems": []},
)
print([name for name in sys.modules if name.startswith(("pydantic", "xend.model"))])
"""
    words = [sys.executable, "-c", program, str(tmp_path)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_create_shows_every_mistake(tmp_path: Path) -> None:
    request, _, err = run(tmp_path, XL + "on_crash = 'x'\nvif = ['rate=1']\n")
    assert request == 1
    assert err.startswith("Error: ./guest.cfg:6:12: on_crash: 'x' is none of its values")
    assert "./guest.cfg:7:8: vif: rate: '1' is no rate" in err


def test_a_plain_file_stays_one_of_xm(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.touch()
    request, _, err = run(tmp_path, f"name = 'g'\nkernel = '{kernel}'\nmemory = 64\n")
    assert isinstance(request, CreateRequest)
    assert err == ""
    assert json.dumps(request.sxp).startswith('["vm", ["name", "g"], ["memory", 64]')
