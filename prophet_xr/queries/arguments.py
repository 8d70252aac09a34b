"""What the queries share: arguments checked, and positions turned back into labels."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr

from prophet_xr.catalogue.provenance import provenance
from prophet_xr.checks import dataset, text, texts
from prophet_xr.errors import InputError, nearest
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


def result(data: xr.Dataset, gone: Iterable[str], variables: Mapping[str, tuple]) -> xr.Dataset:
    """Dataset of an answer: its variables, and the coordinates without the dims ``gone``.

    It is made once, at the end: each merge would copy all variables.
    """
    kept = data.coords.to_dataset().drop_dims(gone, errors="ignore")
    for name in variables:
        if name in kept.coords:
            raise InputError(
                f"{name!r} is a coordinate of the inputs; expected another name for it"
            )
    return xr.Dataset(variables, kept.coords, provenance())


def label(
    data: xr.Dataset, dim: str, index: np.ndarray, some: np.ndarray | None = None
) -> np.ndarray:
    """Labels of a dim at positions along it; NaN, or an empty text, where ``some`` is false."""
    known = dim in data.variables
    labels = data.variables[dim].values if known else np.arange(data.sizes[dim])
    of_each = labels[index]
    if some is None or some.all():
        return of_each
    nothing = {"U": "", "O": "", "M": np.datetime64("NaT"), "m": np.timedelta64("NaT")}
    return np.where(some, of_each, nothing.get(labels.dtype.kind, np.nan))


def labels_at(
    data: xr.Dataset, dims: Sequence[str], places: np.ndarray, some: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Label along each dim of cells, whose positions ``places`` count all dims in C order."""
    if not dims:
        return {}
    indices = np.unravel_index(np.clip(places, 0, None), [data.sizes[d] for d in dims])
    return {d: label(data, d, index, some) for d, index in zip(dims, indices, strict=True)}
