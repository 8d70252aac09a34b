"""Cubes x published claims -> verdicts.

``data/claims.toml`` holds what the study prints; everything it is compared with is selected and
reduced from cubes.  A claim is judged by these rules, in this order:

1. No evaluator answers its quantity: *not answerable by this sweep*.
2. Under the study's constants a number hits if it lies within the tolerance that rounding leaves;
   of a range, or of one number said of several models, one end of two is a part.
3. A hit or a part whose number under the true architecture is missing, or differs from the
   published one by more than the tolerance and `CONTRADICTION`, is *refuted by the true
   architecture*.  Labels, counts and yes-or-no must be equal.  The study writes an extension of 0
   where the baseline does not fit, so there a missing number agrees with 0.  A part that is not
   refuted is *reproduced in part*.
4. A hit is *reproduced* if it stays one with the fitted constants removed, else *reproduced with
   a fitted constant*.
5. Anything else is *not reproduced*.

Averages of the extension run over all cells that hold a number: the study's cube holds zeros where
the baseline does not fit, the true one nothing.
"""

import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from math import isnan, nan
from pathlib import Path

import pandas as pd
import xarray as xr

from prophet_xr import specs
from prophet_xr.errors import InputError, SpecError, nearest
from prophet_xr.registry import BASELINE, QUANTITIES

PROPHET = "prophet"
CONTRADICTION = 0.1
"""Share by which the true architecture may differ from a published number and still agree."""

VERDICTS = (
    "reproduced",
    "reproduced with a fitted constant",
    "reproduced in part",
    "refuted by the true architecture",
    "not reproduced",
    "not answerable by this sweep",
)
REPRODUCED, FITTED, PART, REFUTED, MISSED, UNANSWERED = VERDICTS

UNITS = {"%": 0.01, "MB": 1e6, "GB": 1e9, "TB": 1e12, "1e9 parameters": 1e9}
UNITS |= dict.fromkeys(("1", "x", "tokens", "experts", "count", "label", "bool"), 1.0)
EXACT = ("count", "label", "bool")
DECIMAL = ", decimal"  # a document that counts the study's MB, 1e9 / 1024 B, as 1e6 B
STUDY_MB = 1e3 / 1024

_PLANS = "It needs several GPUs, and a cell of this sweep is one."
_EXAMPLE = "It is worked on an assumed 384 GB of experts, which is no model of the catalogue."
_INPUT = "It is an input of the sweep, stated without data, and no result of it."
UNANSWERABLE = {
    "example_table": _EXAMPLE,
    "memory_reduction": _EXAMPLE,
    "latency_ratio": "CPU offloading is no policy of these cubes, and no latency was measured.",
    "metrics": "The study's own code and columns are not public.",
    "alpha": _INPUT,
    "hit_rate": _INPUT,
    "workload": "The mix of requests is no axis of the sweep, and no source is given.",
    **dict.fromkeys(
        (
            *("baseline_throughput", "prophet_throughput", "multi_gpu_speedup", "baseline_cost"),
            *("prophet_cost", "annual_savings", "baseline_communication", "communication"),
            *("prophet_communication", "scaling_efficiency", "multi_gpu_trend"),
        ),
        _PLANS,
    ),
}

Found = tuple[float, float]  # both ends; the same number twice where there is only one


# --- Claims --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """One number that the study prints; labels left out mean all of them."""

    id: str
    document: str
    quote: str
    quantity: str
    unit: str
    value: float
    tolerance: float
    high: float = nan
    high_tolerance: float = nan
    model: tuple[str, ...] = ()
    n_experts: tuple[int, ...] = ()
    gpu: tuple[str, ...] = ()
    batch: tuple[int, ...] = ()
    context: float = nan
    note: str = ""

    @property
    def is_range(self) -> bool:
        """Whether the quote has two ends."""
        return not isnan(self.high)

    @property
    def ends(self) -> tuple[Found, Found]:
        """Value and tolerance of each end."""
        tolerance = self.tolerance if isnan(self.high_tolerance) else self.high_tolerance
        high = self.high if self.is_range else self.value
        return (self.value, self.tolerance), (high, tolerance)


