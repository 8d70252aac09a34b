"""Nests in, filled arrays out: compiled and shared between the cores, or interpreted if small.

Comes in: a nest, the lengths of the dims, arrays to read and to fill.  Goes out: nothing for a nest
that stores (`run_nest`), tallies for one that reduces (`reduce_nest`).

Compiled code checks nothing, so every array is checked here before it is handed over.  A large nest
is cut into several ranges of rows for each core, and whoever is free takes the next (`share`): no
core waits for one that was interrupted.  A small nest takes less time in plain Python than its
compiled module takes to load; the formulas are the same, and tests hold both ways equal.
"""

import itertools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from math import prod

import numpy as np

from prophet_xr.engine import accumulate
from prophet_xr.engine.codegen import source
from prophet_xr.engine.compile import compiled
from prophet_xr.engine.limits import Limits
from prophet_xr.engine.nests import Dims, Nest
from prophet_xr.registry import POLICY, is_baseline, quantity_of


@cache
def cores() -> int:
    """Cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="prophet_xr")


def _forget_pools() -> None:
    """Let a forked child start threads of its own: for those of its parent it would wait for ever.

    Dask, which runs lazy cubes and copies to NetCDF, keeps its threads over a fork too.
    """
    _pool.cache_clear()
    threaded = sys.modules.get("dask.threaded")
    if threaded is not None:
        vars(threaded).update(default_pool=None)
        threaded.pools.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forget_pools)


def evaluations(nests: Iterable[Nest], sizes: Mapping[str, int]) -> int:
    """How many times nests evaluate a formula on a cell."""
    return sum(
        prod(sizes[d] for d in nest.dims) * max(len(nest.metrics), len(nest.reduces))
        for nest in nests
    )


def _is_interpreted(nest: Nest, sizes: Mapping[str, int], in_all: int, limits: Limits) -> bool:
    """Tell whether a nest is evaluated in plain Python, among nests of ``in_all`` evaluations."""
    if in_all <= limits.interpreted_in_all:
        return True
    return evaluations([nest], sizes) <= limits.interpreted_below


def run_nest(
    nest: Nest,
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    in_all: int,
    limits: Limits,
    part: slice | None = None,
) -> None:
    """Fill the arrays that ``nest`` stores from those it reads; one part if it is run on parts.

    ``in_all`` counts the `evaluations` of all nests of the call, by which it is interpreted or
    compiled.  Raises ValueError for an array whose shape or layout is not that of its dims.
    """
    part_sizes = {**sizes, nest.split_dim: part.stop - part.start} if part else sizes
    _check_arrays(nest, part_sizes, arrays, sizes)
    if not part and _is_interpreted(nest, sizes, in_all, limits):
        _interpreted(nest, sizes, arrays)
        return
    rows = prod(part_sizes[d] for d in nest.outer)
    edges = _edges(rows, _shares(nest, part_sizes, limits))
    fixed = _arguments(nest, part_sizes, arrays, [part.start] if part else [])
    jobs = [(begin, end, *fixed) for begin, end in itertools.pairwise(edges)]
    share(compiled(source(nest), jobs[0]), jobs)


def reduce_nest(
    nest: Nest,
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    in_all: int,
    limits: Limits,
) -> dict[str, accumulate.Tally]:
    """Fill what ``nest`` stores and tally what it reduces, on (policy, kept dims in order)."""
    kept = [d for d in nest.dims if d not in (*nest.over, POLICY)]
    policies = sizes[POLICY] if POLICY in nest.dims else 1
    shape = (policies, *(sizes[d] for d in kept))
    _check_arrays(nest, sizes, arrays)
    if not _is_interpreted(nest, sizes, in_all, limits):
        return _compiled_tallies(nest, sizes, arrays, shape, limits)
    cells = _interpreted(nest, sizes, arrays)
    reduced_last = [*(d for d in nest.dims if d not in nest.over), *nest.over]
    axes = [nest.dims.index(d) for d in reduced_last]
    return {
        n: accumulate.tally_cells(cells[n].transpose(axes).reshape(*shape, -1))
        for n in nest.reduces
    }


def _compiled_tallies(
    nest: Nest,
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    shape: tuple[int, ...],
    limits: Limits,
) -> dict[str, accumulate.Tally]:
    """Share kept cells out, and if they are few also what is reduced into each of them."""
    cells = prod(sizes[d] for d in nest.outer if d not in nest.over)
    blocks = -(-sizes[nest.row[0]] // nest.block) if nest.block and not nest.reduces_rows else 1
    shares = _shares(nest, sizes, limits)
    kept_edges = _edges(cells * blocks, shares)
    rows = prod(sizes[d] for d in nest.outer if d in nest.over)
    # Ranges of rows have tallies of their own, which cost a merge: no more than there are cores.
    row_edges = _edges(rows, -(-min(shares, cores()) // (len(kept_edges) - 1)))
    inside = prod(sizes[d] for d in nest.row if d not in nest.over)
    table_shape = (len(row_edges) - 1, cells, shape[0], 3, inside)
    tables = [np.empty(table_shape, dtype) for _ in nest.reduces for dtype in (float, np.int64)]
    fixed = [*_arguments(nest, sizes, arrays), *tables]
    jobs = [
        (*kept_range, *row_range, part, *fixed)
        for kept_range in itertools.pairwise(kept_edges)
        for part, row_range in enumerate(itertools.pairwise(row_edges))
    ]
    share(compiled(source(nest), jobs[0]), jobs)
    # (part, kept, policy, kind, row) -> (kind, part, policy, kept dims)
    ordered = [t.transpose(3, 0, 2, 1, 4).reshape(3, table_shape[0], *shape) for t in tables]
    pairs = zip(ordered[::2], ordered[1::2], strict=True)
    tallies = {n: accumulate.merge_tallies(*p) for n, p in zip(nest.reduces, pairs, strict=True)}
    if nest.block and nest.reduces_rows:
        for _, positions in tallies.values():
            _unpad(positions, sizes[nest.row[0]], nest.block)
    return tallies


def _unpad(positions: np.ndarray, length: int, block: int) -> None:
    """Turn positions that count the cells of whole blocks into those that count cells of rows."""
    rows, inside = np.divmod(positions[1:], -(-length // block) * block)
    positions[1:] = np.where(positions[1:] < 0, -1, rows * length + inside)


def _check_arrays(
    nest: Nest,
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    uncut_sizes: Mapping[str, int] | None = None,
) -> None:
    for name, dims in [*nest.reads.items(), *((n, nest.dims) for n in nest.stores)]:
        lengths = uncut_sizes if uncut_sizes and name in nest.uncut else sizes
        _check(name, arrays[name], tuple(lengths[d] for d in dims))
    for name, dtype in nest.stores.items():
        if arrays[name].dtype != np.dtype(dtype):
            raise ValueError(f"array {name!r}: dtype {arrays[name].dtype}, expected {dtype}")


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"array {name!r}: shape {array.shape}, expected {shape}, C-contiguous")


def _interpreted(
    nest: Nest, sizes: Mapping[str, int], arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Evaluate cell by cell in plain Python, without numba; returns what the nest reduces."""
    shape = tuple(sizes[d] for d in nest.dims)
    given = [arrays[n] for n in nest.reads]
    cells = _cells(nest, shape, tuple((a.tobytes(), a.dtype.str, a.shape) for a in given))
    for name in nest.stores:
        arrays[name][...] = cells[name]
    counted = cells[nest.where] if nest.where else True
    return {n: np.where(counted, cells[n], np.nan) for n in nest.reduces}


