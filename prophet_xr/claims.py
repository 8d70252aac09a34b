"""Cubes x published claims -> verdicts.

``data/claims.toml`` holds what the study prints; all that it is compared with is selected and
reduced from cubes.  A claim is judged by these rules, in this order:

1. No evaluator answers its quantity: *not answerable by this sweep*, for the reason in the file.
2. Under the study's constants a number hits if it lies within the tolerance that rounding leaves;
   of a range, or of one number said of several models, one end of two is a part.
3. A hit or a part whose number under the true architecture is missing, or is off the published one
   by more than the tolerance and `CONTRADICTION`, is *refuted by the true architecture*; labels,
   counts and yes-or-no must be equal; an extension missing because the baseline does not fit
   agrees with 0, as the study writes it.  Another part is *reproduced in part*.
4. A hit is *reproduced* if the study hits it without its fitted constants too, else *reproduced
   with a fitted constant*.
5. Anything else is *not reproduced*.

Means skip cells without a number; where the baseline does not fit, the study's cube holds 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isclose, isnan, nan
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from prophet_xr import kernels, statements  # noqa: F401  (kernels declares the metrics)
from prophet_xr.errors import InputError
from prophet_xr.offloading.regions import ratio
from prophet_xr.offloading.words import pair_region, ratio_region
from prophet_xr.reduce import ends
from prophet_xr.registry import BASELINE, QUANTITIES, needed
from prophet_xr.sentences import four_digits
from prophet_xr.statements import DECIMAL, UNITS, Claim

PROPHET = "prophet"
POLICIES = {"baseline": BASELINE, "both": (BASELINE, PROPHET)}  # by the end of a quantity's name
CUBES = ("published", "verified", "unfitted")
CONTRADICTION = 0.1
"""Share by which the true architecture may differ from a published number and still agree."""
VERDICTS = REPRODUCED, FITTED, PART, REFUTED, MISSED, UNANSWERED = (
    *("reproduced", "reproduced with a fitted constant", "reproduced in part"),
    *("refuted by the true architecture", "not reproduced", "not answerable by this sweep"),
)

EXACT = ("count", "label", "bool")
STUDY_MB = 1e3 / 1024  # the study's MB is 1e9 / 1024 B, counted as 1e6 B
CAUSES = ("n_experts", "top_k", "moe_layers", "expert_size", "fixed_memory", "activation_memory")
CAUSES += ("memory_budget", "kv_per_token")

Found = tuple[float, float]  # both ends; the same number twice where there is only one
Numbers = Mapping[str, Found]  # by cube
Cubes = Mapping[str, xr.Dataset]
ANSWERS: dict[str, "Answer"] = {}  # by quantity


def load() -> list[Claim]:
    """Read the published claims; SpecError if ``data/claims.toml`` is missing or broken."""
    return statements.read(ANSWERS)


# --- Evaluators ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """How a quantity is found in a cube, which metric it reads, and what it is in words.

    ``cube`` names one that holds all three along ``study``; ``where`` says where the claim holds.
    """

    evaluate: Callable[[xr.Dataset, Claim], Any]
    reads: str
    title: str
    cube: str = ""
    where: Callable[[Cubes], str] = lambda cubes: ""


def answers(
    quantities: str, reads: str, title: str = "", **more: Any
) -> Callable[[Callable], Callable]:
    """Enter an evaluator of quantities: (cube, claim) -> a number, or both ends of a range."""

    def register(evaluate: Callable) -> Callable:
        words = title or (evaluate.__doc__ or "").rstrip(".")
        ANSWERS.update(dict.fromkeys(quantities.split(), Answer(evaluate, reads, words, **more)))
        return evaluate

    return register


def _cells(cube: xr.Dataset, name: str, claim: Claim) -> xr.DataArray:
    """Cells of a quantity that a claim is on, by label."""
    wanted = {"gpu": claim.gpu, "batch": claim.batch, "model": claim.model}
    wanted["policy"] = POLICIES.get(claim.quantity.rpartition("_")[2], PROPHET)
    values = cube[name]
    at = {d: _positions(cube, d, wanted[d]) for d in map(str, values.dims) if wanted[d]}
    if claim.n_experts and "model" in values.dims:
        at["model"] = np.flatnonzero(cube.n_experts.isin(claim.n_experts)).tolist()
    return values.isel(at)


def _positions(cube: xr.Dataset, dim: str, labels: str | tuple) -> int | list[int]:
    """Positions of labels along a dim; looking them up costs less than a selection by label."""
    known = cube[dim].values.tolist()
    return known.index(labels) if isinstance(labels, str) else [known.index(x) for x in labels]


def _groups(values: xr.DataArray) -> xr.DataArray:
    """Mean over GPUs, batches and models per expert count; a model that never fits counts as 0."""
    return values.mean(["gpu", "batch"]).fillna(0.0).groupby("n_experts").mean()


REDUCTIONS: dict[str, Callable[[xr.DataArray], Any]] = {
    "ends": ends,
    "size": lambda v: v.size,
    "mean": lambda v: v.mean(),
    "max": lambda v: v.max(),
    "positive": lambda v: ends(v.where(v > 0)),
    "models": lambda v: ends(v.mean(["gpu", "batch"])),
    "groups": lambda v: ends(_groups(v)),
    "best group": lambda v: _groups(v).idxmax("n_experts"),
    "somewhere": lambda v: v.any(["gpu", "batch"]).all(),
    "saturated": lambda v: ends(v.batch.where(v >= v.n_experts).min("batch")),
}


def _plain(quantities: str, metric: str, reduction: str = "ends", title: str = "") -> None:
    """Answer quantities by reducing a metric over the cells of the claim."""
    reduce = REDUCTIONS[reduction]
    answers(quantities, metric, title or QUANTITIES[metric].long_name)(
        lambda cube, claim: reduce(_cells(cube, metric, claim))
    )


for _name in ("kv_extension", "kv_increase", "slowdown", "total_parameters", "unique_experts"):
    _plain(_name, _name)
for _name in ("expert_size", "fixed_memory", "n_experts", "moe_layers"):
    _plain(_name, _name)
_plain("expert_savings savings savings_range", "expert_savings_fraction")
_plain("dedup dedup_range", "dedup_factor")
_plain("expert_memory_baseline expert_memory_prophet", "expert_memory")
_plain("expert_memory_saved", "expert_savings")
_plain("max_tokens_baseline max_tokens_prophet max_tokens_both", "max_context")
_plain("configs", "kv_extension", "size", "Configurations of the sweep")
_plain("n_models", "n_experts", "size", "Models of the sweep")
_plain("avg_savings", "expert_savings_fraction", "mean", "Mean share of expert memory freed")
_plain("avg_dedup", "dedup_factor", "mean", "Mean deduplication factor")
_plain("avg_kv_extension", "kv_extension", "mean", "Mean KV extension")
_plain("best_kv_extension", "kv_extension", "max", "Highest KV extension")
_plain("extension_range", "kv_extension", "positive", "KV extension where the baseline fits")
_plain("avg_extension_range", "kv_extension", "models", "Mean KV extension of each model")
_plain("group_extension", "kv_extension", "groups", "Mean KV extension of an expert count")
_plain("ranking", "kv_extension", "best group", "Expert count with the highest mean KV extension")
_plain("fit_baseline fit_prophet", "fits", "somewhere", "Each model fits somewhere")
_plain("saturation_batch", "unique_experts", "saturated", "First batch that needs every expert")


@answers("recommendation", "kv_extension")
def best_batches(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """These batches have a higher mean KV extension than every other."""
    means, chosen = cube.kv_extension.sel(policy=PROPHET).mean(["model", "gpu"]), list(claim.batch)
    return means.sel(batch=chosen).min() > means.drop_sel(batch=chosen).max()


@answers("unique_experts_uncapped", "unique_experts")
def uncapped_experts(cube: xr.Dataset, claim: Claim) -> Found:
    """Distinct experts if there were more: k x the most per routed expert of any model."""
    growth = (cube.unique_experts / cube.top_k).max("model").sel(batch=list(claim.batch))
    return ends(growth * _cells(cube, "top_k", claim))


@answers("kv_cache", "kv_per_token")
def kv_cache(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """KV cache: bytes per token x batch x context."""
    return _cells(cube, "kv_per_token", claim).max() * claim.batch[0] * claim.context


@answers("total_baseline total_prophet", "static_memory")
def total(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """Weights and activations, and the KV cache where a context is named."""
    return _cells(cube, "static_memory", claim).max() + kv_cache(cube, claim)


@answers("inner_width", "expert_size")
def inner_width(cube: xr.Dataset, claim: Claim) -> Found:
    """Inner width of an expert: its parameters / (matrices x hidden size)."""
    across = _cells(cube, "expert_matrices", claim) * _cells(cube, "hidden_size", claim)
    return ends(_cells(cube, "expert_parameters", claim) / across)


@answers("offload_slowdowns", "slowdown", cube="offload", where=pair_region)
def offload_slowdowns(cube: xr.Dataset, claim: Claim) -> Found:
    """Median step over the baseline's: of Prophet, and of experts fetched when needed."""
    slow = cube.slowdown.sel(batch=list(claim.batch))
    low, high = (float(slow.sel(policy=p).median()) for p in (PROPHET, "on_demand"))
    return low, high


