"""A grid in slabs: each is a part of every axis but the policy, evaluated in bounded memory.

Comes in: the inputs of a grid, the metrics wanted, and the dims to reduce over, if any.  Goes out:
a `SlabPlan`, which cuts the grid into slabs and gives the arrays of one slab after the other, or
their sums and frontiers.
Why so: every question about a grid that is too large for memory (a cube on disk, a summary, the
Pareto front) is one loop over slabs.  The policy is never cut, because every row of it is compared
with the baseline.  Of two dims whose cut saves as much memory, one that nothing is reduced over is
cut: its slabs need no merging.  A nest whose part of the grid is that of the slab before is not run
again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod

import numpy as np
import xarray as xr

from prophet_xr.engine.accumulate import Tally
from prophet_xr.engine.evaluate import prepared
from prophet_xr.engine.limits import Limits, in_force
from prophet_xr.engine.memory import Memory
from prophet_xr.engine.nests import Dims, Nest, Reduction, dim_order
from prophet_xr.engine.partition import part_lengths, slices, stored_arrays
from prophet_xr.engine.run import evaluations, reduce_nest, run_nest
from prophet_xr.grid import complete
from prophet_xr.registry import POLICY, required

Slab = Mapping[str, slice]


@dataclass
class _Done:
    """The part of each nest that is in the arrays: slabs that share it need not run it again."""

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    parts: dict[Nest, list[slice]] = field(default_factory=dict)


@dataclass(frozen=True)
class SlabPlan:
    """Nests, what they read, and how to run them on a part of the grid.

    ``full``    the inputs with the baseline first, ``asked`` the rows of policy asked for
    ``order``   its dims as the nests have them, the policy first
    ``dims``    those of every quantity
    ``kept``    dims that nothing is reduced over: slabs along them need no merging
    ``arrays``  the inputs as arrays, whole
    ``memory``  where the arrays of a slab are; the next slab overwrites them
    """

    full: xr.Dataset
    asked: np.ndarray
    order: Dims
    dims: Mapping[str, Dims]
    kept: frozenset[str]
    nests: tuple[Nest, ...]
    arrays: Mapping[str, np.ndarray]
    limits: Limits
    memory: Memory
    done: _Done = field(default_factory=_Done)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length of each dim of the grid, in order."""
        return {d: self.full.sizes[d] for d in self.order}

    def slabs(self, uncut: Iterable[str] = (), together: Iterable[Dims] = ()) -> Iterator[Slab]:
        """Cut the grid until what is stored of a slab, and arrays ``together``, fit its memory."""
        lengths = self.slab_lengths(uncut, together, self.limits.kept_memory)
        with self.memory.borrowed():
            for cut in product(*(slices(n, lengths[d]) for d, n in self.sizes.items())):
                yield dict(zip(self.sizes, cut, strict=True))

    def slab_lengths(
        self, uncut: Iterable[str], together: Iterable[Dims], limit: int
    ) -> dict[str, int]:
        """Length of a slab along each dim."""
        stored = [nest.dims for nest in self.nests for _ in nest.stores]
        return part_lengths(self.sizes, [*stored, *together], {POLICY, *uncut}, limit, self.kept)

    def run(self, slab: Slab) -> tuple[dict[str, np.ndarray], dict[str, Tally]]:
        """What the nests store on a slab, and the tallies of what they reduce.

        The arrays are overwritten by the next call.
        """
        sizes = lengths(slab)
        cut = {d for d in self.order if sizes[d] < self.sizes[d]}
        arrays = {
            name: array
            if cut.isdisjoint(self.dims[name])
            else np.ascontiguousarray(array[tuple(slab[d] for d in self.dims[name])])
            for name, array in self.arrays.items()
        }
        stored = self.memory.arrays(stored_arrays(self.nests, sizes))
        if self.done.arrays is not stored:
            self.done.arrays, self.done.parts = stored, {}
        arrays |= stored
        tallies: dict[str, Tally] = {}
        in_all = evaluations(self.nests, sizes)
        for nest in self.nests:
            part = [slab[d] for d in nest.dims]
            if self.done.parts.get(nest) == part:
                continue
            self.done.parts[nest] = part
            if nest.reduces:
                of_nest = reduce_nest(nest, sizes, arrays, in_all, self.limits)
                # Along the dims that a nest has not, it is counted once: with their first slab.
                if not any(slab[d].start for d in self.order if d not in nest.dims):
                    tallies |= of_nest
            else:
                run_nest(nest, sizes, arrays, in_all, self.limits)
        return arrays, tallies

    def cells(self, slab: Slab, names: Iterable[str], where: str = "") -> dict[str, xr.Variable]:
        """Quantities on a slab in float64, of the policies asked for; NaN where no cell counts."""
        arrays, _ = self.run(slab)
        variables = {n: self._asked(n, arrays[n]) for n in names}
        if where:
            flag = self._asked(where, arrays[where])
            return {n: _masked(v, flag, self.order) for n, v in variables.items()}
        return {n: v.astype(np.float64) for n, v in variables.items()}

    def _asked(self, name: str, array: np.ndarray) -> xr.Variable:
        """Label an array, without the baseline if that was not asked for."""
        variable = xr.Variable(self.dims[name], array)
        return variable.isel({POLICY: self.asked}) if POLICY in variable.dims else variable


