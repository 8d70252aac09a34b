"""What the queries share: names checked at the door, labels on the way out."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr

from prophet_xr.checks import dataset, text, texts
from prophet_xr.errors import InputError, nearest
from prophet_xr.provenance import provenance
from prophet_xr.registry import QUANTITIES

Names = str | Iterable[str]


def dims_of(data: xr.Dataset, what: str, names: Names) -> list[str]:
    """Names of dims, each of which the inputs have."""
    known = [str(d) for d in dataset("the inputs", data).dims]
    for name in (asked := texts(what, names)):
        if name not in known:
            raise InputError(f"{name!r} is no dimension of the inputs; {nearest(name, known)}")
    return asked


def flag(where: str) -> None:
    """Raise InputError for a condition that is no flag."""
    flags = [n for n, q in QUANTITIES.items() if q.dtype == "bool"]
    if where is not None and text("where", where) and where not in flags:
        raise InputError(f"where={where!r} is no flag; {nearest(where, flags)}")


def result(data: xr.Dataset, gone: Iterable[str], made: Mapping[str, tuple]) -> xr.Dataset:
    """What was made, with the coordinates that remain when some dims are gone.

    One Dataset at the end: each merge would copy them all.
    """
    kept = data.coords.to_dataset().drop_dims(gone, errors="ignore")
    for name in made:
        if name in kept.coords:
            raise InputError(
                f"{name!r} is a coordinate of the inputs; expected another name for it"
            )
    return xr.Dataset(made, kept.coords, provenance())


def label(
    data: xr.Dataset, dim: str, index: np.ndarray, some: np.ndarray | None = None
) -> np.ndarray:
    """Labels of a dim by their index; NaN, or an empty text, where there is none."""
    known = dim in data.variables
    labels = data.variables[dim].values if known else np.arange(data.sizes[dim])
    found = labels[index]
    if some is None or some.all():
        return found
    nothing = {"U": "", "O": "", "M": np.datetime64("NaT"), "m": np.timedelta64("NaT")}
    return np.where(some, found, nothing.get(labels.dtype.kind, np.nan))


def labels(
    data: xr.Dataset, dims: Sequence[str], places: np.ndarray, some: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Labels along each dim of cells that are counted in C order."""
    if not dims:
        return {}
    at = np.unravel_index(np.clip(places, 0, None), [data.sizes[d] for d in dims])
    return {d: label(data, d, index, some) for d, index in zip(dims, at, strict=True)}
