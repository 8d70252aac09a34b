"""What goes wrong in a way a user can mend, and the one way it is worded."""

import difflib
from collections.abc import Iterable

BRIEF = 80  # characters of a value in a message
_CLOSE, _FEW = 3, 8  # names that are close, and so few that all are listed


class InputError(ValueError):
    """An input is missing, unknown, out of bounds or not what it is said to be."""


class SpecError(ValueError):
    """A data file is missing, broken or does not hold what the schema asks for."""


def brief(value: object) -> str:
    """Word a value in a few characters and one line, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # too many digits, or levels
        text = f"a {type(value).__name__}"
    return text if len(text) <= BRIEF else f"{text[: BRIEF - 3]}..."


def nearest(name: object, known: Iterable[object], see: str = "") -> str:
    """Word the known names closest to ``name``, for the end of a message.

    Never more than can be read at a glance: ``see`` says where all of them are listed.
    """
    names = {str(k).lower(): str(k) for k in known}
    asked = (name if isinstance(name, str) else brief(name)).lower()[:BRIEF]
    begun = [n for n in names if asked and n.startswith(asked)]
    close = [*begun, *difflib.get_close_matches(asked, names, n=_CLOSE, cutoff=0.4)]
    close = list(dict.fromkeys(close))[:_CLOSE]
    if not close and len(names) <= _FEW:
        return f"known: {', '.join(names.values())}"
    if not close:
        close = difflib.get_close_matches(asked, names, n=_CLOSE, cutoff=0.0)
    words = f"nearest: {', '.join(names[c] for c in close)}"
    more = len(names) > max(_FEW, len(close))
    return f"{words}; see {see} for all {len(names)}" if see and more else words
