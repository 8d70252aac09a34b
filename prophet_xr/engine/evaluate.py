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
from prophet_xr.engine.codegen import Dims, Nest
from prophet_xr.engine.limits import Limits
from prophet_xr.engine.memory import Memory
from prophet_xr.engine.nests import Fold, layout, natural, nests
from prophet_xr.engine.partition import PartedNests, parted
from prophet_xr.engine.run import evaluations, run
from prophet_xr.registry import QUANTITIES, needed


@dataclass(frozen=True)
class Prepared:
    """What there is to run on a grid.

    ``sizes``    length of each dim, in order
    ``dims_of``  dims of every quantity that is needed
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
    fold: Fold | None = None,
) -> Prepared:
    """Prepare to compute what is wanted, on dims in the given order; by default as in a cube.

    With ``fold`` it is accumulated instead of stored, the flag that ``fold`` names among what is
    needed.
    """
    wanted = list(wanted)
    required = needed([*wanted, fold.where] if fold and fold.where else wanted)
    order = order or layout(data)
    dims_of = natural(data, required, order)
    return Prepared(
        sizes={d: data.sizes[d] for d in order},
        dims_of=dims_of,
        nests=nests(data, required, wanted, order, dtype, limits, fold),
        inputs=_inputs(data, dims_of),
    )


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
    reused = {} if out is None else output_arrays.of(out, names)
    todo = parted(grid.nests, names, tuple(grid.sizes.items()), limits.kept_memory)
    written, kept = output_arrays.stores(todo, grid.sizes, dtype, reused)
    _fill(todo, grid.sizes, {**grid.inputs, **written}, limits)
    output_arrays.settle(written, kept)
    return {n: (grid.dims_of[n], kept[n]) for n in QUANTITIES if n in names}


def _fill(
    todo: PartedNests, sizes: Mapping[str, int], arrays: dict[str, np.ndarray], limits: Limits
) -> None:
    """Fill the arrays of what is wanted."""
    in_all, memory, once = evaluations(todo.nests, sizes), Memory(limits.kept_memory), todo.once
    with memory.kept():
        for part in todo.parts(sizes):
            # What the nests run once leave comes first, so it stays where it is.
            arrays |= memory.arrays(todo.between(sizes, part))
            for nest in once:
                run(nest, sizes, arrays, in_all, limits)
            for nest in todo.parted:
                run(nest, sizes, arrays, in_all, limits, part)
            once = ()
