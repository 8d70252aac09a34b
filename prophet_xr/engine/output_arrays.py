"""Where a sweep puts its numbers: into new arrays, or into those of an earlier cube.

Comes in: the nests of a sweep, and perhaps a cube whose arrays are to be filled anew (``out=``).
Goes out: the arrays that the nests write, and those that the cube keeps.

The two are the same but in one case: real metrics that are kept in 4 bytes and that another nest
reads are written in 8 bytes first, as all arithmetic is in 8, and narrowed at the end.  Arrays are
allocated here rather than in compiled code, where their memory is 3 to 9 times slower to fill.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from prophet_xr.checks import enough_memory
from prophet_xr.engine.memory import ArrayType, aligned_array
from prophet_xr.engine.partition import PartedNests, bytes_of
from prophet_xr.errors import InputError, brief

Arrays = dict[str, np.ndarray]


def real_dtype(dtype: object) -> str:
    """Name the type in which real metrics are stored; InputError for one that is none."""
    try:
        name = np.dtype(dtype).name  # pyright: ignore[reportCallIssue, reportArgumentType]
    except (TypeError, ValueError):
        name = ""
    if name not in ("float64", "float32"):
        raise InputError(f"dtype={brief(dtype)} is unknown; expected 'float64' or 'float32'")
    return name


def reusable(out: object, wanted: Iterable[str]) -> Arrays:
    """Arrays of an earlier cube that can be filled anew; InputError where there is none."""
    if not isinstance(out, xr.Dataset):
        raise InputError(f"out= is a {type(out).__name__}; expected the cube of a sweep")
    arrays: Arrays = {}
    for name in wanted:
        array = out.variables[name]._data if name in out.data_vars else None
        if not isinstance(array, np.ndarray) or not array.flags.writeable:
            raise InputError(f"out= has no array of {name!r} to write in; expected a sweep's cube")
        arrays[name] = array
    return arrays


def written_and_kept(
    nests: PartedNests, sizes: Mapping[str, int], dtype: str, reused: Arrays
) -> tuple[Arrays, Arrays]:
    """Arrays that the nests write, and those that the cube keeps.

    Raises InputError for reused arrays that do not match, and if new ones do not fit into memory.
    """
    written = nests.wanted_arrays(sizes)
    real = np.dtype(dtype)
    kept = {n: (s, real if k == np.float64 else k) for n, (s, k) in written.items()}
    _check_reused(reused, kept)
    wide = {n: array_type for n, array_type in written.items() if array_type != kept[n]}
    new = {n: array_type for n, array_type in kept.items() if n not in reused}
    passed_on = nests.passed_on_arrays(sizes, next(nests.parts(sizes)))
    enough_memory(sum(map(bytes_of, (wide, new, passed_on))))
    arrays = {n: reused[n] if n in reused else aligned_array(*kept[n]) for n in kept}
    return arrays | {n: aligned_array(*array_type) for n, array_type in wide.items()}, arrays


def _check_reused(reused: Arrays, kept: Mapping[str, ArrayType]) -> None:
    for name, array in reused.items():
        if (array.shape, array.dtype) != kept[name] or not array.flags.c_contiguous:
            shape, dtype = kept[name]
            raise InputError(
                f"out={name!r} has shape {array.shape} of {array.dtype}; expected {shape} of "
                f"{dtype}, with the baseline among the policies"
            )


def narrow(written: Arrays, kept: Arrays) -> None:
    """Copy what was written in 8 bytes and is kept in 4."""
    with np.errstate(over="ignore"):  # as compiled code stores it
        for name, array in kept.items():
            if array is not written[name]:
                array[...] = written[name]
