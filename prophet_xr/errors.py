"""What goes wrong in a way a user can mend, and the one way it is worded."""

import difflib
from collections.abc import Iterable

BRIEF = 80  # characters of a value in a message


class InputError(ValueError):
    """An input is missing, unknown, out of bounds or not what it is said to be."""


class SpecError(ValueError):
    """A data file is missing, broken or does not hold what the schema asks for."""


def shown(value: object) -> str:
    """Word a value in a few characters and one line, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # a whole number of too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= BRIEF else f"{text[: BRIEF - 3]}..."


def nearest(name: object, known: Iterable[object]) -> str:
    """Word the known names closest to ``name``, for the end of a message."""
    names = {str(k).lower(): str(k) for k in known}
    asked = str(name).lower()
    begun = [n for n in names if asked and n.startswith(asked)]
    close = [*begun, *difflib.get_close_matches(asked, names, n=3, cutoff=0.4)]
    if close:
        return f"nearest: {', '.join(names[c] for c in list(dict.fromkeys(close))[:3])}"
    return f"known: {', '.join(names.values())}"
