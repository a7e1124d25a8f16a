"""Dictionary order, checked against what Python 2.7 printed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xend.config.pydict import (
    KeyTable,
    hash_bytes,
    hash_float,
    hash_int,
    hash_tuple,
    ordered,
)


def test_hashes() -> None:
    assert hash_bytes(b"") == 0
    assert hash_bytes(b"mac") == 6387157653032356306
    assert hash_bytes(b"bridge") == 4389340716633711489
    assert (hash_int(-1), hash_int(7), hash_int(2**63)) == (-2, 7, -9223372036854775808)
    assert (hash_int(2**70), hash_int(-(2**64))) == (64, -2)
    assert (hash_float(1.0), hash_float(1.5), hash_float(-0.1)) == (
        1,
        1610645504,
        -2577078886,
    )
    assert hash_tuple([1, 2]) == 3713081631934410656


def test_orders_that_every_configuration_shows() -> None:
    assert ordered(["mac", "bridge", "ip", "script", "vifname"]) == [
        "bridge",
        "mac",
        "script",
        "vifname",
        "ip",
    ]
    assert ordered(["uname", "dev", "mode", "driver", "uuid", "bootable"]) == [
        "uuid",
        "bootable",
        "driver",
        "dev",
        "uname",
        "mode",
    ]


def test_a_removed_key_leaves_a_dummy() -> None:
    table = KeyTable()
    for key in ("type", "vncunused"):
        table.insert(key, hash_bytes(key.encode()))
    table.insert("vnc", hash_bytes(b"vnc"))
    table.remove("type")
    assert table.order() == ["vncunused", "vnc"]


@given(st.lists(st.text(), unique=True), st.integers(min_value=0, max_value=40))
def test_no_key_is_lost(keys: list[str], expected: int) -> None:
    assert sorted(ordered(keys, expected=expected)) == sorted(keys)
