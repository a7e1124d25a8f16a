"""Answers made from templates are the ones that would be made without."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any
from uuid import uuid4
from weakref import ref

import pytest

from xend.api.xmlrpc.domain_answer import DomainAnswers
from xend.config.domainsxp import Observed, encode_domain
from xend.core.views import DomainView
from xend.model.devices import Disk, Vif
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo, Origin
from xend.model.units import Domid, KiB, Nanoseconds

CONFIG = DomainConfig(
    name="prospero",
    uuid=uuid4(),
    memory=262144,
    maxmem=524288,
    vcpus=2,
    kernel="/boot/vmlinuz",
    disks=(Disk(scheme="phy", path="vg/p", vdev="xvda"),),
    vifs=(Vif(mac="00:16:3e:00:00:01"),),
)
INFO = DomainInfo(
    domid=Domid(7),
    uuid=str(CONFIG.uuid),
    blocked=True,
    memory=KiB(200 * 1024),
    max_memory=KiB(600 * 1024),
    cpu_time=Nanoseconds(12_345_678_901),
    vcpus_online=2,
)
VIEW = DomainView(
    name="prospero",
    uuid=str(CONFIG.uuid),
    info=INFO,
    config=CONFIG,
    origin=Origin.XEND,
    started=1400000000.0,
)


def get(tree: list[Any], name: str) -> Any:
    return next(child[1] for child in tree[1:] if child[0] == name)


@pytest.mark.parametrize("devices", [False, True])
def test_a_template_changes_nothing(devices: bool) -> None:
    seen = Observed(
        domid=7,
        power_state=2,
        state="-b----",
        start_time=1400000000.0,
        cpu_time=12.345678901,
        online_vcpus=2,
        memory=200,
    )
    expected = encode_domain(CONFIG, seen, devices=devices, vcpu_avail=False)
    answers = DomainAnswers()
    assert answers.encode(VIEW, devices=devices) == expected
    assert answers.encode(VIEW, devices=devices) == expected  # the second comes from it
    assert (get(expected, "maxmem"), get(expected, "memory")) == (512, 200)


def test_what_changes_is_never_stale() -> None:
    answers = DomainAnswers()
    answers.encode(VIEW, devices=False)
    later = replace(
        VIEW,
        name="ariel",
        pool="Pool-1",
        info=replace(INFO, domid=Domid(9), blocked=False, paused=True, memory=KiB(1024)),
    )
    tree = answers.encode(later, devices=False)
    assert [get(tree, name) for name in ("domid", "name", "pool_name", "memory", "state")] == [
        9,
        "ariel",
        "Pool-1",
        1,
        "--p---",
    ]
    assert get(tree, "status") == 1


def test_a_new_configuration_makes_a_new_template() -> None:
    answers = DomainAnswers()
    answers.encode(VIEW, devices=True)
    changed = replace(VIEW, config=CONFIG.model_copy(update={"disks": ()}))
    tree = answers.encode(changed, devices=True)
    assert [child[1][0] for child in tree[1:] if child[0] == "device"] == ["vif"]


def test_a_template_goes_with_its_configuration() -> None:
    """Or a host on which domains come and go would keep one of each that there ever was."""
    config = CONFIG.model_copy()
    gone = ref(config)
    answers = DomainAnswers()
    answers.encode(replace(VIEW, config=config), devices=True)
    del config
    gc.collect()
    assert gone() is None and not answers._templates


def test_one_answer_does_not_leak_into_the_next() -> None:
    answers = DomainAnswers()
    first = answers.encode(VIEW, devices=False)
    answers.encode(replace(VIEW, info=replace(INFO, domid=Domid(8))), devices=False)
    assert get(first, "domid") == 7


def test_a_halted_domain_has_no_id() -> None:
    tree = DomainAnswers().encode(replace(VIEW, info=None, managed=True), devices=False)
    names = [child[0] for child in tree[1:]]
    assert "domid" not in names and "state" not in names
    assert (get(tree, "status"), get(tree, "memory")) == (0, 256)


def test_a_stranger_without_a_configuration() -> None:
    """Its name may be one that we would refuse; its memory is what it has."""
    view = replace(VIEW, name="a name (with) blanks", config=None, origin=Origin.FOREIGN)
    tree = DomainAnswers().encode(view, devices=True)
    assert get(tree, "name") == "a name (with) blanks"
    assert (get(tree, "maxmem"), get(tree, "memory"), get(tree, "vcpus")) == (600, 200, 1)
    assert [child[0] for child in tree[1:4]] == ["domid", "cpu_weight", "cpu_cap"]
