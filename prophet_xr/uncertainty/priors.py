"""What is known of an input: a distribution, with its source."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import inf

import numpy as np

from prophet_xr import (
    checks,
    kernels,  # noqa: F401  (declares the metrics)
)
from prophet_xr.catalogue import specs
from prophet_xr.errors import InputError, SpecError, nearest
from prophet_xr.serving.distributions import distribution, empirical


@dataclass(frozen=True)
class Prior:
    """A distribution of an input, or of a factor on it; `prior` makes one.

    ``kind`` and ``numbers``: uniform (low, high), triangular (low, mode, high), lognormal (median,
    standard deviation of the logarithm), empirical (values seen, each as likely).
    ``low``, ``high`` cut it off; ``factor`` says that it multiplies what the input is;
    ``continuous`` that a count, such as the batch, is to lie between whole numbers too.
    """

    kind: str
    numbers: tuple[float, ...]
    source: str = ""
    factor: bool = False
    low: float = -inf
    high: float = inf
    continuous: bool = False

    def quantile(self, shares: np.ndarray) -> np.ndarray:
        """Value below which the given share of the distribution lies."""
        if self.kind == "empirical":
            return empirical(self._kept())(shares)
        below, above = self.inside
        inside = below + np.asarray(shares) * (above - below)
        return distribution(self.kind, *self.numbers).ppf(inside)

    @property
    def inside(self) -> tuple[float, float]:
        """Shares of the whole distribution below ``low`` and below ``high``."""
        if self.kind == "empirical":
            values = np.array(self.numbers)
            return float((values < self.low).mean()), float((values <= self.high).mean())
        whole = distribution(self.kind, *self.numbers)
        return whole.cdf(self.low), whole.cdf(self.high)

    @property
    def support(self) -> tuple[float, float]:
        """Least and largest value."""
        if self.kind == "empirical":
            low, high = self.quantile(np.array([0.0, 1.0]))
            return float(low), float(high)
        ends = (0.0, inf) if self.kind == "lognormal" else (self.numbers[0], self.numbers[-1])
        return max(ends[0], self.low), min(ends[1], self.high)

    @property
    def whole(self) -> bool:
        """Whether it takes nothing but whole numbers."""
        values = np.array(self.numbers)
        return self.kind == "empirical" and not self.factor and bool((values % 1 == 0).all())

    def nodes(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Values that stand for the distribution on a grid, and their weights.

        The middles of ``count`` equally likely parts; of an empirical prior its own values.
        """
        if self.kind == "empirical":
            return np.unique(self._kept(), return_counts=True)
        return self.quantile((np.arange(count) + 0.5) / count), np.ones(count)

    def _kept(self) -> list[float]:
        """Values of an empirical prior that are not cut off."""
        return [v for v in self.numbers if self.low <= v <= self.high]


_COUNTS = {"uniform": 2, "triangular": 3, "lognormal": 2}
NEEDS = {
    "lognormal": "a median and a spread above 0",
    "empirical": "finite values",
    "uniform": "two rising numbers",
    "triangular": "low, mode and high in rising order",
}
_LEAST = (
    1e-6  # share of a distribution that a cut has to leave: quantiles of less lose their digits
)


def prior(
    kind: str,
    *numbers: float,
    source: str = "",
    factor: bool = False,
    low: float = -inf,
    high: float = inf,
    continuous: bool = False,
) -> Prior:
    """Make a prior.

    Parameters
    ----------
    kind, *numbers
        ``"uniform"`` (low, high), ``"triangular"`` (low, mode, high), ``"lognormal"`` (median,
        standard deviation of the logarithm) or ``"empirical"`` (values, each as likely).
    source
        Where it is from.
    factor
        Whether it multiplies what the input is, row by row, instead of replacing it.
    low, high
        Where it is cut off; what is left is as likely as it was, relative to each other.
    continuous
        Whether a count may lie between whole numbers: its formulas are then read as smooth laws.
        Else the prior of a count is empirical, of whole numbers.

    Raises
    ------
    InputError
        For an unknown kind, numbers that are no such distribution, or a cut that leaves nothing.

    Examples
    --------
    >>> round(float(prior("uniform", 0.9, 0.994).quantile(0.5)), 6)
    0.947
    """
    if kind not in NEEDS:
        raise InputError(f"prior {kind!r} is unknown; {nearest(kind, NEEDS)}")
    values = tuple(checks.numbers(f"{kind} prior", numbers))
    good = len(values) == _COUNTS.get(kind, len(values)) > 0
    if good and kind in ("uniform", "triangular"):
        good = list(values) == sorted(values) and values[0] < values[-1]
    elif good and kind == "lognormal":
        good = min(values) > 0
    if not good:
        raise InputError(f"{kind} prior of {numbers}; expected {NEEDS[kind]}")
    if not all(isinstance(v, int | float) for v in (low, high)) or not low < high:
        raise InputError(f"{kind} prior cut to low={low!r}, high={high!r}; expected low < high")
    checked = Prior(kind, values, source, factor, low, high, continuous)
    below, above = checked.inside
    if not above - below > _LEAST:
        raise InputError(f"{kind} prior of {numbers} has nothing between {low:g} and {high:g}")
    return checked


Priors = Mapping[str, Prior]


@cache
def _read() -> dict[str, Prior]:
    file = specs.path().with_name("priors.toml")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return {name: _entry(dict(entry)) for name, entry in table.items()}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SpecError(f"priors: {file} cannot be read ({problem})") from None


def _entry(entry: dict) -> Prior:
    return prior(entry.pop("kind"), *entry.pop("numbers"), **entry)


def known(names: str | Iterable[str] | None = None) -> dict[str, Prior]:
    """Priors of ``data/priors.toml`` by input, all of them or those named.

    Raises InputError for an input that has none, SpecError for a file that cannot be read.
    """
    every = _read()
    for name in (wanted := list(every) if names is None else checks.texts("names", names)):
        if name not in every:
            raise InputError(f"{name!r} has no prior; {nearest(name, every)}")
    return {name: every[name] for name in wanted}
