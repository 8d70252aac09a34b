"""Shapes of weights -> a count and the arithmetic that gives it: 32 * (2 * 4096 * 1024)."""

from math import prod
from typing import NamedTuple

Shape = tuple[int, ...]


class Count(NamedTuple):
    """A number and how it comes about; the text is evaluated by nobody, only read."""

    value: float
    text: str


def plain(value: int) -> Count:
    """A count that is a key of the config."""
    return Count(value, str(value))


NOTHING = plain(0)


def times(copies: int, *shapes: Shape) -> Count:
    """``copies`` times the elements of ``shapes``; equal shapes are written once."""
    if not copies or not shapes:
        return NOTHING
    parts = []
    for shape in dict.fromkeys(shapes):
        number = shapes.count(shape)
        factors = (number, *shape) if number > 1 else shape
        parts.append(" * ".join(map(str, factors)))
    text = " + ".join(parts)
    if copies > 1:
        text = f"{copies} * ({text})" if len(parts) > 1 else f"{copies} * {text}"
    return Count(copies * sum(map(prod, shapes)), text)


def total(*counts: Count) -> Count:
    """Sum of counts, without those that are nothing."""
    some = [c for c in counts if c.value]
    if not some:
        return NOTHING
    return Count(sum(c.value for c in some), " + ".join(c.text for c in some))
