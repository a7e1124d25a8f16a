"""The module `random` of a domain file.

Configs derive MAC addresses from a seed, so a seed gives the numbers that Python 2.7 gave: the
generator is the same Mersenne Twister, but seeding and ranges differ from Python 3's.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from xend.config.xmmachine import Arguments, Machine
from xend.config.xmvalues import Builtin, hash2, integer, iterate, throw


class _Generator:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.native = random.Random()

    def seed(self, given: Arguments) -> object:
        value = given[0] if given else None
        if value is None:
            self.native.seed()
        else:
            number = abs(int(value)) if isinstance(value, int) else hash2(value) % (1 << 64)
            self.native.seed(number)
        return None

    def below(self, count: int) -> int:
        return int(self.native.random() * count)

    def randrange(self, given: Arguments) -> object:
        numbers = [_whole(value) for value in given]
        start, stop = (0, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
        step = numbers[2] if len(numbers) > 2 else 1
        if step == 0:
            throw("ValueError", "zero step for randrange()")
        count = (stop - start + step - (1 if step > 0 else -1)) // step
        if count <= 0:
            throw("ValueError", "empty range for randrange()")
        return integer(start + step * self.below(count))

    def randint(self, given: Arguments) -> object:
        return self.randrange([given[0], _whole(given[1]) + 1])

    def choice(self, given: Arguments) -> object:
        items = list(iterate(given[0]))
        if not items:
            throw("IndexError", "list index out of range")
        return items[self.below(len(items))]

    def shuffle(self, given: Arguments) -> object:
        items = given[0]
        if not isinstance(items, list):
            raise TypeError("a list is required")
        for index in range(len(items) - 1, 0, -1):
            other = self.below(index + 1)
            items[index], items[other] = items[other], items[index]
        return None

    def sample(self, given: Arguments) -> object:
        pool, count = list(iterate(given[0])), _whole(given[1])
        if not 0 <= count <= len(pool):
            throw("ValueError", "sample larger than population")
        return self.native.sample(pool, count)

    def uniform(self, given: Arguments) -> object:
        low, high = float(str(given[0])), float(str(given[1]))
        return low + (high - low) * self.native.random()

    def getrandbits(self, given: Arguments) -> object:
        return integer(self.native.getrandbits(min(_whole(given[0]), 4096)))


def _whole(value: object) -> int:
    if not isinstance(value, int):
        throw("ValueError", "non-integer arg 1 for randrange()")
    return int(value)


def random_members(machine: Machine) -> dict[str, object]:
    """The module's functions by name."""
    generator = _Generator(machine)
    functions: dict[str, Callable[[Arguments], object]] = {
        "random": lambda a: generator.native.random(),
        "seed": generator.seed,
        "randrange": generator.randrange,
        "randint": generator.randint,
        "choice": generator.choice,
        "shuffle": generator.shuffle,
        "sample": generator.sample,
        "uniform": generator.uniform,
        "getrandbits": generator.getrandbits,
    }

    def wrap(name: str, function: Callable[[Arguments], object]) -> Builtin:
        return Builtin(name, lambda given, keywords: function([*given, *keywords.values()]))

    return {name: wrap(name, function) for name, function in functions.items()}
