"""Every tuning number of the engine, in one frozen dataclass.

Comes in: nothing.  Goes out: the `Limits` that a door of the package (`px.sweep`, `px.summarize`,
`px.sweep_to`, ...) takes with `in_force` and passes on as an argument.

No limit changes a number of a cube: they only trade time, memory and the time until the first
answer.  Functions of the engine take them as an argument and never look them up, so that what is
cached can be cached by them, and threads that help a caller work with the limits of the caller.
Tests, and experts on other machines, put other limits in force for a while:

>>> from prophet_xr.engine import limits
>>> with limits.using(limits.Limits(interpreted_below=0)):
...     limits.in_force().interpreted_below
0
>>> limits.in_force().interpreted_below
2000
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What the engine decides by.  One *evaluation* is one formula on one cell."""

    # --- Plain Python or compiled code -------------------------------------------------------
    # Evaluations of all nests of a call: up to so many nothing is compiled and numba is not even
    # loaded.  Plain Python takes about 0.2 us for each, so at most as long as numba takes to load.
    interpreted_in_all: int = 200_000
    # Evaluations of one nest among larger ones: up to so many it is interpreted.  That takes less
    # time than to load one more compiled module, and there is less to compile the first time.
    interpreted_below: int = 2_000

    # --- Threads -----------------------------------------------------------------------------
    # Cells of a nest: up to so many one thread does all.  To wake the others takes some 50 us, in
    # which one thread fills about as many cells.
    threaded_above: int = 50_000

    # --- Rows --------------------------------------------------------------------------------
    # Cells of the innermost loops.  A longer row is begun less often; a shorter one leaves its
    # arrays (8 B a cell, some ten of them) in the cache of a core.
    row_cells: int = 4096
    # The same where every cell of a row keeps an accumulator of 48 B for each metric.
    accumulated_row_cells: int = 1024
    # Cells that could be spread over a row in the time that a row takes to begin: weighs long
    # rows, which mix dims that not every input has, against short ones, which begin often.
    row_start_cost: int = 300
    # Arrays that one loop writes.  Metrics of one loop read each other from registers; a loop with
    # too many outputs does not vectorise.
    arrays_per_loop: int = 4

    # --- Reductions --------------------------------------------------------------------------
    # Cells that become one: with fewer, whole rows are added to a row of accumulators; with more,
    # a row is reduced along itself, whose accumulator is then settled seldom.
    row_upon_row_below: int = 4096
    # Cells of a row of accumulators: a shorter one is not worth the start of its loops.
    row_upon_row_cells: int = 64

    # --- Memory ------------------------------------------------------------------------------
    # Bytes for what nests pass on to each other, kept from call to call.  Memory already in use
    # is filled up to three times faster than new memory; more than this is worked on in parts.
    kept_memory: int = 48 * MIB
    # Bytes of the metrics of one block of a lazy cube, along dims that the user has not chunked:
    # large against the start of a task (1 ms), small against the memory of a worker.
    lazy_block_memory: int = 64 * MIB
    # Bytes of a slab of a cube on disk, one chunk of each metric: large enough to be written at
    # the rate of the disk, small enough that a run that is killed loses a second.
    disk_slab_memory: int = 96 * MIB


_IN_FORCE: ContextVar[Limits] = ContextVar("limits", default=Limits())  # noqa: B039 (frozen)


def in_force() -> Limits:
    """Take the limits that hold; for the doors of the package, not for threads that help them."""
    return _IN_FORCE.get()


@contextmanager
def using(limits: Limits) -> Iterator[None]:
    """Put other limits in force for the calls of this thread, until the context is left."""
    token = _IN_FORCE.set(limits)
    try:
        yield
    finally:
        _IN_FORCE.reset(token)
