"""How a grid is cut into parts that fit into a given number of bytes.

Comes in: the nests of a sweep, the lengths of the dims, a limit in bytes.  Goes out: the length of
a part along each dim (`part_lengths`), or the nests that run once and those that run part by part
(`parted`).

What is kept of a sweep is stored whole.  What one nest only passes on to the next is large too if
the grid is, and new memory fills slower than old: so the nests that share such an array run on one
part of a dim after the other, each in the same memory, which never takes more than the limit.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from operator import itemgetter

import numpy as np

from prophet_xr.engine.codegen import Dims, Nest
from prophet_xr.engine.memory import Shape


def part_lengths(
    sizes: Mapping[str, int],
    stored: Iterable[Dims],
    uncut: Collection[str],
    limit: int,
    first: Collection[str] = (),
) -> dict[str, int]:
    """Length of a part along each dim, such that arrays of 8 B on the dims ``stored`` fit.

    The dim whose halving saves the most is halved, until they do or nothing can be cut; of several
    one of ``first``, then the longest.
    """
    stored = list(stored)
    step = dict(sizes)

    def size(dims: Iterable[Dims]) -> int:
        return sum(8 * prod(step[d] for d in own) for own in dims)

    while size(stored) > limit:
        can = [
            (size(own for own in stored if d in own), d in first, n, d)
            for d, n in step.items()
            if n > 1 and d not in uncut and any(d in own for own in stored)
        ]
        if not can:
            break
        *_, best = max(can)
        step[best] = -(-step[best] // 2)
    return step


def slices(size: int, step: int) -> list[slice]:
    """Cut one dim; all parts but the last are as long as ``step``."""
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


@dataclass(frozen=True)
class PartedNests:
    """Nests to run once, and those to run on parts of ``dim``, ``length`` long; what is wanted."""

    wanted: frozenset[str]
    once: tuple[Nest, ...]
    parted: tuple[Nest, ...] = ()
    dim: str = ""
    length: int = 0

    @property
    def nests(self) -> tuple[Nest, ...]:
        """All nests, in the order they run."""
        return (*self.once, *self.parted)

    def parts(self, sizes: Mapping[str, int]) -> Iterator[slice]:
        """Parts of the dim; one of nothing if no nest is parted."""
        yield from slices(sizes[self.dim], self.length) if self.parted else [slice(0, 0)]

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
def parted(
    plan: tuple[Nest, ...],
    wanted: frozenset[str],
    sizes: tuple[tuple[str, int], ...],
    limit: int,
) -> PartedNests:
    """Part the nests of a plan along the dim that leaves the least whole, if it is too much."""
    lengths = dict(sizes)
    between = {n: like for n, like in shapes(plan, lengths).items() if n not in wanted}
    total = size_of(between)
    if total <= limit:
        return PartedNests(wanted, plan)
    found = []
    for dim, length in lengths.items():
        inside = [nest for nest in plan if dim in nest.outer]
        partial = between.keys() & {n for nest in inside for n in nest.stores}
        read_whole = {n for nest in plan if nest not in inside for n in nest.reads}
        if partial and length > 1 and partial.isdisjoint(read_whole):
            cut = size_of({n: between[n] for n in partial})
            found.append((total - cut, -length, dim, inside, partial))
    if not found:
        return PartedNests(wanted, plan)
    left, _, dim, inside, partial = min(found, key=itemgetter(0, 1, 2))
    room = max(limit - left, limit // 4)
    step = max(1, room * lengths[dim] // (total - left))
    parted = tuple(
        replace(nest, part=dim, whole=frozenset({*nest.reads, *nest.stores} - partial))
        for nest in inside
    )
    return PartedNests(wanted, tuple(n for n in plan if n not in inside), parted, dim, step)
