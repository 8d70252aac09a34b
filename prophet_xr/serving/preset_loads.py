"""Loads like published ones.

In comes the name of a row of ``data/loads.toml``; out goes a load drawn from it.  A row holds the
rate, and the distributions of the gaps between requests and of the lengths of prompt and output,
every number with its source and status (measured, published or assumed).

The traces themselves are not part of the package.  Their quantiles are, or, where only moments are
published, a lognormal or gamma distribution with these moments, so that a drawn load has the
statistics that its source states.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.errors import InputError, SpecError, nearest
from prophet_xr.serving import distributions
from prophet_xr.serving.distributions import Quantile, gamma, lognormal, quantiles
from prophet_xr.serving.loads import synthetic


class Preset(NamedTuple):
    """A row of ``data/loads.toml``.

    ``rate`` [1/s]; the distributions of ``gaps`` (of mean 1), ``prompt`` and ``output`` [token];
    and ``published``, the statistics that its source states of the trace.
    """

    title: str
    source: str
    rate: float
    gaps: Quantile
    prompt: Quantile
    output: Quantile
    published: Mapping


def preset(
    name: str,
    count: int = 10_000,
    *,
    rate: float | None = None,
    cv: float | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Draw a load like a published one: azure-conv, azure-code, mooncake-conv, reasoning.

    Parameters
    ----------
    name
        A row of ``data/loads.toml``.
    count, seed
        As in `loads.synthetic`.
    rate
        Requests per second in the mean [1/s]; that of the row by default.
    cv
        Coefficient of variation of gamma-distributed gaps, in place of the gaps of the row.

    Returns
    -------
    xr.Dataset
        ``arrival`` [s], ``prompt`` and ``output`` [token] on ``request``; ``source`` in its attrs.

    Raises
    ------
    InputError
        For an unknown name, and as `loads.synthetic` does.
    """
    rows = presets()
    if name not in rows:
        raise InputError(f"preset {name!r} is unknown; {nearest(name, rows)}")
    row = rows[name]
    return synthetic(
        count,
        row.rate if rate is None else rate,
        prompt=row.prompt,
        output=row.output,
        gaps=row.gaps if cv is None else gamma(cv),
        seed=seed,
        source=f"preset {name}: {row.source}",
    )


@cache
def presets() -> Mapping[str, Preset]:
    """Read ``data/loads.toml``, by name of the row.

    Raises SpecError if the file is missing or broken.
    """
    file = specs.path().with_name("loads.toml")
    try:
        rows = tomllib.loads(file.read_text(encoding="ascii"))
        return {name: _preset(row) for name, row in rows.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise SpecError(f"loads: {file} cannot be read ({problem}); expected presets") from None


def _preset(row: Mapping) -> Preset:
    return Preset(
        title=row["title"],
        source=row["source"],
        rate=float(row["rate"]["value"]),
        gaps=_gaps_of_mean_1(row["gaps"]),
        prompt=_distribution(row["prompt"]),
        output=_distribution(row["output"]),
        published=row["published"],
    )


def _distribution(numbers: Mapping) -> Quantile:
    """The distribution that has these numbers: levels and values, median and spread, or cv."""
    if "levels" in numbers:
        return quantiles(numbers["levels"], numbers["values"])
    if "median" in numbers:
        return lognormal(numbers["median"], numbers["spread"])
    return gamma(numbers["cv"])


def _gaps_of_mean_1(numbers: Mapping) -> Quantile:
    """The distribution of gaps; published ones are in seconds, and are divided by their mean."""
    gaps = _distribution(numbers)
    if "levels" not in numbers:
        return gaps
    mean = distributions.mean(numbers["levels"], numbers["values"])
    return lambda shares: gaps(shares) / mean
