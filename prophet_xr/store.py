"""Cube <-> NetCDF, written beside and renamed."""

from pathlib import Path

import xarray as xr

from prophet_xr import kernels  # noqa: F401  (declares the metrics)
from prophet_xr.errors import InputError
from prophet_xr.files import replacing
from prophet_xr.registry import QUANTITIES


def save(cube: xr.Dataset, path: str | Path) -> None:
    """Write a cube to NetCDF; an interrupted run leaves the old file whole.

    Raises InputError for a name that would be read as Zarr, OSError if the disk does.
    """
    if Path(path).suffix == ".zarr":
        raise InputError(f"path {str(path)!r} ends in '.zarr'; px.save writes NetCDF, expected .nc")
    with replacing(Path(path)) as draft:
        cube.to_netcdf(draft, engine="netcdf4")


def load(path: str | Path) -> xr.Dataset:
    """Read a cube that `save` or `sweep_to` wrote, arrays on demand.

    Raises InputError for a file that is missing, truncated or no cube.
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"cube {source} does not exist; expected a NetCDF file of px.save")
    zarr = source.suffix == ".zarr"
    engine, title = ("zarr", "Zarr") if zarr else ("netcdf4", "NetCDF")
    options = {"consolidated": False} if zarr else None
    try:
        cube = xr.open_dataset(source, engine=engine, chunks=None, backend_kwargs=options)
    except (OSError, ValueError, KeyError) as problem:
        raise InputError(f"cube {source} cannot be read as {title}: {problem}") from None
    if "specs_digest" not in cube.attrs or not any(
        n in QUANTITIES and QUANTITIES[n].formula for n in map(str, cube.data_vars)
    ):
        cube.close()
        raise InputError(f"cube {source} holds no metric of prophet_xr; expected a file of px.save")
    return cube
