"""Cubes x published claims -> verdicts.

``data/claims.toml`` holds what the study prints; all that it is compared with is selected and
reduced from cubes.  `statements.RULES` say how a claim is judged.
"""

from collections.abc import Mapping
from functools import cache
from math import isclose, isnan, nan

import pandas as pd
import xarray as xr

from prophet_xr.errors import InputError
from prophet_xr.registry import BASELINE, QUANTITIES, required
from prophet_xr.reporting.numbers import ends, four_digits
from prophet_xr.studies.kv_extension.claim_answers import (
    ANSWERS,
    PROPHET_ROW,
    Answer,
    Cubes,
    Found,
    claimed_cells,
)
from prophet_xr.studies.published import claim_file
from prophet_xr.studies.published.claim_file import (
    CLAIM_VERDICTS,
    CONTRADICTION,
    CONVENTION,
    DECIMAL,
    FITTED,
    MISSED,
    PART,
    REFUTED,
    REPRODUCED,
    UNANSWERED,
    UNITS,
    Claim,
)

CUBES = ("published", "architecture", "verified", "unfitted")
_STEPS = {"architecture": "exact_kv", "usable memory": "usable_memory"}  # of the ladder
_EXACT = ("count", "label", "bool")
STUDY_MB = 1e3 / 1024  # the study's MB is 1e9 / 1024 B, counted as 1e6 B
CAUSES = ("n_experts", "top_k", "moe_layers", "expert_size", "fixed_memory", "activation_memory")
CAUSES += ("memory_budget", "kv_per_token")
_COLUMNS = {"reproduced": "published", "architecture": "architecture", "verified": "verified"}
_MEMORY = {"nominal_weight", "activation_weight"}  # what verified has otherwise than architecture

Numbers = Mapping[str, Found]  # by cube


def published_claims() -> list[Claim]:
    """Read the published claims; SpecError if ``data/claims.toml`` is missing or broken."""
    return claim_file.read_claims(ANSWERS)


def judge(cubes: Cubes) -> pd.DataFrame:
    """Judge every published claim by `statements.RULES`.

    Parameters
    ----------
    cubes
        ``published`` (the study's constants; an extension is 0 where the baseline does not fit),
        ``ladder`` (step by step to the true architectures), ``verified`` (its end; NaN there),
        ``unfitted`` (as published, less the fit); ``offload`` (all three along ``study``, with
        experts fetched when needed); ``slowdowns_region`` and ``slowdown_ratio_region``, where
        the claims on latency hold, in words.

    Returns
    -------
    pd.DataFrame
        Columns id, document, quote, claim, unit, published, reproduced, architecture, verified,
        verdict, reason.  A number that does not exist is NaN, two that differ are ``"lo..hi"``.
    """
    every = ("published", "verified", "unfitted", "ladder", "offload")
    every += ("slowdowns_region", "slowdown_ratio_region")
    for name in (name for name in every if name not in cubes):
        raise InputError(f"cubes lack {name!r}; expected {', '.join(every)}")
    steps = {name: cubes["ladder"].sel(step=step) for name, step in _STEPS.items()}
    lean = dict(cubes) | steps  # few coordinates to select by; no gain over what does not fit
    for name in (*CUBES, *_STEPS):
        gain = lean[name].kv_increase.where(lean[name].fits.sel(policy=BASELINE, drop=True))
        lean[name] = lean[name].assign(kv_increase=gain).reset_coords().set_coords("n_experts")
    return pd.DataFrame([_row(claim, lean) for claim in published_claims()])


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Count verdicts per document, from what `judge` returns."""
    counts = pd.crosstab(frame.document, frame.verdict)
    return counts.reindex(index=frame.document.unique(), columns=list(CLAIM_VERDICTS), fill_value=0)


def _row(claim: Claim, cubes: Cubes) -> dict[str, object]:
    found: dict[str, Found] = dict.fromkeys(CUBES, (nan, nan))
    what, verdict, reason = claim.quantity, UNANSWERED, claim.unanswerable
    if not reason:
        answer = ANSWERS[claim.quantity]
        found = {name: _found(answer, cubes, claim, name) for name in CUBES}
        what, verdict = answer.title, _verdict(claim, answer, found)
        reason = f"{_reason(claim, answer, cubes, found, verdict)} {answer.more(cubes, claim)}"
    return {
        **{name: getattr(claim, name) for name in ("id", "document", "quote")},
        "claim": ", ".join([what.replace("_", " "), *_place(claim, cubes["published"])]),
        "unit": claim.unit,
        "published": _shown((claim.value, claim.high)),
        **{head: _shown(found[name]) for head, name in _COLUMNS.items()},
        "verdict": verdict,
        "reason": f"{reason.strip()} {claim.note}".strip(),
    }


@cache
def _same(metric: str) -> bool:
    """Whether a metric is blind to what verified has otherwise than the true architecture."""
    return not _MEMORY & required([metric])


def _found(answer: Answer, cubes: Cubes, claim: Claim, name: str) -> Found:
    if name in _STEPS and (answer.cube or _same(answer.reads)):
        name = "verified"
    cube = cubes[answer.cube].sel(study=name) if answer.cube else cubes[name]
    value = answer.evaluate(cube, claim)
    low, high = value if isinstance(value, tuple) else (float(value), float(value))
    decimal = claim.unit.endswith(DECIMAL) and name in ("published", "unfitted")
    scale = UNITS[claim.unit.removesuffix(DECIMAL)] * (STUDY_MB if decimal else 1.0)
    return low / scale, high / scale


def _near(claim: Claim, found: Found, share: float = 0.0) -> list[bool]:
    """Whether each end lies within the tolerance, or a share of what is published."""
    low = claim.value, claim.tolerance[0], found[0]
    high = claim.high, claim.tolerance[-1], found[1]
    return [abs(x - v) <= max(t, share * abs(v)) + 1e-9 * (1 + abs(v)) for v, t, x in (low, high)]


def _verdict(claim: Claim, answer: Answer, found: Numbers) -> str:
    hits = _near(claim, found["published"])
    if not any(hits):
        return MISSED
    agree = [_agrees(claim, answer, found[n], hits) for n in ("architecture", "verified")]
    if not all(agree):
        return CONVENTION if any(agree) else REFUTED
    if not all(hits):
        return PART
    return REPRODUCED if all(_near(claim, found["unfitted"])) else FITTED


def _agrees(claim: Claim, answer: Answer, true: Found, hits: list[bool]) -> bool:
    """Whether what the study's constants hit is true within `CONTRADICTION`."""
    if answer.reads == "kv_extension" and isnan(true[0]):
        true = (0.0, 0.0)
    near = _near(claim, true, 0.0 if claim.unit in _EXACT else CONTRADICTION)
    return all(n for n, hit in zip(near, hits, strict=True) if hit)


