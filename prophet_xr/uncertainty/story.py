"""Results -> Markdown: which of the study's conclusions survive other assumptions."""

from collections.abc import Mapping
from math import prod
from typing import Any

import pandas as pd
import xarray as xr

from prophet_xr.tables import markdown
from prophet_xr.uncertainty import survival
from prophet_xr.uncertainty.conclusions import ranking
from prophet_xr.uncertainty.figures import FIGURES, METRICS
from prophet_xr.uncertainty.grids import AVERAGES, BASE
from prophet_xr.uncertainty.priors import known
from prophet_xr.uncertainty.tables import TABLES
from prophet_xr.uncertainty.words import NEVER, ROBUST, TITLES, VERDICTS, worded

Made = Mapping[str, Any]


def report(made: Made) -> str:
    """Write the report on sensitivity: conclusions, tables and figures."""
    parts = ["# Which conclusions survive other assumptions", told(made["judged"])]
    parts += [_space(made["assumptions"]), _ranks(made["ranking"]), _global(made["sobol"])]
    parts += [_agreement(made), "## Priors", _priors(), "## Tables"]
    for name, table in TABLES.items():
        title = (table.__doc__ or name).splitlines()[0]
        parts += [f"### {title}", f"`{name}.csv`", markdown(table(made)).strip("\n")]
    parts.append("## Figures")
    for name, draw in FIGURES.items():
        title = (draw.__doc__ or name).splitlines()[0]
        parts += [f"### {title}", f"![{title}]({name}.png)"]
    return "\n\n".join(parts) + "\n"


def summary(cubes: Mapping[str, xr.Dataset]) -> str:
    """Say what survives, for the study's report.  Reads ``assumptions`` and ``costs``."""
    found = survival.judged(cubes)
    scores = survival.scores(cubes["assumptions"])
    named = {"model_name": cubes["assumptions"].model_name}
    ranks = ranking(scores, "model", BASE).assign_coords(named)
    return "\n\n".join([told(found), _space(cubes["assumptions"]), _ranks(ranks)])


def told(judged: pd.DataFrame) -> str:
    """Say of each conclusion whether it is robust, hangs on an assumption, or is wrong."""
    lines = [
        f"A conclusion is *robust* if it holds in at least {ROBUST:.0%} of the space of "
        f"assumptions, *wrong* if it holds in at most {NEVER:.0%} of the space or of the part "
        f"under the true architectures, and else *hangs on* the assumption with the largest total "
        f"Sobol index of whether it holds.",
        "",
    ]
    for verdict in VERDICTS:
        for own in judged[judged.verdict == verdict].to_dict("records"):
            lines.append(f"- **{own['conclusion']}: {_verdict(own)}.** {_why(own)}")
    missing = [v for v in VERDICTS if v not in judged.verdict.values]
    if missing:
        lines.append(f"- None is {' or '.join(missing)}.")
    return "\n".join(lines)


def _verdict(own: Mapping[Any, Any]) -> str:
    if own["verdict"] == "hangs on an assumption":
        return f"hangs on the {TITLES.get(own['hangs_on'], own['hangs_on'])}"
    return str(own["verdict"])


def _why(own: Mapping[Any, Any]) -> str:
    text = f"It holds in {own['share']:.1%} of the space"
    if own["share_true"] != own["share"]:
        text += f" and in {own['share_true']:.1%} of it under the true architectures"
    if own["hangs_on"]:
        name = TITLES.get(own["hangs_on"], own["hangs_on"])
        text += f"; most of that is decided by the {name} (total index {own['index']:.2f})"
    if not own["nearest"]:
        return f"{text}. No assumption of the space changes the answer."
    here = "breaks" if own["at_base"] else "does not hold as stated, and is mended"
    return f"{text}. It {here} with {worded(own['nearest'])}."


def _space(cube: xr.Dataset) -> str:
    sizes = {d: n for d, n in cube.kv_extension.sizes.items() if d in BASE}
    cells = len(AVERAGES) * prod(sizes.values())
    axes = ", ".join(
        f"{TITLES.get(str(d), str(d))} ({', '.join(f'{v}' for v in cube[d].values)})" for d in sizes
    )
    return (
        f"The space of the memory conclusions has {cells:,} cells, each an average over the "
        f"study's grid: {axes}; and three ways to average (zeros where the baseline does not fit, "
        f"mean and median where both fit). The hit rate enters no memory metric, so its index is "
        f"0 for all of these. The three conclusions on latency are judged over models, cards, "
        f"contexts, hit rates, links and caches at batch 1."
    ).replace("_", " ")


def _ranks(found: xr.Dataset) -> str:
    first = found["first"].sortby(found["first"], ascending=False)
    best = [
        f"{name} {value:.0%}"
        for name, value in zip(first.model_name.values[:4], first.values[:4], strict=True)
    ]
    return (
        f"**Ranking of models.** Kendall's tau with the published ranking is "
        f"{found.tau.median().item():.2f} in the median and {found.tau.min().item():.2f} at least. "
        f"The probability of ranking first, each assumption alike: {', '.join(best)}."
    )


def _global(sobol: Mapping[str, xr.Dataset]) -> str:
    lines = ["**Which input matters** (total index, every axis at once):", ""]
    for metric, found in sobol.items():
        total = found.total.sortby(found.total, ascending=False)
        best = zip(total.axis.values[:4], total.values[:4], strict=True)
        parts = [f"{a} {v:.2f}" for a, v in best]
        text = ", ".join(parts).replace("_", " ")
        lines.append(
            f"- {METRICS[metric]}: {text}; first orders add up to "
            f"{found.first_order.sum().item():.2f}, {found.missing.item():.0%} of the cells do not "
            f"fit and are dropped."
        )
    return "\n".join(lines)


def _agreement(made: Made) -> str:
    """Say how the exact indices compare with the sampled."""
    count = inside = 0
    worst = 0.0
    for exact, found, *_ in made["priors"].values():
        for kind in ("first_order", "total"):
            off = abs(exact[kind] - found[kind])
            count += off.size
            inside += int((off <= found[f"{kind}_interval"] + 1e-9).sum())
            worst = max(worst, off.max().item())
    return (
        f"**Exact against sampled.** For continuous priors the indices on a grid of quantiles and "
        f"SALib's differ by {worst:.3f} at most; {inside} of {count} lie within SALib's 95 % "
        f"interval."
    )


def _priors() -> str:
    rows = []
    for name, own in known().items():
        numbers = ", ".join(f"{v:g}" for v in own.numbers)
        rows.append([name, own.kind, numbers, "factor" if own.factor else "value", own.source])
    heads = ["input", "prior", "numbers", "of", "source"]
    return markdown(pd.DataFrame(rows, columns=heads)).strip("\n")
