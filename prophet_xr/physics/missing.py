"""How a formula passes on a number that does not exist.

A plan or a policy that cannot exist gives NaN, and so must everything that follows from it.
Arithmetic does that by itself; ``min``, ``max`` and comparisons do not: which number they give of a
NaN depends on the order of their arguments.
"""

import math


def keep_nan(value, source):
    """Return ``value``, or NaN where ``source``, which it was computed from, is NaN."""
    return value if source == source else math.nan
