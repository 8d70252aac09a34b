"""Where a conclusion holds in the space of assumptions, what it depends on, and what breaks it."""

from collections.abc import Collection, Mapping

import numpy as np
import xarray as xr

from prophet_xr import checks
from prophet_xr.errors import InputError, nearest
from prophet_xr.uncertainty.sobol import sobol

ASSUMPTION = "assumption"
ROBUST, NEVER = 0.95, 0.05
"""A conclusion is robust from the first share of the space on, and wrong up to the second."""
ROBUSTNESS = SOLID, TRUE_PART, DEPENDS, WRONG = (
    *("robust", "robust in the true part"),
    *("depends on an assumption", "wrong"),
)
_TITLES = {
    "share": "Share of the space in which it holds",
    "share_true": "Share of what is true of the space in which it holds",
    "missing": "Share of cells without an answer",
    "at_base": "Whether it holds as stated",
    "verdict": "Verdict",
    "total": "Total Sobol index of whether it holds",
    "nearest": "Label with which the answer is another",
}


def robustness(
    holds: xr.DataArray, base: Mapping[str, object], truth: Mapping[str, object] | None = None
) -> xr.Dataset:
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
    xr.Dataset
        ``share`` of the space, ``share_true`` of what ``truth`` leaves of it, and
        ``share_by_{assumption}`` for each of its labels; ``missing``, the share of cells that are
        NaN; ``at_base``, whether it holds there; ``verdict``: *wrong* if one of the first two is at
        most 5 %, *robust* if both are at least 95 %, *robust in the true part* if the second is,
        else *depends on an assumption*; ``total`` (assumption), the Sobol index of whether it
        holds, NaN where it always or never does: it depends most on the largest; ``nearest``
        (assumption), the fewest labels to change until the answer is another, empty for those
        that stay.

    Raises
    ------
    InputError
        For what is no flag, if the base or the truth names no cell of the space, or if none counts.

    Examples
    --------
    >>> share = xr.DataArray([0.9, 0.5, 0.2], {"link": [10, 25, 55]}, name="share")
    >>> found = robustness(share > 0.4, {"link": 10})
    >>> round(found.share.item(), 2), found.verdict.item(), found.nearest.values.tolist()
    (0.67, 'depends on an assumption', ['55'])
    """
    holds = checks.array(holds, "what robustness() judges")
    for dim in set(holds.dims) - set(base):
        raise InputError(f"base lacks {dim!r}; expected a label of every assumption")
    base_cell = checks.labels_of(holds, base, "base")
    fixed = checks.labels_of(holds, truth or {}, "truth")
    flag = holds.astype(np.float64)
    if not flag.isin([0.0, 1.0]).where(flag.notnull(), True).all():
        raise InputError("holds has values other than 0 and 1; expected whether a conclusion holds")
    if not flag.notnull().any():
        raise InputError("no cell of the space has an answer; expected one at least")
    share, true = float(flag.mean()), float(flag.sel(fixed).mean())
    result = xr.Dataset(
        {"share": share, "share_true": true, "missing": float(flag.isnull().mean())}
    )
    result["at_base"] = bool(flag.sel(base_cell) == 1)
    result["verdict"] = verdict(share, true)
    dims = list(map(str, holds.dims))
    result["total"] = (ASSUMPTION, _indices(flag, dims))
    change = nearest_change(flag, base_cell)
    result["nearest"] = (ASSUMPTION, [change.get(d, "") for d in dims])
    for dim in dims:
        result[f"share_by_{dim}"] = flag.mean([d for d in dims if d != dim])
    for name, values in result.data_vars.items():
        titled = _TITLES.get(str(name), f"{_TITLES['share']}, by label")
        values.attrs = {"long_name": titled} | ({"units": "1"} if values.dtype.kind == "f" else {})
    return result.assign_coords({ASSUMPTION: dims})


def verdict(share: float, true: float) -> str:
    """Judge by the share of the space, and of the part of it that is true, in which it holds."""
    if min(share, true) <= NEVER:
        return WRONG
    if true >= ROBUST:
        return SOLID if share >= ROBUST else TRUE_PART
    return DEPENDS


def _indices(flag: xr.DataArray, dims: list[str]) -> np.ndarray:
    """Total Sobol index of each assumption; 0 for one of a single label, NaN without variance."""
    indices = np.full(len(dims), np.nan)
    several = [d for d in dims if flag.sizes[d] > 1]
    if several and 0 < float(flag.mean()) < 1:
        total = sobol(flag.squeeze(), several, second_order=False).total
        indices = np.array([float(total.sel(axis=d)) if d in several else 0.0 for d in dims])
    return indices


def nearest_change(holds: xr.DataArray, base: Mapping[str, object]) -> dict[str, str]:
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
    cheapest = cost.argmin(list(cost.dims))
    labels = {str(d): holds[d].values[int(i)].item() for d, i in cheapest.items()}
    return {d: str(v) for d, v in labels.items() if v != base[d]}


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
        all ties; ``first`` (of): the share of assumptions in which each ranks first, ties shared,
        and assumptions that have no number left out.

    Raises
    ------
    InputError
        For an unknown dim, or a base that names no cell of the space.
    """
    from scipy.stats import kendalltau  # late: it takes a second to import

    scores = checks.array(scores, "what ranking() ranks")
    if of not in scores.dims:
        raise InputError(f"{of!r} is no dimension of the scores; {nearest(of, scores.dims)}")
    rest = [str(d) for d in scores.dims if d != of]
    for dim in set(rest) - set(base):
        raise InputError(f"base lacks {dim!r}; expected a label of every assumption")
    checks.labels_of(scores, base, "base")
    filled = scores.fillna(scores.min() - 1).transpose(*rest, of)
    at_base = filled.sel({d: base[d] for d in rest}).values
    tau = np.full(filled.shape[:-1], np.nan)
    if at_base.size > 1:  # else there is nothing to rank, and scipy warns
        for index in np.ndindex(tau.shape):
            tau[index], _ = kendalltau(at_base, filled.values[index])
    coords = {d: scores[d] for d in rest}
    stability = xr.DataArray(
        tau, coords, rest, attrs={"long_name": "Kendall's tau-b", "units": "1"}
    )
    return xr.Dataset({"tau": stability, "first": first(scores, of, rest)})


def first(scores: xr.DataArray, of: str, over: Collection[str]) -> xr.DataArray:
    """Share of the cells along some dims in which each ranks first, ties shared."""
    filled = scores.fillna(scores.min() - 1)
    best = filled == filled.max(of)
    share = (best / best.sum(of)).where(scores.notnull().any(of)).mean(over)
    told = "Share of the assumptions in which it ranks first"
    return share.assign_attrs(long_name=told, units="1")
