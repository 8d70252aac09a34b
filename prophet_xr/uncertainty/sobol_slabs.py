"""Slabs of a metric for `sobol_sums`: from one sweep of many cells, or streamed one by one."""

from collections.abc import Iterator
from itertools import product
from math import prod

import numpy as np
import xarray as xr

from prophet_xr.engine.partition import Dims, part_lengths, slices
from prophet_xr.grid import sweep
from prophet_xr.registry import POLICY
from prophet_xr.streaming.slabs import SlabPlan, planned
from prophet_xr.uncertainty import sobol_sums

BLOCK = 4  # slabs; what a sweep of several cells may hold
Cells = Iterator[tuple[tuple[int, ...], sobol_sums.Slabs]]


def of_each(data: xr.Dataset, name: str, where: str, kept: list[str], varied: list[str]) -> Cells:
    """Yield each cell of the kept dims: its index, and the metric on slabs of ``varied`` dims."""
    size = prod(data.sizes[d] for d in varied)
    slabs_of = _streamed if size > BLOCK * sobol_sums.CELLS else _swept
    return slabs_of(data, name, where, kept, varied)


def _swept(data: xr.Dataset, name: str, where: str, kept: list[str], varied: list[str]) -> Cells:
    """Many cells in one sweep, which holds as many as fit."""
    dims = (*kept, *varied)
    sizes = {d: data.sizes[d] for d in dims}
    lengths = part_lengths(sizes, [dims], varied, 8 * BLOCK * sobol_sums.CELLS)
    for block in product(*(slices(sizes[d], lengths[d]) for d in kept)):
        asked = dict.fromkeys([name, where] if where else [name])
        cube = sweep(data.isel(dict(zip(kept, block, strict=True))), asked)
        values = cube[name].where(cube[where]) if where else cube[name]
        table = values.transpose(*dims).values.astype(np.float64, copy=False)
        for index in np.ndindex(table.shape[: len(kept)]):
            place = tuple(part.start + i for part, i in zip(block, index, strict=True))
            yield place, sobol_sums.cut(table[index], tuple(varied))


def _streamed(data: xr.Dataset, name: str, where: str, kept: list[str], varied: list[str]) -> Cells:
    """One cell after the other, none of them stored."""
    for index in np.ndindex(*(data.sizes[d] for d in kept)):
        plan = planned(data.isel(dict(zip(kept, index, strict=True))), [name], (), where)
        yield index, _Stream(plan, name, where, tuple(varied)).slabs


class _Stream:
    """Slabs of a metric, evaluated when they are asked for."""

    def __init__(self, plan: SlabPlan, name: str, where: str, varied: Dims) -> None:
        self.plan, self.name, self.where, self.varied = plan, name, where, varied
        asked = plan.asked.tolist()
        span = slice(asked[0], asked[0] + len(asked))
        self.single = span if asked == list(range(span.start, span.stop)) else None

    def slabs(self, uncut: list[str]) -> Iterator[tuple[sobol_sums.SumsBlock, np.ndarray]]:
        plan = self.plan
        for slab in plan.slabs(uncut, [plan.order]):
            if any(slab[d].start for d in plan.order if d not in (*self.varied, POLICY)):
                continue  # the same numbers as in the first slab of those dims
            if self.where or self.single is None:
                cells = plan.cells(slab, [self.name], self.where)[self.name]
            else:  # without a copy
                cells = xr.Variable(plan.dims[self.name], plan.run(slab)[0][self.name])
                cells = cells.isel({POLICY: self.single}) if POLICY in cells.dims else cells
            rest = {d: 0 for d in cells.dims if d not in self.varied}
            table = cells.isel(rest).transpose(*self.varied).values
            yield {d: slice(None) if d == POLICY else slab[d] for d in self.varied}, table
