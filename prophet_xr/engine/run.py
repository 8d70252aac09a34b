"""Nests in, filled arrays out: compiled and shared between the cores, or walked if they are small.

Compiled code checks nothing, so every array is checked here before it is handed over.
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
from prophet_xr.engine.codegen import Dims, Nest, source
from prophet_xr.engine.compile import compiled
from prophet_xr.registry import POLICY, is_baseline, of

WALK = 2_000  # evaluations; below this plain Python is done before a compiled module is loaded,
WALK_ALL = 200_000  # and below this, in all nests together, before they are compiled at all
SHARE = 50_000  # cells; below this a thread costs more than it brings


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


def walks(plan: Iterable[Nest], sizes: Mapping[str, int]) -> int:
    """How many evaluations of one nest are to be walked, of all nests of a plan."""
    count = sum(_evaluations(nest, sizes) for nest in plan)
    return count if count <= WALK_ALL else WALK


def _evaluations(nest: Nest, sizes: Mapping[str, int]) -> int:
    return prod(sizes[d] for d in nest.dims) * max(len(nest.metrics), len(nest.folds))


def run(
    nest: Nest,
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    walk: int,
    part: slice | None = None,
) -> None:
    """Fill the arrays that ``nest`` stores from those it reads; one part if it is run on parts.

    Up to ``walk`` evaluations are done in plain Python.  Raises ValueError for an array whose
    shape or layout is not that of its dims.
    """
    here = {**sizes, nest.part: part.stop - part.start} if part else sizes
    _checked(nest, here, arrays, sizes)
    if not part and _evaluations(nest, sizes) <= walk:
        _walk(nest, sizes, arrays)
        return
    count = prod(here[d] for d in nest.outer)
    edges = _edges(count, _shares(nest, here))
    fixed = _arguments(nest, here, arrays, [part.start] if part else [])
    jobs = [(begin, end, *fixed) for begin, end in itertools.pairwise(edges)]
    share(compiled(source(nest), jobs[0]), jobs)


def fold(
    nest: Nest, sizes: Mapping[str, int], arrays: Mapping[str, np.ndarray], walk: int
) -> dict[str, accumulate.Tally]:
    """Fill what ``nest`` stores and tally what it folds, on (policy, kept dims in order)."""
    kept = [d for d in nest.dims if d not in (*nest.over, POLICY)]
    shape = [sizes.get(POLICY, 1) if POLICY in nest.dims else 1, *(sizes[d] for d in kept)]
    _checked(nest, sizes, arrays)
    if _evaluations(nest, sizes) <= walk:
        cells = _walk(nest, sizes, arrays)
        last = [*(d for d in nest.dims if d not in nest.over), *nest.over]
        axes = [nest.dims.index(d) for d in last]
        return {
            n: accumulate.tally(cells[n].transpose(axes).reshape(*shape, -1)) for n in nest.folds
        }
    cells = prod(sizes[d] for d in nest.outer if d not in nest.over)
    blocks = -(-sizes[nest.row[0]] // nest.block) if nest.block and not nest.along else 1
    shares = _shares(nest, sizes)
    first = _edges(cells * blocks, shares)
    runs = prod(sizes[d] for d in nest.outer if d in nest.over)
    # Ranges of runs have tallies of their own, which cost a merge: no more than there are cores.
    begin = _edges(runs, -(-min(shares, cores()) // (len(first) - 1)))
    inside = prod(sizes[d] for d in nest.row if d not in nest.over)
    parts = (len(begin) - 1, cells, shape[0], 3, inside)
    tables = [np.empty(parts, dtype) for _ in nest.folds for dtype in (np.float64, np.int64)]
    fixed = [*_arguments(nest, sizes, arrays), *tables]
    jobs = [
        (*kept_range, *range_, part, *fixed)
        for kept_range in itertools.pairwise(first)
        for part, range_ in enumerate(itertools.pairwise(begin))
    ]
    share(compiled(source(nest), jobs[0]), jobs)
    # (part, kept, policy, kind, row) -> (kind, part, policy, kept dims)
    ordered = [t.transpose(3, 0, 2, 1, 4).reshape(3, parts[0], *shape) for t in tables]
    pairs = zip(ordered[::2], ordered[1::2], strict=True)
    merged = {n: accumulate.merge(*pair) for n, pair in zip(nest.folds, pairs, strict=True)}
    if nest.block and nest.along:
        for _, places in merged.values():
            _unpad(places, sizes[nest.row[0]], nest.block)
    return merged


def _unpad(places: np.ndarray, length: int, block: int) -> None:
    """Turn places that count the cells of whole blocks into those that count cells of rows."""
    rows, inside = np.divmod(places[1:], -(-length // block) * block)
    places[1:] = np.where(places[1:] < 0, -1, rows * length + inside)


def _checked(
    nest: Nest,
    sizes: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    whole: Mapping[str, int] | None = None,
) -> None:
    for name, dims in [*nest.reads.items(), *((n, nest.dims) for n in nest.stores)]:
        own = whole if whole and name in nest.whole else sizes
        _check(name, arrays[name], tuple(own[d] for d in dims))
    for name, dtype in nest.stores.items():
        if arrays[name].dtype != np.dtype(dtype):
            raise ValueError(f"array {name!r}: dtype {arrays[name].dtype}, expected {dtype}")


def _check(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or not array.flags.c_contiguous:
        raise ValueError(f"array {name!r}: shape {array.shape}, expected {shape}, C-contiguous")


def _walk(
    nest: Nest, sizes: Mapping[str, int], arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Evaluate cell by cell in plain Python, without numba; returns what the nest folds."""
    shape = tuple(sizes[d] for d in nest.dims)
    given = [arrays[n] for n in nest.reads]
    cells = _cells(nest, shape, tuple((a.tobytes(), a.dtype.str, a.shape) for a in given))
    for name in nest.stores:
        arrays[name][...] = cells[name]
    counted = cells[nest.where] if nest.where else True
    return {n: np.where(counted, cells[n], np.nan) for n in nest.folds}


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
        name = of(argument)
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


def _shares(nest: Nest, sizes: Mapping[str, int]) -> int:
    """How many jobs are worth their threads."""
    return 4 * cores() if prod(sizes[d] for d in nest.dims) > SHARE else 1


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
