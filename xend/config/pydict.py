"""The iteration order of a Python 2.7 dictionary.

The children of a device in an answer, and the keys of a dictionary that a configuration prints,
come in the order in which the original's dictionaries were iterated.  Old files, scripts and
recorded answers show that order, so it is reproduced: the 64-bit CPython 2.7 hash (without
randomisation) and its open-addressing table, with its collisions, resizes and dummies.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from math import frexp, isinf, isnan, modf

_MASK64 = (1 << 64) - 1
_MULTIPLIER = 1000003
_SMALLEST_TABLE = 8
_LARGE_DICT = 50000
"""Above this many keys the table grows by a factor of 2 instead of 4."""

_DIGIT_BITS = 30
"""Width of a digit of a Python 2 long on 64-bit machines; its hash rotates by it."""


def _signed(value: int) -> int:
    """A C long from its 64-bit pattern; -1 is reserved for errors and becomes -2."""
    value &= _MASK64
    if value >> 63:
        value -= 1 << 64
    return -2 if value == -1 else value


def hash_bytes(data: bytes) -> int:
    """`hash(str)` of Python 2.7."""
    if not data:
        return 0
    x = data[0] << 7
    for byte in data:
        x = ((_MULTIPLIER * x) ^ byte) & _MASK64
    return _signed(x ^ len(data))


def hash_int(value: int) -> int:
    """`hash(int)` and `hash(long)`: equal numbers hash alike."""
    if -(1 << 63) <= value < 1 << 63:
        return -2 if value == -1 else value
    magnitude, x = abs(value), 0
    digits = (magnitude.bit_length() + _DIGIT_BITS - 1) // _DIGIT_BITS
    for index in reversed(range(digits)):
        digit = (magnitude >> (index * _DIGIT_BITS)) & ((1 << _DIGIT_BITS) - 1)
        x = ((x << _DIGIT_BITS) | (x >> (64 - _DIGIT_BITS))) & _MASK64
        x = (x + digit) & _MASK64
        if x < digit:
            x += 1
    return _signed(-x if value < 0 else x)


def hash_float(value: float) -> int:
    """`hash(float)`: a whole number hashes as the integer."""
    if isnan(value):
        return 0
    if isinf(value):
        return 314159 if value > 0 else -271828
    fraction, whole = modf(value)
    if fraction == 0.0:
        return hash_int(int(whole))
    mantissa, exponent = frexp(value)
    mantissa *= 2147483648.0
    high = int(mantissa)
    return _signed(high + int((mantissa - high) * 2147483648.0) + (exponent << 15))


def hash_tuple(hashes: Iterable[int]) -> int:
    """`hash(tuple)` from the hashes of its items."""
    items = list(hashes)
    x, multiplier, left = 0x345678, _MULTIPLIER, len(items)
    for item in items:
        left -= 1
        x = ((x ^ item) * multiplier) & _MASK64
        multiplier = (multiplier + 82520 + 2 * left) & _MASK64
    return _signed(x + 97531)


_Slot = tuple[int, Hashable] | None


class KeyTable:
    """The slots of one dictionary: only keys and their order, no values.

    `insert` expects that the caller knows the key to be absent; a dictionary keeps its values
    elsewhere and asks the table only for the order.
    """

    __slots__ = ("_dummies", "_fill", "_places", "_slots", "_used")

    def __init__(self, expected: int = 0) -> None:
        """`expected`: number of items of a literal, for which Python 2.7 sizes the table ahead."""
        size = _SMALLEST_TABLE
        if expected > 5:
            while size <= expected:
                size *= 2
        self._slots: list[_Slot] = [None] * size
        self._dummies: set[int] = set()
        self._places: dict[Hashable, int] = {}
        self._fill = 0
        self._used = 0

    def insert(self, key: Hashable, key_hash: int) -> None:
        """Puts an absent key in."""
        index = self._free_slot(key_hash)
        if index in self._dummies:
            self._dummies.discard(index)
        else:
            self._fill += 1
        self._slots[index] = (key_hash, key)
        self._places[key] = index
        self._used += 1
        if self._fill * 3 >= len(self._slots) * 2:
            self._resize(self._used * (2 if self._used > _LARGE_DICT else 4))

    def remove(self, key: Hashable) -> None:
        """Takes a present key out; its slot stays a dummy until the next resize."""
        index = self._places.pop(key)
        self._slots[index] = None
        self._dummies.add(index)
        self._used -= 1

    def make_room(self, others: int) -> None:
        """What `dict.update` does before it adds `others` keys of another dictionary."""
        if (self._fill + others) * 3 >= len(self._slots) * 2:
            self._resize((self._used + others) * 2)

    def order(self) -> list[Hashable]:
        """The keys in iteration order."""
        return [slot[1] for slot in self._slots if slot is not None]

    def _free_slot(self, key_hash: int) -> int:
        """The first dummy on the key's probe sequence, else the first empty slot."""
        mask = len(self._slots) - 1
        index = key_hash & mask
        perturb = key_hash & _MASK64
        dummy: int | None = None
        while True:
            place = index & mask
            if self._slots[place] is None:
                if place not in self._dummies:
                    return place if dummy is None else dummy
                if dummy is None:
                    dummy = place
            index = 5 * index + perturb + 1
            perturb >>= 5

    def _resize(self, minimum: int) -> None:
        size = _SMALLEST_TABLE
        while size <= minimum:
            size *= 2
        old = self._slots
        self._slots = [None] * size
        self._dummies = set()
        self._fill = self._used
        for slot in old:
            if slot is not None:
                index = self._free_slot(slot[0])
                self._slots[index] = slot
                self._places[slot[1]] = index


def ordered(keys: Iterable[str], *, expected: int = 0) -> list[str]:
    """The distinct `keys` in the order a Python 2.7 dictionary gives after adding them so."""
    table = KeyTable(expected)
    seen: set[str] = set()
    for key in keys:
        if key not in seen:
            seen.add(key)
            table.insert(key, hash_bytes(key.encode("utf-8", "surrogateescape")))
    return [str(key) for key in table.order()]
