"""Nests run part by part: what they leave to each other never takes more than a block of memory.

What is kept is stored whole.  What one nest only leaves to the next is large too, if the grid is,
and new memory fills slower than old: so the nests that share it run on one part of a dim after
the other, each in the same memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from operator import itemgetter

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
    between = {n: like for n, like in shapes(plan, lengths).items() if n not in wanted}
    total = size_of(between)
    if total <= limit:
        return Steps(wanted, plan)
    found = []
    for dim, length in lengths.items():
        inside = [nest for nest in plan if dim in nest.outer]
        partial = between.keys() & {n for nest in inside for n in nest.stores}
        read_whole = {n for nest in plan if nest not in inside for n in nest.reads}
        if partial and length > 1 and partial.isdisjoint(read_whole):
            cut = size_of({n: between[n] for n in partial})
            found.append((total - cut, -length, dim, inside, partial))
    if not found:
        return Steps(wanted, plan)
    left, _, dim, inside, partial = min(found, key=itemgetter(0, 1, 2))
    room = max(limit - left, limit // 4)
    step = max(1, room * lengths[dim] // (total - left))
    parted = tuple(
        replace(nest, part=dim, whole=frozenset({*nest.reads, *nest.stores} - partial))
        for nest in inside
    )
    return Steps(wanted, tuple(n for n in plan if n not in inside), parted, dim, step)
