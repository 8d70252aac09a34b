"""A cube of dask arrays: each block is a sweep of its own, for any scheduler to run.

Comes in: inputs, the chunks that the user asked for, the function that sweeps.  Goes out: a cube
whose metrics are dask arrays.

A block of a metric needs only the inputs of its own labels, so a task is a sweep of a selection of
the inputs, made once for all metrics of the same dims.  Tasks travel with all they need, the limits
too: they may run in another process or on another machine.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import pairwise, product
from operator import itemgetter
from typing import Any

import numpy as np
import xarray as xr

from prophet_xr.engine.limits import Limits, using
from prophet_xr.engine.nests import Dims
from prophet_xr.engine.partition import part_lengths, slices
from prophet_xr.registry import POLICY, QUANTITIES, inputs_of, required

Sweep = Callable[..., xr.Dataset]


def lazy_cube(
    data: xr.Dataset,
    dims_of: Mapping[str, Dims],
    chunks: Mapping[Hashable, tuple[int, ...]],
    wanted: Iterable[str],
    dtype: str,
    sweep: Sweep,
    limits: Limits,
) -> xr.Dataset:
    """Lazy metrics with their inputs, each on the dims of what it reads.

    The dims that `Dataset.chunk` could mark are cut as it did; xarray keeps no chunks of an axis
    that is only an index, so the others are cut until a block takes 64 MiB.  The policy is never
    cut, as ratios are taken against its baseline.
    """
    wanted = list(wanted)
    chunks_of = {str(d): lengths for d, lengths in chunks.items()}
    sizes = {str(d): n for d, n in data.sizes.items()}
    block_lengths = part_lengths(
        sizes, [dims_of[n] for n in wanted], {POLICY, *chunks_of}, limits.lazy_block_memory
    )
    cuts = {d: slices(n, block_lengths[d]) for d, n in sizes.items()}
    cuts |= {d: _slices(c) for d, c in chunks_of.items() if d != POLICY}
    together: dict[Dims, list[str]] = {}
    for name in wanted:
        together.setdefault(dims_of[name], []).append(name)
    arrays = {}
    for dims, names in together.items():
        arrays |= _arrays(data, names, dims, cuts, dtype, sweep, limits)
    return data.assign({n: arrays[n] for n in QUANTITIES if n in arrays})


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
    limits: Limits,
) -> dict[str, tuple]:
    """Dask arrays of metrics that share their dims, one task per block for all of them."""
    import dask.array as da
    from dask.base import tokenize

    read = inputs_of(required(names))
    inputs = data[list(read)].drop_vars(
        [c for c in data.coords if c not in (*read, *data.dims)], errors="ignore"
    )
    inputs = inputs.assign_coords({POLICY: data[POLICY].variable})  # without its coordinates
    token = tokenize(inputs, names, dtype)
    block = f"sweep-{token}"
    tasks: dict[tuple, tuple] = {}
    places = list(product(*(range(len(cuts[d])) for d in dims)))
    for place in places:
        part = inputs.isel({d: cuts[d][i] for d, i in zip(dims, place, strict=True)})
        tasks[block, *place] = (block_metrics, sweep, part, names, dims, dtype, limits)
    chunks = [[c.stop - c.start for c in cuts[d]] for d in dims]
    arrays = {}
    for at, name in enumerate(names):
        q = QUANTITIES[name]
        layer: dict[tuple, Any] = {
            (f"{name}-{token}", *place): (itemgetter(at), (block, *place)) for place in places
        }
        kind = dtype if q.dtype == "float64" else q.dtype
        array = da.Array({**tasks, **layer}, f"{name}-{token}", chunks, dtype=kind)  # pyright: ignore[reportCallIssue]
        arrays[name] = (dims, array, q.attrs)
    return arrays


def block_metrics(
    sweep: Sweep, part: xr.Dataset, names: list[str], dims: Dims, dtype: str, limits: Limits
) -> list[np.ndarray]:
    """Metrics of one block, under the limits of who made the cube: a worker has none of its own."""
    with using(limits):
        cube = sweep(part, names, dtype=dtype)
    return [cube[n].transpose(*dims).values for n in names]
