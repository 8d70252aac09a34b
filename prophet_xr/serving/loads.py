"""Loads: the requests that a server is asked to serve, labelled, drawn or sped up.

In come columns of numbers or distributions; out goes a load, a Dataset on ``request``: ``arrival``
[s] from the first request, sorted; ``prompt`` and ``output`` [token]; and ``priority``, if the
scheduler is to heed it (the least goes first).

A load is drawn by the inverse of its distributions: gap, prompt and output of a request are each
made from one uniform number, of a random stream of their own.  So the same seed gives the same
requests at every rate, and changing one distribution leaves the other columns as they are.

Prompts share no prefix: what a server could reuse of one for another is ignored.
"""

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from prophet_xr.checks import number, whole
from prophet_xr.errors import InputError, brief
from prophet_xr.serving.distributions import Quantile, fixed, gamma

LARGEST_TOKENS = 10**9  # tokens of one request
MOST = 10**7  # requests of one load
LATEST = 1e9  # s after the first request
_TITLES = {
    "arrival": ("Arrival after the first request", "s"),
    "prompt": ("Tokens of the prompt", "token"),
    "output": ("Tokens generated", "token"),
    "priority": ("Priority, the least goes first", "1"),
}


def load(
    arrival: ArrayLike,
    prompt: ArrayLike,
    output: ArrayLike,
    priority: ArrayLike | None = None,
    **attrs: str | float,
) -> xr.Dataset:
    """Label the columns of a load, each a number by request.

    Parameters
    ----------
    arrival
        Time of arrival, sorted, from 0 [s].
    prompt, output
        Tokens of the prompt, and tokens to generate; whole numbers from 1 [token].
    priority
        A whole number; the least is served first.  First come, first served by default.
    **attrs
        Where the load comes from.

    Returns
    -------
    xr.Dataset
        The columns on ``request``, with units and titles.

    Raises
    ------
    InputError
        As `checked` does.
    """
    columns = {"arrival": arrival, "prompt": prompt, "output": output}
    if priority is not None:
        columns["priority"] = priority
    data = {name: ("request", np.asarray(values)) for name, values in columns.items()}
    return checked_load(xr.Dataset(data, attrs=attrs))


def checked_load(load: xr.Dataset) -> xr.Dataset:
    """Give a load its types, names and units.

    Raises InputError for a column that is missing, of another shape or type, not finite, unsorted,
    negative or zero where that has no meaning, and for a load without requests or with too many.
    """
    if not isinstance(load, xr.Dataset):
        raise InputError(f"load is a {type(load).__name__}; expected a Dataset over 'request'")
    made = {name: _column(load, name) for name in _TITLES if name in load or name != "priority"}
    count = made["arrival"].size
    if not 0 < count <= MOST:
        raise InputError(f"load holds {count:,} requests; expected 1 to {MOST:,}")
    _times(made["arrival"])
    for name in ("prompt", "output"):
        _refuse(
            name,
            made[name],
            (made[name] < 1) | (made[name] > LARGEST_TOKENS),
            f"1 to {LARGEST_TOKENS:,}",
        )
    labelled = {
        name: ("request", values, dict(zip(("long_name", "units"), _TITLES[name], strict=True)))
        for name, values in made.items()
    }
    return xr.Dataset(labelled, attrs=load.attrs)


def _column(load: xr.Dataset, name: str) -> np.ndarray:
    if name not in load.variables:
        raise InputError(f"load has no {name!r}, only {brief(list(load))}; expected {name}")
    values = load[name]
    if values.dims != ("request",):
        raise InputError(f"{name} of the load has dims {values.dims}; expected ('request',)")
    kinds, dtype = ("fiu", np.float64) if name == "arrival" else ("iu", np.int64)
    if values.dtype.kind not in kinds:
        expected = "seconds" if name == "arrival" else "whole numbers"
        raise InputError(f"{name} of the load is of type {values.dtype}; expected {expected}")
    return np.ascontiguousarray(values.values, dtype)


def _times(arrival: np.ndarray) -> None:
    _refuse("arrival", arrival, ~((arrival >= 0) & (arrival <= LATEST)), f"0 to {LATEST:g} s")
    early = np.r_[False, np.diff(arrival) < 0]
    _refuse("arrival", arrival, early, "sorted arrivals")


def _refuse(name: str, values: np.ndarray, bad: np.ndarray, expected: str) -> None:
    if bad.any():
        first = int(bad.argmax())
        raise InputError(f"{name}={values[first]} of request {first}; expected {expected}")


def rate(load: xr.Dataset) -> float:
    """Requests per second between the first arrival and the last [1/s].

    Raises InputError if all arrive at once.
    """
    span = float(load.arrival[-1] - load.arrival[0])
    if span <= 0:
        raise InputError("the requests of the load arrive at once; expected a span of time")
    return (load.sizes["request"] - 1) / span


def faster(load: xr.Dataset, factor: float) -> xr.Dataset:
    """Let the same requests arrive ``factor`` times as fast.

    Raises InputError for a factor that is not positive and finite.
    """
    factor = number("factor", factor, 0, expected="a positive number", ends=False)
    return load.assign(arrival=(load.arrival / factor).assign_attrs(load.arrival.attrs))


def synthetic(
    count: int,
    rate: float,
    *,
    prompt: int | Quantile,
    output: int | Quantile,
    gaps: Quantile | None = None,
    seed: int = 0,
    **attrs: str | float,
) -> xr.Dataset:
    """Draw a load; lengths and gaps are independent of each other.

    Parameters
    ----------
    count
        Number of requests.
    rate
        Requests that arrive per second in the mean [1/s].
    prompt, output
        Lengths [token]: a number for all, or one of `distributions`.
    gaps
        Distribution of the time between requests, of mean 1; exponential by default, which makes
        the arrivals a Poisson process.
    seed
        Same seed, same load; another rate only stretches its time.
    **attrs
        Where the load comes from.

    Returns
    -------
    xr.Dataset
        As `load` does.

    Raises
    ------
    InputError
        For a count, rate or distribution that cannot be.
    """
    count = whole("count", count, 1, MOST, f"a whole number of requests, 1 to {MOST:,}")
    number("rate", rate, 1e-6, 1e6, "1e-06 to 1e+06 requests per second")
    seed = whole("seed", seed, 0, 2**63 - 1, "a whole number from 0")
    streams = [np.random.default_rng([seed, n]).random(count) for n in range(3)]
    between = (gaps or gamma(1.0))(streams[0])[:-1] / rate
    pairs = zip((prompt, output), streams[1:], strict=True)
    lengths = [_tokens(quantile, shares) for quantile, shares in pairs]
    origin = {"source": "drawn", **attrs, "rate": float(rate), "seed": seed}
    return load(np.r_[0.0, np.cumsum(between)], *lengths, **origin)


def _tokens(quantile: int | Quantile, shares: np.ndarray) -> np.ndarray:
    """Lengths drawn at these shares, rounded to whole tokens, at least 1."""
    if not callable(quantile):
        number("length", quantile, 1, LARGEST_TOKENS, f"1 to {LARGEST_TOKENS:,} tokens")
        quantile = fixed(quantile)
    values = quantile(shares)
    return np.clip(np.rint(values), 1, LARGEST_TOKENS).astype(np.int64)
