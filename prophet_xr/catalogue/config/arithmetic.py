"""Shapes of weights -> a count and the arithmetic that gives it: 32 * (2 * 4096 * 1024).

Comes in: shapes, and how often they are there.  Goes out: a `Count`, the number and a text.
Why so: a number of the catalogue can be checked by hand only if it says how it comes about.  The
text is built with the number, so that the two cannot differ.
"""

from math import prod
from typing import NamedTuple

Shape = tuple[int, ...]


class Count(NamedTuple):
    """A number, and plain arithmetic that gives it."""

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
    terms = [count for count in counts if count.value]
    if not terms:
        return NOTHING
    return Count(sum(t.value for t in terms), " + ".join(t.text for t in terms))
