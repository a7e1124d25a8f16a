"""Equality and order of the values of a domain file: Python 2 orders everything."""

from __future__ import annotations

from functools import cmp_to_key

from xend.config.xmvalues import CONTAINERS, Dict, Set, check_size, type_name


def equal(a: object, b: object) -> bool:
    """`a == b`."""
    if isinstance(a, CONTAINERS) and isinstance(b, CONTAINERS):
        check_size(a, b)
    return _equal(a, b)


def _equal(a: object, b: object) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return (
            isinstance(a, list) == isinstance(b, list)
            and len(a) == len(b)
            and all(_equal(x, y) for x, y in zip(a, b, strict=True))
        )
    if isinstance(a, Set) and isinstance(b, Set):
        return set(a.keys) == set(b.keys)
    if isinstance(a, Dict) and isinstance(b, Dict):
        return len(a) == len(b) and all(k in b and _equal(a[k], b[k]) for k in a)
    return a == b


def compare(a: object, b: object) -> int:
    """`cmp(a, b)`: Python 2 orders everything; unlike things go by the name of their type."""
    if isinstance(a, CONTAINERS) and isinstance(b, CONTAINERS):
        check_size(a, b)
    return _compare(a, b)


def _compare(a: object, b: object) -> int:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return (a > b) - (a < b)
    if isinstance(a, str) and isinstance(b, str):
        return (a > b) - (a < b)
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        for x, y in zip(a, b, strict=False):
            if not _equal(x, y):
                return _compare(x, y)
        return (len(a) > len(b)) - (len(a) < len(b))
    if isinstance(a, Dict) and isinstance(b, Dict):
        return _compare_dicts(a, b)
    if a is b or _equal(a, b):
        return 0
    left, right = _rank(a), _rank(b)
    return 1 if left > right else -1


def _rank(value: object) -> tuple[int, str]:
    """None is least, then numbers, then everything by the name of its type."""
    if value is None:
        return (0, "")
    if isinstance(value, (int, float)):
        return (1, "")
    return (2, type_name(value))


def _compare_dicts(a: Dict, b: Dict) -> int:
    if len(a) != len(b):
        return 1 if len(a) > len(b) else -1
    for key in sorted(set(a) | set(b), key=cmp_to_key(_compare)):
        if key not in b or key not in a:
            return 1 if key not in a else -1
        if not _equal(a[key], b[key]):
            return _compare(a[key], b[key])
    return 0
