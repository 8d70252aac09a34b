"""How the parts of the kernel are compiled: into one piece, and without counting references.

Arrays come from Python, which keeps them while the kernel runs; nothing is allocated in it.
Counting who holds them took 98 % of the time of a step (2,600 of 2,650 ns).
"""

from numba import njit

part = njit(forceinline=True, _nrt=False)
whole = njit(nogil=True, _nrt=False)
