"""Sums of a grid from which its variances follow, gathered slab by slab; arrays only, no labels.

The weight of a cell is the product of one weight per axis.  So the variance of the mean given some
axes needs only the sums over the other axes.  Sums given one axis or two are small and are kept.
Sums given all axes but one are as large as the grid: they are not kept, their squares are added up
as soon as a slab holds the whole of that one axis.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product
from math import prod

import numpy as np

from prophet_xr.engine.partition import Dims, part_lengths, slices

CELLS = 2**20  # that a slab holds whole; its copies stay small
SumsBlock = Mapping[str, slice]
Weights = Mapping[str, np.ndarray]
Slabs = Callable[[list[str]], Iterable[tuple[SumsBlock, np.ndarray]]]
Counted = tuple[np.ndarray, np.ndarray | float]  # sums of cells, and of the weights that count
CALM = 1e-13  # of the largest cell; a standard deviation below is rounding


@dataclass
class Sums:
    """Weighted sums of the cells that count, less ``shift``, which spares digits.

    ``within``  by one axis or two: sums over the others, of cells and of the weights that count
    ``lines``   by axis: the squares of the means along it, summed over the others
    """

    weights: Weights
    shift: float = 0.0
    weight: float = 0.0
    total: float = 0.0
    square: float = 0.0
    missing: float = 0.0
    within: dict[Dims, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    lines: dict[str, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean of the cells."""
        return self.shift + self.total / self.weight

    @property
    def variance(self) -> float:
        """Variance of the cells; 0 if it is rounding."""
        mean = self.total / self.weight
        variance = self.square / self.weight - mean**2
        return variance if variance > (CALM * max(abs(self.shift), abs(mean))) ** 2 else 0.0

    def between(self, axes: Dims) -> float:
        """Variance of the mean given one axis or two."""
        total, weight = self.within[axes]
        squares = np.divide(total**2, weight, where=weight > 0, out=np.zeros_like(total))
        for axis in axes[::-1]:
            squares = _along(squares, squares.ndim - 1, self.weights[axis])
        return max(0.0, float(squares) / self.weight - (self.total / self.weight) ** 2)

    def along(self, axis: str) -> float:
        """Mean of the variance along an axis."""
        return max(0.0, (self.square - self.lines[axis]) / self.weight)


class _Part:
    """A slab, and its sums over any of its axes."""

    def __init__(self, dims: Dims, values: Counted, weights: Weights) -> None:
        self.dims, self.weights = dims, weights
        self.order = sorted(dims, key=lambda d: -weights[d].size)  # long first: least is left
        self.known: dict[frozenset, Counted] = {frozenset(dims): values}

    def given(self, kept: Iterable[str]) -> Counted:
        """Weighted sums over all axes but those kept, of the cells and of what counts."""
        key = frozenset(kept)
        if key not in self.known:
            out = next(d for d in self.order[::-1] if d not in key)
            total, count = self.given(key | {out})
            position = [d for d in self.dims if d in key or d == out].index(out)
            w = self.weights[out]
            alike = not isinstance(count, np.ndarray)
            count = count * float(w.sum()) if alike else _along(count, position, w)
            self.known[key] = _along(total, position, w), count
        return self.known[key]

    def line(self, axis: str) -> float:
        """Squares of the means along an axis, summed over the others."""
        total, count = self.given(d for d in self.dims if d != axis)
        squares = np.asarray(total * total)  # where none counts it is 0
        if isinstance(count, np.ndarray):
            np.divide(squares, count, where=count > 0, out=squares)
        elif count > 0:
            squares /= count
        return self.sum(squares, tuple(d for d in self.dims if d != axis))

    def sum(self, values: np.ndarray, dims: Dims) -> float:
        """Weighted sum over all axes."""
        for d in dims[::-1]:
            values = _along(values, values.ndim - 1, self.weights[d])
        return float(values)


