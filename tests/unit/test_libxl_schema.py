"""Nothing that libxl would silently drop gets as far as libxl."""

from __future__ import annotations

from typing import Any

import pytest

from xend.errors import ConfigError
from xend.libxl import roundtrip, schema


def tree(**b_info: Any) -> dict[str, Any]:
    return {"c_info": {"type": "pv", "name": "x"}, "b_info": {"max_memkb": 1024} | b_info}


def test_a_right_one_passes() -> None:
    schema.check(
        tree(
            avail_vcpus=[0, 1],
            bootloader_args=["-q"],
            localtime="True",
            **{"type.pv": {"e820_host": "False"}},
            sched_params={"weight": 256, "sched": "credit2"},
        )
    )


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"kernal": "/x"}, "b_info.kernal"),
        ({"max_memkb": "128"}, "b_info.max_memkb"),
        ({"max_memkb": -1}, "b_info.max_memkb"),
        ({"max_memkb": True}, "b_info.max_memkb"),
        ({"kernel": 5}, "b_info.kernel"),
        ({"kernel": "a\0b"}, "b_info.kernel"),
        ({"localtime": True}, "b_info.localtime"),
        ({"avail_vcpus": [1, 0]}, "b_info.avail_vcpus"),
        ({"avail_vcpus": "0"}, "b_info.avail_vcpus"),
        ({"bootloader_args": "-q"}, "b_info.bootloader_args"),
        ({"bootloader_args": ["-q", 1]}, "b_info.bootloader_args[1]"),
        ({"type.pv": {"pae": "True"}}, "b_info.type.pv.pae"),
        ({"type.qemu": {}}, "b_info.type.qemu"),
        ({"tsc_mode": "fast"}, "b_info.tsc_mode"),
        ({"irqs": [1, "2"]}, "b_info.irqs[1]"),
    ],
)
def test_wrong_ones_are_named(wrong: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schema.check(tree(**wrong))
    assert caught.value.fields["field"] == place
    assert place in str(caught.value)


@pytest.mark.parametrize("whole", [[], [1], "x", None, 5])
def test_a_configuration_is_an_object(whole: Any) -> None:
    with pytest.raises(ConfigError):
        schema.check(whole)


def test_devices_have_types_of_their_own() -> None:
    schema.check({"mac": "00:16:3e:00:00:01", "bridge": "br0"}, "device_nic")
    for wrong in ({"mac": "00:16:3e"}, {"vdev": "xvda"}, {"devid": "0"}):
        with pytest.raises(ConfigError):
            schema.check(wrong, "device_nic")


def test_what_comes_back_is_compared() -> None:
    given = {"a": {"name": "x", "n": 5, "off": False, "none": {}, "mac": "aa:BB"}, "l": [{"k": 1}]}
    roundtrip.check(given, {"a": {"name": "x", "n": 5, "mac": "AA:bb", "more": 1}, "l": [{"k": 1}]})


@pytest.mark.parametrize(
    ("back", "path"),
    [
        ({"a": {}, "l": [1]}, "a.name"),
        ({"a": {"name": "y"}, "l": [1]}, "a.name"),
        ({"a": {"name": "x"}, "l": []}, "l"),
        ({"a": {"name": "x"}, "l": [2]}, "l[0]"),
        ({"a": "x", "l": [1]}, "a"),
        ({}, "a.name"),
    ],
)
def test_what_was_dropped_is_named(back: Any, path: str) -> None:
    with pytest.raises(roundtrip.Dropped) as caught:
        roundtrip.check({"a": {"name": "x"}, "l": [1]}, back)
    assert caught.value.path == path
