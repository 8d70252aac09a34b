"""The study's headlines over its assumptions: cubes -> where each holds, and its verdict."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from prophet_xr.studies.published.claim_file import Claim, read_claims
from prophet_xr.studies.published.latency_claims import (
    HIT,
    fetching_row,
    latency_targets,
    prophet_row,
    step_ratio,
)
from prophet_xr.studies.sensitivity.assumptions import BASE, averages
from prophet_xr.studies.sensitivity.wording import label_text
from prophet_xr.uncertainty.robustness import ASSUMPTION, robustness

AGREES = 0.1
"""Share by which a number may differ from a published one and still agree with it."""
LITTLE = 1.0  # %, of which people say nothing
TRUE = {"step": "bare"}
_LARGE = 131e9  # parameters; the least of the models that the study says need several GPUs
_LINK = {"model": "mixtral-8x7b", "gpu": "A100-80GB", "context": 4096, "hit_rate": HIT}
_LINK |= {"host_link_rate": 10e9, "cache_slots": 0}
_FIRST = "the first is {}"
_SHOWN, _FEW = 3, 5  # answers, and labels of an assumption, that are told one by one


@dataclass(frozen=True)
class Conclusion:
    """What is concluded, the assumptions it was stated under, and what is known to be true of them.

    ``answer`` is what it is about, a label or a number, NaN where there is none; ``what`` names it,
    with ``{}`` for its values; ``holds`` whether it is as concluded.
    """

    title: str
    holds: xr.DataArray
    answer: xr.DataArray
    what: str
    base: Mapping[str, object]
    truth: Mapping[str, object]


def conclusions(assumptions: xr.Dataset, costs: xr.Dataset) -> list[Conclusion]:
    """List the study's headlines, on memory and on latency."""
    claims = {claim.id: claim for claim in read_claims()}
    return [*_memory(assumptions, claims), *_latency(costs)]


# --- Memory ----------------------------------------------------------------------------------


def scores(cube: xr.Dataset) -> xr.DataArray:
    """Average extension of each model under every assumption; NaN where none is defined."""
    return averages(cube, ["gpu", "batch"])


def by_count(cube: xr.Dataset) -> xr.DataArray:
    """Average extension of each number of experts, over the cells of its models.

    A model that never fits counts as 0 where zeros count, as in the study, and else not at all.
    """
    lean = cube[["kv_extension", "regime"]].reset_coords(drop=True)
    parts: list[xr.DataArray] = []
    experts = cube.n_experts.broadcast_like(cube.step).transpose("step", "model").values
    rows, row = np.unique(experts, axis=0, return_inverse=True)  # they differ between steps
    for i, counts in enumerate(rows.astype(int)):
        own, groups = lean.isel(step=row == i), np.unique(counts)
        of = [own.isel(model=np.flatnonzero(counts == n)) for n in groups]
        each = [averages(cells, ["model", "gpu", "batch"]) for cells in of]
        parts.append(xr.concat(each, xr.Variable("experts", groups)))
    return xr.concat(parts, "step", join="outer").sel(step=cube.step)


def _at(values: xr.DataArray, step: str) -> xr.DataArray:
    return values.sel(step=step) if "step" in values.dims else values


def _memory(cube: xr.Dataset, claims: Mapping[str, Claim]) -> list[Conclusion]:
    parts = [
        _best_model,
        _small,
        _best_count,
        _savings,
        _saturation,
        _best_batch,
        _batch_one,
        _large,
    ]
    found = []
    for part in parts:
        for name, holds, answer, what in part(cube, claims):
            base = {str(d): BASE[str(d)] for d in holds.dims}
            found.append(Conclusion(name, holds, answer, what, base, TRUE))
    return found


def _name(cube: xr.Dataset, model: str) -> str:
    return str(cube.model_name.sel(model=model).item())


def _text(values: xr.DataArray, words: Mapping[int, str]) -> xr.DataArray:
    """Word labels that are numbers."""
    return values.copy(data=np.vectorize(words.get)(values.values))