def load() -> list[Claim]:
    """Read the published claims.

    Raises
    ------
    SpecError
        If ``data/claims.toml`` is missing, broken, or holds a claim with a wrong field.
    """
    file = specs.path().with_name("claims.toml")
    try:
        entries = tomllib.loads(file.read_text(encoding="ascii"))["claim"]
    except (OSError, ValueError, KeyError) as problem:
        raise SpecError(f"claims: {file} cannot be read ({problem}); expected [[claim]]s") from None
    if not isinstance(entries, list):
        raise SpecError(f"claims: {file} holds no list; expected [[claim]]s")
    claims = [_claim(entry, file) for entry in entries]
    ids = [claim.id for claim in claims]
    for twice in (i for i in ids if ids.count(i) > 1):
        raise SpecError(f"claims: {file} holds {twice!r} twice; expected unique ids")
    return claims


def _claim(entry: dict, file: Path) -> Claim:
    """Check one entry and give it its types."""
    where = f"claims: {file}, claim {entry.get('id')!r}"
    known = {f.name: f for f in fields(Claim)}
    given: dict = {}
    for name, value in entry.items():
        if name not in known:
            raise SpecError(f"{where}: unknown field {name!r}; {nearest(name, known)}")
        kind = known[name].type
        several = kind not in (str, float)
        items = value if several and isinstance(value, list) else [value]
        expected = str if kind in (str, tuple[str, ...]) else (int, float)
        if not items or any(isinstance(i, bool) or not isinstance(i, expected) for i in items):
            raise SpecError(f"{where}: {name}={value!r}; expected {getattr(kind, '__name__', kind)}")
        given[name] = tuple(items) if several else value
    for name, field in known.items():
        if field.default is MISSING and name not in given:
            raise SpecError(f"{where}: {name} is missing")
    claim = Claim(**given)
    _known(where, "quantity", claim.quantity, [*ANSWERS, *UNANSWERABLE])
    if claim.quantity in ANSWERS:
        _known(where, "unit", claim.unit.removesuffix(DECIMAL), UNITS)
        for axis, labels in (("model", claim.model), ("gpu", claim.gpu)):
            for label in labels:
                _known(where, axis, label, specs.rows(axis)[axis].values.tolist())
    return claim


def _known(where: str, name: str, got: str, known) -> None:
    if got not in known:
        raise SpecError(f"{where}: {name}={got!r} is unknown; {nearest(got, known)}")


# --- Evaluators ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """How a quantity is found in a cube, what it is in words, and what moves it."""

    evaluate: Callable[[xr.Dataset, Claim], float | Found]
    title: str
    formula: str = ""
    causes: tuple[str, ...] = ()
    extends: bool = False


ANSWERS: dict[str, Answer] = {}
SIZES = ("expert_memory", "fixed_memory", "activation_memory", "memory_budget")
TOKENS = ("kv_per_token", "expert_memory", "fixed_memory", "activation_memory", "memory_budget")
EXPERTS = ("moe_layers", "n_experts", "expert_size")


def answers(*quantities: str, causes: tuple[str, ...] = (), extends: bool = False) -> Callable:
    """Enter an evaluator for quantities; the first line of its docstring says what it finds."""

    def register(evaluate: Callable[[xr.Dataset, Claim], float | Found]) -> Callable:
        title, _, formula = (inspect.getdoc(evaluate) or "").partition("\n")
        answer = Answer(evaluate, title.rstrip("."), formula.strip().rstrip("."), causes, extends)
        ANSWERS.update(dict.fromkeys(quantities, answer))
        return evaluate

    return register


def _models(cube: xr.Dataset, claim: Claim) -> list[str] | None:
    """Labels of the models a claim is on, None for all."""
    if claim.n_experts:
        return cube.model.values[cube.n_experts.isin(claim.n_experts).values].tolist()
    return list(claim.model) or None


def _cells(cube: xr.Dataset, name: str, claim: Claim, policy: str = PROPHET) -> xr.DataArray:
    """Cells of a quantity that a claim is on, by label."""
    values = cube[name]
    wanted = {
        "policy": policy,
        "model": _models(cube, claim),
        "gpu": list(claim.gpu) or None,
        "batch": list(claim.batch) or None,
    }
    at = {d: labels for d, labels in wanted.items() if labels is not None and d in values.dims}
    return values.sel(at)


def _ends(values: xr.DataArray) -> Found:
    """Smallest and largest number, NaN where there is none."""
    if values.size == 0:
        return nan, nan
    return float(values.min()), float(values.max())