@answers("offload_ratio", "step_time", cube="offload", where=ratio_region)
def offload_ratio(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """Median step of experts fetched when needed over Prophet's in the same memory."""
    return ratio(cube).sel(batch=list(claim.batch)).median()


# --- Verdicts ------------------------------------------------------------------------------


def judge(cubes: Cubes) -> pd.DataFrame:
    """Judge every published claim.

    Parameters
    ----------
    cubes
        ``published`` (the study's constants; an extension is 0 where the baseline does not fit),
        ``verified`` (true architectures; NaN there), ``unfitted`` (as published, less the fit);
        ``offload`` (all three along ``study``, with experts fetched when needed), ``costs``
        (`offloading.grids.costs`).

    Returns
    -------
    pd.DataFrame
        Columns id, document, quote, claim, unit, published, reproduced, verified, verdict, reason.
        A number that does not exist is NaN, two that differ are text, ``"lo..hi"``.
    """
    every = (*CUBES, "offload", "costs")
    for name in (name for name in every if name not in cubes):
        raise InputError(f"cubes lack {name!r}; expected {', '.join(every)}")
    lean = dict(cubes)  # few coordinates to select by; no gain over a baseline that does not fit
    for name in CUBES:
        gain = cubes[name].kv_increase.where(cubes[name].fits.sel(policy=BASELINE, drop=True))
        lean[name] = cubes[name].assign(kv_increase=gain).reset_coords().set_coords("n_experts")
    return pd.DataFrame([_row(claim, lean) for claim in load()])


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Count verdicts per document, from what `judge` returns."""
    counts = pd.crosstab(frame.document, frame.verdict)
    return counts.reindex(index=frame.document.unique(), columns=list(VERDICTS), fill_value=0)


def _row(claim: Claim, cubes: Cubes) -> dict[str, object]:
    found = dict.fromkeys(CUBES, (nan, nan))
    what, verdict, reason = claim.quantity, UNANSWERED, claim.unanswerable
    if not reason:
        answer = ANSWERS[claim.quantity]
        own = {n: cubes[answer.cube].sel(study=n) if answer.cube else cubes[n] for n in CUBES}
        found = {name: _found(answer, own[name], claim, name) for name in CUBES}
        what, verdict = answer.title, _verdict(claim, answer, found)
        reason = f"{_reason(claim, answer, own, found, verdict)} {answer.where(cubes)}".strip()
    return {
        **{name: getattr(claim, name) for name in ("id", "document", "quote")},
        "claim": ", ".join([what.replace("_", " "), *_place(claim, cubes["published"])]),
        "unit": claim.unit,
        "published": _shown((claim.value, claim.high)),
        "reproduced": _shown(found["published"]),
        "verified": _shown(found["verified"]),
        "verdict": verdict,
        "reason": f"{reason} {claim.note}".strip(),
    }


def _found(answer: Answer, cube: xr.Dataset, claim: Claim, name: str) -> Found:
    value = answer.evaluate(cube, claim)
    low, high = value if isinstance(value, tuple) else (float(value), float(value))
    decimal = claim.unit.endswith(DECIMAL) and name != "verified"
    scale = UNITS[claim.unit.removesuffix(DECIMAL)] * (STUDY_MB if decimal else 1.0)
    return low / scale, high / scale


def _near(claim: Claim, found: Found, share: float = 0.0) -> list[bool]:
    """Whether each end lies within the tolerance, or a share of what is published."""
    low = claim.value, claim.tolerance[0], found[0]
    high = claim.high, claim.tolerance[-1], found[1]
    return [abs(x - v) <= max(t, share * abs(v)) + 1e-9 * (1 + abs(v)) for v, t, x in (low, high)]


def _verdict(claim: Claim, answer: Answer, found: Numbers) -> str:
    hits, true = _near(claim, found["published"]), found["verified"]
    if not any(hits):
        return MISSED
    if answer.reads == "kv_extension" and isnan(true[0]):
        true = (0.0, 0.0)
    agrees = _near(claim, true, 0.0 if claim.unit in EXACT else CONTRADICTION)
    if any(hit and not agree for hit, agree in zip(hits, agrees, strict=True)):
        return REFUTED
    if not all(hits):
        return PART
    return REPRODUCED if all(_near(claim, found["unfitted"])) else FITTED


def _shown(found: Found) -> float | str:
    if isnan(found[0]) or isclose(*found, rel_tol=1e-9, abs_tol=1e-12):
        return float(f"{found[0]:.6g}")
    return "..".join(map(four_digits, found))


def _told(found: Found, claim: Claim) -> str:
    shown, unit = _shown(found), claim.unit.removesuffix(DECIMAL)
    if unit == "bool":
        return "yes" if shown else "no"
    text = shown if isinstance(shown, str) else four_digits(shown)
    return text if unit in (*EXACT, "1") else f"{text} {unit}"


def _place(claim: Claim, cube: xr.Dataset) -> list[str]:
    names = [str(cube.model_name.sel(model=m).item()) for m in claim.model]
    names = names if len(names) <= 3 else [f"{len(names)} models"]
    batches = [f"batch {'/'.join(map(str, claim.batch))}"] if claim.batch else []
    row = [row for row in (BASELINE, PROPHET) if claim.quantity.endswith(row)]
    return [*names, *(f"{n} experts" for n in claim.n_experts), *claim.gpu, *batches, *row]


def _reason(claim: Claim, answer: Answer, cubes: Cubes, found: Numbers, verdict: str) -> str:
    more = {
        MISSED: f", not {_told((claim.value, claim.high), claim)}",
        PART: ", one end of two",
        FITTED: f", but {_told(found['unfitted'], claim)} without those that were fitted",
    }
    title, q = answer.title, QUANTITIES[answer.reads]
    if title == q.long_name and q.comment:
        title += f" ({q.comment.partition('. ')[0].partition(';')[0].rstrip('.')})"
    study = f"the study's constants give {_told(found['published'], claim)}{more.get(verdict, '')}"
    cube, true = cubes["verified"], found["verified"]
    truth = f"the true architecture gives {_told(true, claim)}{_spread(claim, answer, cube)}"
    if isnan(true[0]):
        where = " or ".join(claim.gpu) or "any of the GPUs"
        fit = f"{_place(claim, cube)[0]} does not fit {where} in {cube.precision.item()}"
        truth = f"in truth {fit}: the baseline has no KV budget"
    moved = "; ".join(_moved(claim, answer, cubes)) if verdict == REFUTED else ""
    return f"{title}: {study}; {truth}{f' [{moved}]' if moved else ''}."


def _spread(claim: Claim, answer: Answer, cube: xr.Dataset) -> str:
    """How many cells stand behind an extension, their median, and the mean in the study's way."""
    extension = answer.reads == "kv_extension" and claim.unit == "x"
    if not extension or (cells := _cells(cube, answer.reads, claim)).size == 1:
        return ""
    fitting, mean = int(cells.count()), float(cells.fillna(0).mean())
    text = f"the baseline fits in {fitting} of {cells.size} cells"
    text += f", median {four_digits(float(cells.median()))}" if fitting else ""
    text += f", mean {four_digits(mean)} with 0 for the rest" if 0 < fitting < cells.size else ""
    return f" ({text})"


def _moved(claim: Claim, answer: Answer, cubes: Cubes) -> list[str]:
    """What the answer depends on and the true architecture has otherwise."""
    parts = []
    savings = answer.reads == "expert_savings_fraction"  # in which the size of an expert cancels
    reads = needed(["unique_experts" if savings else answer.reads])
    for q in (QUANTITIES[n] for n in CAUSES if n in reads):
        (low, high), (true, top) = (ends(_cells(cubes[n], q.name, claim)) for n in CUBES[:2])
        if low == high and true == top and not isclose(low, true, rel_tol=0.01):
            unit = {"B": "GB", "B / expert": "MB"}.get(q.units, "1")
            change = f"{four_digits(low / UNITS[unit])} -> {four_digits(true / UNITS[unit])}"
            parts.append(f"{q.long_name}: {change} {unit}".removesuffix(" 1"))
    return parts
