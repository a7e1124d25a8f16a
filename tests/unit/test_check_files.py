"""`xend check`, `convert` and `check-config`: every mistake in one go, and static files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from xend.config import sxp
from xend.config.anyfile import dialect_of, read_any
from xend.config.vmsxp import decode_vm
from xend.config.xlcfg import read as read_xl
from xend.daemon.commandline import main
from xend.libxl import marshal
from xend.model.domain import DomainConfig
from xend.model.table import names


def put(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "a.cfg"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def lines(capsys: pytest.CaptureFixture[str], path: str) -> list[str]:
    return [line.removeprefix(f"{path}:") for line in capsys.readouterr().out.splitlines()]


BAD = """\
import os
kernel = "/boot/nothing"
memmory = 256
memory = "lots"
vcpus = -1
on_crash = "explode"
acpi = "maybe"
timer_mode = 9
disk = [ 'file:/a.img,xvda,w', 'phy:vg/x,xvdb', 'file:/a.img,xvdb,w!' ]
vif = [ 'mac=zz', 'brigde=xenbr0', '' ]
cmdline = "ro"
restart = "always"
"""


def test_every_mistake_of_a_file_of_xm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, BAD)
    assert main(["check", path]) == 1
    told = lines(capsys, path)
    expected = [
        '2:11: error: Cannot find kernel "/boot/nothing"; write instead: a file that exists',
        "3:1: error: memmory: no such option; did you mean 'memory'?",
        "4:11: error: memory: 'lots' is not a number",
        "5:9: error: vcpus must be between 0 and 4096",
        "6:13: error: on_crash: 'explode' is not one of destroy, restart, preserve,",
        "7:9: error: acpi: 'maybe' is not 0 or 1",
        "8:14: error: timer_mode must be between 0 and 3",
        "9:33: error: Invalid disk specifier: phy:vg/x,xvdb; write instead: UNAME,DEV,MODE",
        "10:10: error: vif.mac: 'zz' is not a MAC address",
        "10:20: error: Invalid vif option: brigde; write instead: accel,",
        "11:1: note: cmdline: only files of xl have it; nothing reads it here",
        "12:1: note: restart: read as on_poweroff, on_reboot and on_crash; use instead:",
    ]
    for sentence in expected:
        assert any(line.startswith(sentence) for line in told), sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("memory = = 3\n", "1:10: error: syntax error: invalid syntax (in 'memory = = 3')"),
        ("import subprocess\n", "1:1: error: the module subprocess (it starts"),
        ("while 1: pass\n", "1:10: error: the file does not come to an end"),
        ("a = 'x' * 2**30\n", "1:5: error: the file makes values that are too large"),
        ("x = " + "(" * 10_000 + "1" + ")" * 10_000, "error: "),
        (b"name = '\xff\xfe'\n", "1:9: error: "),
        (b"\0" * 100, "1:1: error: "),
        ("import sys\nsys.exit(3)\n", "1:1: error: the file ends by itself: sys.exit(3)"),
        ("type = 'hvm'\nmemory = 'x'\n", "2:10: error: memory: 'x' is not a number"),
        ("(vm (name a) (memory x))", "1:22: error: memory: 'x' is not a whole number"),
        ("(vm (name a)", "error: "),
        ("(" * 10_000, "error: "),
        ('{"name": "a", "memory": "x"}', "1:25: error: memory: Input should be a valid integer"),
        ('{"name": }', "1:10: error: Expecting value"),
        ("<vm/>", "1:1: error: an XML file"),
    ],
    ids=range(15),
)
def test_each_kind_of_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | bytes, sentence: str
) -> None:
    path = put(tmp_path, text)
    started = time.process_time()
    assert main(["check", path]) == 1
    assert time.process_time() - started < 3
    told = lines(capsys, path)
    assert any(sentence in line for line in told), told


XM_MISTAKES = [
    (
        "memory = 64,\n",
        "1:1: error: memory: a tuple is no value of an option;",
        "no comma behind it",
    ),
    ("vif = ('bridge=a', '')\n", "1:1: error: vif: a tuple is no value", "a list: [ … ]"),
    ("acpi = True\n", "1:1: error: acpi: a bool is no value", "(in 'True'); write instead: 0 or 1"),
    ("memory = 64L\n", "1:1: error: memory: a long is no value", "a number without the L"),
    ("\ndisk = 'phy:a,xvda,w'\n", "2:9: error: disk: a text, where a list", "disk = ['...']"),
    ("memory = '2G'\n", "1:11: error: memory: '2G' has a unit", "memory = 2048"),
    ("vcpus = 1.5\n", "1:9: error: vcpus: 1.5 is not a whole number", ""),
    ("memory = 256\nmaxmem = 128\n", "1:10: error: memory: 256 MiB, but at most 128", "up to 128"),
    ("cpus = '3-1'\n", "1:9: error: cpus: '3-1' leaves no CPU", "0-3,^1"),
    ("disk = ['phy:a,hd a,w']\n", "1:10: error: disk: 'hd a' is not a disk of a guest", "xvda"),
    ("name = 'a'\n", "1:1: error: neither a kernel nor a bootloader", "kernel = '...'"),
    ("vnc = 1\n", "1:1: note: vnc: without effect for a pv domain", "builder = 'hvm'"),
    ("disk = [ 'a',\n  'b'\nvif = ['']\n", "3:1: error: syntax error:", "the [ of line 1 is not"),
    ("disk = [ 'a',\n", "error: syntax error: unexpected EOF", "the [ of line 1 is not closed"),
    ("\nextra = '''a\nb\n", "2:9: error: syntax error: EOF while scanning", "extra = '''a"),
]


@pytest.mark.parametrize(("text", "begins", "holds"), XM_MISTAKES, ids=range(len(XM_MISTAKES)))
def test_what_xm_passed_over_or_said_badly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, begins: str, holds: str
) -> None:
    path = put(tmp_path, text)
    assert main(["check", path]) == 1
    told = lines(capsys, path)
    assert any(begins in line and holds in line for line in told), told


def test_an_option_that_is_none_is_unset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, "bootloader = 'pygrub'\nkernel = None\ncount = True\n")
    assert main(["check", path]) == 0
    assert capsys.readouterr().out.count("\n") == 1


NEEDS_A_NUMBER = """\
def check_vmid(name, value):
    return int(value)
