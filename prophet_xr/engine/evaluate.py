"""Labelled inputs in, filled arrays out: nests, parts, arrays and runs in one call.

Comes in: a Dataset of inputs with the baseline first among its policies (`grid.complete`), and the
names of metrics.  Goes out: the array of each metric with its dims (`evaluate`).

The steps that a sweep in memory shares with one in slabs, and nothing else, are in `prepared`: the
order of the dims, the dims of every quantity, the nests, and the inputs as plain arrays.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from prophet_xr.engine import output_arrays
from prophet_xr.engine.limits import Limits
from prophet_xr.engine.memory import Memory
from prophet_xr.engine.nests import Dims, Nest, Reduction, dim_order, dims_of_quantities, nests
from prophet_xr.engine.partition import PartedNests, parted_nests
from prophet_xr.engine.run import evaluations, run_nest
from prophet_xr.registry import QUANTITIES, required


@dataclass(frozen=True)
class Prepared:
    """What there is to run on a grid.

    ``sizes``    length of each dim, in order
    ``dims_of``  dims of every quantity that is required
    ``inputs``   the arrays that the nests read from outside
    """

    sizes: Mapping[str, int]
    dims_of: Mapping[str, Dims]
    nests: tuple[Nest, ...]
    inputs: Mapping[str, np.ndarray]


def prepared(
    data: xr.Dataset,
    wanted: Iterable[str],
    dtype: str,
    limits: Limits,
    order: Dims = (),
    reduction: Reduction | None = None,
) -> Prepared:
    """Prepare to compute what is wanted, on dims in the given order; by default as in a cube.

    With a reduction it is accumulated instead of stored.
    """
    wanted = list(wanted)
    need = required([*wanted, reduction.where] if reduction and reduction.where else wanted)
    order = order or dim_order(data)
    dims_of = dims_of_quantities(data, need, order)
    return Prepared(
        sizes={d: data.sizes[d] for d in order},
        dims_of=dims_of,
        nests=nests(data, need, wanted, order, dtype, limits, reduction),
        inputs=_inputs(data, dims_of),
    )


def wanted_dims(data: xr.Dataset, wanted: Iterable[str]) -> dict[str, Dims]:
    """Dims of metrics, without computing them."""
    names = list(wanted)
    dims_of = dims_of_quantities(data, required(names), dim_order(data))
    return {n: dims_of[n] for n in names}


def _inputs(data: xr.Dataset, dims_of: Mapping[str, Dims]) -> dict[str, np.ndarray]:
    """Inputs among ``dims_of`` as C-contiguous float64, on those dims."""
    arrays: dict[str, np.ndarray] = {}
    variables = data.variables
    for name, dims in dims_of.items():
        if not QUANTITIES[name].formula:
            v = variables[name]
            values = v.values if v.dims == dims else v.transpose(*dims).values
            arrays[name] = np.asarray(values, np.float64, order="C")
    return arrays


def evaluate(
    data: xr.Dataset,
    wanted: Iterable[str],
    dtype: str,
    limits: Limits,
    out: xr.Dataset | None = None,
) -> dict[str, tuple[Dims, np.ndarray]]:
    """Compute metrics on the grid of their inputs, each on its own dims.

    The arrays are those of ``out``, an earlier cube, if one is given.  Raises InputError if they do
    not match, or if new ones do not fit into memory.
    """
    names = frozenset(wanted)
    grid = prepared(data, wanted, dtype, limits)
    reused = {} if out is None else output_arrays.reusable(out, names)
    parted = parted_nests(grid.nests, names, tuple(grid.sizes.items()), limits.kept_memory)
    written, kept = output_arrays.written_and_kept(parted, grid.sizes, dtype, reused)
    _fill(parted, grid.sizes, {**grid.inputs, **written}, limits)
    output_arrays.narrow(written, kept)
    return {n: (grid.dims_of[n], kept[n]) for n in QUANTITIES if n in names}


def _fill(
    parted: PartedNests, sizes: Mapping[str, int], arrays: dict[str, np.ndarray], limits: Limits
) -> None:
    """Fill the arrays of what is wanted."""
    in_all, memory, once = evaluations(parted.nests, sizes), Memory(limits.kept_memory), parted.once
    with memory.borrowed():
        for part in parted.parts(sizes):
            # What the nests run once pass on comes first, so it stays where it is.
            arrays |= memory.arrays(parted.passed_on_arrays(sizes, part))
            for nest in once:
                run_nest(nest, sizes, arrays, in_all, limits)
            for nest in parted.in_parts:
                run_nest(nest, sizes, arrays, in_all, limits, part)
            once = ()
