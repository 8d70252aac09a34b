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
    """What the engine decides by.

    An *evaluation* is one formula on one cell.  Times are CPU times on two cores of a server, for a
    sweep or a reduction of four metrics on 9.8 million cells.
    """

    # --- Plain Python or compiled code -------------------------------------------------------
    # Evaluations of all nests of a call.  Up to so many nothing is compiled, and numba is not even
    # loaded: plain Python takes 0.4 us for each, 80 ms at most, and to load numba takes 400 ms.
    interpreted_in_all: int = 200_000
    # Evaluations of one nest of a larger call.  Up to so many it is interpreted, in 1 ms at most;
    # to load one more compiled module takes 8 ms, and to compile it the first time seconds.
    interpreted_below: int = 2_000

    # --- Threads -----------------------------------------------------------------------------
    # Cells of a nest.  Up to so many one thread does all: to wake the others takes 60 us, in which
    # one thread fills about as many cells.
    threaded_above: int = 50_000

    # --- Rows --------------------------------------------------------------------------------
    # Cells of the innermost loops.  A short row is begun often, a long one does not leave its
    # arrays (8 B a cell, some ten of them) in the cache of a core.  With 128 a sweep takes 1.6
    # times as long, from 1,024 to 131,072 the same within 5 %.
    row_cells: int = 4096
    # The same where every cell of a row keeps an accumulator of 48 B for each metric.  With 64 a
    # reduction takes twice as long, from 256 to 32,768 the same within the noise.
    accumulated_row_cells: int = 1024
    # Cells that could be spread over a row in the time that a row takes to begin.  It weighs long
    # rows, over which inputs of fewer dims have to be spread, against short ones, which begin
    # often.  With 0 (always short) a sweep takes 1.6 times as long, with 3,000 1.2 times.
    row_start_cost: int = 300
    # Arrays that one loop writes.  Metrics that share a loop read each other from registers; a
    # loop with very many outputs does not vectorise.  From 1 to 16 within 10 % for four metrics.
    arrays_per_loop: int = 4

    # --- Reductions --------------------------------------------------------------------------
    # Cells that become one.  If they are fewer, rows are added to a row of accumulators, one upon
    # the other; if more, each row is reduced along itself.  Always along, a reduction of 24 cells
    # into one takes twice as long; never along, one of 76,800 takes 1.4 times as long.
    row_upon_row_below: int = 4096
    # Cells of a row of accumulators.  A shorter one is not worth the start of its loops, and rows
    # are reduced along themselves.
    row_upon_row_cells: int = 64

    # --- Memory ------------------------------------------------------------------------------
    # Bytes for what nests pass on to each other, kept from call to call: what needs more is worked
    # on in parts.  A reduction takes 3 times as long with 8 MiB, 5 times with 1 MiB, which make
    # small parts, and the same with 400 MiB.
    kept_memory: int = 48 * MIB
    # Bytes of the metrics of one block of a lazy cube, along dims that the user has not chunked.
    # Fewer make more tasks, each with its start; more of them take the memory of a worker.
    lazy_block_memory: int = 64 * MIB
    # Bytes of a slab of a cube on disk, one chunk of each metric.  Fewer make more files and lines
    # of the journal; more of them take memory, and are lost when a run is killed.
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
