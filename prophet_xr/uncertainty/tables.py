"""Results -> frames, for sensitivity.  A table's name is its file name."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import xarray as xr

from prophet_xr.reduce import names
from prophet_xr.uncertainty.words import TITLES, worded

Made = Mapping[str, Any]
Table = Callable[[Made], pd.DataFrame]
TABLES: dict[str, Table] = {}


def table(function: Table) -> Table:
    """List a table under its function's name."""
    TABLES[function.__name__] = function
    return function


@table
def table1_one_at_a_time(made: Made) -> pd.DataFrame:
    """The study's proposed variations, one at a time: mean extension, context, slowdown."""
    cube = made["tornado"]
    frame = pd.DataFrame({"input": cube.input.values, "value": cube.value.values})
    frame["is a factor"] = cube.factor.values
    for name, values in cube.data_vars.items():
        frame[str(name)] = values.values
        base = values.sel(case=0).item()
        frame[f"{name}, change [%]"] = 100 * (values.values / base - 1)
    return frame


@table
def table2_elasticities(made: Made) -> pd.DataFrame:
    """Elasticities d log y / d log x, in the cells named."""
    rows = []
    for cell, found in made["elasticities"].items():
        for metric, values in found.data_vars.items():
            rows.append({"cell": cell, "metric": metric, **dict(_pairs(values, "input"))})
    return pd.DataFrame(rows)


def _pairs(values: xr.DataArray, dim: str) -> list[tuple[str, float]]:
    return list(zip(map(str, values[dim].values), values.values.tolist(), strict=True))


@table
def table3_sobol(made: Made) -> pd.DataFrame:
    """Sobol indices over every axis of the study and its assumptions, exact for the grid."""
    rows = []
    for metric, found in made["sobol"].items():
        for axis in found.axis.values:
            one = found.sel(axis=axis)
            row = {"metric": metric, "axis": axis, "first order": one.first_order.item()}
            row["total"] = one.total.item()
            rows.append({**row, "cells missing [%]": 100 * found.missing.item()})
    return pd.DataFrame(rows)


@table
def table4_pairs(made: Made) -> pd.DataFrame:
    """The five strongest pairs of each metric: what both explain beyond each alone."""
    rows = []
    for metric, found in made["sobol"].items():
        flat = found.second_order.stack(pair=("axis", "other")).dropna("pair")
        pairs = [(v.item(), *v.pair.item()) for v in flat if v.pair.item()[0] < v.pair.item()[1]]
        for value, one, other in sorted(pairs, key=lambda p: -p[0])[:5]:
            rows.append({"metric": metric, "axis": one, "other": other, "second order": value})
    return pd.DataFrame(rows)


@table
def table5_exact_against_sampled(made: Made) -> pd.DataFrame:
    """Indices of continuous priors in one cell: exact on a grid, and by SALib with its interval."""
    rows = []
    for metric, (exact, found, morris, pawn) in made["priors"].items():
        for axis in found.axis.values:
            one, other = found.sel(axis=axis), exact.sel(axis=axis)
            row = {"metric": metric, "input": axis}
            for kind, title in (("first_order", "first order"), ("total", "total")):
                row[f"{title}, grid"] = other[kind].item()
                row[f"{title}, sampled"] = one[kind].item()
                row[f"{title}, interval +-"] = one[f"{kind}_interval"].item()
            row["Morris effect"] = morris.effect.sel(axis=axis).item()
            row["PAWN distance"] = pawn.distance.sel(axis=axis).item()
            rows.append(row)
    return pd.DataFrame(rows)


@table
def table6_uncertainty(made: Made) -> pd.DataFrame:
    """What the draws say on A100-80GB: probability of fitting, bands of extension and step time."""
    space, time = made["bands"]["memory"], made["bands"]["times"]
    rows = []
    for model, name in zip(space.model.values, names(space), strict=True):
        for batch in space.batch.values:
            at = {"model": model, "batch": batch}
            row: dict[str, Any] = {"model": name, "batch": int(batch)}
            row["fits, probability"] = space.fits.sel(at).item()
            row["extension defined, share"] = space.kv_extension_share.sel(at).item()
            for kind, found in (("extension", space.kv_extension_quantile.sel(at)),):
                row |= {f"{kind}, {q:.0%}": found.sel(quantile=q).item() for q in (0.05, 0.5, 0.95)}
            steps = 1e3 * time.step_time_quantile.sel({**at, "policy": "prophet"})
            row |= {f"step [ms], {q:.0%}": steps.sel(quantile=q).item() for q in (0.05, 0.5, 0.95)}
            rows.append(row)
    return pd.DataFrame(rows)


@table
def table7_conclusions(made: Made) -> pd.DataFrame:
    """The study's headlines: where each holds, what it hangs on, what first breaks it."""
    found = made["judged"]
    frame = pd.DataFrame({"conclusion": found.conclusion, "verdict": found.verdict})
    frame["holds [% of the space]"] = 100 * found.share
    frame["under the true architectures [%]"] = 100 * found.share_true
    frame["holds as stated"] = found.at_base
    frame["hangs on"] = [TITLES.get(name, name) or "-" for name in found.hangs_on]
    frame["total index"] = found["index"]
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
    meanings = str(found.side.attrs["flag_meanings"]).split()
    for i, name in enumerate(names(found)):
        for gpu in found.gpu.values:
            one = found.isel(model=i).sel(gpu=gpu)
            if (one.side == 0).any():
                cells = zip(
                    one.batch.values, one.dedup_exponent.values, one.side.values, strict=True
                )
                words = {
                    f"batch {b}": f"{x:.3f}" if s == 0 else meanings[int(s)] for b, x, s in cells
                }
                rows.append({"model": name, "GPU": gpu, **words})
    return pd.DataFrame(rows)


@table
def table11_hit_rate_break_even(made: Made) -> pd.DataFrame:
    """Least hit rate [%] for the study's slowdown at batch 1, A100-80GB, by link and residency."""
    found = made["hit"]
    rows = []
    meanings = {1: "no hit rate", 2: "any"}
    for i, name in enumerate(names(found)):
        for kept in found.kept.values:
            one = found.isel(model=i).sel(kept=kept)
            row: dict[str, object] = {"model": name}
            row["of the other experts resident [%]"] = 100 * kept
            cells = zip(
                one.host_link_rate.values, one.hit_rate.values, one.side.values, strict=True
            )
            for link, hit, side in cells:
                text = f"{100 * hit:.1f}" if side == 0 else meanings[int(side)]
                row[f"{link / 1e9:g} GB/s"] = text
            rows.append(row)
    return pd.DataFrame(rows)
