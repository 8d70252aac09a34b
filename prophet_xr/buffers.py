"""Where a sweep puts its numbers: into new arrays, or into those of an earlier cube."""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from prophet_xr import scratch
from prophet_xr.checks import enough_memory
from prophet_xr.errors import InputError, shown
from prophet_xr.parting import Steps, size_of

Arrays = dict[str, np.ndarray]


def real(dtype: object) -> str:
    """Name the type in which real metrics are stored; InputError for one that is none."""
    try:
        name = np.dtype(dtype).name  # pyright: ignore[reportCallIssue, reportArgumentType]
    except (TypeError, ValueError):
        name = ""
    if name not in ("float64", "float32"):
        raise InputError(f"dtype={shown(dtype)} is unknown; expected 'float64' or 'float32'")
    return name


def of(out: object, wanted: Iterable[str]) -> Arrays:
    """Arrays of an earlier cube that can be filled anew."""
    if not isinstance(out, xr.Dataset):
        raise InputError(f"out= is a {type(out).__name__}; expected the cube of a sweep")
    found = {}
    for name in wanted:
        array = out.variables[name]._data if name in out.data_vars else None
        if not isinstance(array, np.ndarray) or not array.flags.writeable:
            raise InputError(f"out= has no array of {name!r} to write in; expected a sweep's cube")
        found[name] = array
    return found


def stores(
    todo: Steps, sizes: Mapping[str, int], dtype: str, reused: Arrays
) -> tuple[Arrays, Arrays]:
    """Arrays that the nests write, and those that the cube keeps.

    They differ where reals are kept in 4 bytes but other nests read them: in 8 bytes until then.
    """
    like = todo.kept(sizes)
    ends = {n: (s, np.dtype(dtype) if k == np.float64 else k) for n, (s, k) in like.items()}
    for name, array in reused.items():
        if (array.shape, array.dtype) != ends[name] or not array.flags.c_contiguous:
            shape, kind = ends[name]
            raise InputError(
                f"out={name!r} has shape {array.shape} of {array.dtype}; expected {shape} of "
                f"{kind}, with the baseline among the policies"
            )
    wide = {n: own for n, own in like.items() if own != ends[n]}
    new = {n: own for n, own in ends.items() if n not in reused}
    between = todo.between(sizes, next(todo.parts(sizes)))
    enough_memory(sum(map(size_of, (wide, new, between))))
    kept = {n: reused[n] if n in reused else scratch.aligned(*own) for n, own in ends.items()}
    return kept | {n: scratch.aligned(*own) for n, own in wide.items()}, kept


def settle(written: Arrays, kept: Arrays) -> None:
    """Narrow what was written in 8 bytes and is kept in 4."""
    with np.errstate(over="ignore"):  # as compiled code stores it
        for name, array in kept.items():
            if array is not written[name]:
                array[...] = written[name]
