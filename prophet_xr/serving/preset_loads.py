"""Loads like published ones, from ``data/loads.toml``: every number with its source and status."""

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
    """A row of ``data/loads.toml``: rate [1/s], quantiles, and what its source says of itself."""

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
    count, rate, seed
        As in `loads.synthetic`; the row's own rate by default.
    cv
        Gamma gaps of this coefficient of variation in place of the row's own.

    Raises
    ------
    InputError
        For an unknown name, and as `loads.synthetic` does.
    """
    known = presets()
    if name not in known:
        raise InputError(f"preset {name!r} is unknown; {nearest(name, known)}")
    row = known[name]
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
    """Read ``data/loads.toml``; SpecError if it is missing or broken."""
    file = specs.path().with_name("loads.toml")
    try:
        rows = tomllib.loads(file.read_text(encoding="ascii"))
        return {name: _preset(row) for name, row in rows.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise SpecError(f"loads: {file} cannot be read ({problem}); expected presets") from None


def _preset(row: Mapping) -> Preset:
    prompt, output = (_quantile(row[name]) for name in ("prompt", "output"))
    rate = float(row["rate"]["value"])
    return Preset(
        row["title"], row["source"], rate, _unit(row["gaps"]), prompt, output, row["published"]
    )


def _quantile(row: Mapping) -> Quantile:
    """The distribution whose numbers a row holds."""
    if "levels" in row:
        return quantiles(row["levels"], row["values"])
    if "median" in row:
        return lognormal(row["median"], row["spread"])
    return gamma(row["cv"])


def _unit(row: Mapping) -> Quantile:
    """Gaps of mean 1."""
    quantile = _quantile(row)
    if "levels" not in row:
        return quantile
    scale = distributions.mean(row["levels"], row["values"])
    return lambda shares: quantile(shares) / scale
