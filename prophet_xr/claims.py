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
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from math import isclose, isnan, nan
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
    """One number that the study prints, or two; a label left out means all of them."""

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
    def ends(self) -> tuple[Found, Found]:
        """Value and tolerance of each end."""
        tolerance = self.tolerance if isnan(self.high_tolerance) else self.high_tolerance
        high = self.value if isnan(self.high) else self.high
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
        claims = [_claim(entry, f"claims: {file}, {entry.get('id')!r}") for entry in entries]
    except SpecError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise SpecError(f"claims: {file} cannot be read ({problem}); expected [[claim]]s") from None
    ids = [claim.id for claim in claims]
    for twice in (i for i in ids if ids.count(i) > 1):
        raise SpecError(f"claims: {file} holds {twice!r} twice; expected unique ids")
    return claims


def _claim(entry: dict, where: str) -> Claim:
    """Check one entry and give it its types."""
    kinds = {f.name: str(f.type) for f in fields(Claim)}
    given: dict = {}
    for name, value in entry.items():
        _known(where, "field", name, kinds)
        listed = "tuple" in kinds[name]
        items = tuple(value) if listed and isinstance(value, list) else (value,)
        expected = str if "str" in kinds[name] else (int, float)
        if any(isinstance(i, bool) or not isinstance(i, expected) for i in items):
            raise SpecError(f"{where}: {name}={value!r}; expected {kinds[name]}")
        given[name] = items if listed else value
    for name in (f.name for f in fields(Claim) if f.default is MISSING and f.name not in entry):
        raise SpecError(f"{where}: {name} is missing")
    claim = Claim(**given)
    _known(where, "quantity", claim.quantity, [*ANSWERS, *UNANSWERABLE])
    if claim.quantity in ANSWERS:
        _known(where, "unit", claim.unit.removesuffix(DECIMAL), UNITS)
        for axis, labels in (("model", claim.model), ("gpu", claim.gpu)):
            for label in labels:
                _known(where, axis, label, specs.rows(axis)[axis].values.tolist())
    return claim


def _known(where: str, name: str, got: str, known: Collection[str]) -> None:
    if got not in known:
        raise SpecError(f"{where}: {name} {got!r} is unknown; {nearest(got, known)}")


# --- Evaluators ----------------------------------------------------------------------------

Evaluator = Callable[[xr.Dataset, Claim], float | Found]


@dataclass(frozen=True)
class Answer:
    """How a quantity is found in a cube, what that is in words, and what can move it."""

    evaluate: Evaluator
    title: str
    formula: str = ""
    causes: tuple[str, ...] = ()

    @property
    def extends(self) -> bool:
        """Whether it is a KV extension, which the study puts at 0 where the baseline is too big."""
        return "extension" in self.title.lower()


ANSWERS: dict[str, Answer] = {}
EXPERTS = ("moe_layers", "n_experts", "expert_size")
SIZES = ("expert_memory", "fixed_memory", "activation_memory", "memory_budget")
TOKENS = ("kv_per_token", *SIZES)


def answers(*quantities: str, causes: tuple[str, ...] = ()) -> Callable[[Evaluator], Evaluator]:
    """Enter an evaluator of quantities; the first line of its docstring says what it finds."""

    def register(evaluate: Evaluator) -> Evaluator:
        title = (inspect.getdoc(evaluate) or "").partition("\n")[0].rstrip(".")
        ANSWERS.update(dict.fromkeys(quantities, Answer(evaluate, title, causes=causes)))
        return evaluate

    return register


def _models(cube: xr.Dataset, claim: Claim) -> list[str] | None:
    """Labels of the models a claim is on, None for all."""
    if claim.n_experts:
        return cube.model[cube.n_experts.isin(claim.n_experts)].values.tolist()
    return list(claim.model) or None


def _cells(cube: xr.Dataset, name: str, claim: Claim, policy: str = "") -> xr.DataArray:
    """Cells of a quantity that a claim is on, by label."""
    wanted = {
        "policy": policy or (BASELINE if claim.quantity.endswith(BASELINE) else PROPHET),
        "model": _models(cube, claim),
        "gpu": list(claim.gpu) or None,
        "batch": list(claim.batch) or None,
    }
    values = cube[name]
    return values.sel({d: at for d, at in wanted.items() if at is not None and d in values.dims})


