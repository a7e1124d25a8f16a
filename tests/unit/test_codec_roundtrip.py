"""Whatever the model holds comes back out of each dialect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.configurations import CONFIGS, NAMES, PERIPHERALS, UUIDS, platforms, values_of
from xend.config import sxp
from xend.config.domainsxp import decode_managed, encode_domain, encode_managed
from xend.config.vmencode import encode_vm
from xend.config.vmsxp import decode_vm
from xend.errors import ConfigError
from xend.libxl import marshal, unmarshal
from xend.libxl.marshal_platform import OF_THE_SCREEN
from xend.model.domain import DomainConfig, DomainType
from xend.model.platform import PLATFORM

EXAMPLES = 40


@settings(max_examples=EXAMPLES, deadline=None)
@given(CONFIGS)
def test_the_sxp_of_xm(config: DomainConfig) -> None:
    text = sxp.show(encode_vm(config))
    assert decode_vm(sxp.parse_one(text)) == config


@settings(max_examples=EXAMPLES, deadline=None)
@given(CONFIGS)
def test_the_sxp_of_a_managed_domain(config: DomainConfig) -> None:
    assert decode_managed(encode_managed(config)) == config


@settings(max_examples=EXAMPLES, deadline=None)
@given(CONFIGS)
def test_the_answer_to_old_clients_can_be_read(config: DomainConfig) -> None:
    tree = sxp.parse_one(sxp.show(encode_domain(config, devices=True)))
    assert sxp.child_value(tree, "name") == config.name


@settings(max_examples=EXAMPLES, deadline=None)
@given(CONFIGS)
def test_the_json_of_rest(config: DomainConfig) -> None:
    assert DomainConfig.model_validate_json(config.model_dump_json()) == config


XL_ONLY = [
    row
    for row in PLATFORM
    if row.setting.libxl
    and row.name not in OF_THE_SCREEN
    and row.setting.libxl.partition(".")[0] in ("hvm", "b_info", "c_info")
    and row.setting.xl
    and row.name not in ("seclabel", "init_seclabel", "videoram", "stdvga")
]


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        DomainConfig,
        name=NAMES,
        uuid=UUIDS,
        type=st.just(DomainType.HVM),
        memory=st.integers(1, 2**30),
        maxmem=st.just(2**31),
        vcpus=st.just(4),
        platform=platforms(XL_ONLY),
        **PERIPHERALS,
    )
)
def test_the_json_of_libxl(config: DomainConfig) -> None:
    again = unmarshal.domain(marshal.domain(config))
    assert again == config


@settings(max_examples=10, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", DomainType)
def test_each_row_of_the_platform_goes_through_libxl(kind: DomainType, data: st.DataObject) -> None:
    """In a domain of a type that has the setting; what libxl has no place for stays behind."""
    for row in PLATFORM:
        path = row.setting.libxl or ""
        part = path.partition(".")[0]
        beside = row.name in OF_THE_SCREEN or row.name == "videoram" or row.setting.xl is None
        if not path or beside or (part in ("hvm", "pv", "pvh") and part != kind):
            continue
        if kind is DomainType.PV and row.name in ("hap", "oos", "timer_mode"):
            continue
        value = data.draw(values_of(row))
        config = DomainConfig(
            name="a",
            uuid="12345678-1234-1234-1234-123456789abc",  # type: ignore[arg-type]
            type=kind,
            platform={row.name: value},
        )
        found = unmarshal.domain(marshal.domain(config)).platform
        assert found == {"seclabel" if row.name == "init_seclabel" else row.name: value}


def test_policies_of_cpuid_go_through_libxl() -> None:
    leaves = {"1": {"ecx": "x" * 32}, "4,1": {"eax": "0" * 32, "edx": "1" * 32}}
    config = DomainConfig(
        name="a",
        uuid="12345678-1234-1234-1234-123456789abc",  # type: ignore[arg-type]
        other={"cpuid": leaves, "msr": {"266": "x" * 64}},
    )
    tree = marshal.domain(config)
    assert tree["b_info"]["cpuid"]["cpuid"][1] == {
        "leaf": 4,
        "subleaf": 1,
        "eax": "0" * 32,
        "edx": "1" * 32,
    }
    assert unmarshal.domain(tree).other == config.other


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("altp2m", "wide", "altp2m: 'wide' is not one of disabled, mixed, external, limited"),
        ("timer_mode", 7, "timer_mode must be between 0 and 3"),
        ("mmio_hole", 5, "mmio_hole must be between 256 and 3840"),
        ("spiceport", "x", "spiceport: 'x' is not a number"),
        ("viridian", ["base", "bass"], "viridian: 'bass' is not one of base, freq"),
        ("rdm", "strategy=guest", "rdm: 'strategy=guest' is not strategy=host"),
        ("mca_caps", ["x"], "mca_caps: 'x' is not lmce"),
        ("ms_vm_genid", "abc", "ms_vm_genid: 'abc' is not 32 hexadecimal digits"),
    ],
)
def test_wrong_values_are_named(name: str, value: Any, message: str) -> None:
    config = DomainConfig(
        name="a",
        uuid="12345678-1234-1234-1234-123456789abc",  # type: ignore[arg-type]
        type=DomainType.HVM,
        platform={name: value},
    )
    with pytest.raises(ConfigError) as caught:
        marshal.domain(config)
    assert str(caught.value).startswith(message)
    assert caught.value.fields["field"].startswith(name)


@pytest.mark.parametrize(
    "text",
    ["((xend (memory 'x')))", "((xend (memory '[1]')))", "((xend (disks '[{}]')))"],
)
def test_what_is_beyond_the_dialect_is_checked_too(text: str) -> None:
    tree = sxp.parse_one(f"(vm (name a) (memory 1) (vcpus 1) {text[1:-1]})")
    with pytest.raises(ConfigError):
        decode_vm(tree)


def test_xms_floppies_and_ports_become_options_of_qemu() -> None:
    config = DomainConfig(
        name="a",
        uuid="12345678-1234-1234-1234-123456789abc",  # type: ignore[arg-type]
        type=DomainType.HVM,
        platform={"fda": "/a.img", "device_model_args_hvm": ["-x"], "parallel": "pty"},
    )
    extra = marshal.domain(config)["b_info"]["extra_hvm"]
    assert extra == ["-fda", "/a.img", "-x", "-parallel", "pty"]


@pytest.mark.parametrize(
    ("vga", "videoram", "given"),
    [("", 4, None), ("", 8, 8192), ("std", 8, None), ("std", 16, 16384)],
)
def test_memory_of_the_card_that_is_too_little_is_left_to_xen(
    vga: str, videoram: int, given: int | None
) -> None:
    config = DomainConfig(
        name="a",
        uuid="12345678-1234-1234-1234-123456789abc",  # type: ignore[arg-type]
        type=DomainType.HVM,
        platform={"vga": vga, "videoram": videoram},
    )
    assert marshal.domain(config)["b_info"].get("video_memkb") == given


def test_consoles_of_old_configurations_are_left_to_libxl() -> None:
    """A config.sxp that was written while its domain ran names them."""
    text = (
        "(domain (name a) (memory 64) (vcpus 1) (device (console (protocol vt100) (location 2))))"
    )
    config = decode_managed(text)
    assert [each.device_class for each in config.other_devices] == ["console"]
    assert "consoles" not in marshal.domain(config)
