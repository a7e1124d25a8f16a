"""The methods that values of a domain file have: Python 2's, and none that reach further."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Final

from xend.config.xmcompare import compare, equal
from xend.config.xmmachine import Arguments, Keywords, Machine, Method, number_argument
from xend.config.xmstrings import string_method
from xend.config.xmvalues import Dict, Items, Set, is_true, iterate, key_of, repr2, throw


def sort_values(items: list[object], machine: Machine, given: Arguments, named: Keywords) -> None:
    """`list.sort(cmp, key, reverse)`, in place."""
    comparison = given[0] if given else named.get("cmp")
    key = given[1] if len(given) > 1 else named.get("key")
    reverse = is_true(given[2] if len(given) > 2 else named.get("reverse", False))
    machine.meter.spend(len(items))

    def order(a: tuple[object, object], b: tuple[object, object]) -> int:
        machine.meter.spend(1)
        if comparison is None:
            return compare(a[0], b[0])
        result = machine.call(comparison, [a[0], b[0]], {})
        return int(result) if isinstance(result, int) else throw("TypeError", "an integer")

    keyed = [(item if key is None else machine.call(key, [item], {}), item) for item in items]
    keyed.sort(key=cmp_to_key(order), reverse=reverse)
    items[:] = [item for _, item in keyed]


def _as_list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _append(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    if len(given) != 1:
        raise TypeError(f"append() takes exactly one argument ({len(given)} given)")
    machine.meter.grow(1)
    _as_list(value).append(given[0])
    return None


def _extend(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    added = list(iterate(given[0]))
    machine.meter.grow(len(added))
    _as_list(value).extend(added)
    return None


def _insert(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    machine.meter.grow(1)
    _as_list(value).insert(number_argument(given, 0), given[1])
    return None


def _pop_item(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    items = _as_list(value)
    if not items:
        throw("IndexError", "pop from empty list")
    return items.pop(number_argument(given, 0, -1))


def _index_of(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    for index, item in enumerate(iterate(value)):
        if equal(item, given[0]):
            return index
    if isinstance(value, list):
        throw("ValueError", f"{repr2(given[0])} is not in list")
    return throw("ValueError", "tuple.index(x): x not in tuple")


def _count_of(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    return sum([equal(item, given[0]) for item in iterate(value)])


def _remove_item(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    items = _as_list(value)
    for index, item in enumerate(items):
        if equal(item, given[0]):
            del items[index]
            return None
    return throw("ValueError", "list.remove(x): x not in list")


def _reverse(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    _as_list(value).reverse()
    return None


def _sort(machine: Machine, value: object, given: Arguments, named: Keywords) -> object:
    sort_values(_as_list(value), machine, given, named)
    return None


_LIST: Final[dict[str, Method]] = {
    "append": _append,
    "extend": _extend,
    "insert": _insert,
    "pop": _pop_item,
    "index": _index_of,
    "count": _count_of,
    "remove": _remove_item,
    "reverse": _reverse,
    "sort": _sort,
}
_TUPLE: Final[dict[str, Method]] = {"index": _index_of, "count": _count_of}


def _as_dict(value: object) -> Dict:
    assert isinstance(value, Dict)
    return value


def _get(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    return _as_dict(value).get(key_of(given[0]), given[1] if len(given) > 1 else None)


def _has_key(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    return key_of(given[0]) in _as_dict(value)


def _keys(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    return list(_as_dict(value).ordered())


def _values(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    mapping = _as_dict(value)
    return [mapping[key] for key in mapping.ordered()]


def _items(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    mapping = _as_dict(value)
    return [(key, mapping[key]) for key in mapping.ordered()]


def _iterator(of: Method) -> Method:
    def made(machine: Machine, value: object, given: Arguments, named: Keywords) -> object:
        return Items(iterate(of(machine, value, given, named)), "dictionary-iterator")

    return made


def _setdefault(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    mapping, key = _as_dict(value), key_of(given[0])
    if key not in mapping:
        mapping[key] = given[1] if len(given) > 1 else None
    return mapping[key]


def _pop_key(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    mapping, key = _as_dict(value), key_of(given[0])
    if key not in mapping:
        if len(given) > 1:
            return given[1]
        throw("KeyError", key)
    found = mapping[key]
    del mapping[key]
    return found


def fill_dict(target: Dict, given: Arguments, named: Keywords) -> None:
    """What `dict(…)` and `dict.update` do with their arguments."""
    if given:
        source = given[0]
        if isinstance(source, Dict):
            target.absorb(source)
        else:
            for pair in iterate(source):
                key, item = list(iterate(pair))
                target[key_of(key)] = item
    if named:
        extra = Dict()
        for name, item in named.items():
            extra[name] = item
        target.absorb(extra)


def _update(machine: Machine, value: object, given: Arguments, named: Keywords) -> object:
    target = _as_dict(value)
    fill_dict(target, given, named)
    machine.meter.grow(len(target))
    return None


def _copy(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    machine.meter.grow(len(_as_dict(value)))
    copied = Dict()
    copied.absorb(_as_dict(value))
    return copied


def _clear(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    mapping = _as_dict(value)
    for key in list(mapping):
        del mapping[key]
    return None


_DICT: Final[dict[str, Method]] = {
    "get": _get,
    "has_key": _has_key,
    "keys": _keys,
    "values": _values,
    "items": _items,
    "iterkeys": _iterator(_keys),
    "itervalues": _iterator(_values),
    "iteritems": _iterator(_items),
    "setdefault": _setdefault,
    "pop": _pop_key,
    "update": _update,
    "copy": _copy,
    "clear": _clear,
}


def _as_set(value: object) -> Set:
    assert isinstance(value, Set)
    return value


def _set_add(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    machine.meter.grow(1)
    _as_set(value).keys[key_of(given[0])] = True
    return None


def _set_discard(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    keys = _as_set(value).keys
    if key_of(given[0]) in keys:
        del keys[key_of(given[0])]
    return None


def _set_remove(machine: Machine, value: object, given: Arguments, named: Keywords) -> object:
    if given[0] not in _as_set(value):
        throw("KeyError", given[0])
    return _set_discard(machine, value, given, named)


def _set_union(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    return Set([*_as_set(value).ordered(), *iterate(given[0])])


def _set_update(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    for item in list(iterate(given[0])):
        _set_add(machine, value, [item], {})
    return None


_SET: Final[dict[str, Method]] = {
    "add": _set_add,
    "discard": _set_discard,
    "remove": _set_remove,
    "union": _set_union,
    "update": _set_update,
}


def _next(machine: Machine, value: object, given: Arguments, _: Keywords) -> object:
    assert isinstance(value, Items)
    for item in value.source:
        return item
    return throw("StopIteration")


_TABLES: Final[tuple[tuple[type, dict[str, Method]], ...]] = (
    (list, _LIST),
    (tuple, _TUPLE),
    (Dict, _DICT),
    (Set, _SET),
    (Items, {"next": _next}),
)


def method(value: object, name: str) -> Method | None:
    """The method of that name, or None if a value of this type has none."""
    if isinstance(value, str):
        return string_method(name)
    for kind, table in _TABLES:
        if isinstance(value, kind):
            return table.get(name)
    return None