def _ends(values: xr.DataArray) -> Found:
    """Smallest and largest number, NaN where there is none."""
    return (float(values.min()), float(values.max())) if values.size else (nan, nan)


def _plain(quantities: str, metric: str, *causes: str) -> None:
    """Answer quantities with the ends of a metric over the cells of the claim."""

    def evaluate(cube: xr.Dataset, claim: Claim) -> Found:
        return _ends(_cells(cube, metric, claim))

    q = QUANTITIES[metric]
    formula = q.comment.partition(". ")[0].partition(";")[0].rstrip(".")
    answer = Answer(evaluate, q.long_name, formula, causes)
    ANSWERS.update(dict.fromkeys(quantities.split(), answer))


_plain("expert_savings savings savings_range", "expert_savings_fraction", "n_experts", "top_k")
_plain("dedup dedup_range", "dedup_factor", "n_experts", "top_k")
_plain("unique_experts", "unique_experts", "n_experts", "top_k")
_plain("expert_memory_baseline expert_memory_prophet", "expert_memory", *EXPERTS)
_plain("expert_memory_saved", "expert_savings", *EXPERTS)
_plain("expert_size", "expert_size", "expert_matrices", "expert_parameters")
_plain("fixed_memory", "fixed_memory")
_plain("total_parameters", "total_parameters", *EXPERTS)
_plain("kv_extension", "kv_extension", *SIZES)
_plain("max_tokens_baseline max_tokens_prophet", "max_context", *TOKENS)
_plain("n_experts", "n_experts")
_plain("moe_layers", "moe_layers")
_plain("slowdown", "slowdown")


@answers("kv_increase_tokens", causes=TOKENS)
def kv_increase(cube: xr.Dataset, claim: Claim) -> Found:
    """Tokens of context gained where the baseline fits."""
    return _ends(_cells(cube, "kv_increase", claim).where(_cells(cube, "fits", claim, BASELINE)))


@answers("max_tokens", causes=TOKENS)
def max_tokens(cube: xr.Dataset, claim: Claim) -> Found:
    """Longest context of the baseline, and with Prophet."""
    low, high = (_cells(cube, "max_context", claim, row).max() for row in (BASELINE, PROPHET))
    return float(low), float(high)


@answers("avg_savings", "avg_savings_by_expert_count", causes=("n_experts",))
def mean_savings(cube: xr.Dataset, claim: Claim) -> float:
    """Share of expert memory freed, averaged over batches and models."""
    return float(_cells(cube, "expert_savings_fraction", claim).mean())


@answers("avg_dedup_by_expert_count", causes=("n_experts",))
def mean_dedup(cube: xr.Dataset, claim: Claim) -> float:
    """Deduplication factor, averaged over batches and models."""
    return float(_cells(cube, "dedup_factor", claim).mean())


@answers("avg_kv_extension", causes=SIZES)
def mean_extension(cube: xr.Dataset, claim: Claim) -> float:
    """KV extension, averaged over GPUs and batches."""
    return float(_cells(cube, "kv_extension", claim).mean())


@answers("avg_extension_range")
def mean_extensions(cube: xr.Dataset, claim: Claim) -> Found:
    """KV extension averaged over GPUs and batches, lowest and highest of the models."""
    return _ends(_cells(cube, "kv_extension", claim).mean(["gpu", "batch"]))


@answers("avg_extension_by_expert_count")
def mean_extensions_by_group(cube: xr.Dataset, claim: Claim) -> Found:
    """KV extension averaged over GPUs and batches, then over the models of an expert count."""
    return _ends(_grouped(cube, claim))


def _grouped(cube: xr.Dataset, claim: Claim) -> xr.DataArray:
    """Mean extension per expert count; a model that fits nowhere counts as 0."""
    each = _cells(cube, "kv_extension", claim).mean(["gpu", "batch"]).fillna(0.0)
    return each.groupby(cube.n_experts.sel(model=each.model)).mean()


