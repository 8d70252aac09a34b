"""Sensitivity by sampling, for continuous priors: SALib's estimators with their intervals.

SALib cannot handle missing values: one NaN makes it return zeros without a warning.  So a block of
the design with a value that is not finite is left out, and the share left out is returned.
"""

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from prophet_xr import checks, registry
from prophet_xr.checks import unique
from prophet_xr.errors import InputError
from prophet_xr.grid import sweep
from prophet_xr.uncertainty.draws import DRAW, SEED, checked_priors, place
from prophet_xr.uncertainty.priors import Priors
from prophet_xr.uncertainty.sobol import INDEX_REASONS

Evaluate = Callable[[np.ndarray], np.ndarray]
_METHODS = ("sobol", "morris", "pawn")
_TITLES = {
    "first_order": "First-order Sobol index",
    "total": "Total Sobol index",
    "effect": "Mean absolute elementary effect (Morris)",
    "spread": "Standard deviation of elementary effects (Morris)",
    "distance": "Median Kolmogorov-Smirnov distance (PAWN)",
    "largest_distance": "Largest Kolmogorov-Smirnov distance (PAWN)",
}
_LEVELS, _LEAST = 8, 16  # levels of a Morris grid; least blocks that an interval is made from
SLIDES, RESAMPLES = 10, 100  # of PAWN; SALib resamples as often for the others


def sampled(
    data: xr.Dataset,
    metric: str,
    priors: Priors | None = None,
    method: str = "sobol",
    *,
    count: int = 1024,
    seed: int = SEED,
    confidence: float = 0.95,
) -> xr.Dataset:
    """Sensitivity of a metric to inputs with priors, by sampling.

    Parameters
    ----------
    data
        What `inputs` returns; an input with a prior is one value, or a field to be multiplied.
    metric
        Name of the metric; each of its cells is analysed by itself.
    priors
        By input; those of ``data/priors.toml`` by default.
    method
        ``"sobol"``: first-order and total indices (Saltelli 2010); ``"morris"``: mean absolute and
        spread of elementary effects, in the unit of the metric; ``"pawn"``: medians and maxima of
        Kolmogorov-Smirnov distances (Pianosi & Wagener 2018), which chance alone raises above 0.
    count
        Base samples of ``sobol`` (a power of two), trajectories of ``morris``, samples of ``pawn``.
    seed, confidence
        Of the design, and of the intervals.

    Returns
    -------
    xr.Dataset
        On (cell dims, ``axis``): what the method estimates and, named ``_interval``, half the
        interval; ``missing`` (cell dims), the share of evaluations that were left out because a
        number of their block is not finite, and ``reason``, why there is no estimate.

    Raises
    ------
    InputError
        For an unknown method and as `draws` does.
    """
    by_input = checked_priors(data, priors)

    def evaluate(shares: np.ndarray) -> xr.DataArray:
        return sweep(place(data, by_input, shares), [metric])[metric]

    return estimate(evaluate, list(by_input), method, count=count, seed=seed, confidence=confidence)


def estimate(
    evaluate: Callable[[np.ndarray], Any],
    names: Sequence[str],
    method: str = "sobol",
    *,
    count: int = 1024,
    seed: int = SEED,
    confidence: float = 0.95,
) -> xr.Dataset:
    """As `sampled`, for a function of points (draw, input) in the unit cube.

    It returns an array, or a labelled one with the dim ``draw``.
    """
    if method not in _METHODS:
        raise InputError(f"method={method!r} is unknown; expected one of {', '.join(_METHODS)}")
    count, seed = checks.whole("count", count, _LEAST), checks.whole("seed", seed, 0)
    confidence = checks.number("confidence", confidence, 0, 1, ends=False)
    unique("inputs", names)
    if len(names) < 2:
        raise InputError(f"inputs {list(names)}; expected two or more to vary")
    problem = {"num_vars": len(names), "names": list(names), "bounds": [[0.0, 1.0]] * len(names)}
    points, block = _design(problem, method, count, seed)
    outcome = evaluate(points)
    values = outcome if isinstance(outcome, xr.DataArray) else xr.DataArray(outcome, dims=DRAW)
    if DRAW not in values.dims:  # it depends on none of them
        values = values.expand_dims({DRAW: len(points)})
    if values.sizes[DRAW] != len(points):
        raise InputError(f"{values.sizes[DRAW]} values of {len(points)} points; expected as many")
    values = values.transpose(..., DRAW)
    kept = values.dims[:-1]
    table = values.values.astype(np.float64).reshape(-1, len(points))
    rows = [_analysed(problem, method, points, row, block, seed, confidence) for row in table]
    shape = values.shape[:-1]
    result = xr.Dataset(coords={d: values[d] for d in kept if d in values.coords})
    result = result.assign_coords(axis=list(names))
    for name in rows[0][0]:
        array = np.array([estimates[name] for estimates, *_ in rows])
        result[name] = ((*kept, "axis"), array.reshape(*shape, len(names)), _attrs(name, values))
    told = {"long_name": "Share of evaluations left out", "units": "1"}
    result["missing"] = (kept, np.array([missing for _, missing, _ in rows]).reshape(shape), told)
    flags = registry.flags(INDEX_REASONS)
    result["reason"] = (kept, np.array([code for *_, code in rows]).reshape(shape), flags)
    return result


