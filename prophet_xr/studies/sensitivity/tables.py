"""Results -> frames, for sensitivity.  A table's name is its file name."""

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from prophet_xr.reporting.listing import Listing
from prophet_xr.reporting.numbers import names
from prophet_xr.studies.sensitivity.wording import title, worded
from prophet_xr.uncertainty.break_even import ABOVE, BELOW, CROSSES

_Made = Mapping[str, Any]
TABLES = Listing()
FITS = {BELOW: "never", ABOVE: "always"}  # by the side of the KV budget
_HITS = {BELOW: "any", ABOVE: "none"}  # by the side of the slowdown


@TABLES.part
def table1_one_at_a_time(tornado: Any) -> pd.DataFrame:
    """The study's proposed variations, one at a time: mean extension, context, slowdown."""
    frame = pd.DataFrame({"input": [title(str(n)) for n in tornado.input.values]})
    kinds = zip(tornado.value.values, tornado.factor.values, strict=True)
    frame["value"] = ["-" if v != v else f"x {v:g}" if f else f"{v:g}" for v, f in kinds]
    for name, values in tornado.data_vars.items():
        frame[str(name)] = values.values
        base = values.sel(case=0).item()
        frame[f"{name}, change [%]"] = 100 * (values.values / base - 1)
    return frame


@TABLES.part
def table2_elasticities(elasticities_by_cell: Any) -> pd.DataFrame:
    """Elasticities d log y / d log x, in the cells named; of the batch between its neighbours."""
    rows = []
    for cell, found in elasticities_by_cell.items():
        for metric, values in found.data_vars.items():
            pairs = zip(values.input.values, values.values, strict=True)
            own = {title(str(name)): value for name, value in pairs}
            rows.append({"cell": cell, "metric": title(str(metric)), **own})
    return pd.DataFrame(rows)


@TABLES.part
def table3_sobol(sobol_by_metric: Any, deployed: Any) -> pd.DataFrame:
    """Sobol indices, exact for the grid: every axis at once, then given model, GPU and batch."""
    rows = []
    for metric, found in sobol_by_metric.items():
        given = deployed[metric]
        for axis in found.axis.values:
            row: dict[str, Any] = {"metric": title(metric), "axis": title(str(axis))}
            for prefix, own in (("", found), ("given: ", given)):
                has = axis in own.axis.values
                for kind in ("first_order", "total"):
                    value = _exact(own[kind].sel(axis=axis).item()) if has else np.nan
                    row[f"{prefix}{kind.replace('_', ' ')}"] = value
            rows.append({**row, "cells missing [%]": 100 * found.missing.item()})
    return pd.DataFrame(rows)


def _exact(value: float) -> float:
    """Drop the digits that are rounding: the order of sums differs from run to run."""
    return round(value, 9) + 0.0


@TABLES.part
def table4_pairs(sobol_by_metric: Any, deployed: Any) -> pd.DataFrame:
    """The strongest pairs of each metric: what both explain beyond each alone."""
    rows = []
    for found_by_metric, space in (
        (sobol_by_metric, "every axis"),
        (deployed, "given model, GPU and batch"),
    ):
        for metric, found in found_by_metric.items():
            names = [str(a) for a in found.axis.values]
            table = found.second_order.values
            pairs = [(table[i, j], i, j) for i, j in combinations(range(len(names)), 2)]
            for value, i, j in sorted(pairs, key=lambda p: -p[0])[:3]:
                row = {"space": space, "metric": title(metric), "axis": title(names[i])}
                rows.append({**row, "other": title(names[j]), "second order": _exact(value)})
    return pd.DataFrame(rows)


@TABLES.part
def table5_exact_against_sampled(priors: Any) -> pd.DataFrame:
    """Indices of priors in one cell: exact on a grid, and by SALib with 95% intervals."""
    rows = []
    for metric, (exact, found, morris, pawn) in priors.items():
        for axis in found.axis.values:
            one, other = found.sel(axis=axis), exact.sel(axis=axis)
            row: dict[str, Any] = {"metric": title(metric), "input": title(str(axis))}
            for kind, heading in (("first_order", "first order"), ("total", "total")):
                row[f"{heading}, grid"] = _exact(other[kind].item())
                row |= _interval(f"{heading}, sampled", one, kind)
            row |= _interval("Morris effect", morris.sel(axis=axis), "effect")
            row |= _interval("PAWN distance", pawn.sel(axis=axis), "distance")
            rows.append(row)
    return pd.DataFrame(rows)


def _interval(heading: str, found: xr.Dataset, name: str) -> dict[str, float]:
    return {heading: found[name].item(), f"{heading} +-": found[f"{name}_interval"].item()}


