"""The measured rows, and a sweep over a list of them."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.checks import CONTINUOUS
from prophet_xr.errors import SpecError
from prophet_xr.grid import inputs, sweep

ROW = "row"
_LAWS = ("skew", "gamma", "reuse_strength", "reuse_exponent")


def measured_folder() -> Path:
    """Where the measured rows are in a checkout."""
    return Path(__file__).parents[3] / "data" / "measured"


@cache
def read_measured(name: str) -> dict:
    """One file of data/measured/."""
    file = measured_folder() / f"{name}.json"
    if not file.exists():
        raise SpecError(f"measured: {file} is missing; expected a checkout of the project")
    return json.loads(file.read_text())


def catalogued() -> dict[str, dict[str, float]]:
    """Law parameters of the models for which the catalogue calls them measured."""
    models = specs.read("model")
    labels = models.model.values[(models.skew_status == "measured").values]
    return {
        str(label): {name: models[name].sel(model=label).item() for name in _LAWS}
        for label in labels
    }


def predict(rows: Iterable[Mapping[str, float]], metric: str, **chosen: object) -> np.ndarray:
    """Sweep rows of inputs, one cell each; ``chosen`` holds for all of them.

    A label axis with several labels in ``chosen`` comes first in the result.
    """
    rows = list(rows)
    means = {CONTINUOUS: 1}  # a batch that was measured may be the mean of many
    own = {n: xr.DataArray([float(r[n]) for r in rows], dims=ROW, attrs=means) for n in rows[0]}
    start = {"model": "mixtral-8x7b", "gpu": "A100-80GB", "batch": 1, "policy": "baseline"}
    cube = sweep(inputs(**{**start, **own, **chosen}), [metric])  # pyright: ignore[reportArgumentType]
    return cube[metric].transpose(..., ROW).values
