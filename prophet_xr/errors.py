"""What goes wrong in a way a user can mend, and the one way it is worded."""

import difflib
from collections.abc import Iterable
from math import isfinite
from numbers import Real


class InputError(ValueError):
    """An input is missing, unknown, out of bounds or not what it is said to be."""


class SpecError(ValueError):
    """A data file is missing, broken or does not hold what the schema asks for."""


def number(name: str, value: object, low: float, high: float, expected: str) -> None:
    """Raise InputError for what is no finite number from ``low`` to ``high``."""
    if not isinstance(value, Real) or not isfinite(value) or not low <= float(value) <= high:
        raise InputError(f"{name}={value!r}; expected {expected}")


def whole(name: str, value: object, low: int, high: int, expected: str) -> None:
    """Raise InputError for what is no whole number from ``low`` to ``high``."""
    number(name, value, low, high, expected)
    if value != int(value):  # pyright: ignore[reportArgumentType]
        raise InputError(f"{name}={value!r}; expected {expected}")


def nearest(name: object, known: Iterable[object]) -> str:
    """Word the known names closest to ``name``, for the end of a message."""
    names = {str(k).lower(): str(k) for k in known}
    asked = str(name).lower()
    begun = [n for n in names if asked and n.startswith(asked)]
    close = [*begun, *difflib.get_close_matches(asked, names, n=3, cutoff=0.4)]
    if close:
        return f"nearest: {', '.join(names[c] for c in list(dict.fromkeys(close))[:3])}"
    return f"known: {', '.join(names.values())}"
