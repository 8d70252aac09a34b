"""Where a conclusion holds in the space of assumptions, what it hangs on, and what breaks it."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from prophet_xr.errors import InputError
from prophet_xr.uncertainty.variance import sobol
from prophet_xr.uncertainty.words import NEVER, ROBUST, VERDICTS


def robustness(
    holds: xr.DataArray, base: Mapping[str, object], truth: Mapping[str, object] | None = None
) -> dict[str, object]:
    """How much of a space of assumptions a conclusion holds in.

    Parameters
    ----------
    holds
        Whether it holds (1 or 0) over the assumptions; every cell weighs the same, and NaN none.
    base
        The label of every assumption under which it was stated.
    truth
        Labels of the assumptions that are known to be right, if there are any.

    Returns
    -------
    dict
        ``share`` of the space, and ``share_true`` of what ``truth`` leaves of it; ``at_base``
        whether it holds there; ``verdict``: *wrong* if one of the shares is at most `NEVER`,
        *robust* from `ROBUST` on; ``hangs_on``, the assumption with the largest total Sobol index
        of `holds`, and that ``index`` (empty and NaN where it holds everywhere or nowhere);
        ``nearest``, the fewest assumptions to change until the answer is another.

    Raises
    ------
    InputError
        If the base names no cell of the space, or the space has no cell.
    """
    for dim in map(str, holds.dims):
        if dim not in base or base[dim] not in holds[dim].values:
            raise InputError(f"base={base.get(dim)!r} is no {dim} of the space")
    flag = holds.astype(np.float64)
    if not flag.notnull().any():
        raise InputError("no cell of the space has an answer; expected one at least")
    here = {str(d): base[str(d)] for d in holds.dims}
    share, true = float(flag.mean()), float(flag.sel(dict(truth or {})).mean())
    least = min(share, true)
    found: dict[str, object] = {"share": share, "share_true": true}
    found["at_base"] = bool(flag.sel(here) == 1)
    found["verdict"] = VERDICTS[2 if least <= NEVER else 0 if share >= ROBUST else 1]
    found |= {"hangs_on": "", "index": np.nan}
    if 0 < share < 1:
        total = sobol(flag, second_order=False).total
        found |= {"hangs_on": str(total.idxmax().item()), "index": float(total.max())}
    return {**found, "nearest": nearest_change(flag, here)}


def nearest_change(holds: xr.DataArray, base: Mapping[str, object]) -> dict[str, object]:
    """Fewest assumptions to change, and among these the nearest, until the answer is another.

    Distance is counted in the share of an axis that is crossed: of numbers by value, of labels 1.
    """
    other = (holds != holds.sel(dict(base))) & holds.notnull()
    if not other.any():
        return {}
    changes, distance = xr.zeros_like(holds, np.int64), xr.zeros_like(holds, np.float64)
    for dim, label in base.items():
        axis = holds[dim]
        changes = changes + (axis != label)
        if axis.dtype.kind in "iuf":
            width = float(axis.max() - axis.min()) or 1.0
            distance = distance + abs(axis - float(label)) / width  # pyright: ignore[reportArgumentType]
        else:
            distance = distance + (axis != label)
    cost = (changes + distance / (1 + distance.max())).where(other)
    at = cost.argmin(...)
    labels = {str(d): holds[d].values[int(i)] for d, i in at.items()}
    return {d: v.item() for d, v in labels.items() if v != base[d]}


def ranking(scores: xr.DataArray, of: str, base: Mapping[str, object]) -> xr.Dataset:
    """How stable a ranking is over a space of assumptions.

    Parameters
    ----------
    scores
        What is ranked along ``of``, largest first; NaN ranks last.
    of
        The dim of what is ranked.
    base
        The label of every assumption under which the ranking was stated.

    Returns
    -------
    xr.Dataset
        ``tau`` (assumptions): Kendall's tau-b with the ranking at the base, NaN where either is
        all ties; ``first`` (of): the share of assumptions in which each ranks first, ties shared.
    """
    from scipy.stats import kendalltau

    rest = [d for d in scores.dims if d != of]
    filled = scores.fillna(scores.min() - 1).transpose(*rest, of)
    at_base = filled.sel({d: base[str(d)] for d in rest}).values
    tau = np.full(filled.shape[:-1], np.nan)
    for index in np.ndindex(tau.shape):
        row = filled.values[index]
        if np.ptp(row) and np.ptp(at_base):
            tau[index] = kendalltau(at_base, row)[0]
    best = filled == filled.max(of)
    first = (best / best.sum(of)).where(scores.notnull().any(of)).mean(rest)
    coords = {d: scores[d] for d in rest}
    found = xr.DataArray(tau, coords, rest, attrs={"long_name": "Kendall's tau-b", "units": "1"})
    return xr.Dataset({"tau": found, "first": first.assign_attrs(units="1")})
