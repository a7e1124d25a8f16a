"""Every configuration of tests/data/xl against what the real xl said of it in the lab."""

from __future__ import annotations

import re

import pytest

from tests.xlcases import DATA, cases, recorded
from tests.xlcompare import DIFFERENT, NODES, REFUSED_HERE, TAKEN_HERE, verdict
from xend.config.dialect import read_domain_file
from xend.config.dialectmarks import told
from xend.config.problems import InvalidFile
from xend.config.xlcfg import NAMES, read
from xend.config.xltext import XlText
from xend.libxl import marshal, unmarshal

CASES = cases()
ANSWERS = recorded()


def test_the_recording_is_of_these_configurations() -> None:
    assert ANSWERS.keys() == CASES.keys(), "run scripts/record-xl-oracle in the lab"
    assert sum(answer.tree is not None for answer in ANSWERS.values()) > 300


@pytest.mark.parametrize("name", CASES)
def test_xend_agrees_with_xl(name: str) -> None:
    assert verdict(CASES[name], ANSWERS[name]) == ""


def test_the_exceptions_are_configurations_of_the_table() -> None:
    assert {*DIFFERENT, *REFUSED_HERE, *TAKEN_HERE} <= CASES.keys()


def test_every_setting_of_xl_is_in_some_configuration() -> None:
    texts = "\n".join(case.text for case in CASES.values())
    lines = {line.partition("=")[0].rstrip(" +\t").strip() for line in texts.splitlines()}
    lines |= {part.partition("=")[0].strip() for part in texts.replace(";", "\n").splitlines()}
    assert NAMES - lines == set()


def test_everything_that_the_manuals_name_is_in_some_configuration() -> None:
    """tests/data/xl-4.17-options.txt: options, OPTION.KEY and OPTION=VALUE."""
    lines = (DATA.parent / "xl-4.17-options.txt").read_text().splitlines()
    words = {word for line in lines if not line.startswith("#") for word in line.split()}
    options = {word for word in words if "." not in word and "=" not in word}
    assert options <= NAMES
    texts = "\n".join(case.text for case in CASES.values())
    rest = [re.split("[.=]", word)[-1] for word in sorted(words - options)]
    missing = [word for word in rest if word not in texts and word.replace("_", "-") not in texts]
    assert missing == []


@pytest.mark.parametrize("name", CASES)
def test_whatever_the_file_xm_create_reads_it_or_says_why(name: str) -> None:
    """A file that xl takes is never a traceback, whichever language it is taken for."""
    text = CASES[name].text
    if told(text) == "xl" and ANSWERS[name].tree is not None and name not in REFUSED_HERE:
        assert read_domain_file(text, filename="FILE", nodes=NODES).dialect == "xl"


def test_what_xl_passes_over_is_a_mistake_if_asked_for() -> None:
    passed_over = [name for name in CASES if name.endswith(("unknown-option", "unknown-key"))]
    assert len(passed_over) >= 3
    for name in passed_over:
        assert read(CASES[name].text, filename="FILE").notes
        with pytest.raises(InvalidFile):
            read(CASES[name].text, filename="FILE", strict=True)


NOT_READ_BACK = {
    "disk/keys-every": "specification=xen is what there is",
    "disk/keys-mixed": "every running disk has a back end: that it was asked for is not seen",
    "pci/global-options": "0 is what is there without",
    "pci/options-off": "0 is what is there without",
    "vif/every": "type=vif is what there is",
    "vif/rate-interval-us": "100 bits per second are no byte in 500 µs",
}


@pytest.mark.parametrize("name", CASES)
def test_a_domain_of_xl_is_read_back_from_libxl(name: str) -> None:
    """As when a running domain of xl is adopted."""
    if name in REFUSED_HERE or ANSWERS[name].tree is None:
        return
    tree = marshal.domain(read(CASES[name].text, filename="FILE", nodes=NODES).config)
    assert (marshal.domain(unmarshal.domain(tree)) == tree) is (name not in NOT_READ_BACK)


NOT_WRITTEN = {"cpuid/libxl-arch-caps", "hvm/genid-generate"}
"""What no file of xl can say; `xend convert` says so."""


@pytest.mark.parametrize("name", CASES)
def test_a_domain_is_written_as_a_file_of_xl(name: str) -> None:
    if name in REFUSED_HERE or ANSWERS[name].tree is None:
        return
    config = read(CASES[name].text, filename="FILE", nodes=NODES).config
    written = XlText(config)
    again = read(written.text({}, []), filename="WRITTEN", nodes=NODES).config
    assert (marshal.domain(again) == marshal.domain(config)) is (name not in NOT_WRITTEN)
    assert bool(written.lost) is (name in NOT_WRITTEN)