def _along(values: np.ndarray, position: int, weights: np.ndarray) -> np.ndarray:
    """Weighted sum along one axis.

    By einsum, as quick as matrix products on one core: those start threads of their own, which
    wait for each other at full load, and whose sums differ from run to run.
    """
    shape = values.shape
    rows = values.reshape(prod(shape[:position]), shape[position], prod(shape[position + 1 :]))
    if position == values.ndim - 1:
        return np.einsum("aib,i->a", rows, weights).reshape(shape[:position])
    return np.einsum("aib,i->ab", rows, weights).reshape(*shape[:position], *shape[position + 1 :])


@np.errstate(over="ignore", invalid="ignore")  # cells too large come out infinite
def gather(weights: Weights, slabs: Slabs, fill: float | None, pairs: bool) -> Sums:
    """Sum a grid up, in as many passes as it takes to see every axis whole.

    ``slabs(uncut)`` gives the parts of the grid, on the axes of ``weights`` in order and not cut
    along ``uncut``.  A cell that is not finite counts as ``fill``, or not at all.
    """
    sums, dims = Sums(weights), tuple(weights)
    for kept in (*((d,) for d in dims), *(combinations(dims, 2) if pairs else ())):
        shape = [weights[d].size for d in kept]
        sums.within[kept] = np.zeros(shape), np.zeros(shape)
    todo, first = set(dims), True
    while todo or first:
        done: set[str] = set()
        for count, (slab, values) in enumerate(slabs(_together(todo, weights))):
            good = np.isfinite(values)
            if first and not count:
                sums.shift = float(values.flat[good.argmax()]) if good.any() else 0.0
            slab_weights = {d: weights[d][slab[d]] for d in dims}
            part = _Part(dims, _counted(values, good, sums.shift, fill), slab_weights)
            done = {d for d in todo if slab_weights[d].size == weights[d].size}
            _add(sums, part, done, slab if first else None)
            if first and not good.all():
                sums.missing += part.sum(1.0 - good, dims)
        todo, first = todo - done, False
    return sums


def _together(todo: Collection[str], weights: Weights) -> list[str]:
    """Axes to leave whole in a pass: as many as a slab holds, at least one that is still to do.

    The last come first, since cells are computed row by row along them.
    """
    last = list(weights)[::-1]
    group: list[str] = []
    if len(todo) < len(weights):  # what the last pass could not do, then the rows
        last = sorted(last, key=lambda d: d not in todo)
    for axis in last:
        if not group or prod(weights[d].size for d in (*group, axis)) <= CELLS:
            group.append(axis)
    return group


def _counted(values: np.ndarray, good: np.ndarray, shift: float, fill: float | None) -> Counted:
    """Cells less the shift, and which of them count."""
    if good.all():
        return values - shift, 1.0
    if fill is not None:
        return np.where(good, values, fill) - shift, 1.0
    return np.where(good, values - shift, 0.0), good.astype(np.float64)


def _add(sums: Sums, part: _Part, lines: Iterable[str], slab: SumsBlock | None) -> None:
    """Add the lines of a slab along some axes, and all else if it is seen for the first time."""
    for axis in sorted(lines):
        sums.lines[axis] = sums.lines.get(axis, 0.0) + part.line(axis)
    if slab is None:
        return
    values, _ = part.given(part.dims)
    total, weight = part.given(())
    sums.total += float(total)
    sums.weight += float(weight)
    last = part.weights[part.dims[-1]]
    squares = np.einsum("...i,...i,i->...", values, values, last)  # no copy of the cells
    sums.square += part.sum(squares, part.dims[:-1])
    for kept, (totals, weights) in sums.within.items():
        block = tuple(slab[d] for d in kept)
        total, weight = part.given(kept)
        totals[block] += total
        weights[block] += weight


def cut(values: np.ndarray, dims: Dims) -> Slabs:
    """Slabs of an array in memory."""
    sizes = dict(zip(dims, values.shape, strict=True))

    def slabs(uncut: list[str]) -> Iterator[tuple[SumsBlock, np.ndarray]]:
        lengths = part_lengths(sizes, [dims], uncut, 8 * CELLS)
        for block in product(*(slices(sizes[d], lengths[d]) for d in dims)):
            yield dict(zip(dims, block, strict=True)), values[block]

    return slabs