@answers("ranking")
def best_group(cube: xr.Dataset, claim: Claim) -> float:
    """Expert count whose models have the highest mean KV extension."""
    return float(_grouped(cube, claim).idxmax("n_experts"))


@answers("best_kv_extension", causes=SIZES)
def best_extension(cube: xr.Dataset, claim: Claim) -> float:
    """Highest KV extension of any GPU and batch."""
    return float(_cells(cube, "kv_extension", claim).max())


@answers("extension_range")
def fitting_extensions(cube: xr.Dataset, claim: Claim) -> Found:
    """KV extension over the cells where the baseline fits."""
    values = _cells(cube, "kv_extension", claim)
    return _ends(values.where(values > 0))


@answers("recommendation")
def best_batches(cube: xr.Dataset, claim: Claim) -> float:
    """Whether these batches have a higher mean KV extension than every other."""
    means, chosen = cube.kv_extension.sel(policy=PROPHET).mean(["model", "gpu"]), list(claim.batch)
    return float(means.sel(batch=chosen).min() > means.drop_sel(batch=chosen).max())


@answers("fit_baseline", "fit_prophet")
def fit(cube: xr.Dataset, claim: Claim) -> float:
    """Whether each model fits at one of these GPUs and batches."""
    return float(_cells(cube, "fits", claim).any(["gpu", "batch"]).all())


@answers("unique_experts_uncapped")
def uncapped_experts(cube: xr.Dataset, claim: Claim) -> Found:
    """Distinct experts as if there were more: k x the most per routed expert of any model."""
    growth = (cube.unique_experts / cube.top_k).max("model").sel(batch=list(claim.batch))
    return _ends(growth * _cells(cube, "top_k", claim))


@answers("saturation_batch")
def saturation_batch(cube: xr.Dataset, claim: Claim) -> Found:
    """Smallest batch of the sweep that needs every expert."""
    full = _cells(cube, "unique_experts", claim) >= _cells(cube, "n_experts", claim)
    return _ends(cube.batch.where(full).min("batch"))


@answers("kv_cache", causes=("kv_per_token",))
def kv_cache(cube: xr.Dataset, claim: Claim) -> Found:
    """KV cache per token x batch x context."""
    return _ends(_cells(cube, "kv_per_token", claim) * claim.batch[0] * claim.context)


@answers("total_baseline", "total_prophet")
def total(cube: xr.Dataset, claim: Claim) -> float:
    """Weights and activations, and the KV cache where a context is given."""
    cache = 0.0 if isnan(claim.context) else kv_cache(cube, claim)[0]
    return float(_cells(cube, "static_memory", claim).max()) + cache


@answers("weights_baseline")
def weights(cube: xr.Dataset, claim: Claim) -> Found:
    """Expert and fixed weights of the baseline."""
    return _ends(_cells(cube, "expert_memory", claim) + _cells(cube, "fixed_memory", claim))


@answers("expert_parameters", causes=EXPERTS)
def expert_parameters(cube: xr.Dataset, claim: Claim) -> Found:
    """Parameters of all routed experts: layers x experts x parameters of one."""
    one, layers, experts = (
        _cells(cube, n, claim) for n in ("expert_parameters", "moe_layers", "n_experts")
    )
    return _ends(one * layers * experts)


@answers("inner_width", causes=("hidden_size", "expert_matrices", "expert_parameters"))
def inner_width(cube: xr.Dataset, claim: Claim) -> Found:
    """Inner width of an expert: its parameters / (matrices x hidden size)."""
    across = _cells(cube, "expert_matrices", claim) * _cells(cube, "hidden_size", claim)
    return _ends(_cells(cube, "expert_parameters", claim) / across)


@answers("configs")
def configurations(cube: xr.Dataset, claim: Claim) -> float:
    """Configurations of the sweep: models x GPUs x batches."""
    return float(cube.sizes["model"] * cube.sizes["gpu"] * cube.sizes["batch"])