def _shown(found: Found) -> float | str:
    if isnan(found[0]) or isclose(*found, rel_tol=1e-9, abs_tol=1e-12):
        return float(f"{found[0]:.6g}")
    return "..".join(map(four_digits, found))


def _told(found: Found, claim: Claim) -> str:
    shown, unit = _shown(found), claim.unit.removesuffix(DECIMAL)
    if isnan(found[0]):
        return "nothing, for the baseline does not fit"
    if unit == "bool":
        return "yes" if shown else "no"
    text = shown if isinstance(shown, str) else four_digits(shown)
    return text if unit in (*_EXACT, "1") else f"{text} {unit}"


def _place(claim: Claim, cube: xr.Dataset) -> list[str]:
    names = [str(cube.model_name.sel(model=m).item()) for m in claim.model]
    names = names if len(names) <= 3 else [f"{len(names)} models"]
    batches = [f"batch {'/'.join(map(str, claim.batch))}"] if claim.batch else []
    row = [row for row in (BASELINE, PROPHET_ROW) if claim.quantity.endswith(row)]
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
    parts = [f"{title}: {study}", _truth(claim, cubes, found)]
    if verdict == CONVENTION:
        parts.append(_decides(claim, answer, cubes, found))
    moved = "; ".join(_moved(claim, answer, cubes)) if verdict == REFUTED else ""
    return "; ".join(parts) + (f" [{moved}]." if moved else ".")


def _truth(claim: Claim, cubes: Cubes, found: Numbers) -> str:
    """Say what the true architecture gives, and what the memory it really has makes of that."""
    own, true = (_told(found[n], claim) for n in ("architecture", "verified"))
    if isnan(found["architecture"][0]) and isnan(found["verified"][0]):
        where, cube = " or ".join(claim.gpu) or "any of the GPUs", cubes["verified"]
        fit = f"{_place(claim, cube)[0]} does not fit {where} in {cube.precision.item()}"
        return f"under the true architecture {fit}: the baseline has no KV budget"
    return f"the true architecture gives {own}" + (f", verified {true}" if own != true else "")


def _decides(claim: Claim, answer: Answer, cubes: Cubes, found: Numbers) -> str:
    """Say on which convention of memory the verdict depends."""
    hits = _near(claim, found["published"])
    usable = _agrees(claim, answer, _found(answer, cubes, claim, "usable memory"), hits)
    first = _agrees(claim, answer, found["architecture"], hits)
    if usable != first:
        return "what decides is usable instead of nominal memory"
    return "what decides is the study's charge for activations, which verified drops"


def _moved(claim: Claim, answer: Answer, cubes: Cubes) -> list[str]:
    """What the answer depends on and the true architecture has otherwise."""
    parts = []
    savings = answer.reads == "expert_savings_fraction"  # in which the size of an expert cancels
    reads = required(["unique_experts" if savings else answer.reads])
    for q in (QUANTITIES[n] for n in CAUSES if n in reads):
        (low, high), (true, top) = (ends(claimed_cells(cubes[n], q.name, claim)) for n in CUBES[:2])
        if low == high and true == top and not isclose(low, true, rel_tol=0.01):
            unit = {"B": "GB", "B / expert": "MB"}.get(q.units, "1")
            change = f"{four_digits(low / UNITS[unit])} -> {four_digits(true / UNITS[unit])}"
            parts.append(f"{q.long_name}: {change} {unit}".removesuffix(" 1"))
    return parts