def planned(
    data: xr.Dataset,
    wanted: Iterable[str],
    over: Iterable[str] = (),
    where: str = "",
    dtype: str = "float64",
    with_positions: bool | None = None,
) -> SlabPlan:
    """Plan to store what is wanted of a grid slab by slab, or to accumulate it over dims.

    It is accumulated if ``with_positions`` is given, which tells whether with the positions of the
    frontiers.
    """
    names = [*wanted, where] if where else list(wanted)
    limits = in_force()
    full = complete(data, required(names))
    rest = [d for d in dim_order(full) if d != POLICY]
    reduced = tuple(d for d in rest if d in over)
    order = (POLICY, *_nested(full, [d for d in rest if d not in reduced], reduced, limits))
    reduction = None if with_positions is None else Reduction(reduced, where, with_positions)
    work = prepared(full, wanted if reduction else names, dtype, limits, order, reduction)
    rows = full.variables[POLICY].values.tolist()
    return SlabPlan(
        full=full,
        asked=np.array([rows.index(p) for p in np.atleast_1d(data.variables[POLICY].values)]),
        order=order,
        dims=work.dims_of,
        kept=frozenset(rest) - set(reduced),
        nests=work.nests,
        arrays=work.inputs,
        limits=limits,
        memory=Memory(limits.kept_memory),
    )


def _nested(full: xr.Dataset, kept: list[str], over: Dims, limits: Limits) -> Dims:
    """Dims with the reduced ones last, or before the last kept ones if few cells become one.

    A row that is reduced along itself is settled once for every kept cell: dear if that is often.
    """
    inner: list[str] = kept[-1:]  # however long: such a row is evaluated in blocks
    kept = kept[:-1]
    while kept and prod(full.sizes[d] for d in (kept[-1], *inner)) <= limits.accumulated_row_cells:
        inner.insert(0, kept.pop())
    wide = prod(full.sizes[d] for d in inner) >= limits.row_upon_row_cells
    few = prod(full.sizes[d] for d in over) < limits.row_upon_row_below
    return (*kept, *over, *inner) if few and wide else (*kept, *inner, *over)


def lengths(slab: Slab) -> dict[str, int]:
    """Length of each dim of a slab."""
    return {d: part.stop - part.start for d, part in slab.items()}


def _masked(values: xr.Variable, flag: xr.Variable, order: Dims) -> xr.Variable:
    dims = [d for d in order if d in (*values.dims, *flag.dims)]
    return values.where(flag).transpose(*dims)
