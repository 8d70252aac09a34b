"""What goes wrong in a way a user can mend, and the one way it is worded."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """An input is missing, unknown, out of bounds or not what it is said to be."""


class SpecError(ValueError):
    """A data file is missing, broken or does not hold what the schema asks for."""


def nearest(name: object, known: Iterable[object]) -> str:
    """Word the known names closest to ``name``, for the end of a message."""
    names = {str(k).lower(): str(k) for k in known}
    asked = str(name).lower()
    begun = [n for n in names if asked and n.startswith(asked)]
    close = [*begun, *difflib.get_close_matches(asked, names, n=3, cutoff=0.4)]
    if close:
        return f"nearest: {', '.join(names[c] for c in list(dict.fromkeys(close))[:3])}"
    return f"known: {', '.join(names.values())}"