def _attrs(name: str, values: xr.DataArray) -> dict[str, str]:
    kind, half = name.removesuffix("_interval"), name.endswith("_interval")
    units = values.attrs.get("units", "1") if kind in ("effect", "spread") else "1"
    title = _TITLES[kind]
    return {"long_name": f"{title}: half the interval" if half else title, "units": units}


def _design(problem: dict, method: str, count: int, seed: int) -> tuple[np.ndarray, int]:
    """Points of a design, and how many stand or fall together."""
    size = problem["num_vars"]
    if method == "sobol":
        from SALib.sample import sobol

        base = 2 ** int(np.ceil(np.log2(count)))
        return sobol.sample(problem, base, calc_second_order=False, seed=seed), size + 2
    if method == "morris":
        from SALib.sample import morris

        return morris.sample(problem, count, num_levels=_LEVELS, seed=seed), size + 1
    from SALib.sample import latin

    return latin.sample(problem, count, seed=seed), 1


def _analysed(
    problem: dict,
    method: str,
    points: np.ndarray,
    values: np.ndarray,
    block: int,
    seed: int,
    confidence: float,
) -> tuple[dict[str, np.ndarray], float, int]:
    """Estimates of one cell, the share left out, and why there is none."""
    good = np.isfinite(values).reshape(-1, block).all(1)
    rows = np.repeat(good, block)
    missing = 1.0 - float(good.mean())
    some = values[rows]
    calm = some.size and np.ptp(some) <= 1e-13 * np.abs(some).max()
    code = 1 if good.sum() < _LEAST else 2 if calm else 0
    with warnings.catch_warnings():  # of pandas and of ratios that come out NaN
        warnings.simplefilter("ignore")
        if code:  # what an estimate looks like, with nothing in it
            empty = _estimates(problem, method, points, points.sum(1), seed, confidence)
            return (
                {name: np.full_like(array, np.nan) for name, array in empty.items()},
                missing,
                code,
            )
        return _estimates(problem, method, points[rows], some, seed, confidence), missing, code


def _estimates(
    problem: dict,
    method: str,
    points: np.ndarray,
    values: np.ndarray,
    seed: int,
    confidence: float,
) -> dict[str, np.ndarray]:
    more = {"seed": seed + 1, "print_to_console": False}  # SALib takes 0 for no seed at all
    if method == "sobol":
        from SALib.analyze import sobol

        analysis = sobol.analyze(
            problem, values, calc_second_order=False, conf_level=confidence, **more
        )
        keys = {"first_order": "S1", "total": "ST"}
        keys |= {"first_order_interval": "S1_conf", "total_interval": "ST_conf"}
    elif method == "morris":
        from SALib.analyze import morris

        analysis = morris.analyze(
            problem, points, values, num_levels=_LEVELS, conf_level=confidence, **more
        )
        keys = {"effect": "mu_star", "spread": "sigma", "effect_interval": "mu_star_conf"}
    else:
        from SALib.analyze import pawn

        analysis = pawn.analyze(problem, points, values, S=SLIDES, **more)
        analysis |= pawn_intervals(points, values, seed, confidence)
        keys = {"distance": "median", "largest_distance": "maximum"}
        keys |= {"distance_interval": "median_conf", "largest_distance_interval": "maximum_conf"}
    return {name: np.asarray(analysis[key], np.float64) for name, key in keys.items()}


def pawn_distances(points: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Distances (input, slide) of PAWN, NaN for a slide without points.

    Those of SALib, from sums along the sorted values instead of a test per slide: quick enough to
    be repeated.
    """
    order = np.argsort(values, kind="stable")
    points, values = points[order], values[order]
    last = np.append(values[1:] != values[:-1], True)  # of equal values
    edges = np.quantile(points, np.linspace(0, 1, SLIDES + 1), axis=0)
    inside = [(points >= low) & (points < high) for low, high in pairwise(edges)]
    counts = np.cumsum(np.stack(inside), axis=1, dtype=np.float64)
    sizes = counts[:, -1:]
    shares = np.divide(counts, sizes, where=sizes > 0, out=np.full_like(counts, np.nan))
    whole = np.arange(1, len(values) + 1)[:, None] / len(values)
    return abs(shares - whole)[:, last].max(1).T


def pawn_intervals(
    points: np.ndarray, values: np.ndarray, seed: int, confidence: float
) -> dict[str, np.ndarray]:
    """Half the bootstrap interval of the median and the largest distance, as SALib's are made."""
    from scipy.stats import norm

    random, size = np.random.default_rng(seed), len(points)
    drawn = [random.integers(0, size, size) for _ in range(RESAMPLES)]
    distances = np.stack([pawn_distances(points[rows], values[rows]) for rows in drawn])
    width = norm.ppf(0.5 + confidence / 2)
    both = {"median": np.nanmedian(distances, axis=-1), "maximum": np.nanmax(distances, axis=-1)}
    return {f"{name}_conf": width * each.std(axis=0, ddof=1) for name, each in both.items()}
