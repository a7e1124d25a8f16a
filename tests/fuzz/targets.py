"""Every parser of text that comes from outside, as a function of bytes that must survive anything.

It may refuse with an XendError; anything else that it raises, a hang, or more memory than
MOST_MEMORY is a mistake.  Used by hypothesis (short, in `make test`) and by a coverage-guided
fuzzer (`make fuzz`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.xlcases import cases
from xend.config import sxp, xend_config
from xend.config.anyfile import read_any
from xend.config.convert import TARGETS as TARGET_DIALECTS
from xend.config.convert import convert
from xend.config.cpulists import parse_affinity
from xend.config.devicesxp import Maker
from xend.config.dialect import read_domain_file
from xend.config.domainsxp import decode_managed, encode_managed
from xend.config.pcinames import parse as parse_pci
from xend.config.vmencode import encode_vm
from xend.config.vmsxp import decode_vm
from xend.config.xlcfg import read as read_xl
from xend.config.xmeval import HOST_ERRORS
from xend.config.xmlimits import Meter, Refused
from xend.config.xmmachine import Machine
from xend.config.xmregex import Pattern
from xend.config.xmvalues import Thrown
from xend.errors import XendError
from xend.libxl import marshal, schema, unmarshal

ROOT: Final = Path(__file__).parents[2]
MOST_MEMORY: Final = 200 << 20
"""Bytes that a process may come to have while it reads whatever it is given."""


def xm_file(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    config = read_domain_file(text, filename="/nowhere/file", dialect="xm").config
    assert config.name


def xl_file(data: bytes) -> None:
    config = read_xl(data.decode("utf-8", "surrogateescape"), filename="F").config
    marshal.domain(config)


def sxp_text(data: bytes) -> None:
    """What is read is written so that it reads the same."""
    for tree in sxp.parse(data.decode("utf-8", "surrogateescape")):
        assert sxp.parse(sxp.show(tree)) == [tree]
        assert sxp.parse(sxp.pretty(tree)) == [tree]


def vm(data: bytes) -> None:
    """What is taken can be sent again, and told to libxl or refused."""
    config = decode_vm(sxp.parse_one(data.decode("utf-8", "surrogateescape")))
    again = decode_vm(sxp.parse_one(sxp.show(encode_vm(config))), Maker())
    assert again == config
    marshal.domain(config)


def managed(data: bytes) -> None:
    config = decode_managed(data.decode("utf-8", "surrogateescape"))
    assert decode_managed(encode_managed(config)) == config


def xend_config_file(data: bytes) -> None:
    xend_config.check(data.decode("utf-8", "surrogateescape"), Path("F"))


def libxl_json(data: bytes) -> None:
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(tree, dict):
        schema.check(tree)
        unmarshal.domain(tree)


def words(data: bytes) -> None:
    """The small languages within options: CPU lists and PCI addresses."""
    text = data.decode("utf-8", "replace")
    for reader in (lambda: parse_affinity(text, 4), lambda: parse_pci(text)):
        try:
            reader()
        except XendError as error:
            assert str(error)


def checked_file(data: bytes) -> None:
    """`xend check` and `convert` raise nothing at all: they tell."""
    with tempfile.NamedTemporaryFile() as opened:
        opened.write(data)
        opened.flush()
        found = read_any(opened.name, cwd="/", env={})
    assert found.config is not None or found.problems
    if found.config is not None:
        for target in TARGET_DIALECTS:
            assert convert(found, target).text


def expression(data: bytes) -> None:
    """A regular expression of a domain file, and behind a NUL the text that it is for."""
    pattern, _, subject = data.decode("latin-1").partition("\0")
    machine = Machine()
    machine.meter = Meter()
    try:
        compiled = Pattern(machine, pattern)
        compiled.find("match", subject)
        compiled.find_all(subject)
        compiled.split([subject])
        compiled.substitute(["<\\g<0>>", subject])
    except (Refused, Thrown, RecursionError, *HOST_ERRORS):
        return


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "xm": xm_file,
    "xl": xl_file,
    "sxp": sxp_text,
    "vm": vm,
    "managed": managed,
    "xend-config": xend_config_file,
    "libxl-json": libxl_json,
    "words": words,
    "expression": expression,
    "check": checked_file,
}


def survives(name: str, data: bytes) -> None:
    try:
        TARGETS[name](data)
    except XendError as error:
        assert str(error)


_VM: Final = (
    "(vm (name a) (memory 64) (maxmem 128) (vcpus 2) (cpus 0-1,^1) (on_crash destroy) "
    "(image (hvm (kernel hvmloader) (boot cd) (vnc 1) (timer_mode 2) (acpi 1))) "
    "(device (vbd (uname tap:aio:/a) (dev xvda) (mode w))) "
    "(device (vif (mac 00:16:3e:00:00:01) (bridge b) (rate 10Mb/s))) "
    "(device (pci (dev (bus 0x1) (slot 0x2) (func 0x3) (vdevfn 0x100) (opts ((permissive 1)))))) "
    "(device (vfb (vnc 1) (vncdisplay 3))) (device (ioports (from 0x1) (to 0x2))) "
    "(cpuid ((1 ((ecx x0))))) (xend (usbctrls '[{\"version\": 2}]')))"
)
_JSON: Final = (
    '{"c_info": {"type": "hvm", "name": "a", "uuid": "12345678-1234-1234-1234-123456789abc"}, '
    '"b_info": {"max_vcpus": 1, "max_memkb": 65536, "target_memkb": 65536, "type.hvm": '
    '{"vnc": {"enable": "True"}, "viridian_enable": [0, 1]}}, "disks": [{"vdev": "xvda", '
    '"format": "raw", "readwrite": 1}], "nics": [{"mac": "00:16:3e:00:00:01"}]}'
)


def corpus(name: str) -> Iterator[bytes]:
    """Right and wrong texts to begin with, from the project's own files."""
    if name == "check":
        for each in ("xm", "vm", "managed"):
            yield from corpus(each)
    elif name == "xm":
        for path in sorted((ROOT / "etc/xen").glob("xmexample*")):
            yield path.read_bytes()
        yield from ((ROOT / "tests/data/python2.txt").read_bytes().split(b"\n\n"))
    elif name == "xl":
        yield from (case.text.encode() for case in cases().values())
    elif name == "xend-config":
        text = (ROOT / "etc/xen/xend-config.sxp").read_text()
        yield text.encode()
        yield text.replace("#(", "(").encode()
    elif name == "libxl-json":
        yield _JSON.encode()
    elif name == "words":
        yield from (b"0-3,^1", b"nodes:0", b"all", b"0000:01:02.3@4,msitranslate=1", b"01:02.*")
    elif name == "expression":
        yield from (b"(a|b)*c\0ababab", b"(?x)( # )\n a*)*b\0" + b"a" * 30, b"(|)(|)(|)x\0aa")
        yield from (
            b"(?:(?:^){9}){99}b\0a",
            b"(a*)\\1*?(?=a)\0aaaaaaaaaaaa",
            b"[0-9a-f]{2}:?\0a1:b2",
        )
    elif name == "managed":
        yield encode_managed(decode_vm(sxp.parse_one(_VM))).encode()
    else:
        yield _VM.encode()


NASTY: Final = (
    *(b"", b"\0", b"\xff\xfe", b"(" * 10_000, b"[" * 10_000, b"{" * 10_000, b"x=" * 5_000),
    *(b"a = [" + b"'x'," * 50_000 + b"]", b"a = 'x' * 2**30", b"while 1: pass"),
    *(b"a = [0]\nfor i in range(40): a = a + a", b"def f(): return f()\na = f()", b"9" * 100_000),
    *(b"a = '" + b"\\" * 99_999 + b"'", b"#" * 1_000_000, b"\n" * 500_000, b"a" * 1_000_000),
    *(b"-" * 20_000, b"not " * 20_000 + b"1", b"a = " + b"(" * 5_000 + b"1" + b")" * 5_000),
    *(b"memory = 1e999", b"(vm (name a) (memory " + b"9" * 5_000 + b"))", b"{}" * 20_000),
)
"""Texts that were made to crash, to hang or to fill memory; each goes to every parser."""