@lru_cache(256)
def _cells(
    nest: Nest, shape: tuple[int, ...], given: tuple[tuple[bytes, str, tuple[int, ...]], ...]
) -> dict[str, np.ndarray]:
    """Quantities of a nest on all of its dims; small nests recur, as those of the models alone."""
    arrays = {
        n: np.frombuffer(content, dtype).reshape(sizes)
        for n, (content, dtype, sizes) in zip(nest.reads, given, strict=True)
    }

    def spread(argument: str) -> np.ndarray:
        name = quantity_of(argument)
        dims, array = nest.reads.get(name, nest.dims), arrays[name]
        if is_baseline(argument) and POLICY in dims:
            array = np.take(array, [0], axis=dims.index(POLICY))
        lengths = dict(zip(dims, array.shape, strict=True))
        return np.broadcast_to(array.reshape([lengths.get(d, 1) for d in nest.dims]), shape)

    @cache
    def column(argument: str) -> list:
        return spread(argument).ravel().tolist()

    for q in nest.metrics:
        assert q.formula is not None
        cells = list(map(q.formula, *map(column, q.inputs)))
        arrays[q.name] = np.array(cells, q.dtype).reshape(shape)
    return {n: spread(n) for n in arrays}


def _rows(array: np.ndarray, dims: Dims, row: Dims) -> np.ndarray:
    """View an array with the dims it shares with the row collapsed into one."""
    inner = sum(d in row for d in dims)
    if row and inner:
        return array.reshape(*array.shape[: array.ndim - inner], -1)
    return array


def _arguments(
    nest: Nest,
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    start: Iterable[int] = (),
) -> list[int | np.ndarray]:
    """Sizes and arrays in the order a compiled nest takes them."""
    reads = [_rows(arrays[n], dims, nest.row) for n, dims in nest.reads.items()]
    stores = [_rows(arrays[n], nest.dims, nest.row) for n in nest.stores]
    if not nest.row:
        stores = [a[..., None] for a in stores]
    return [*(sizes[d] for d in nest.dims), *start, *reads, *stores]


def _shares(nest: Nest, sizes: Mapping[str, int], limits: Limits) -> int:
    """How many jobs are worth their threads."""
    return 4 * cores() if prod(sizes[d] for d in nest.dims) > limits.threaded_above else 1


def _edges(count: int, shares: int) -> list[int]:
    shares = min(count, shares)
    return [count * k // shares for k in range(shares + 1)]


def share(fill: Callable[..., None], jobs: list[tuple]) -> None:
    """Do every job, this thread among others: whoever is free takes the next."""
    todo = iter(jobs)

    def work() -> None:
        for job in todo:
            fill(*job)

    helpers = [_pool().submit(work) for _ in range(min(cores(), len(jobs)) - 1)]
    try:
        work()
    finally:  # interrupted or not, nobody writes into the arrays after this
        for _ in todo:
            pass
        for helper in helpers:
            helper.result()
