"""Units of plain counts, so that the units of every formula come out right.

A model has ``n_experts`` [expert], but a loop over ranks or a share of tokens counts plain numbers:
dividing by the unit makes a plain number of a count, multiplying by it a count of a plain number.
All are 1.0, so that they cost nothing and change no result; `tests/test_units.py` replaces them by
quantities that have the unit.
"""

ELEMENT = 1.0  # element: one activation, or one number of a KV cache
EXPERT = 1.0  # expert
TOKEN = 1.0  # token
PROJECTION = 1.0  # parameter x token / element: one row of a matrix makes one KV element of a token
