"""What is asked -> the loop nests that compute it, one per set of dims."""

from collections.abc import Iterable, Mapping
from math import prod

import xarray as xr

from prophet_xr.fuse import Dims, Nest
from prophet_xr.registry import POLICY, QUANTITIES, Quantity, metrics, of

ROW = 4096  # cells; a row and its scratch stay in the cache of a core


def layout(data: xr.Dataset) -> Dims:
    """Dims of a cube in order: those that are no axis, then axes as the schema has them."""
    extra = [str(d) for d in data.dims if d not in QUANTITIES]
    return (*extra, *(n for n in QUANTITIES if n in data.dims))


def nests(
    data: xr.Dataset, need: set[str], wanted: Iterable[str], order: Dims, dtype: str
) -> list[Nest]:
    """Split what is needed into nests, one per set of dims, in an order that can be run."""
    dims_of: dict[str, Dims] = {
        n: tuple(d for d in order if d in data.variables[n].dims)
        for n in need
        if not QUANTITIES[n].formula
    }
    strata: dict[Dims, list[Quantity]] = {}
    for q in metrics():
        if q.name in need:
            over = {d for n in q.reads for d in dims_of[n]}
            dims_of[q.name] = tuple(d for d in order if d in over)
            strata.setdefault(dims_of[q.name], []).append(q)
    crossing = {n for dims, qs in strata.items() for q in qs for n in q.reads if dims_of[n] != dims}
    return [
        _nest(dims, strata[dims], dims_of, crossing, set(wanted), data.sizes, dtype)
        for dims in sorted(strata, key=len)
    ]


def _nest(
    dims: Dims,
    qs: list[Quantity],
    dims_of: Mapping[str, Dims],
    crossing: set[str],
    wanted: set[str],
    sizes: Mapping,
    dtype: str,
) -> Nest:
    names = {q.name for q in qs}
    reads = {n: dims_of[n] for q in qs for n in map(of, q.inputs) if n not in names}
    stores = {
        q.name: dtype if q.dtype == "float64" and q.name not in crossing else q.dtype
        for q in qs
        if q.name in crossing or q.name in wanted
    }
    return Nest(dims, _row(dims, sizes), tuple(qs), reads, stores)


def _row(dims: Dims, sizes: Mapping) -> Dims:
    """Last dims of a nest, as many as fit into `ROW` cells but at least one; never the policy."""
    inner = dims[dims.index(POLICY) + 1 :] if POLICY in dims else dims
    row = inner[-1:]
    while len(row) < len(inner) and prod(sizes[d] for d in inner[-len(row) - 1 :]) <= ROW:
        row = inner[-len(row) - 1 :]
    return row