xm_vars.var('vmid', use="a number", check=check_vmid)
xm_vars.check()
name = "vm%d" % vmid
bootloader = 'pygrub'
"""


def test_variables_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, NEEDS_A_NUMBER)
    assert main(["check", path]) == 1
    assert "vmid - int() argument" in capsys.readouterr().out
    assert main(["check", path, "vmid=7"]) == 0
    assert capsys.readouterr().out == f"{path}: good (xm): vm7, pv\n"
    assert main(["check", path, "vmid=7", "memory=1M"]) == 1
    assert "error: Invalid value: 1M" in capsys.readouterr().out
    assert main(["convert", path, "--to", "xl", "vmid=7", "memory=77"]) == 0
    assert "memory = 77\n" in capsys.readouterr().out
    path = put(tmp_path, "name = 'a'\ntype = 'pvh'\nkernel = '/k'\n")
    assert main(["convert", path, "--to", "json", "memory=77"]) == 0
    assert '"memory": 78848' in capsys.readouterr().out
    path = put(tmp_path, "(vm (name a) (memory 64))")
    assert main(["check", path, "memory=77"]) == 1
    assert "variables are for files of xm and xl" in capsys.readouterr().out


def test_a_file_for_another_host_is_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, "name = 'a'\nkernel = '/boot/nothing'\nramdisk = '/boot/none'\n")
    assert main(["convert", path, "--to", "xl"]) == 0
    text = capsys.readouterr().out
    assert 'kernel = "/boot/nothing"' in text
    assert "# line 2: kernel: /boot/nothing does not exist on this host" in text
    assert "s3_integrity" not in text


def test_files_that_a_file_of_xl_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(
        tmp_path,
        "name = 'a'\ntype = 'pvh'\n kernel = '/boot/none'\ndisk = ['/img/none,qcow2,xvda,w']\n",
    )
    assert main(["check", path]) == 1
    told = lines(capsys, path)
    expected = "3:2: error: kernel: /boot/none does not exist on this host; write instead: a file"
    assert told[0].startswith(expected)
    assert main(["convert", path, "--to", "xl"]) == 0
    text = capsys.readouterr().out
    assert "# line 3: kernel: /boot/none does not exist on this host" in text
    assert "# line 4: disk: /img/none does not exist on this host" in text


def test_every_mistake_of_sxp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(
        tmp_path,
        "(vm (name a) (memory x) (vcpus y)\n (memroy 1) (strange 2)\n"
        " (device (vif (mac zz)))\n (device (vbd (uname phy:a) (dev xvda) (mode q))))\n(vm)",
    )
    assert main(["check", path]) == 1
    told = lines(capsys, path)
    expected = [
        "1:22: error: memory: 'x' is not a whole number",
        "1:32: error: vcpus: 'y' is not a whole number",
        "2:2: error: memroy: nothing has this name; did you mean 'memory'?",
        "2:13: note: strange: nothing reads it",
        "3:20: error: vif.mac: 'zz' is not a MAC address",
        "4:46: error: disk.mode: mode: 'q' is not the mode of a disk",
        "5:1: error: more than one configuration",
    ]
    for sentence in expected:
        assert any(line.startswith(sentence) for line in told), (sentence, told)


def test_every_mistake_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(
        tmp_path,
        '{"name": "a b", "memory": "x",\n "vifs": [{"mac": "q"}, {"mac": "r\\"]"}],\n'
        ' "vcpus": 1, "vcpus": 2, "memroy": {"a": [1, {}]}, "kernel": 5}',
    )
    assert main(["check", path]) == 1
    told = lines(capsys, path)
    expected = [
        "1:10: error: name: Invalid VM Name (in 'a b')",
        "1:27: error: memory: Input should be a valid integer",
        "2:19: error: vifs.0.mac: 'q' is not a MAC address",
        "2:33: error: vifs.1.mac: 'r",
        "3:23: error: vcpus: there are two of it",
        "3:36: error: memroy: there is no such field; did you mean 'memory'?",
        "3:62: error: kernel: Input should be a valid string (in '5')",
    ]
    for sentence in expected:
        assert any(line.startswith(sentence) for line in told), (sentence, told)


def test_many_mistakes_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, "bootloader = 'pygrub'\ndisk = ['a'] * 5000\n")
    assert main(["check", path]) == 1
    told = lines(capsys, path)
    assert len(told) == 101
    assert told[-1].endswith("and 4900 more mistakes")


def test_bytes_that_no_file_of_xl_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, b"\xef\xbb\xbfname = 'a\0b'\n")
    assert main(["check", "--from", "xl", path]) == 1
    told = lines(capsys, path)
    assert told[0].startswith("1:1: error: a byte order mark in front")
    assert "1:11: error: a NUL byte" in told[1]


UNKNOWN = [f"unk{n}own" for n in range(8000)]
HUGE = [
    ("name = 'a'\ntype = 'pv'\n" + "".join(f"{w} = 1\n" for w in UNKNOWN), "more mistakes"),
    (
        "bootloader = 'a'\n" + "memroy = 3\n" + "".join(f"{w} = 1\n" for w in UNKNOWN),
        "did you mean",
    ),
    ("(vm (memory 0)" + "".join(f"({w} 1)" for w in UNKNOWN) + ")", "must be greater than zero"),
    ('{"name": "a"' + "".join(f', "{w}": 1' for w in UNKNOWN) + "}", "more mistakes"),
    ("name = 'a'\ntype = 'pv'\ncpuid = 'host," + "x=1,".join(UNKNOWN) + "'", "more mistakes"),
    ("(vm (name a) (memory 64) (vcpus 4096) (cpus 0-4095))", "more than 1048576 CPUs"),
    ("(vm (name a) (memory 64) (cpus " + "0-4095," * 9000 + "1))", "more CPUs than any host has"),
    ("x = 1\n" * 60000, "more than 40000 words and signs"),
    ("type = 'pvh'\n" + "x = 1\n" * 40000, "words and signs"),
]


@pytest.mark.parametrize(("text", "sentence"), HUGE, ids=range(len(HUGE)))
def test_small_files_of_huge_domains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    path = put(tmp_path, text)
    started = time.process_time()
    assert main(["check", path]) == 1
    assert time.process_time() - started < 2
    assert any(sentence in line for line in lines(capsys, path))


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as opened:
        opened.truncate(100 << 20)
    assert main(["check", str(huge), str(tmp_path / "none"), str(tmp_path)]) == 1
    told = capsys.readouterr().out
    for sentence in ("is too large", "No such file", "is not a regular file"):
        assert sentence in told


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, "name = 'a'\nmemory = 64\nbootloader = 'pygrub'\nvif = ['']\n")
    assert main(["check", path]) == 0
    assert capsys.readouterr().out == f"{path}: good (xm): a, pv\n"


def test_what_only_the_toolstack_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, "(vm (name a) (memory 64) (vcpus 1) (device (vusb (usb-ver 2))))")
    assert main(["check", path]) == 1
    assert "error: A device of class vusb is not available" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("name = 'a'\nmemory = 64\n", "xm"),
        ("import os\n", "xm"),
        ("type = 'pvh'\nkernel = '/k'\n", "xl"),
        ("# a\n  (vm (name a))", "sxp"),
        ('{"name": "a"}', "json"),
    ],
)
def test_dialects(text: str, dialect: str) -> None:
    assert dialect_of(text) == dialect


COMPUTED = """\
vmid = 3
name = "vm%d" % vmid
memory = 128
builder = 'hvm'
disk = [ 'phy:vg/x,hda,w', 'file:/b.iso,hdc:cdrom,r' ]
vif = [ 'bridge=xenbr0', '' ]
root = "/dev/hda1"
fda = '/a.img'
features = 'x'
on_xend_start = 'start'
cpus = ['0', '1-2']
vcpus = 2
"""


def converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, target: str
) -> tuple[str, str]:
    path = put(tmp_path, text)
    assert main(["convert", path, "--to", target]) == 0
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_a_static_file_of_xl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = converted(tmp_path, capsys, COMPUTED, "xl")
    for line in (
        '# name was computed (line 2): name = "vm%d" % vmid',
        "# was builder (line 4)",
        "# was root (line 7)",
        "# NOT TAKEN OVER: features: Xen reads the kernel's own notes instead",
        "# NOT TAKEN OVER: on_xend_start: xl does not manage domains; link it in /etc/xen/auto",
        'cmdline = "root=/dev/hda1 "',
        '    "format=raw,vdev=hda,access=rw,target=/dev/vg/x",',
    ):
        assert line in text.splitlines(), line
    assert "uuid" not in text
    config = read_xl(text, filename="x", strict=True).config
    assert (config.name, config.kind, config.memory) == ("vm3", "hvm", 128 * 1024)
    assert config.platform["device_model_args_hvm"] == ["-fda", "/a.img"]
    assert config.affinity == ((0,), (1, 2))


def test_a_static_sxp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = converted(tmp_path, capsys, COMPUTED, "sxp")
    assert "00000000-0000" not in text
    assert "# name was computed (line 2)" in text
    config = decode_vm(sxp.parse_one(text))
    assert (config.name, config.on_xend_start, config.platform["fda"]) == (
        *("vm3", "start", "/a.img"),
    )
    assert all(vif.mac for vif in config.vifs)


def test_static_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, remarks = converted(tmp_path, capsys, COMPUTED, "json")
    assert "name was computed" in remarks
    path = put(tmp_path, text)
    again = read_any(path, cwd="/", env={}).config
    first = read_any(put(tmp_path, COMPUTED), cwd="/", env={}).config
    assert isinstance(again, DomainConfig)
    assert isinstance(first, DomainConfig)
    assert [vif.mac for vif in again.vifs] == ["", ""]
    assert marshal.domain(again) == marshal.domain(first)


@pytest.mark.parametrize(
    "words",
    [["convert"], ["convert", "a"], ["convert", "a", "--to", "x"], ["check"], ["check", "--x"]],
)
def test_wrong_command_lines(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "usage: xend check" in capsys.readouterr().err


def test_a_file_with_mistakes_is_not_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, "memory = 'x'\n")
    assert main(["convert", path, "--to", "xl"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "memory: 'x' is not a number" in shown.err


def test_check_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(
        tmp_path,
        "(xend-port x)\n(xend-prot 8000)\n(vnc-tls yes)\n(xend-http-server perhaps)\n",
    )
    assert main(["check-config", path]) == 1
    told = lines(capsys, path)
    assert told == [
        "1:1: error: invalid xend config xend-port: expected int: x; write instead: a whole number",
        "4:1: error: invalid xend config xend-http-server: expected bool: perhaps; "
        "write instead: yes or no",
        "2: unknown option xend-prot is ignored; did you mean xend-port?",
        "3: vnc-tls has no effect: the device model is run by libxl",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "(a 1)\n(xend-port 99999)",
            "2:1: error: invalid xend config xend-port: expected a number",
        ),
        (
            "(dom0-min-mem -5)",
            "1:1: error: invalid xend config dom0-min-mem: expected a number from",
        ),
        ("\n(loglevel LOUD)", "2:1: error: invalid xend config loglevel: expected one of TRACE"),
        (
            "# (a\n(xend-relocation-hosts-allow '((')",
            "2:1: error: xend-relocation-hosts-allow: '((' is no regular expression",
        ),
        ("(xend-rest-tcp-server y)\n(xend-rest-tls no)\n(xend-rest-tcp-address '')", "2:1: error"),
        ("(xend-port 1)\n(xend-port 'x)')", "2:1: error: invalid xend config xend-port"),
        ("(xend-port 1)(x '(')\n(xend-port 2)", "2: xend-port is set again; this one counts"),
    ],
    ids=range(7),
)
def test_each_mistake_of_the_daemons_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    path = put(tmp_path, text)
    main(["check-config", path])
    told = lines(capsys, path)
    assert any(line.startswith(sentence) for line in told), told


def test_a_huge_file_of_the_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as opened:
        opened.truncate(100 << 20)
    assert main(["check-config", str(huge)]) == 1
    assert "is too long" in capsys.readouterr().out
    assert main(["check-config", str(tmp_path)]) == 1
    assert "not a regular file" in capsys.readouterr().out


def test_every_name_is_in_one_kind_of_file_at_least() -> None:
    assert names("xm") & names("xl")