def _near(values: xr.DataArray, claim: Claim) -> xr.DataArray:
    """Whether a number agrees with a published range; one that does not exist does not."""
    return (values >= claim.value * (1 - AGREES)) & (values <= claim.high * (1 + AGREES))


def _best_model(cube: xr.Dataset, claims: Mapping[str, Claim]):
    """Say that the study's best model extends most, and by how much."""
    claim, ranked = claims["C002"], scores(cube)
    model = claim.model[0]
    first = ranked.fillna(-1.0).idxmax("model")
    name, own = _name(cube, model), ranked.sel(model=model)
    yield (
        f"{name} extends most",
        first == model,
        cube.model_name.sel(model=first, drop=True),
        _FIRST,
    )
    yield f"{name} extends {claim.value:g}x", _near(own, claim), own, "it is {}x"


def _small(cube: xr.Dataset, claims: Mapping[str, Claim]):
    claim = claims["C024"]
    own = scores(cube).sel(model=list(claim.model))
    text = f"Small models extend {claim.value:g} to {claim.high:g}x"
    yield text, _near(own, claim).all("model"), own.fillna(0.0).min("model"), "the least is {}x"


def _best_count(cube: xr.Dataset, claims: Mapping[str, Claim]):
    count = int(claims["C011"].value)
    first = by_count(cube).fillna(-1.0).idxmax("experts").astype(int)
    sizes = pd.Series(_at(cube.n_experts, TRUE["step"]).values.astype(int)).value_counts()
    form = {c: f"{c} experts ({sizes.get(c, 0)} of the models)" for c in np.unique(first)}
    yield f"{count} experts is optimal", first == count, _text(first, form), _FIRST


def _savings(cube: xr.Dataset, claims: Mapping[str, Claim]):
    """Say what models of as many experts as the claim free."""
    claim = claims["C012"]
    own = _of_counts(cube, claim).min("model")
    text = f"{claim.n_experts[0]} experts free {claim.value:g}% or more at batch {claim.batch[0]}"
    yield text, own >= claim.value - claim.tolerance[0], own, "the least is {}%"


def _saturation(cube: xr.Dataset, claims: Mapping[str, Claim]):
    claim = claims["C027"]
    own = _of_counts(cube, claim).max("model")
    few, many = claim.n_experts
    text = f"{few} to {many} experts free nothing from batch {claim.batch[0]} on"
    yield text, own < LITTLE, own, "the most is {}%"


