"""How a grid is cut into parts that fit into a given number of bytes."""

from collections.abc import Collection, Iterable, Mapping
from math import prod

Dims = tuple[str, ...]


def steps(
    sizes: Mapping[str, int],
    stored: Iterable[Dims],
    uncut: Collection[str],
    limit: int,
    first: Collection[str] = (),
) -> dict[str, int]:
    """Length of a part along each dim, such that arrays of 8 B on the dims ``stored`` fit.

    The longest part of the largest array is halved, until they do or nothing can be cut; one of
    the dims ``first`` as long as there is one.
    """
    stored = list(stored)
    step = dict(sizes)

    def size(dims: Dims) -> int:
        return 8 * prod(step[d] for d in dims)

    while sum(map(size, stored)) > limit:
        can = [
            (d in first, size(dims), step[d], d)
            for dims in stored
            for d in dims
            if d not in uncut and step[d] > 1
        ]
        if not can:
            break
        *_, longest = max(can)
        step[longest] = -(-step[longest] // 2)
    return step


def parts(size: int, step: int) -> list[slice]:
    """Cut one dim; all parts but the last are as long as ``step``."""
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]
