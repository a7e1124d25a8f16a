"""From the words after `xm create` to the request: switches, search, precedence, errors."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xend.config import sxp
from xend.config.vmsxp import decode_vm
from xend.config.xmcreate import Command, CreateRequest, prepare
from xend.config.xmoptions import COMMAND_LINE, SWITCHES, VARIABLES, help_text
from xend.model.domain import DomainType

EXAMPLES = Path(__file__).parents[2] / "etc" / "xen"


class Answer:
    def __init__(self, result: CreateRequest | int, out: str, err: str) -> None:
        self.result = result
        self.out = out
        self.err = err

    @property
    def request(self) -> CreateRequest:
        assert isinstance(self.result, CreateRequest), self.err
        return self.result

    def value(self, name: str) -> sxp.Value:
        return sxp.child_value(self.request.sxp, name)


def xm(cwd: Path, *words: str, command: Command = "create", **env: str) -> Answer:
    out, err = io.StringIO(), io.StringIO()
    environment = {"HOME": "/root", "PATH": "/usr/bin", **env}
    result = prepare(
        list(words), command=command, env=environment, cwd=str(cwd), stdout=out, stderr=err
    )
    return Answer(result, out.getvalue(), err.getvalue())


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "vmlinuz").write_text("")
    (tmp_path / "prospero").write_text(
        'name = "prospero"\nmemory = 256\nkernel = "vmlinuz"\nextra = "from the file"\n'
        'disk = [ "phy:vg/p,xvda,w" ]\n'
    )
    return tmp_path


def test_a_request(host: Path) -> None:
    answer = xm(host, "-p", "-c", "prospero")
    assert answer.out == 'Using config file "./prospero".\n'
    request = answer.request
    assert (request.name, request.config_path) == ("prospero", "./prospero")
    assert (request.paused, request.console, request.quiet, request.dryrun) == (
        True,
        True,
        False,
        False,
    )
    assert answer.value("memory") == 256
    assert sxp.child_value(answer.value("image"), "kernel") == str(host / "vmlinuz")


def test_quiet(host: Path) -> None:
    answer = xm(host, "-q", "prospero")
    assert answer.out == ""
    assert answer.request.quiet


def test_the_command_line_wins(host: Path) -> None:
    answer = xm(host, "prospero", "memory=99", "name=other", "disk=phy:a,b,r", "disk=phy:c,d,w")
    assert (answer.value("memory"), answer.request.name) == (99, "other")
    units = [sxp.child_value(kid, "vbd") for kid in sxp.children(answer.request.sxp, "device")]
    assert units == [["uname", "phy:a"], ["uname", "phy:c"]]


def test_a_dry_run_prints_and_does_nothing(host: Path) -> None:
    answer = xm(host, "-q", "-n", "prospero")
    assert answer.result == 0
    assert sxp.child_value(sxp.parse_one(answer.out), "name") == "prospero"


def test_the_search_path(host: Path) -> None:
    (host / "configs").mkdir()
    (host / "prospero").rename(host / "configs" / "prospero")
    answer = xm(host, "--path=/nowhere:configs", "prospero")
    assert answer.out == 'Using config file "./configs/prospero".\n'


def test_no_such_file(host: Path) -> None:
    answer = xm(host, "caliban")
    assert answer.result == 1
    assert answer.err == "Error: Unable to open config file: caliban\n"
    assert answer.out.startswith("Usage: xm create <ConfigFile> [options] [vars]\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nosuch"], "option --nosuch not recognized"),
        (["-z"], "option -z not recognized"),
        (["--hel"], "option --hel not a unique prefix"),
        (["--path"], "option --path requires argument"),
        (["-f"], "option -f requires argument"),
        (["--quiet=1"], "option --quiet must not have an argument"),
    ],
)
def test_mistakes_of_the_command_line(words: list[str], message: str, host: Path) -> None:
    answer = xm(host, *words)
    assert (answer.result, answer.err) == (1, f"Error: {message}\n")
    assert "Usage: xm create" in answer.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["memory=lots"], "Invalid value: lots"),
        (["localtime=maybe"], "Invalid value:maybe"),
        (["disk=nonsense"], "Invalid disk specifier: nonsense"),
        (["vif=colour=red"], "Invalid vif option: colour"),
        (["vif=bridge"], "bridge should be a pair, separated by an equals sign."),
        (["vfb=colour=red"], "configuration option colour unknown to vfbs"),
        (["kernel=/nowhere"], 'Cannot find kernel "/nowhere"'),
        (["nfs_root=/srv"], "Must set nfs root and nfs server"),
        (["pci=nonsense"], "Failed to parse pci device: nonsense"),
        (["pci=01:00.0,colour=1"], "Invalid pci option colour=1: "),
        (["ioports=1-2-3"], "Invalid i/o port range specifier: 1-2-3"),
        (["vusb=usbver=3"], "Invalid vusb option: usbver"),
        (["cpuid=1:foo=0x1"], "cpuid's syntax is (eax|ebx|ecx|edx)=value"),
    ],
)
def test_mistakes_of_options(words: list[str], message: str, host: Path) -> None:
    answer = xm(host, "prospero", *words)
    assert (answer.result, answer.err) == (1, f"Error: {message}\n")
    assert "Usage" not in answer.out


def test_unique_prefixes_and_clusters(host: Path) -> None:
    answer = xm(host, "--qui", "--pau", "--defc=prospero")
    assert answer.request.paused
    assert answer.out == ""
    assert xm(host, "-qpf", "prospero").request.paused


def test_a_finished_configuration(host: Path) -> None:
    (host / "vm.sxp").write_text("(vm (name 'from sxp') (memory 64))")
    answer = xm(host, "-F", "vm.sxp")
    assert answer.out == ""
    assert answer.request.sxp == ["vm", ["name", "from sxp"], ["memory", "64"]]
    bad = xm(host, "-F", "nowhere")
    assert bad.err == "Error: Cannot read file nowhere: No such file or directory\n"
    (host / "bad.sxp").write_text("(vm (name x)")
    worse = xm(host, "-F", "bad.sxp")
    assert (worse.result, worse.err) == (1, "Error: unexpected EOF\n")


def test_xml_is_for_the_xen_api(host: Path) -> None:
    (host / "vm.xml").write_text("<vm/>")
    assert xm(host, "-n", "vm.xml").result == 0
    answer = xm(host, "vm.xml")
    assert answer.result == 1
    assert "XML" in answer.err


def test_what_the_file_prints_and_where_it_leaves(host: Path) -> None:
    (host / "leaves").write_text("import sys\nprint 'hello'\nsys.exit(3)\n")
    answer = xm(host, "-q", "leaves")
    assert (answer.result, answer.out) == (3, "hello\n")


def test_the_display_comes_from_the_environment(host: Path) -> None:
    (host / "hvm").write_text('builder = "hvm"\nkernel = "hvmloader"\n')
    answer = xm(host, "hvm", DISPLAY=":5", XAUTHORITY="/tmp/x")
    image = answer.value("image")
    assert sxp.child_value(image, "display") == ":5"
    assert sxp.child_value(image, "xauthority") == "/tmp/x"


def test_new_is_the_same_with_its_own_help(host: Path) -> None:
    assert xm(host, "prospero", command="new").request.name == "prospero"
    assert "Usage: xm new <ConfigFile> [options] [vars]\n" in xm(host, "-z", command="new").out


def test_help_shows_every_option_once() -> None:
    shown = COMMAND_LINE.variables_help()
    for option in VARIABLES:
        assert len(re.findall(rf"^{option.name}[= ]", shown, re.MULTILINE)) == 1
        assert option.help
    for option in SWITCHES:
        assert f"--{option.name}" in help_text("create")
    assert all(len(line) <= 79 for line in help_text("create").splitlines())


def test_a_big_number_is_sent_as_one(host: Path) -> None:
    assert xm(host, "prospero", "vcpu_avail=3", f"memory={2**70}").value("memory") == 2**70


@given(st.lists(st.text(alphabet="-=abcfhnpqs012,:/ ", max_size=12), max_size=4))
def test_no_command_line_crashes(words: list[str]) -> None:
    xm(Path("/nonexistent"), *words)


def example(name: str, tmp_path: Path, *, uncommented: bool = False) -> Answer:
    text = (EXAMPLES / name).read_text()
    if uncommented:
        text = re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
        text = re.sub(r'"vm%d[^"]*" % vmid', '"text"', text).replace(
            'disk = [ "phy:/dev/vg/vm%d,xvda,w" % vmid ]', ""
        )
    (tmp_path / name).write_text(text)
    kernel = tmp_path / "kernel"
    kernel.write_text("")
    given_kernel = ["kernel=hvmloader"] if name.endswith("hvm") else [f"kernel={kernel}"]
    # the examples of cpus are for different numbers of VCPUs
    return xm(tmp_path, name, *given_kernel, f"ramdisk={kernel}", "cpus=0")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("xmexample1", DomainType.PV),
        ("xmexample.hvm", DomainType.HVM),
        ("xmexample.pvh", DomainType.PVH),
        ("xmexample.pv-grub", DomainType.PV),
    ],
)
def test_the_examples(name: str, kind: DomainType, tmp_path: Path) -> None:
    answer = example(name, tmp_path)
    config = decode_vm(sxp.parse_one(sxp.show(answer.request.sxp)))
    assert config.type is kind
    assert config.disks
    assert config.vifs


@pytest.mark.parametrize(
    "name", ["xmexample1", "xmexample.hvm", "xmexample.pvh", "xmexample.pv-grub"]
)
def test_what_the_examples_have_commented_out_is_right_too(name: str, tmp_path: Path) -> None:
    known: set[Any] = {option.name for option in VARIABLES} | {"maxvcpus"}
    text = (EXAMPLES / name).read_text()
    assert set(re.findall(r"^#?([a-z_]+) = ", text, re.MULTILINE)) <= known
    answer = example(name, tmp_path, uncommented=True)
    decode_vm(sxp.parse_one(sxp.show(answer.request.sxp)))
