"""``data/specs.nc``: rows of numbers by label, with source and status of every value."""

import hashlib
from functools import cache
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from prophet_xr import schema  # noqa: F401  (declares the fields)
from prophet_xr.errors import SpecError
from prophet_xr.registry import LABELLED, fields

STATUSES = (
    *("exact", "datasheet", "measured", "published", "bounded", "inferred", "stand-in"),
    "assumed",
)
TEXTS = ("source", "status", "arithmetic")  # companions of a field, "<field>_source" and so on


def path() -> Path:
    """Where specs.nc is: inside the package in a wheel, under ``data/`` in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "data" / "specs.nc"
    return inside if inside.exists() else package.parent / "data" / "specs.nc"


def groups() -> list[str]:
    """Groups of specs.nc: one per label axis, the study's own constants, and the defaults."""
    return [*LABELLED, "published/model", "defaults"]


@cache
def _open(file: Path, _changed: int) -> dict[str, xr.Dataset]:
    """Read and check every group; ``_changed`` makes an edited file a new entry."""
    try:
        with netCDF4.Dataset(file) as tree:
            tree.set_auto_mask(False)
            found = {g: read_only(_group(tree[g])) for g in groups()}
    except (OSError, ValueError, LookupError, RuntimeError, AttributeError) as problem:
        raise SpecError(
            f"specs: {file} cannot be read ({problem}); expected a file made by "
            f"`prophet-xr specs build`"
        ) from None
    for group, data in found.items():
        _check(data, group, file)
    return found


def _group(node: netCDF4.Dataset | netCDF4.Group) -> xr.Dataset:
    """One group, variable by variable: xarray's own reader takes four times as long for 500."""
    return xr.Dataset({name: _variable(v) for name, v in node.variables.items()})


def read_only(data: xr.Dataset) -> xr.Dataset:
    """Lock the arrays of rows that every later call is given."""
    for name in set(data.variables) - set(data.xindexes):  # what an index gives is a copy
        data.variables[name].values.flags.writeable = False
    return data


def _variable(stored: netCDF4.Variable) -> xr.Variable:
    """Text comes as Python objects; labels are fixed-width text everywhere else."""
    values = np.array(stored[...], "U" if stored.dtype is str else None)
    attrs = {key: stored.getncattr(key) for key in stored.ncattrs() if not key.startswith("_")}
    return xr.Variable(stored.dimensions, values, attrs)


def _check(data: xr.Dataset, group: str, file: Path) -> None:
    label = group.rsplit("/", maxsplit=1)[-1]
    for q in fields(label):
        if q.name not in data or data[q.name].dims != (label,):
            raise SpecError(
                f"specs: field {q.name!r} of group {group!r} in {file} is missing; "
                f"expected one number per {label}; rebuild with `prophet-xr specs build`"
            )
        values = data[q.name].values
        low, high = q.bounds
        good = np.isfinite(values) & (values >= low) & (values <= high)
        if not good.all():
            at = data[label].values[~good].tolist()[0]
            raise SpecError(
                f"specs: {q.name}={values[~good][0]:g} at {label}={at!r} in {file} "
                f"is outside [{low:g}, {high:g}] ({q.long_name}, {q.units})"
            )


def read(group: str) -> xr.Dataset:
    """Read one group of specs.nc.

    Raises SpecError if the file is missing, truncated or lacks a field.
    """
    file = path()
    if not file.exists():
        raise SpecError(
            f"specs: {file} is missing; expected a file made by `prophet-xr specs build`"
        )
    return _open(file, file.stat().st_mtime_ns)[group]


def rows(label: str, study: str = "verified") -> xr.Dataset:
    """Read the numeric fields of a label axis, without sources; ``study`` picks the models."""
    group = "published/model" if label == "model" and study == "published" else label
    return read(group)[[q.name for q in fields(label)]]


def digest() -> str:
    """Return a hash of the numbers in specs.nc, the same on every machine."""
    file = path()
    read("defaults")  # a missing file is a SpecError
    return _digest(file, file.stat().st_mtime_ns)


@cache
def _digest(file: Path, changed: int) -> str:
    text = hashlib.sha256()
    for group, data in _open(file, changed).items():
        for name in sorted(map(str, data.variables)):
            if not name.endswith(TEXTS):
                text.update(f"{group}/{name}={data[name].values.tolist()!r}".encode())
    return text.hexdigest()[:16]
