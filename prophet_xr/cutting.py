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


def parts(size: int, step: int) -> list[slice]:
    """Cut one dim; all parts but the last are as long as ``step``."""
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]