def _of_counts(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """Share of experts freed [%] by models of a claim's expert counts."""
    freed = 100 * cube.expert_savings_fraction.sel(batch=claim.batch[0])
    return freed.where(cube.n_experts.isin(claim.n_experts))


def _best_batch(cube: xr.Dataset, claims: Mapping[str, Claim]):
    few = list(claims["C031"].batch)
    means = averages(cube, ["model", "gpu"]).fillna(0.0)
    holds = means.sel(batch=few).min("batch") > means.drop_sel(batch=few).max("batch")
    first = means.idxmax("batch").astype(int)
    best = _text(first, {b: f"batch {b}" for b in np.unique(first)})
    yield f"Batch {few[0]} to {few[-1]} extends most", holds, best, _FIRST


def _batch_one(cube: xr.Dataset, claims: Mapping[str, Claim]):
    claim = claims["C007"]
    at = {"model": claim.model[0], "gpu": claim.gpu[0], "batch": claim.batch[0]}
    own = cube.kv_extension.sel(at)
    name = _name(cube, claim.model[0])
    yield (
        f"{name} extends {claim.value:g}x at batch {claim.batch[0]}",
        _near(own, claim),
        own,
        "it is {}x",
    )


def _large(cube: xr.Dataset, claims: Mapping[str, Claim]):
    whole = cube.total_parameters.sel(TRUE)  # the study counts some models too large
    large = cube.regime.isel(model=np.flatnonzero(whole >= _LARGE))
    fits = large.isin([1, 2]).any(["gpu", "batch"])
    text = "No model of 132B or more fits a single GPU, even with Prophet"
    yield text, ~fits.any("model"), fits.sum("model").astype(float), "{} do"


# --- Latency ---------------------------------------------------------------------------------


def _latency(cube: xr.Dataset) -> list[Conclusion]:
    """The study's three numbers on latency, at batch 1, for caches short of every expert."""
    targets, one = latency_targets(), cube.sel(batch=1)
    own = prophet_row(one)
    short = (own.share < 1) & (one.context <= one.native_context)
    ratio = step_ratio(one)
    slow = fetching_row(one).slowdown
    within = (one.context <= one.native_context).broadcast_like(slow)
    made = [
        (f"Prophet beats fetching by {targets.lower_text}", ratio, ratio >= targets.lower, short),
        (f"Prophet costs {targets.free_text}", own.slowdown, own.slowdown <= targets.free, short),
        (f"Fetching when needed costs {targets.slow_text}", slow, slow >= targets.slow, within),
    ]
    found = []
    for name, answer, holds, counts in made:
        values = holds.astype(np.float64).where(counts).transpose(*_LINK, missing_dims="ignore")
        base = {str(d): _LINK[str(d)] for d in values.dims}
        found.append(Conclusion(name, values, answer.where(counts), "it is {}x", base, {}))
    return found


# --- Verdicts --------------------------------------------------------------------------------


def judge_headlines(assumptions: xr.Dataset, costs: xr.Dataset) -> pd.DataFrame:
    """Judge every headline: a row each, from what `robustness` answers."""
    return pd.DataFrame([_judged(own) for own in conclusions(assumptions, costs)])


def _judged(own: Conclusion) -> dict[str, object]:
    found = robustness(own.holds, own.base, own.truth)
    row: dict[str, object] = {"conclusion": own.title}
    row |= {n: found[n].item() for n in ("verdict", "share", "share_true", "missing", "at_base")}
    order = found.total.fillna(0.0).sortby(found.total.fillna(0.0), ascending=False)
    names = [str(d) for d in order[ASSUMPTION].values if order.sel({ASSUMPTION: d}) > 0]
    row["depends_on"], row["then"] = [*names, "", ""][:2]
    for key, name in (("index", row["depends_on"]), ("then_index", row["then"])):
        row[key] = order.sel({ASSUMPTION: name}).item() if name else np.nan
    row["by_label"] = by_label(found[f"share_by_{names[0]}"]) if names else ""
    nearest = zip(found[ASSUMPTION].values, found.nearest.values, strict=True)
    row["nearest"] = {str(d): str(v) for d, v in nearest if v}
    row["instead"] = instead(own)
    return row


def by_label(share: xr.DataArray) -> str:
    """Word in which share a conclusion holds, by the labels of one assumption."""
    dim = str(share.dims[0])
    some = share.dropna(dim)  # a label may be in no cell that counts
    pairs = list(zip(some[dim].values.tolist(), some.values.tolist(), strict=True))
    if len(pairs) > _FEW:
        pairs.sort(key=lambda p: p[1])
        pairs = [pairs[0], pairs[-1]]
    return ", ".join(f"{v:.0%} with {label_text(dim, x)}" for x, v in pairs)


def instead(own: Conclusion) -> str:
    """Word the answer in what is true of the space, or in all of it."""
    answer = own.answer.sel({d: v for d, v in own.truth.items() if d in own.answer.dims})
    flat = answer.values.ravel()
    if flat.dtype.kind in "OUT":
        counts = pd.Series(flat).value_counts(normalize=True)
        pairs = counts.iloc[:_SHOWN].items()
        return own.what.format(", ".join(f"{name} in {share:.0%}" for name, share in pairs))
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return "no number exists, as no baseline fits"
    low, middle, high = np.quantile(flat, [0.0, 0.5, 1.0])
    if low == high:
        return own.what.format(f"{low:.3g}")
    return f"{own.what.format(f'{low:.3g} to {high:.3g}')} (median {middle:.3g})"