@answers("models", "n_models")
def models(cube: xr.Dataset, claim: Claim) -> float:
    """Models of the sweep that have this expert count."""
    return float(_cells(cube, "n_experts", claim).size)


# --- Verdicts ------------------------------------------------------------------------------


def judge(cubes: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Judge every published claim against cubes.

    Parameters
    ----------
    cubes
        ``published`` (the study's constants, extensions of 0 where the baseline does not fit),
        ``verified`` (true architectures, NaN there) and ``unfitted`` (as published, without the
        constants that were fitted).

    Returns
    -------
    pd.DataFrame
        One row per claim: id, document, quote, claim, unit, published, reproduced, verified,
        verdict, reason.  A number that does not exist is NaN, a range is text, ``"lo..hi"``.

    Raises
    ------
    InputError
        If a cube is missing.
    SpecError
        If the claims cannot be read.
    """
    for name in ("published", "verified", "unfitted"):
        if name not in cubes:
            raise InputError(f"cubes lack {name!r}; expected published, verified and unfitted")
    return pd.DataFrame([_row(claim, cubes) for claim in load()])


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Count verdicts per document, as `judge` gives them."""
    counts = pd.crosstab(frame.document, frame.verdict)
    return counts.reindex(index=frame.document.unique(), columns=list(VERDICTS), fill_value=0)


def _row(claim: Claim, cubes: Mapping[str, xr.Dataset]) -> dict[str, object]:
    answer = ANSWERS.get(claim.quantity)
    values = (claim.ends[0][0], claim.ends[1][0])
    what = answer.title if answer else claim.quantity.replace("_", " ").capitalize()
    row: dict[str, object] = {
        "id": claim.id,
        "document": claim.document,
        "quote": claim.quote,
        "claim": ", ".join([what, *_place(claim, cubes["published"])]),
        "unit": claim.unit,
        "published": _shown(values, claim),
    }
    if answer is None:
        reason = f"{UNANSWERABLE[claim.quantity]} {claim.note}".strip()
        return row | dict(reproduced=nan, verified=nan, verdict=UNANSWERED, reason=reason)
    found = {name: _found(answer, cubes, name, claim) for name in ("published", "verified", "unfitted")}
    verdict = _verdict(claim, answer, found)
    return row | dict(
        reproduced=_shown(found["published"], claim),
        verified=_shown(found["verified"], claim),
        verdict=verdict,
        reason=_reason(claim, answer, cubes, found, verdict),
    )


def _found(answer: Answer, cubes: Mapping[str, xr.Dataset], name: str, claim: Claim) -> Found:
    """Evaluate a claim on one cube, in the claim's unit."""
    value = answer.evaluate(cubes[name], claim)
    low, high = value if isinstance(value, tuple) else (value, value)
    decimal = claim.unit.endswith(DECIMAL) and name != "verified"
    scale = UNITS[claim.unit.removesuffix(DECIMAL)] * (STUDY_MB if decimal else 1.0)
    return low / scale, high / scale


def _hits(claim: Claim, found: Found) -> list[bool]:
    """Whether each end of what was found lies within the tolerance."""
    ends = zip(claim.ends, found, strict=True)
    return [abs(x - v) <= tolerance + 1e-9 * max(1.0, abs(v)) for (v, tolerance), x in ends]


def _refuted(claim: Claim, answer: Answer, hits: list[bool], truth: Found) -> bool:
    """Whether the true architecture contradicts an end that the study's constants hit."""
    share = 0.0 if claim.unit in EXACT else CONTRADICTION
    for (value, tolerance), hit, true in zip(claim.ends, hits, truth, strict=True):
        fits_neither = answer.extends and value == 0 and isnan(true)
        if hit and not fits_neither and not abs(true - value) <= max(tolerance, share * abs(value)):
            return True
    return False


def _verdict(claim: Claim, answer: Answer, found: Mapping[str, Found]) -> str:
    hits = _hits(claim, found["published"])
    if not any(hits):
        return MISSED
    if _refuted(claim, answer, hits, found["verified"]):
        return REFUTED
    if not all(hits):
        return PART
    return REPRODUCED if all(_hits(claim, found["unfitted"])) else FITTED


# --- Words ---------------------------------------------------------------------------------


def _number(value: float) -> str:
    """Four significant digits, without an exponent."""
    rounded = float(f"{value:.4g}")
    return f"{rounded:.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"


def _shown(found: Found, claim: Claim) -> float | str:
    """Show a number, or a range as text; NaN where there is neither."""
    if isnan(found[0]):
        return nan
    if isnan(claim.high) and isclose(*found, rel_tol=1e-9, abs_tol=1e-12):
        return float(f"{found[0]:.6g}")
    return "..".join(map(_number, found))


def _told(found: Found, claim: Claim) -> str:
    shown = _shown(found, claim)
    if claim.unit == "bool":
        return "yes" if shown else "no"
    unit = claim.unit.removesuffix(DECIMAL).replace("label", "").replace("count", "")
    return f"{_number(shown) if isinstance(shown, float) else shown} {unit}".strip()


def _place(claim: Claim, cube: xr.Dataset) -> list[str]:
    """Where a claim is, in words."""
    place = [str(cube.model_name.sel(model=m).item()) for m in claim.model]
    place += [f"{n} experts" for n in claim.n_experts]
    batches = " ".join(map(str, claim.batch))
    return [*place, *claim.gpu, *([f"batch {batches}"] if batches else [])]


def _reason(
    claim: Claim,
    answer: Answer,
    cubes: Mapping[str, xr.Dataset],
    found: Mapping[str, Found],
    verdict: str,
) -> str:
    published, unfitted = _told(found["published"], claim), _told(found["unfitted"], claim)
    claimed = _told((claim.ends[0][0], claim.ends[1][0]), claim)
    formula = f" ({answer.formula})" if answer.formula else ""
    more = {
        MISSED: f", not {claimed}",
        PART: ", one end of two",
        FITTED: f", but {unfitted} without those that were fitted",
    }
    study = f"{answer.title}{formula}: the study's constants give {published}{more.get(verdict, '')}"
    truth = _truth(claim, answer, cubes, found["verified"], verdict)
    return f"{study}; {truth}. {claim.note}".strip()


def _truth(
    claim: Claim, answer: Answer, cubes: Mapping[str, xr.Dataset], true: Found, verdict: str
) -> str:
    """What the true architecture gives, and what moved it."""
    cube = cubes["verified"]
    if isnan(true[0]):
        where = " on ".join([*_place(claim, cube)[:1], " or ".join(claim.gpu) or "any of the GPUs"])
        return f"in truth {where} has no KV budget: the baseline does not fit in {cube.precision.item()}"
    parts = [f"the true architecture gives {_told(true, claim)}"]
    if answer.extends and claim.unit == "x":
        cells = _cells(cube, "kv_extension", claim)
        if cells.size > 1:
            middle, zeros = _number(float(cells.median())), _number(float(cells.fillna(0.0).mean()))
            parts[0] += (
                f" over the {int(cells.count())} of {cells.size} cells where the baseline fits"
                f" (median {middle}; mean with 0 for the others {zeros})"
            )
    return ", ".join(parts + (_moved(claim, answer, cubes) if verdict == REFUTED else []))


def _moved(claim: Claim, answer: Answer, cubes: Mapping[str, xr.Dataset]) -> list[str]:
    """What differs between the study and the true architecture, of what the answer depends on."""
    parts = []
    for name in answer.causes:
        ends = [_ends(_cells(cubes[n], name, claim, BASELINE)) for n in ("published", "verified")]
        (low, high), (true_low, true_high) = ends
        if low == high and true_low == true_high and not isclose(low, true_low, rel_tol=0.01):
            q = QUANTITIES[name]
            scale, unit = (1e9, "GB") if q.units == "B" else (1.0, q.units.replace("1", ""))
            change = f"{_number(low / scale)} -> {_number(true_low / scale)} {unit}".strip()
            parts.append(f"{q.long_name[0].lower()}{q.long_name[1:]} {change}")
    return parts