def _plain(
    quantities: str, metric: str, policy: str = PROPHET, causes: tuple[str, ...] = ()
) -> None:
    """Answer quantities with the ends of a metric over the cells of the claim."""
    q = QUANTITIES[metric]
    title = q.long_name + (" of the baseline" if policy == BASELINE else "")
    formula = q.comment.partition(". ")[0].partition(";")[0].rstrip(".")
    answer = Answer(
        lambda cube, claim: _ends(_cells(cube, metric, claim, policy)),
        *(title, formula, causes, metric == "kv_extension"),
    )
    ANSWERS.update(dict.fromkeys(quantities.split(), answer))


_plain("expert_savings savings savings_range", "expert_savings_fraction", PROPHET, EXPERTS[1:2])
_plain("dedup dedup_range", "dedup_factor", PROPHET, EXPERTS[1:2])
_plain("unique_experts", "unique_experts", PROPHET, ("n_experts", "top_k"))
_plain("expert_memory expert_memory_baseline", "expert_memory", BASELINE, EXPERTS)
_plain("expert_memory_prophet", "expert_memory", PROPHET, EXPERTS)
_plain("expert_memory_saved", "expert_savings", PROPHET, EXPERTS)
_plain("expert_mb", "expert_size", PROPHET, ("expert_matrices", "expert_parameters"))
_plain("fixed_memory", "fixed_memory")
_plain("total_params", "total_parameters", PROPHET, (*EXPERTS, "fixed_memory"))
_plain("kv_extension", "kv_extension", PROPHET, SIZES)
_plain("max_tokens_baseline", "max_context", BASELINE, TOKENS)
_plain("max_tokens_prophet", "max_context", PROPHET, TOKENS)
_plain("n_experts", "n_experts")
_plain("moe_layers", "moe_layers")
_plain("slowdown", "slowdown")


@answers("kv_increase_tokens", causes=TOKENS)
def kv_increase(cube: xr.Dataset, claim: Claim) -> Found:
    """Tokens of context gained where the baseline fits."""
    fits = _cells(cube, "fits", claim, BASELINE)
    return _ends(_cells(cube, "kv_increase", claim).where(fits))


@answers("max_tokens", causes=TOKENS)
def max_tokens(cube: xr.Dataset, claim: Claim) -> Found:
    """Longest context of the baseline and of Prophet."""
    baseline, prophet = (
        float(_cells(cube, "max_context", claim, policy).max()) for policy in (BASELINE, PROPHET)
    )
    return baseline, prophet


@answers("avg_savings", "avg_savings_by_expert_count", causes=("n_experts",))
def mean_savings(cube: xr.Dataset, claim: Claim) -> float:
    """Share of expert memory freed, averaged over batches and models."""
    return float(_cells(cube, "expert_savings_fraction", claim).mean())


@answers("avg_dedup_by_expert_count", causes=("n_experts",))
def mean_dedup(cube: xr.Dataset, claim: Claim) -> float:
    """Deduplication factor, averaged over batches and models."""
    return float(_cells(cube, "dedup_factor", claim).mean())


@answers("avg_kv_extension", causes=SIZES, extends=True)
def mean_extension(cube: xr.Dataset, claim: Claim) -> float:
    """KV extension, averaged over GPUs and batches."""
    return float(_cells(cube, "kv_extension", claim).mean())


@answers("avg_extension_range", extends=True)
def mean_extension_of_models(cube: xr.Dataset, claim: Claim) -> Found:
    """KV extension averaged over GPUs and batches, from the lowest to the highest of the group.

    The group is of models, or of expert counts.
    """
    if claim.n_experts:
        return _ends(_grouped(cube, claim))
    return _ends(_cells(cube, "kv_extension", claim).mean(["gpu", "batch"]))


@answers("avg_extension_by_expert_count", extends=True)
def mean_extension_of_groups(cube: xr.Dataset, claim: Claim) -> Found:
    """KV extension averaged over GPUs and batches, then over the models of an expert count."""
    return _ends(_grouped(cube, claim))


