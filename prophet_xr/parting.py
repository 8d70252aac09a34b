"""Nests run part by part: what they leave to each other never takes more than a block of memory.

What is kept is stored whole.  What one nest only leaves to the next is large too, if the grid is,
and new memory fills slower than old: so the nests that share it run on one part of a dim after
the other, each in the same memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import numpy as np

from prophet_xr.cutting import parts
from prophet_xr.fuse import Nest
from prophet_xr.scratch import Shape


@dataclass(frozen=True)
class Steps:
    """Nests to run once, and those to run on parts of ``dim``, ``step`` long; what is wanted."""

    wanted: frozenset[str]
    once: tuple[Nest, ...]
    parted: tuple[Nest, ...] = ()
    dim: str = ""
    step: int = 0

    @property
    def nests(self) -> tuple[Nest, ...]:
        """All nests, in the order they run."""
        return (*self.once, *self.parted)

    def parts(self, sizes: Mapping[str, int]) -> Iterator[slice]:
        """Parts of the dim; one of nothing if no nest is parted."""
        yield from parts(sizes[self.dim], self.step) if self.parted else [slice(0, 0)]

    def kept(self, sizes: Mapping[str, int]) -> dict[str, Shape]:
        """Shapes and dtypes of what is wanted."""
        return {n: like for n, like in shapes(self.nests, sizes).items() if n in self.wanted}

    def between(self, sizes: Mapping[str, int], part: slice) -> dict[str, Shape]:
        """Those of what nests only leave to each other: of the nests that run once first."""
        here = {**sizes, self.dim: part.stop - part.start}
        stored = shapes(self.once, sizes) | shapes(self.parted, here)
        return {n: like for n, like in stored.items() if n not in self.wanted}


def shapes(nests: Iterable[Nest], sizes: Mapping[str, int]) -> dict[str, Shape]:
    """Shapes and dtypes of what nests store."""
    return {
        name: (tuple(sizes[d] for d in nest.dims), np.dtype(dtype))
        for nest in nests
        for name, dtype in nest.stores.items()
    }


def size_of(arrays: Mapping[str, Shape]) -> int:
    """Bytes of arrays."""
    return sum(prod(shape) * dtype.itemsize for shape, dtype in arrays.values())


@lru_cache(256)
def steps(
    plan: tuple[Nest, ...],
    wanted: frozenset[str],
    sizes: tuple[tuple[str, int], ...],
    limit: int,
) -> Steps:
    """Part the nests of a plan along the dim that leaves the least whole, if it is too much."""
    lengths = dict(sizes)
    size = {
        nest: sum(8 * prod(lengths[d] for d in nest.dims) for n in nest.stores if n not in wanted)
        for nest in plan
    }
    total = sum(size.values())
    if total <= limit:
        return Steps(wanted, plan)
    found = []
    for dim in lengths:
        inside = [nest for nest in plan if dim in nest.outer]
        cut = sum(size[nest] for nest in inside)
        if cut and lengths[dim] > 1 and _can_be_parted(plan, inside, wanted):
            found.append((total - cut, -lengths[dim], dim))
    if not found:
        return Steps(wanted, plan)
    left, _, dim = min(found)
    room = max(limit - left, limit // 4)
    step = max(1, room * lengths[dim] // (total - left))
    return _parted(plan, dim, min(step, lengths[dim]), wanted)


def _can_be_parted(plan: tuple[Nest, ...], inside: list[Nest], wanted: frozenset[str]) -> bool:
    """Tell whether no nest that runs once reads what there is only in part."""
    partial = {n for nest in inside for n in nest.stores if n not in wanted}
    return not any(partial & nest.reads.keys() for nest in plan if nest not in inside)


def _parted(plan: tuple[Nest, ...], dim: str, step: int, wanted: frozenset[str]) -> Steps:
    inside = [nest for nest in plan if dim in nest.outer]
    partial = {n for nest in inside for n in nest.stores if n not in wanted}
    parted = [
        replace(nest, part=dim, whole=frozenset({*nest.reads, *nest.stores} - partial))
        for nest in inside
    ]
    once = tuple(n for n in plan if n not in inside)
    return Steps(wanted, once, tuple(parted), dim, step)
