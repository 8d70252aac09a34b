"""Nests that are small enough to work by hand; none of their formulas is declared.

room = memory - needed    share = room / room of the baseline    fits = room > 0

    memory  10  20 of two GPUs       needed  1  2  3 of three batches under the baseline,
                                             4  5 16 under another policy
"""

import numpy as np

from prophet_xr.engine.nests import Nest
from prophet_xr.registry import Quantity

SIZES = {"policy": 2, "gpu": 2, "batch": 3}
MEMORY = np.array([10.0, 20.0])
NEEDED = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 16.0]])
ROOM = np.array([[[9, 8, 7], [19, 18, 17]], [[6, 5, -6], [16, 15, 4]]], float)
SHARE = np.array([[[1, 1, 1], [1, 1, 1]], [[6 / 9, 5 / 8, -6 / 7], [16 / 19, 15 / 18, 4 / 17]]])


def room(memory, needed):
    return memory - needed


def share(room, baseline_room):
    return room / baseline_room


def fits(room):
    return room > 0


ROOM_OF, SHARE_OF, FITS = (
    Quantity("room", "B", "Room", formula=room),
    Quantity("share", "1", "Share", formula=share),
    Quantity("fits", "1", "Fits", dtype="bool", formula=fits),
)
READS = {"memory": ("gpu",), "needed": ("policy", "batch")}


def nest(metrics=(ROOM_OF, SHARE_OF), stores=("room", "share"), **others):
    """One nest on policy, GPU and batch."""
    dtypes = {q.name: q.dtype for q in metrics}
    given = {
        "dims": ("policy", "gpu", "batch"),
        "row": ("batch",),
        "metrics": metrics,
        "reads": READS,
        "stores": {n: dtypes[n] for n in stores},
        "arrays_per_loop": 4,
    }
    return Nest(**given | others)


def reducing(over, row, **others):
    """The same with the room reduced over the last dims, of which the row is."""
    dims = ("policy", *(d for d in ("gpu", "batch") if d not in over), *over)
    if row[-1] not in over:  # row upon row: what is kept stands last
        dims = ("policy", *over, *(d for d in ("gpu", "batch") if d not in over))
    return nest((ROOM_OF,), (), dims=dims, row=row, reduces=("room",), over=over, **others)


def arrays(stores=("room", "share")):
    """What the nest reads, and room for what it stores."""
    kinds = {"fits": bool}
    return {"memory": MEMORY, "needed": NEEDED} | {
        n: np.zeros((2, 2, 3), kinds.get(n, float)) for n in stores
    }
