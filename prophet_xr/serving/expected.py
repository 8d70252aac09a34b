"""A cube under a distribution of the batch: the mean of every metric, without a simulation."""

import numpy as np
import xarray as xr

from prophet_xr import checks
from prophet_xr.errors import InputError

BATCH = "batch"


def expected(cube: xr.Dataset, batch_share: xr.DataArray) -> xr.Dataset:
    """Mean of a cube over batches, weighted by the share of time that a server has each.

    Parameters
    ----------
    cube
        With numbers along ``batch``, ascending; linear between its batches.
    batch_share
        Weights on ``batch`` and any other dims, as `simulate` gives them: of 0 sequences is
        idle time and does not count, and the rest need not add up to 1.

    Returns
    -------
    xr.Dataset
        Every variable that varies along ``batch`` as its mean, so that a flag becomes the share of
        time in which it holds; NaN where a batch that occurs has NaN.

    Raises
    ------
    InputError
        Without a ``batch`` in one of the two, for weights below 0, and for batches outside of those
        of the cube.

    Examples
    --------
    >>> import prophet_xr as px
    >>> cube = px.sweep(px.inputs(model="mixtral-8x7b", gpu="H200", batch=[1, 2, 4]))
    >>> share = xr.DataArray([0.5, 0.25, 0.25], {"batch": [0, 1, 3]}, ["batch"])
    >>> round(float(px.expected(cube, share).unique_experts), 3)
    3.774
    """
    checks.dataset("cube", cube, "the cube of a sweep")
    checks.array(batch_share, "batch_share")
    for what, array in (("cube", cube), ("batch_share", batch_share)):
        if BATCH not in array.dims or BATCH not in array.coords:
            raise InputError(f"{what} has no numbers along {BATCH!r}; expected that dim")
    if not (batch_share >= 0).all():
        raise InputError("batch_share holds a number below 0 or none; expected shares of time")
    busy = batch_share.sel({BATCH: batch_share[BATCH] > 0})
    weights = _on(cube[BATCH].values, busy)
    total = weights.sum(BATCH)
    result = cube.drop_vars([n for n, v in cube.variables.items() if BATCH in v.dims])
    for name, values in cube.data_vars.items():
        if BATCH in values.dims and values.dtype.kind in "biuf":
            mean = (values.where(weights > 0, 0.0) * weights).sum(BATCH, skipna=False) / total
            result[name] = mean.assign_attrs(_real(values.attrs))
    return result


def at_batch(cube: xr.Dataset, batch: xr.DataArray) -> xr.Dataset:
    """Read a cube at a batch that need not be whole, linear between its batches."""
    one = xr.ones_like(batch, float).where(batch.notnull(), 0.0).expand_dims(BATCH, -1)
    grid = cube[BATCH].values.astype(float)
    flat = np.broadcast_to(batch.fillna(grid[0]).values[..., None], one.shape)
    weights = xr.DataArray(_spread(grid, flat, one.values), one.coords, one.dims)
    return expected(cube, weights.assign_coords({BATCH: grid}))


def _on(grid: np.ndarray, share: xr.DataArray) -> xr.DataArray:
    """Move weights to the batches of a cube, each to the two that it lies between."""
    weights = share.transpose(..., BATCH)
    batches = weights[BATCH].values.astype(float)
    some = (weights.values > 0).reshape(-1, batches.size).any(0)
    if not (np.diff(grid) > 0).all():
        raise InputError("batch of the cube does not rise; expected ascending numbers")
    outside = some & ((batches < grid[0]) | (batches > grid[-1]))
    if outside.any():
        raise InputError(
            f"batch {batches[outside][0]:g} occurs; expected those of the cube, "
            f"{grid[0]:g} to {grid[-1]:g}"
        )
    spread = _spread(grid.astype(float), batches, weights.values)
    coords = {n: c for n, c in weights.coords.items() if BATCH not in c.dims}
    return xr.DataArray(spread, coords, weights.dims).assign_coords({BATCH: grid})


def _spread(grid: np.ndarray, batches: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights at batches -> weights at the points of a grid, along the last axis."""
    table = np.zeros((weights.size // weights.shape[-1], grid.size))
    flat = weights.reshape(table.shape[0], -1)
    where = np.broadcast_to(batches, weights.shape).reshape(flat.shape)
    low = np.clip(np.searchsorted(grid, where, "right") - 1, 0, max(grid.size - 2, 0))
    high = np.minimum(low + 1, grid.size - 1)
    gap = np.where(high > low, grid[high] - grid[low], 1.0)
    part = np.clip((where - grid[low]) / gap, 0.0, 1.0)
    rows = np.arange(table.shape[0])[:, None]
    np.add.at(table, (rows, low), flat * (1.0 - part))
    np.add.at(table, (rows, high), flat * part)
    return table.reshape(*weights.shape[:-1], grid.size)


def _real(attrs: dict) -> dict:
    """Attributes of a mean: no longer a code or a whole number."""
    return {n: v for n, v in attrs.items() if not n.startswith("flag_")}
