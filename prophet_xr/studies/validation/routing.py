"""Distinct experts and cache hits: predicted against measured, in frames of percent."""

from collections.abc import Iterable, Sequence
from functools import cache
from statistics import median

import numpy as np
import pandas as pd

from prophet_xr.studies.validation import law_fits
from prophet_xr.studies.validation.measured import catalogued, predict, read_measured

LAW_LABELS = ["zipf", "uniform", "power"]


@cache
def model_parameters() -> dict[str, dict[str, float]]:
    """Law parameters of every measured model: the catalogue's, or fitted where it lacks it."""
    return {**fitted(), **catalogued()}


@cache
def fitted() -> dict[str, dict[str, float]]:
    """Law parameters fitted to data/measured/, as the catalogue rounds them."""
    found = {}
    for model in read_measured("unique_experts")["models"]:
        e, k = model["n_experts"], model["top_k"]
        s = law_fits.skew(e, k, model["pair"])
        found[model["label"]] = {
            "skew": s,
            "gamma": law_fits.fit_gamma(e, k, s, model["consecutive"]),
        }
    for label, points in traces().items():
        strength, exponent = law_fits.fit_reuse(points)
        found[label] |= {"reuse_strength": strength, "reuse_exponent": exponent}
    return found


# --- Distinct experts ------------------------------------------------------------------------


def _shape(model: dict) -> dict[str, float]:
    own = model_parameters()[model["label"]]
    return {n: model[n] for n in ("n_experts", "top_k")} | {n: own[n] for n in ("skew", "gamma")}


def consecutive() -> pd.DataFrame:
    """Error of the three laws for consecutive tokens of one sequence, in percent."""
    models = read_measured("unique_experts")["models"]
    cells = [(m, tokens, seen) for m in models for tokens, seen in m["consecutive"]]
    rows = [{**_shape(m), "tokens": tokens} for m, tokens, _ in cells]
    found = predict(rows, "unique_experts", routing=LAW_LABELS)
    about = [(m["label"], m["held_out"], tokens, seen) for m, tokens, seen in cells]
    return _errors(about, found)


def mixed() -> pd.DataFrame:
    """Error of the three laws for blocks of consecutive and unrelated tokens, in percent.

    The first ``run`` tokens are of one sequence; B_eff = run**g + the rest, averaged over runs.
    """
    models = read_measured("unique_experts")["models"]
    cells = [(m, *row) for m in models for row in m["mixed"]]
    rows, weights, owner = [], [], []
    for at, (m, block, stay, _) in enumerate(cells):
        shape = _shape(m)
        for run in range(1, block + 1):
            rows.append({**shape, "batch": run ** shape["gamma"] + block - run})
            weights.append(stay ** (run - 1) * (1 - stay if run < block else 1))
            owner.append(at)
    drawn = np.bincount(owner, weights * predict(rows, "unique_experts", routing="zipf"))
    whole = [{**_shape(m), "batch": block} for m, block, _, _ in cells]
    flat = predict(whole, "unique_experts", routing=LAW_LABELS[1:])
    about = [(m["label"], m["held_out"], block, seen) for m, block, _, seen in cells]
    return _errors(about, np.vstack([drawn, flat]))


def _errors(about: Sequence[tuple], found: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(about, columns=["model", "held_out", "tokens", "measured"])
    for law, values in zip(LAW_LABELS, found, strict=True):
        frame[law] = 100 * (values / frame["measured"] - 1)
    return frame


def left_out_lengths() -> list[float]:
    """Error of the Zipf law at each length of a curve when gamma is fitted without it."""
    errors = []
    for m in read_measured("unique_experts")["models"]:
        if m["held_out"]:
            continue
        e, k, s = m["n_experts"], m["top_k"], model_parameters()[m["label"]]["skew"]
        for at, (tokens, seen) in enumerate(m["consecutive"]):
            rest = [p for i, p in enumerate(m["consecutive"]) if i != at]
            guess = law_fits.distinct_experts(e, k, s, tokens ** law_fits.fit_gamma(e, k, s, rest))
            errors.append(100 * (guess / seen - 1))
    return errors


# --- Cache hits ------------------------------------------------------------------------------


def traces() -> dict[str, list[tuple[float, float]]]:
    """Share of experts cached and hit rate, by model."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in read_measured("hit_rates")["traces"]:
        share = row["slots"] / row["n_experts"]
        found.setdefault(row["label"], []).append((share, row["online"]))
    return found


def _hits(rows: Iterable[dict], laws: Iterable[tuple[float, float]]) -> np.ndarray:
    names = ("reuse_strength", "reuse_exponent")
    cells = [
        {
            **{n: row[n] for n in ("n_experts", "top_k")},
            "cache_slots": row["slots"],
            **dict(zip(names, law, strict=True)),
        }
        for row, law in zip(rows, laws, strict=True)
    ]
    return 100 * predict(cells, "reuse", policy="lru")


def _own(label: str) -> tuple[float, float]:
    own = model_parameters()[label]
    return own["reuse_strength"], own["reuse_exponent"]


def caches() -> pd.DataFrame:
    """Hit rate of a cache, measured and by the law, in percent and percentage points.

    ``law`` is as the catalogue has it, ``left_out`` fitted without the point, ``assumed`` with
    the median of all other models, as for a model nobody measured.
    """
    rows, points = read_measured("hit_rates")["traces"], traces()
    models = [row["label"] for row in rows]
    shares = [row["slots"] / row["n_experts"] for row in rows]
    rest = [
        law_fits.fit_reuse([p for p in points[m] if p[0] != x])
        for m, x in zip(models, shares, strict=True)
    ]
    other = {m: [_own(n) for n in points if n != m] for m in points}
    middle = {
        m: (median(b for b, _ in laws), median(a for _, a in laws)) for m, laws in other.items()
    }
    frame = pd.DataFrame({"model": models, "slots": [row["slots"] for row in rows]})
    frame["experts"] = [row["n_experts"] for row in rows]
    frame["measured"] = [100 * row["online"] for row in rows]
    laws = {"law": map(_own, models), "left_out": rest, "assumed": [middle[m] for m in models]}
    for name, law in laws.items():
        frame[name] = _hits(rows, law) - frame["measured"]
    return frame


def other_caches() -> pd.DataFrame:
    """Caches the law was not fitted to: other engines, texts and policies."""
    rows = read_measured("hit_rates")["other"]
    frame = pd.DataFrame(rows)[["label", "slots", "n_experts", "what", "hit_rate", "source"]]
    frame["hit_rate"] *= 100
    frame["law"] = _hits(rows, [_own(row["label"]) for row in rows]) - frame["hit_rate"]
    return frame
