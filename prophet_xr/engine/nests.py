"""What is asked -> the loop nests that compute it, one per set of dims."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import xarray as xr

from prophet_xr.engine.codegen import Dims, Nest
from prophet_xr.engine.limits import Limits
from prophet_xr.registry import POLICY, QUANTITIES, Quantity, inputs_of, metrics

_DimsOf = Mapping[str, Dims]
_Inputs = tuple[tuple[str, tuple[Hashable, ...]], ...]


def layout(data: xr.Dataset) -> Dims:
    """Dims of a cube in order: those that are no axis, then axes as the schema has them."""
    return _ordered(tuple(map(str, data.sizes)))


@lru_cache(256)
def _ordered(dims: Dims) -> Dims:
    extra = [d for d in dims if d not in QUANTITIES]
    return (*extra, *(n for n in QUANTITIES if n in dims))


def natural(data: xr.Dataset, need: frozenset[str], order: Dims) -> _DimsOf:
    """Dims of each quantity: of an input its own, of a metric the union of what it reads."""
    return _natural(_inputs(data, need), need, order)


def _inputs(data: xr.Dataset, need: frozenset[str]) -> _Inputs:
    """Name the dims of every input: with their sizes all that a plan depends on."""
    variables = data.variables
    return tuple((n, variables[n].dims) for n in inputs_of(need))


@lru_cache(256)
def _natural(inputs: _Inputs, need: frozenset[str], order: Dims) -> _DimsOf:
    own = dict(inputs)
    dims_of: dict[str, Dims] = {}
    for name, q in QUANTITIES.items():
        if name in need:
            dims = {d for n in q.reads for d in dims_of[n]} if q.formula else own[name]
            dims_of[name] = tuple(d for d in order if d in dims)
    return dims_of


@dataclass(frozen=True)
class Fold:
    """What a reduction asks of the nests: see `prophet_xr.engine.codegen.Nest`."""

    over: Dims
    where: str = ""
    placed: bool = False


def nests(
    data: xr.Dataset,
    need: frozenset[str],
    wanted: Iterable[str],
    order: Dims,
    dtype: str,
    limits: Limits,
    fold: Fold | None = None,
) -> tuple[Nest, ...]:
    """Split what is needed into nests, one per set of dims, in an order that can be run.

    With ``fold``, what is wanted is accumulated instead of stored, on the dims that it shares
    with the flag that says which cells count.
    """
    sizes = tuple((d, data.sizes[d]) for d in order)
    return _nests(_inputs(data, need), need, sizes, tuple(wanted), dtype, limits, fold)


@lru_cache(256)
def _nests(
    inputs: _Inputs,
    need: frozenset[str],
    sizes: tuple[tuple[str, int], ...],
    wanted: tuple[str, ...],
    dtype: str,
    limits: Limits,
    fold: Fold | None,
) -> tuple[Nest, ...]:
    order = tuple(d for d, _ in sizes)
    dims_of = _natural(inputs, need, order)
    strata: dict[Dims, list[Quantity]] = {}
    for q in metrics():
        if q.name in need:
            strata.setdefault(dims_of[q.name], []).append(q)
    crossing = {n for dims, qs in strata.items() for q in qs for n in q.reads if dims_of[n] != dims}
    folds: dict[Dims, list[str]] = {}
    if fold:
        for name in wanted:
            parts = [name, fold.where] if fold.where else [name]
            dims = tuple(d for d in order if any(d in dims_of[n] for n in parts))
            folds.setdefault(dims, []).append(name)
            crossing |= {n for n in parts if dims_of[n] != dims}
    stores = {
        q.name: dtype if q.dtype == "float64" and q.name not in crossing else q.dtype
        for q in metrics()
        if q.name in crossing or (not fold and q.name in wanted)
    }
    return tuple(
        _nest(
            dims,
            strata.get(dims, []),
            folds.get(dims, []),
            fold,
            dims_of,
            stores,
            dict(sizes),
            limits,
        )
        for dims in sorted(strata.keys() | folds.keys(), key=len)
    )


def _nest(
    dims: Dims,
    qs: list[Quantity],
    folds: list[str],
    fold: Fold | None,
    dims_of: Mapping[str, Dims],
    stores: Mapping[str, str],
    sizes: Mapping,
    limits: Limits,
) -> Nest:
    names = {q.name for q in qs}
    nest = Nest(
        dims=dims,
        row=(),
        metrics=tuple(qs),
        reads={},
        stores={n: dtype for n, dtype in stores.items() if n in names},
        arrays_per_loop=limits.arrays_per_loop,
    )
    inner, cells = dims, limits.row_cells
    if fold and folds:
        over = tuple(d for d in dims if d in fold.over)
        nest = replace(nest, folds=tuple(folds), over=over, where=fold.where, placed=fold.placed)
        inner = _alike(dims, over)
        if not dims or dims[-1] not in over:
            cells = limits.accumulated_row_cells
    reads = {n: dims_of[n] for n in nest.named if n not in names}
    row = _row(inner, sizes, cells, reads.values(), limits.row_start_cost)
    block = limits.accumulated_row_cells if nest.folds else limits.row_cells
    long = len(row) == 1 and sizes[row[0]] > block
    return replace(nest, reads=reads, row=row, block=block if long else 0)


def _alike(dims: Dims, over: Dims) -> Dims:
    """Last dims that are all reduced, with what they are reduced into, or none of them."""
    if not dims or dims[-1] in over:
        return dims
    reduced = [i for i, d in enumerate(dims) if d in over]
    return dims[reduced[-1] + 1 :] if reduced else dims


def _row(dims: Dims, sizes: Mapping, cells: int, reads: Iterable[Dims], start_cost: int) -> Dims:
    """Last dims of a nest, at most so many cells but at least one dim; never the policy.

    Of the rows that can be chosen the cheapest: what varies over only a part of a row has to be
    spread over it, cell by cell, and a short row pays its start with few cells.
    """
    inner = dims[dims.index(POLICY) + 1 :] if POLICY in dims else dims
    if not inner:
        return ()

    def cost(row: Dims) -> float:
        spread = sum(bool({*own} & {*row}) and not {*row} <= {*own} for own in reads)
        return spread + start_cost / prod(sizes[d] for d in row)

    rows = [inner[i:] for i in range(len(inner))]
    return min((r for r in rows if prod(sizes[d] for d in r) <= cells), key=cost, default=rows[-1])
