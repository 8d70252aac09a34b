"""How a grid is cut into parts that fit into a given number of bytes.

Comes in: the nests of a sweep, the lengths of the dims, a limit in bytes.  Goes out: the length of
a part along each dim (`part_lengths`), or the nests that run once and those that run part by part
(`parted_nests`).

What is wanted of a sweep is stored whole.  What one nest only passes on to the next is large too if
the grid is, and new memory fills slower than old: so the nests that share such an array run on one
part of a dim after the other, each in the same memory, which never takes more than the limit.

Which dim to cut is simple arithmetic.  Three arrays of 8 B, one of them on both dims, take 8,880 B;
to cut ``a`` shortens two of them, so ``a`` is halved, twice:

>>> part_lengths({"a": 100, "b": 10}, [("a", "b"), ("a",), ("b",)], uncut=(), limit=3_000)
{'a': 25, 'b': 10}
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from operator import itemgetter

import numpy as np

from prophet_xr.engine.memory import ArrayType
from prophet_xr.engine.nests import Dims, Nest


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
    lengths = dict(sizes)

    def size(arrays: Iterable[Dims]) -> int:
        return sum(8 * prod(lengths[d] for d in dims) for dims in arrays)

    while size(stored) > limit:
        candidates = [
            (size(dims for dims in stored if d in dims), d in first, n, d)
            for d, n in lengths.items()
            if n > 1 and d not in uncut and any(d in dims for dims in stored)
        ]
        if not candidates:
            break
        *_, best = max(candidates)
        lengths[best] = -(-lengths[best] // 2)
    return lengths


def slices(size: int, length: int) -> list[slice]:
    """Cut one dim; all parts but the last are of that length."""
    return [slice(start, min(start + length, size)) for start in range(0, size, length)]


@dataclass(frozen=True)
class PartedNests:
    """Nests to run once, and those to run on parts of ``dim``, ``length`` long; what is wanted."""

    wanted: frozenset[str]
    once: tuple[Nest, ...]
    in_parts: tuple[Nest, ...] = ()
    dim: str = ""
    length: int = 0

    @property
    def nests(self) -> tuple[Nest, ...]:
        """All nests, in the order they run."""
        return (*self.once, *self.in_parts)

    def parts(self, sizes: Mapping[str, int]) -> Iterator[slice]:
        """Parts of the dim; one of nothing if every nest runs once."""
        yield from slices(sizes[self.dim], self.length) if self.in_parts else [slice(0, 0)]

    def wanted_arrays(self, sizes: Mapping[str, int]) -> dict[str, ArrayType]:
        """What is wanted, whole."""
        stored = stored_arrays(self.nests, sizes)
        return {n: array_type for n, array_type in stored.items() if n in self.wanted}

    def passed_on_arrays(self, sizes: Mapping[str, int], part: slice) -> dict[str, ArrayType]:
        """What nests only pass on to each other: those that run once first."""
        part_sizes = {**sizes, self.dim: part.stop - part.start}
        stored = stored_arrays(self.once, sizes) | stored_arrays(self.in_parts, part_sizes)
        return {n: array_type for n, array_type in stored.items() if n not in self.wanted}


def stored_arrays(nests: Iterable[Nest], sizes: Mapping[str, int]) -> dict[str, ArrayType]:
    """Shapes and types of what nests store."""
    return {
        name: (tuple(sizes[d] for d in nest.dims), np.dtype(dtype))
        for nest in nests
        for name, dtype in nest.stores.items()
    }


def bytes_of(arrays: Mapping[str, ArrayType]) -> int:
    """Bytes of arrays."""
    return sum(prod(shape) * dtype.itemsize for shape, dtype in arrays.values())


@lru_cache(256)
def parted_nests(
    nests: tuple[Nest, ...],
    wanted: frozenset[str],
    sizes: tuple[tuple[str, int], ...],
    limit: int,
) -> PartedNests:
    """Part nests along the dim that leaves the least uncut, if they pass on more than the limit.

    A dim is cut only outside of rows, and only if no nest without it reads what would be cut.
    """
    lengths = dict(sizes)
    stored = stored_arrays(nests, lengths)
    passed_on = {n: array_type for n, array_type in stored.items() if n not in wanted}
    total = bytes_of(passed_on)
    if total <= limit:
        return PartedNests(wanted, nests)
    candidates = []
    for dim, length in lengths.items():
        inside = [nest for nest in nests if dim in nest.outer]
        cut = passed_on.keys() & {n for nest in inside for n in nest.stores}
        read_uncut = {n for nest in nests if nest not in inside for n in nest.reads}
        if cut and length > 1 and cut.isdisjoint(read_uncut):
            left = total - bytes_of({n: passed_on[n] for n in cut})
            candidates.append((left, -length, dim, inside, cut))
    if not candidates:
        return PartedNests(wanted, nests)
    left, _, dim, inside, cut = min(candidates, key=itemgetter(0, 1, 2))
    room = max(limit - left, limit // 4)
    in_parts = tuple(
        replace(nest, split_dim=dim, uncut=frozenset({*nest.reads, *nest.stores} - cut))
        for nest in inside
    )
    once = tuple(nest for nest in nests if nest not in inside)
    return PartedNests(wanted, once, in_parts, dim, max(1, room * lengths[dim] // (total - left)))
