"""What the functions of this room refuse, each in one line: checked once, where it comes in."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from prophet_xr.errors import InputError, nearest
from prophet_xr.registry import LABELLED, QUANTITIES


def whole(name: str, value: object, least: int) -> int:
    """Return a whole number, at least so large."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name}={value!r}; expected a whole number, at least {least}")
    return int(value)


def between(name: str, value: object, low: float, high: float) -> float:
    """Return a number between two others, neither of which it may be."""
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        number = np.nan
    if not low < number < high:
        raise InputError(f"{name}={value!r}; expected a number between {low:g} and {high:g}")
    return number


def numbers(name: str, values: object) -> list[float]:
    """Return a list of finite numbers."""
    try:
        found = [float(v) for v in values]  # pyright: ignore[reportGeneralTypeIssues]
    except (TypeError, ValueError):
        found = [np.nan]
    if not np.isfinite(found).all():
        got = values.values.tolist() if isinstance(values, xr.DataArray) else values
        raise InputError(f"{name}={got!r}; expected a list of finite numbers")
    return found


def mapping(name: str, values: object) -> dict[Any, Any]:
    """Return a mapping as a dict."""
    if not isinstance(values, Mapping):
        raise InputError(f"{name}={values!r}; expected a mapping, such as a dict")
    return dict(values)


def numeric(what: str, data: xr.Dataset, name: object) -> None:
    """Raise InputError for a name that is no numeric input of the data."""
    known = [
        n for n, q in QUANTITIES.items() if n in data.variables and not (q.formula or n in LABELLED)
    ]
    if name not in known:
        raise InputError(f"{what} {name!r}, which is no numeric input; {near(name, known)}")


def near(name: object, known: Iterable[object]) -> str:
    """Word the names that are close; nothing of the others where there are too many to read."""
    words = nearest(name, known)
    return words if len(words) < 200 else "see `px.inputs()` and `prophet-xr metrics`"


def cells(values: object, what: str) -> xr.DataArray:
    """Return a labelled array of real numbers or flags."""
    if not isinstance(values, xr.DataArray):
        raise InputError(f"{what} is a {type(values).__name__}; expected a labelled xr.DataArray")
    if values.dtype.kind not in "iufb":
        raise InputError(f"{what} holds {values.dtype}; expected numbers or flags")
    return values


def labelled(values: xr.DataArray, chosen: Mapping[str, object], what: str) -> dict[str, Any]:
    """Return a label for each dim that is named, as the array has it."""
    found = {}
    for dim, label in chosen.items():
        if dim not in values.dims:
            raise InputError(f"{what} names {dim!r}, no dimension; {near(dim, values.dims)}")
        known = values[dim].values.tolist()
        if label not in known:
            raise InputError(f"{what}: {dim}={label!r} is not in the space; {near(label, known)}")
        found[dim] = label
    return found


def shares(values: object) -> np.ndarray:
    """Return quantiles: a list of numbers from 0 to 1."""
    found = np.array(numbers("quantiles", values))
    if not ((found >= 0) & (found <= 1)).all():
        raise InputError(f"quantiles={values!r}; expected a list of numbers from 0 to 1")
    return found
