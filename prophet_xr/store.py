"""A cube to a NetCDF file and back.

Comes in: a cube, or the path of one.  Goes out: a file that is whole, or a cube whose arrays are
read on demand.
Why so: a cube takes minutes to compute; a save that is interrupted leaves the old file as it was,
and a file that is damaged, or is no cube, is refused at once and not where it is first sliced.
"""

from errno import ENOSPC
from pathlib import Path
from shutil import disk_usage

import xarray as xr

from prophet_xr import checks
from prophet_xr.errors import InputError
from prophet_xr.files import replacing


def save(cube: xr.Dataset, path: str | Path) -> None:
    """Write a cube to NetCDF; an interrupted run leaves the old file whole.

    Raises InputError for a name that would be read as Zarr, OSError if the disk does.
    """
    checks.dataset("cube", cube, "the cube of a sweep")
    target = checks.file_path(path)
    if target.suffix == ".zarr":
        raise InputError(f"path {str(path)!r} ends in '.zarr'; px.save writes NetCDF, expected .nc")
    try:
        with replacing(target) as draft:
            cube.to_netcdf(draft, engine="netcdf4")
    except (OSError, RuntimeError) as problem:  # HDF5 reports a full disk as one of its own
        disk = disk_usage(target.parent) if target.parent.exists() else None
        if disk and disk.total and disk.free < cube.nbytes:
            message = f"disk full at {target}, which takes {cube.nbytes / 1e9:.3g} GB"
            raise OSError(ENOSPC, message) from None
        raise OSError(f"{target} cannot be written: {problem}") from None


def load(path: str | Path) -> xr.Dataset:
    """Open a cube, or the answer of a query, that `save` or `sweep_to` wrote; arrays on demand.

    Raises InputError for a file that is missing, truncated or none of these.
    """
    source = checks.file_path(path)
    if not source.exists():
        raise InputError(
            f"cube {source} does not exist; expected what px.save or px.sweep_to wrote"
        )
    zarr = source.suffix == ".zarr"
    engine, title = ("zarr", "Zarr") if zarr else ("netcdf4", "NetCDF")
    options = {"consolidated": False} if zarr else None
    try:
        cube = xr.open_dataset(source, engine=engine, chunks=None, backend_kwargs=options)
    except Exception as problem:  # whatever a library makes of a damaged file
        raise InputError(f"cube {source} cannot be read as {title}: {problem}") from None
    if "specs_digest" not in cube.attrs:
        cube.close()
        raise InputError(f"cube {source} is none of prophet_xr; expected a file of px.save")
    return cube
