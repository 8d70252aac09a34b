"""A cube of dask arrays: each block is a sweep of its own, for any scheduler to run."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import pairwise, product
from operator import itemgetter
from typing import Any

import numpy as np
import xarray as xr

from prophet_xr.engine.partition import Dims, part_lengths, slices
from prophet_xr.registry import POLICY, QUANTITIES, inputs_of, needed

BLOCK = 64 * 2**20  # bytes of the metrics of one block, where the user does not say

Sweep = Callable[..., xr.Dataset]


def cube(
    data: xr.Dataset,
    dims_of: Mapping[str, Dims],
    chunks: Mapping[Hashable, tuple[int, ...]],
    wanted: Iterable[str],
    dtype: str,
    sweep: Sweep,
) -> xr.Dataset:
    """Lazy metrics beside their inputs, on natural dims.

    The dims that `Dataset.chunk` could mark are cut as it did; xarray keeps no chunks of an axis
    that is only an index, so the others are cut until a block takes 64 MiB.  The policy is never
    cut, as ratios are taken against its baseline.
    """
    wanted = list(wanted)
    own = {str(d): c for d, c in chunks.items()}
    sizes = {str(d): n for d, n in data.sizes.items()}
    lengths = part_lengths(sizes, [dims_of[n] for n in wanted], {POLICY, *own}, BLOCK)
    cuts = {d: slices(n, lengths[d]) for d, n in sizes.items()}
    cuts |= {d: _slices(c) for d, c in own.items() if d != POLICY}
    together: dict[Dims, list[str]] = {}
    for name in wanted:
        together.setdefault(dims_of[name], []).append(name)
    made = {}
    for dims, names in together.items():
        made |= _arrays(data, names, dims, cuts, dtype, sweep)
    return data.assign({n: made[n] for n in QUANTITIES if n in made})


def _slices(chunks: Iterable[int]) -> list[slice]:
    edges = [0, *np.cumsum(list(chunks)).tolist()]
    return [slice(*pair) for pair in pairwise(edges)]


def _arrays(
    data: xr.Dataset,
    names: list[str],
    dims: Dims,
    cuts: Mapping[str, list[slice]],
    dtype: str,
    sweep: Sweep,
) -> dict[str, tuple]:
    """Dask arrays of metrics that share their dims, one task per block for all of them."""
    import dask.array as da
    from dask.base import tokenize

    read = inputs_of(needed(names))
    few = data[list(read)].drop_vars(
        [c for c in data.coords if c not in (*read, *data.dims)], errors="ignore"
    )
    few = few.assign_coords({POLICY: data[POLICY]})
    token = tokenize(few, names, dtype)
    block = f"sweep-{token}"
    tasks: dict[tuple, tuple] = {}
    places = list(product(*(range(len(cuts[d])) for d in dims)))
    for place in places:
        part = few.isel({d: cuts[d][i] for d, i in zip(dims, place, strict=True)})
        tasks[block, *place] = (block_of, sweep, part, names, dtype)
    chunks = [[c.stop - c.start for c in cuts[d]] for d in dims]
    made = {}
    for at, name in enumerate(names):
        q = QUANTITIES[name]
        layer: dict[tuple, Any] = {
            (f"{name}-{token}", *place): (itemgetter(at), (block, *place)) for place in places
        }
        kind = dtype if q.dtype == "float64" else q.dtype
        array = da.Array({**tasks, **layer}, f"{name}-{token}", chunks, dtype=kind)  # pyright: ignore[reportCallIssue]
        made[name] = (dims, array, q.attrs)
    return made


def block_of(sweep: Sweep, part: xr.Dataset, names: list[str], dtype: str) -> list[np.ndarray]:
    """Metrics of one block."""
    found = sweep(part, names, dtype=dtype)
    return [found[n].values for n in names]
