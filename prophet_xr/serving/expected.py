"""A cube under a distribution of the batch: the mean of every metric, without a simulation.

In come a cube with numbers along ``batch`` and the share of time that a server runs each number of
sequences; out goes the cube without that dim, each variable being its mean over the time.

The two need not have the same batches.  A cube is linear between its batches, so a share of time
at a batch between two of them is the same as parts of it at both, the nearer one taking the larger.
With shares moved to the cube's batches in this way, the mean is a weighted sum.
"""

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
        Every variable that varies along ``batch`` as its mean, in its units, on its other dims and
        those of the weights.  A flag becomes the share of time in which it holds.  NaN where a
        batch that occurs has NaN.

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
    for name, array in (("cube", cube), ("batch_share", batch_share)):
        if BATCH not in array.dims or BATCH not in array.coords:
            raise InputError(f"{name} has no numbers along {BATCH!r}; expected that dim")
    if not (batch_share >= 0).all():
        raise InputError("batch_share holds a number below 0 or none; expected shares of time")
    busy_share = batch_share.sel({BATCH: batch_share[BATCH] > 0})
    weights = _on_batches_of_cube(cube[BATCH].values, busy_share)
    total = weights.sum(BATCH)
    result = cube.drop_vars([n for n, v in cube.variables.items() if BATCH in v.dims])
    for name, values in cube.data_vars.items():
        if BATCH in values.dims and values.dtype.kind in "biuf":
            # a batch that never occurs may be NaN, where NaN x 0 would spoil the mean
            mean = (values.where(weights > 0, 0.0) * weights).sum(BATCH, skipna=False) / total
            result[name] = mean.assign_attrs(_attrs_of_mean(values.attrs))
    return result


def at_batch(cube: xr.Dataset, batch: xr.DataArray) -> xr.Dataset:
    """Read a cube at a batch that need not be whole, linear between its batches.

    Parameters
    ----------
    cube
        As in `expected`.
    batch
        A batch of the cube's range on any dims; NaN gives NaN.

    Returns
    -------
    xr.Dataset
        Every variable that varies along ``batch``, on its other dims and those of ``batch``.

    Raises
    ------
    InputError
        As `expected` does.
    """
    whole_weight = xr.ones_like(batch, float).where(batch.notnull(), 0.0).expand_dims(BATCH, -1)
    batches = cube[BATCH].values.astype(float)
    points = batch.fillna(batches[0]).values[..., None]
    weights = _interpolation_weights(
        batches, np.broadcast_to(points, whole_weight.shape), whole_weight.values
    )
    labelled = xr.DataArray(weights, whole_weight.coords, whole_weight.dims)
    return expected(cube, labelled.assign_coords({BATCH: batches}))


def _on_batches_of_cube(cube_batches: np.ndarray, share: xr.DataArray) -> xr.DataArray:
    """Move weights to the batches of a cube, each to the two that it lies between."""
    ordered = share.transpose(..., BATCH)
    batches = ordered[BATCH].values.astype(float)
    occurs = (ordered.values > 0).reshape(-1, batches.size).any(0)
    if not (np.diff(cube_batches) > 0).all():
        raise InputError("batch of the cube does not rise; expected ascending numbers")
    outside = occurs & ((batches < cube_batches[0]) | (batches > cube_batches[-1]))
    if outside.any():
        raise InputError(
            f"batch {batches[outside][0]:g} occurs; expected those of the cube, "
            f"{cube_batches[0]:g} to {cube_batches[-1]:g}"
        )
    weights = _interpolation_weights(cube_batches.astype(float), batches, ordered.values)
    coords = {n: c for n, c in ordered.coords.items() if BATCH not in c.dims}
    return xr.DataArray(weights, coords, ordered.dims).assign_coords({BATCH: cube_batches})


def _interpolation_weights(
    grid: np.ndarray, batches: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Weights at batches -> weights at the points of a grid, along the last axis."""
    flat_weights = weights.reshape(weights.size // weights.shape[-1], -1)
    flat_batches = np.broadcast_to(batches, weights.shape).reshape(flat_weights.shape)
    below = np.clip(np.searchsorted(grid, flat_batches, "right") - 1, 0, max(grid.size - 2, 0))
    above = np.minimum(below + 1, grid.size - 1)
    gap = np.where(above > below, grid[above] - grid[below], 1.0)
    gap_share = np.clip((flat_batches - grid[below]) / gap, 0.0, 1.0)
    on_grid = np.zeros((flat_weights.shape[0], grid.size))
    rows = np.arange(on_grid.shape[0])[:, None]
    np.add.at(on_grid, (rows, below), flat_weights * (1.0 - gap_share))
    np.add.at(on_grid, (rows, above), flat_weights * gap_share)
    return on_grid.reshape(*weights.shape[:-1], grid.size)


def _attrs_of_mean(attrs: dict) -> dict:
    """Attributes of a mean: no longer a code or a whole number."""
    return {name: value for name, value in attrs.items() if not name.startswith("flag_")}