@TABLES.part
def table6_uncertainty(draw_bands: Any) -> pd.DataFrame:
    """What the draws say: probability of fitting, draw_bands of extension and of Prophet's step."""
    space, time = draw_bands["memory"], draw_bands["times"]
    rows = []
    for model, name in zip(space.model.values, names(space), strict=True):
        for gpu, batch in product(space.gpu.values, space.batch.values):
            at = {"model": model, "gpu": gpu, "batch": batch}
            row: dict[str, Any] = {"model": name, "GPU": gpu, "batch": int(batch)}
            for policy in ("baseline", "prophet"):
                row[f"{policy} fits, probability"] = space.fits.sel({**at, "policy": policy}).item()
            row |= _quantiles("extension", space.kv_extension_quantile.sel(at))
            row |= _quantiles("step [ms]", 1e3 * time.step_time_quantile.sel(at))
            rows.append(row)
    return pd.DataFrame(rows)


def _quantiles(what: str, found: xr.DataArray) -> dict[str, float]:
    return {f"{what}, {q:.0%}": found.sel(quantile=q).item() for q in (0.05, 0.5, 0.95)}


@TABLES.part
def table7_conclusions(judged: Any) -> pd.DataFrame:
    """The study's headlines: where each holds, what it depends on, what first breaks it."""
    frame = pd.DataFrame({"conclusion": judged.conclusion, "verdict": judged.verdict})
    frame["holds [% of the space]"] = 100 * judged.share
    frame["under the true architectures [%]"] = 100 * judged.share_true
    frame["cells that do not count [%]"] = 100 * judged.missing
    frame["holds as stated"] = judged.at_base
    for key, index in (("depends_on", "index"), ("then", "then_index")):
        frame[key.replace("_", " ")] = [title(name) or "-" for name in judged[key]]
        frame[f"{key.replace('_', ' ')}, total index"] = judged[index]
    frame["holds, by label"] = judged.by_label.replace("", "-")
    frame["answer"] = judged.instead
    frame["nearest change"] = [worded(change) for change in judged.nearest]
    return frame


@TABLES.part
def table8_ranking(model_ranking: Any) -> pd.DataFrame:
    """Share of the assumptions in which each model ranks first by mean extension, by constants."""
    frame = pd.DataFrame({"model": names(model_ranking)})
    frame["all"] = model_ranking["first"].values
    for step in model_ranking.step.values:
        frame[str(step).replace("_", " ")] = model_ranking.first_by_step.sel(step=step).values
    return frame[frame["all"] > 0].sort_values("all", ascending=False, kind="stable")


@TABLES.part
def table9_batch_break_even(batch_break_even: Any) -> pd.DataFrame:
    """Batch from which Prophet frees less than a tenth of the experts, by law and exponent."""
    frame = pd.DataFrame({"model": names(batch_break_even)})
    for exponent in batch_break_even.dedup_exponent.values:
        one = batch_break_even.batch.sel(routing="power", dedup_exponent=exponent)
        frame[f"power, {exponent:g}"] = one.values
    for law in ("uniform", "zipf"):
        frame[law] = batch_break_even.batch.sel(routing=law).isel(dedup_exponent=0).values
    return frame


@TABLES.part
def table10_exponent_break_even(exponent_break_even: Any) -> pd.DataFrame:
    """Exponent at which Prophet stops fitting, where it does at some batch: batch 1 to 64."""
    rows = []
    for i, name in enumerate(names(exponent_break_even)):
        for gpu in exponent_break_even.gpu.values:
            one = exponent_break_even.isel(model=i).sel(gpu=gpu)
            if (one.side == CROSSES).any():
                cells = zip(one.dedup_exponent.values, one.side.values, strict=True)
                words = [f"{x:.3f}" if s == CROSSES else FITS[int(s)] for x, s in cells]
                heads = [f"batch {b}" for b in one.batch.values]
                rows.append({"model": name, "GPU": gpu, **dict(zip(heads, words, strict=True))})
    return pd.DataFrame(rows)


@TABLES.part
def table11_hit_rate_break_even(hit_rate_break_even: Any) -> pd.DataFrame:
    """Least hit rate [%] for the study's slowdown at batch 1, A100-80GB, by link and residency."""
    rows = []
    for i, name in enumerate(names(hit_rate_break_even)):
        for kept in hit_rate_break_even.kept.values:
            one = hit_rate_break_even.isel(model=i).sel(kept=kept)
            row: dict[str, object] = {"model": name}
            row["of the other experts resident [%]"] = 100 * kept
            cells = zip(
                one.host_link_rate.values, one.hit_rate.values, one.side.values, strict=True
            )
            for link, hit, side in cells:
                text = f"{100 * hit:.1f}" if side == CROSSES else _HITS[int(side)]
                row[f"{link / 1e9:g} GB/s"] = text
            rows.append(row)
    return pd.DataFrame(rows)


@TABLES.part
def table12_slo_capacity(capacity_bands: Any) -> pd.DataFrame:
    """Highest rate within the objective, requests/s: bands over the draws."""
    rows = []
    for gpu, policy in product(capacity_bands.gpu.values, capacity_bands.policy.values):
        at = {"gpu": gpu, "policy": policy}
        row: dict[str, Any] = {"model": names(capacity_bands)[0], "GPU": gpu, "policy": policy}
        row |= _quantiles("capacity", capacity_bands.capacity_quantile.sel(at))
        row["mean"] = capacity_bands.capacity_mean.sel(at).item()
        rows.append(row)
    return pd.DataFrame(rows)