def _grouped(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """Mean extension per expert count; a model that fits nowhere counts as 0."""
    each = _cells(cube, "kv_extension", claim).mean(["gpu", "batch"]).fillna(0.0)
    return each.groupby(cube.n_experts.sel(model=each.model)).mean()


@answers("ranking", extends=True)
def best_group(cube: xr.Dataset, claim: Claim) -> float:
    """Expert count whose models have the highest mean KV extension."""
    return float(_grouped(cube, claim).idxmax("n_experts"))


@answers("best_kv_extension", causes=SIZES, extends=True)
def best_extension(cube: xr.Dataset, claim: Claim) -> float:
    """Highest KV extension of any GPU and batch."""
    return float(_cells(cube, "kv_extension", claim).max())


@answers("extension_range", extends=True)
def extension_where_it_fits(cube: xr.Dataset, claim: Claim) -> Found:
    """KV extension over the cells where the baseline fits."""
    values = _cells(cube, "kv_extension", claim)
    return _ends(values.where(values > 0))


@answers("recommendation", extends=True)
def best_batches(cube: xr.Dataset, claim: Claim) -> float:
    """Whether these batches have a higher mean KV extension than every other."""
    means = cube.kv_extension.sel(policy=PROPHET).mean(["model", "gpu"])
    chosen = list(claim.batch)
    return float(means.sel(batch=chosen).min() > means.drop_sel(batch=chosen).max())


@answers("fit_prophet")
def fits_with_prophet(cube: xr.Dataset, claim: Claim) -> float:
    """Whether each model fits some GPU at some batch with Prophet."""
    return float(_cells(cube, "fits", claim).any(["gpu", "batch"]).all())


@answers("fit_baseline")
def fits_without(cube: xr.Dataset, claim: Claim) -> float:
    """Whether the baseline fits at any of these batches."""
    return float(_cells(cube, "fits", claim, BASELINE).any())


@answers("unique_experts_uncapped")
def uncapped_experts(cube: xr.Dataset, claim: Claim) -> Found:
    """Distinct experts if the model had more than enough.

    k times the distinct experts per routed one of the model that is farthest from saturation.
    """
    growth = (cube.unique_experts / cube.top_k).max("model").sel(batch=list(claim.batch))
    return _ends(growth * _cells(cube, "top_k", claim))


@answers("saturation_batch")
def saturation_batch(cube: xr.Dataset, claim: Claim) -> Found:
    """Smallest batch of the sweep that needs every expert."""
    full = _cells(cube, "unique_experts", claim) >= _cells(cube, "n_experts", claim)
    return _ends(cube.batch.where(full).min("batch"))


def _kv_cache(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """KV cache of the claim's batch and context; none where the claim names no context."""
    context = 0.0 if isnan(claim.context) else claim.context
    return _cells(cube, "kv_per_token", claim) * claim.batch[0] * context


@answers("kv_cache", causes=("kv_per_token",))
def kv_cache(cube: xr.Dataset, claim: Claim) -> Found:
    """KV cache per token x batch x context."""
    return _ends(_kv_cache(cube, claim))


@answers("total")
def total_baseline(cube: xr.Dataset, claim: Claim) -> Found:
    """All memory of the baseline: weights, activations, and the KV cache at the context."""
    return _ends(_cells(cube, "static_memory", claim, BASELINE) + _kv_cache(cube, claim))


@answers("total_prophet")
def total_prophet(cube: xr.Dataset, claim: Claim) -> Found:
    """All memory with Prophet: weights, activations, and the KV cache at the context."""
    return _ends(_cells(cube, "static_memory", claim) + _kv_cache(cube, claim))


@answers("weights")
def weights(cube: xr.Dataset, claim: Claim) -> Found:
    """Expert and fixed weights of the baseline."""
    experts = _cells(cube, "expert_memory", claim, BASELINE)
    return _ends(experts + _cells(cube, "fixed_memory", claim))


@answers("expert_params", causes=EXPERTS)
def expert_params(cube: xr.Dataset, claim: Claim) -> Found:
    """Parameters of all routed experts: layers x experts x parameters of one."""
    layers, experts = _cells(cube, "moe_layers", claim), _cells(cube, "n_experts", claim)
    return _ends(layers * experts * _cells(cube, "expert_parameters", claim))


@answers("ff_dim", causes=("hidden_size", "expert_matrices", "expert_parameters"))
def expert_width(cube: xr.Dataset, claim: Claim) -> Found:
    """Inner width of an expert: its parameters / (matrices x hidden size)."""
    across = _cells(cube, "expert_matrices", claim) * _cells(cube, "hidden_size", claim)
    return _ends(_cells(cube, "expert_parameters", claim) / across)


@answers("configs")
def configurations(cube: xr.Dataset, claim: Claim) -> float:
    """Configurations of the sweep: models x GPUs x batches."""
    return float(cube.sizes["model"] * cube.sizes["gpu"] * cube.sizes["batch"])


@answers("models", "n_models")
def models(cube: xr.Dataset, claim: Claim) -> float:
    """Models of the sweep with these expert counts."""
    return float(_cells(cube, "n_experts", claim).size)
