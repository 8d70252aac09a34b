"""The simulations behind the tables, figures and sentences on load."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from prophet_xr.errors import InputError
from prophet_xr.grid import inputs
from prophet_xr.reporting.listing import Sweeps
from prophet_xr.serving.capacity import capacity
from prophet_xr.serving.loads import faster, rate
from prophet_xr.serving.preset_loads import preset, presets
from prophet_xr.serving.simulate import simulate
from prophet_xr.serving.traces import trace as read_trace
from prophet_xr.studies.serving_load import views

SWEEPS = Sweeps()
_FIRST = "azure-conv"  # of the presets
MODELS = ["deepseek-v2-lite", "qwen3-30b-a3b", "mixtral-8x7b"]
CARDS = ["A100-80GB", "H100-80GB"]
_POLICIES = ["baseline", "prophet", "lru"]
RATES = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
SEEDS = [0, 1, 2]
COUNT = 5000  # requests of a drawn load
LENGTHS, MOMENTS = ["prompt", "output"], ["mean", "p50", "p99"]
_LEVELS = [n / 100 for n in range(1, 100)]


def prepare(
    out: Path,
    axes: Mapping[str, Any],
    trace: Path | None = None,
    format: str | None = None,
    preset: str | None = None,
    rate: Iterable[float] = (),
    seed: Iterable[int] = (),
    requests: int | None = None,
) -> tuple[Path, dict[str, xr.Dataset]]:
    """Read or draw what is served; without a preset the first, and the highest rate under each.

    Returns the folder of the files, and ``server``, ``load`` and, of drawn loads, ``loads``: what
    is served at several rates, and every load of which the highest rate is found.

    Raises
    ------
    InputError
        For a file that is no trace, a load that cannot be drawn, or options of both.
    """
    if trace is not None and (preset or seed or requests is not None):
        raise InputError("--trace is a load itself; --preset, --seed and --requests draw another")
    given = {"server": server(**axes)}
    if trace is not None:
        given["load"] = replayed(read_trace(trace, format), rate)
        return _folder(out, trace.stem), given
    seeds, count = list(seed) or SEEDS, COUNT if requests is None else requests
    every = [preset] if preset else [_FIRST, *(name for name in presets() if name != _FIRST)]
    given["load"] = drawn(every[0], list(rate) or RATES, seeds, count)
    given["loads"] = several_presets(every, count, seeds[0])
    return _folder(out, every[0]), given


def _folder(out: Path, name: str) -> Path:
    """Folder of a load: by its preset, or by its file."""
    slug = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return out / "simulate" / (slug or "trace")


@SWEEPS.saved
def served(server: xr.Dataset, load: xr.Dataset) -> xr.Dataset:
    """The load, served at each rate."""
    cube = simulate(server, load, quantiles=_LEVELS, ttft=views.TTFT, tpot=views.TPOT)
    return cube.assign_attrs(load.attrs)


@SWEEPS.saved(file="capacity.nc")
def highest_rates(server: xr.Dataset, loads: xr.Dataset) -> xr.Dataset:
    """The highest rate within the objective, under every load."""
    objective = {"ttft": views.TTFT, "tpot": views.TPOT, "quantile": views.QUANTILE}
    return capacity(server, loads, **objective)


def server(**chosen) -> xr.Dataset:
    """Inputs of the servers to compare: vLLM with its defaults for each card.

    Arguments are those of `inputs`; baseline and prophet are always among the policies, and half
    the experts are cached where a policy has slots.

    Raises
    ------
    InputError
        As `inputs` does, for a batch, and for a list of anything but models, cards and policies.
    """
    if "batch" in chosen:
        raise InputError("batch is what the load makes of it; expected none")
    axes = {"model": MODELS, "gpu": CARDS, "policy": _POLICIES, "runtime": "vllm", **chosen}
    for name in ("model", "gpu", "policy"):
        axes[name] = axes[name] if isinstance(axes[name], list) else [axes[name]]
    axes["policy"] = list(dict.fromkeys(["baseline", "prophet", *axes["policy"]]))
    fixed = {"batch": 1, "routing": "zipf"}
    plain = inputs(**{**fixed, **axes})
    for dim in set(map(str, plain.dims)) - {"model", "gpu", "policy"}:
        raise InputError(f"inputs vary along {dim}; expected one {dim}, or px.simulate for more")
    fixed["cache_slots"] = xr.DataArray(plain.n_experts.values // 2, dims="model")
    return inputs(**{**fixed, **axes})


def drawn(name: str, rates: Iterable[float], seeds: Iterable[int], count: int) -> xr.Dataset:
    """A preset at several rates and seeds, dims (rate, seed, request)."""
    by_seed = [preset(name, count, rate=1.0, seed=s) for s in seeds]
    load = xr.concat(by_seed, pd.Index(list(seeds), name="seed"), combine_attrs="drop_conflicts")
    return _at_rates(load, {r: r for r in rates}, presets()[name].title)


def several_presets(names: Iterable[str], count: int, seed: int) -> xr.Dataset:
    """Several presets at their own rates, dims (preset, request)."""
    every = list(names)
    rows = [preset(name, count, seed=seed) for name in every]
    return xr.concat(rows, pd.Index(every, name="preset"), combine_attrs="drop")


def replayed(load: xr.Dataset, rates: Iterable[float]) -> xr.Dataset:
    """A trace at several rates, its own where none is given, dims (rate, request)."""
    own = rate(load)
    return _at_rates(load, {r: r / own for r in list(rates) or [own]}, load.attrs["file"])


def _at_rates(load: xr.Dataset, factors: dict[float, float], title: str) -> xr.Dataset:
    """The same requests at several rates: how much faster each is."""
    rates = xr.DataArray(list(factors), dims="rate", name="rate")
    rates.attrs = {"long_name": "Requests offered", "units": "1 / s"}
    return xr.concat(
        [faster(load, f) for f in factors.values()], rates, data_vars=["arrival"]
    ).assign_attrs(title=title)


@SWEEPS.saved(file="fit.nc")
def preset_moments(loads: xr.Dataset) -> xr.Dataset:
    """Mean, median and 99 % of the lengths that presets draw, and that their sources state.

    Of all presets, where ``loads`` are drawn from any.

    Returns drawn, stated (preset, length, moment) [token].
    """
    rows = []
    for name, row in presets().items():
        load = preset(name, 200_000)
        drawn = [_moments(load[n]) for n in LENGTHS]
        stated = [[row.published[n].get(m, np.nan) for m in MOMENTS] for n in LENGTHS]
        dims = ("length", "moment")
        rows.append(xr.Dataset({"drawn": (dims, drawn), "stated": (dims, stated)}))
    joined = xr.concat(rows, pd.Index(list(presets()), name="preset"))
    return joined.assign_coords(length=LENGTHS, moment=MOMENTS)


def _moments(values: xr.DataArray) -> list[float]:
    return [float(values.mean()), *(float(q) for q in values.quantile([0.5, 0.99]))]
