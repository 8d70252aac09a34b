"""The sweeps behind the report on sensitivity: assumptions, draws, priors on a grid."""

import numpy as np
import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.grid import inputs, sweep
from prophet_xr.registry import QUANTITIES
from prophet_xr.serving.capacity import capacity
from prophet_xr.serving.preset_loads import preset
from prophet_xr.studies.published.averages import extension
from prophet_xr.studies.published.ladder import rungs, stacked
from prophet_xr.uncertainty.draws import draws
from prophet_xr.uncertainty.priors import Prior, known, prior

EXPONENTS = [0.85, 0.9, 0.932, 0.939, 1.0]
ACTIVATIONS = [0.75, 1.0, 1.25]
UTILIZATIONS = [1.0, 0.95, 0.9]
LAWS = ["power", "uniform", "zipf"]
WAYS_TO_AVERAGE = {"zeros count": "mean", "mean where both fit": "mean_fitting"}
WAYS_TO_AVERAGE |= {"median where both fit": "median_fitting"}
BASE = {"step": "published", "routing": "power", "dedup_exponent": 0.932}
BASE |= {"activation": 1.0, "utilization": 1.0, "average": "zeros count"}
_SHOWN = ["deepseek-moe-16b", "olmoe-1b-7b", "mixtral-8x7b", "qwen1.5-moe-a2.7b"]
_CARDS = ["V100-32GB", "A100-40GB", "A100-80GB"]
LOCALITY = ("reuse_strength", "reuse_exponent")
TIMES = [
    "dedup_exponent",
    "hit_rate",
    "host_link_rate",
    "copy_latency",
    "software_floor",
    *LOCALITY,
]
_MEMORY = ["dedup_exponent", "study_activation", "utilization", "expert_parameters"]
# Metrics whose indices are computed exactly and by sampling, and the inputs they depend on.
ASKED = {
    "kv_extension": [*_MEMORY, "hit_rate"],
    "max_context": [*_MEMORY[1:], "kv_full"],
    "slowdown": TIMES,
    "step_time": ["batch", "context", *TIMES[:2]],
}
_AXES = {
    "batch": prior("uniform", 1, 16, continuous=True),
    "context": prior("uniform", 512, 32768, continuous=True),
}
DEPLOYED = {"model": "olmoe-1b-7b", "gpu": "A100-80GB", "batch": 4}
BATCHES = [1, 2, 4, 8, 16, 32, 64]
MOST_REQUESTS = 0.9  # share of them that meets the objective
SERVED = 32  # draws, each some ten simulations


def sweep_assumptions() -> xr.Dataset:
    """The study's grid under every assumption: Prophet's extension, and what fits.

    Dims next to the study's: step (the ladder of constants), routing, dedup_exponent, activation (a
    factor on the study's charge), utilization (share of memory that a runtime may use).
    """
    chosen = {"routing": LAWS, "dedup_exponent": EXPONENTS, "utilization": UTILIZATIONS}
    data = stacked(rungs(policy="prophet", **chosen), "step")
    factor = xr.DataArray(ACTIVATIONS, dims="activation", coords={"activation": ACTIVATIONS})
    charge = (data.study_activation * factor).variable
    data = data.assign(study_activation=charge).assign_coords(activation=factor)
    data["study_activation"].attrs = QUANTITIES["study_activation"].attrs
    return sweep(data, ["kv_extension", "regime", "total_parameters", "expert_savings_fraction"])


def averages(cube: xr.Dataset, over: list[str]) -> xr.DataArray:
    """Average extension along ``average``, in the three ways it can be averaged.

    Reads   kv_extension, regime (..., gpu, batch)
    Returns (average, ...) [1]; NaN where no cell has both fitting, 0 in the study's way.
    """
    each = extension(cube.assign(kv_extension=cube.kv_extension.fillna(0.0)), over)
    parts = [each[name] for name in WAYS_TO_AVERAGE.values()]
    return xr.concat(parts, xr.Variable("average", list(WAYS_TO_AVERAGE))).rename("extension")


def memory_draws() -> xr.Dataset:
    """Draws of what moves memory, for the study's models at seven batches on three cards."""
    data = inputs("published", model=_SHOWN, gpu=_CARDS, batch=BATCHES)
    return draws(data, known(_MEMORY))


def time_draws() -> xr.Dataset:
    """Draws of what moves time, for the same at 4,096 tokens under the true architectures."""
    data = inputs(policy="prophet", model=_SHOWN, gpu=_CARDS, batch=BATCHES, context=4096)
    return draws(data, known(TIMES), correlation={LOCALITY: locality()})


def served_draws() -> xr.DataArray:
    """The highest rate within the objective, of draws of what moves time and memory.

    Qwen3-30B-A3B under vLLM serves Azure's conversations; dims (draw, gpu, policy) [1 / s].
    """
    chosen = {"model": "qwen3-30b-a3b", "gpu": ["A100-80GB", "H100-80GB"], "context": 16384}
    data = inputs(runtime="vllm", routing="zipf", batch=1, **chosen)
    priors = known([*TIMES[1:], *_MEMORY[2:], "kv_full"])
    drawn = draws(data, priors, SERVED, correlation={LOCALITY: locality()})
    load = preset("azure-conv", 1500)
    return capacity(drawn, load, quantile=MOST_REQUESTS).capacity


def locality() -> float:
    """Correlation of the two numbers of a model's locality, of the normals behind their ranks."""
    from scipy.stats import spearmanr

    models = specs.read("model")
    own = models.isel(model=np.flatnonzero(models.reuse_strength_status == "measured"))
    strength, exponent = (own[name].values for name in LOCALITY)
    ranked = spearmanr(strength, exponent).statistic  # pyright: ignore[reportAttributeAccessIssue]
    return float(2 * np.sin(np.pi / 6 * ranked))


def partly_resident() -> xr.Dataset:
    """OLMoE-1B-7B at batch 1 on A100-80GB, with 48 of 64 experts resident."""
    chosen = {"model": "olmoe-1b-7b", "gpu": "A100-80GB", "batch": 1, "context": 4096}
    return inputs(policy="prophet", routing="zipf", staging=40, **chosen)


def prior_cell(metric: str) -> xr.Dataset:
    """The one cell in which priors are compared: OLMoE-1B-7B at batch 4 on A100-80GB."""
    study = "verified" if metric in ("slowdown", "step_time") else "published"
    return inputs(
        study, model="olmoe-1b-7b", gpu="A100-80GB", batch=4, context=4096, policy="prophet"
    )


def priors_of(metric: str) -> dict[str, Prior]:
    """Priors that belong to a metric's question."""
    asked = ASKED[metric]
    return {n: _AXES[n] for n in asked if n in _AXES} | known(n for n in asked if n not in _AXES)


def every_axis() -> xr.Dataset:
    """Inputs of the global analysis: every axis of the study and of its assumptions.

    Labels (model, GPU, law, policy's constants) stand next to numbers; 8 axes, not stored.
    """
    return inputs(
        policy="prophet",
        batch=BATCHES,
        context=np.geomspace(1024, 32768, 6).round(),
        hit_rate=[0.9, 0.95, 0.98, 0.994, 1.0],
        dedup_exponent=EXPONENTS,
        routing=LAWS,
        utilization=UTILIZATIONS,
        copy_latency=[0.0, 20e-6, 70e-6],
        software_floor=[0.0, 5e-3, 15e-3],
    )
