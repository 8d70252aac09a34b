"""Results -> frames, for sensitivity.  A table's name is its file name."""

from collections.abc import Callable, Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from prophet_xr.reporting.numbers import names
from prophet_xr.studies.sensitivity.wording import ABOVE, BELOW, CROSSES, title, worded

Made = Mapping[str, Any]
Table = Callable[[Made], pd.DataFrame]
TABLES: dict[str, Table] = {}
FITS = {BELOW: "never", ABOVE: "always"}  # by the side of the KV budget
HITS = {BELOW: "any", ABOVE: "none"}  # by the side of the slowdown


def table(function: Table) -> Table:
    """List a table under its function's name."""
    TABLES[function.__name__] = function
    return function


@table
def table1_one_at_a_time(made: Made) -> pd.DataFrame:
    """The study's proposed variations, one at a time: mean extension, context, slowdown."""
    cube = made["tornado"]
    frame = pd.DataFrame({"input": [title(str(n)) for n in cube.input.values]})
    kinds = zip(cube.value.values, cube.factor.values, strict=True)
    frame["value"] = ["-" if v != v else f"x {v:g}" if f else f"{v:g}" for v, f in kinds]
    for name, values in cube.data_vars.items():
        frame[str(name)] = values.values
        base = values.sel(case=0).item()
        frame[f"{name}, change [%]"] = 100 * (values.values / base - 1)
    return frame


@table
def table2_elasticities(made: Made) -> pd.DataFrame:
    """Elasticities d log y / d log x, in the cells named; of the batch between its neighbours."""
    rows = []
    for cell, found in made["elasticities"].items():
        for metric, values in found.data_vars.items():
            pairs = zip(values.input.values, values.values, strict=True)
            own = {title(str(name)): value for name, value in pairs}
            rows.append({"cell": cell, "metric": title(str(metric)), **own})
    return pd.DataFrame(rows)


@table
def table3_sobol(made: Made) -> pd.DataFrame:
    """Sobol indices, exact for the grid: every axis at once, then given model, GPU and batch."""
    rows = []
    for metric, found in made["sobol"].items():
        given = made["deployed"][metric]
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


@table
def table4_pairs(made: Made) -> pd.DataFrame:
    """The strongest pairs of each metric: what both explain beyond each alone."""
    rows = []
    for key, space in (("sobol", "every axis"), ("deployed", "given model, GPU and batch")):
        for metric, found in made[key].items():
            names = [str(a) for a in found.axis.values]
            table = found.second_order.values
            pairs = [(table[i, j], i, j) for i, j in combinations(range(len(names)), 2)]
            for value, i, j in sorted(pairs, key=lambda p: -p[0])[:3]:
                row = {"space": space, "metric": title(metric), "axis": title(names[i])}
                rows.append({**row, "other": title(names[j]), "second order": _exact(value)})
    return pd.DataFrame(rows)


@table
def table5_exact_against_sampled(made: Made) -> pd.DataFrame:
    """Indices of priors in one cell: exact on a grid, and by SALib with 95% intervals."""
    rows = []
    for metric, (exact, found, morris, pawn) in made["priors"].items():
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


@table
def table6_uncertainty(made: Made) -> pd.DataFrame:
    """What the draws say: probability of fitting, bands of extension and of Prophet's step."""
    space, time = made["bands"]["memory"], made["bands"]["times"]
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


@table
def table7_conclusions(made: Made) -> pd.DataFrame:
    """The study's headlines: where each holds, what it hangs on, what first breaks it."""
    found = made["judged"]
    frame = pd.DataFrame({"conclusion": found.conclusion, "verdict": found.verdict})
    frame["holds [% of the space]"] = 100 * found.share
    frame["under the true architectures [%]"] = 100 * found.share_true
    frame["cells that do not count [%]"] = 100 * found.missing
    frame["holds as stated"] = found.at_base
    for key, index in (("hangs_on", "index"), ("then", "then_index")):
        frame[key.replace("_", " ")] = [title(name) or "-" for name in found[key]]
        frame[f"{key.replace('_', ' ')}, total index"] = found[index]
    frame["holds, by label"] = found.by_label.replace("", "-")
    frame["answer"] = found.instead
    frame["nearest change"] = [worded(change) for change in found.nearest]
    return frame


@table
def table8_ranking(made: Made) -> pd.DataFrame:
    """Share of the assumptions in which each model ranks first by mean extension, by constants."""
    found = made["ranking"]
    frame = pd.DataFrame({"model": names(found)})
    frame["all"] = found["first"].values
    for step in found.step.values:
        frame[str(step).replace("_", " ")] = found.first_by_step.sel(step=step).values
    return frame[frame["all"] > 0].sort_values("all", ascending=False, kind="stable")


@table
def table9_batch_break_even(made: Made) -> pd.DataFrame:
    """Batch from which Prophet frees less than a tenth of the experts, by law and exponent."""
    found = made["batch"]
    frame = pd.DataFrame({"model": names(found)})
    for exponent in found.dedup_exponent.values:
        one = found.batch.sel(routing="power", dedup_exponent=exponent)
        frame[f"power, {exponent:g}"] = one.values
    for law in ("uniform", "zipf"):
        frame[law] = found.batch.sel(routing=law).isel(dedup_exponent=0).values
    return frame


@table
def table10_exponent_break_even(made: Made) -> pd.DataFrame:
    """Exponent at which Prophet stops fitting, where it does at some batch: batch 1 to 64."""
    found = made["exponent"]
    rows = []
    for i, name in enumerate(names(found)):
        for gpu in found.gpu.values:
            one = found.isel(model=i).sel(gpu=gpu)
            if (one.side == CROSSES).any():
                cells = zip(one.dedup_exponent.values, one.side.values, strict=True)
                words = [f"{x:.3f}" if s == CROSSES else FITS[int(s)] for x, s in cells]
                heads = [f"batch {b}" for b in one.batch.values]
                rows.append({"model": name, "GPU": gpu, **dict(zip(heads, words, strict=True))})
    return pd.DataFrame(rows)


@table
def table11_hit_rate_break_even(made: Made) -> pd.DataFrame:
    """Least hit rate [%] for the study's slowdown at batch 1, A100-80GB, by link and residency."""
    found = made["hit"]
    rows = []
    for i, name in enumerate(names(found)):
        for kept in found.kept.values:
            one = found.isel(model=i).sel(kept=kept)
            row: dict[str, object] = {"model": name}
            row["of the other experts resident [%]"] = 100 * kept
            cells = zip(
                one.host_link_rate.values, one.hit_rate.values, one.side.values, strict=True
            )
            for link, hit, side in cells:
                text = f"{100 * hit:.1f}" if side == CROSSES else HITS[int(side)]
                row[f"{link / 1e9:g} GB/s"] = text
            rows.append(row)
    return pd.DataFrame(rows)


@table
def table12_slo_capacity(made: Made) -> pd.DataFrame:
    """Highest rate within the objective, requests/s: bands over the draws."""
    found = made["capacity"]
    rows = []
    for gpu, policy in product(found.gpu.values, found.policy.values):
        at = {"gpu": gpu, "policy": policy}
        row: dict[str, Any] = {"model": names(found)[0], "GPU": gpu, "policy": policy}
        row |= _quantiles("capacity", found.capacity_quantile.sel(at))
        row["mean"] = found.capacity_mean.sel(at).item()
        rows.append(row)
    return pd.DataFrame(rows)
