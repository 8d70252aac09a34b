"""Results -> Markdown: which of the study's conclusions survive other assumptions."""

from collections.abc import Mapping
from math import prod
from typing import Any

import pandas as pd
import xarray as xr

from prophet_xr.reporting.listing import Listing, Results
from prophet_xr.reporting.markdown import markdown
from prophet_xr.reporting.report import Captions, Tables, document, tables_and_figures
from prophet_xr.studies.sensitivity import headlines
from prophet_xr.studies.sensitivity.assumptions import BASE, DEPLOYED, WAYS_TO_AVERAGE
from prophet_xr.studies.sensitivity.figures import FIGURES
from prophet_xr.studies.sensitivity.tables import TABLES
from prophet_xr.studies.sensitivity.wording import label_text, title, worded
from prophet_xr.uncertainty.priors import known
from prophet_xr.uncertainty.robustness import (
    DEPENDS,
    NEVER,
    ROBUST,
    ROBUSTNESS,
    SOLID,
    TRUE_PART,
    WRONG,
)

Indices = Mapping[str, Mapping[str, xr.Dataset]]
PAGES, PARAGRAPHS = Listing(), Listing()


@PAGES.named("WHICH_CONCLUSIONS_SURVIVE.md")
def report(sensitivity_summary: str, results: Results, tables: Tables, figures: Captions) -> str:
    """Write the report on sensitivity: conclusions, tables and figures."""
    parts = ["# Which conclusions survive other assumptions", sensitivity_summary]
    indices = {key: results[key] for key in ("sobol_by_metric", "deployed")}
    parts += [_global(results["cells"], indices), _agreement(results["priors"])]
    parts += ["## Priors", _priors()]
    return document([*parts, *tables_and_figures(TABLES, tables, FIGURES, figures)])


@PARAGRAPHS.part
def sensitivity_summary(
    judged: pd.DataFrame, model_ranking: xr.Dataset, assumptions: xr.Dataset, costs: xr.Dataset
) -> str:
    """Say which of the study's conclusions survive, in which space, and which model ranks first."""
    return "\n\n".join([told(judged), _space(assumptions, costs), _ranks(model_ranking)])


# --- Conclusions -----------------------------------------------------------------------------

HEADS = {
    SOLID: "Robust",
    TRUE_PART: "Robust under the true architectures, not under the study's constants",
    DEPENDS: "Dependent on an assumption",
    WRONG: "Wrong",
}


def told(judged: pd.DataFrame) -> str:
    """Say of each conclusion whether it is robust, depends on an assumption, or is wrong."""
    counts = {v: int((judged.verdict == v).sum()) for v in ROBUSTNESS}
    parts = [
        f"The study's {len(judged)} headlines: {counts[SOLID]} robust, {counts[TRUE_PART]} robust "
        f"under the true architectures only, {counts[DEPENDS]} dependent on an assumption, "
        f"{counts[WRONG]} wrong. *Robust*: it holds in at least {ROBUST:.0%} of the space of "
        f"assumptions and of its part under the true architectures. *Wrong*: in at most "
        f"{NEVER:.0%} of either. The assumption on which another depends most is that with the "
        f"largest total Sobol index of whether it holds. A number holds if it agrees "
        f"within {headlines.AGREES:.0%}."
    ]
    for verdict in ROBUSTNESS:
        rows = judged[judged.verdict == verdict].to_dict("records")
        lines = [f"- **{own['conclusion']}.** {_why(own)}" for own in rows]
        parts.append(f"**{HEADS[verdict]}**\n\n" + ("\n".join(lines) or "- None."))
    return "\n\n".join(parts)


def _why(own: Mapping[Any, Any]) -> str:
    known = own["share_true"] != own["share"]
    text = f"It holds in {own['share']:.1%} of the space"
    text += f", in {own['share_true']:.1%} under the true architectures" if known else ""
    text += f"; there {own['instead']}." if known else f"; {own['instead']}."
    if own["depends_on"]:
        text += f" It depends most on the {title(own['depends_on'])} (index {own['index']:.2f}: "
        text += f"{own['by_label']})"
        if own["then"]:
            text += f", then on the {title(own['then'])} ({own['then_index']:.2f})"
        text += "."
    if not own["nearest"]:
        return f"{text} No assumption of the space changes the answer."
    here = "breaks" if own["at_base"] else "does not hold as stated; it would"
    return f"{text} It {here} with {worded(own['nearest'])}."


def _space(cube: xr.Dataset, costs: xr.Dataset) -> str:
    sizes = {d: n for d, n in cube.kv_extension.sizes.items() if d in BASE}
    cells = len(WAYS_TO_AVERAGE) * prod(sizes.values())
    axes = "; ".join(
        f"{title(str(d))} ({', '.join(label_text(str(d), v) for v in cube[d].values)})"
        for d in sizes
    )
    links = ", ".join(label_text("host_link_rate", v) for v in costs.host_link_rate.values)
    return (
        f"*The space.* Conclusions on memory are judged in {cells:,} cells, each an average over "
        f"the study's grid: {axes}; and three ways to average ({', '.join(WAYS_TO_AVERAGE)}). "
        f"The hit rate enters no memory metric: its index is 0 for all of these. The three on "
        f"latency are judged at batch 1 over {costs.sizes['model']} models, "
        f"{costs.sizes['gpu']} cards, {costs.sizes['context']} contexts, "
        f"{costs.sizes['hit_rate']} hit rates, {costs.sizes['host_link_rate']} links ({links}) "
        f"and every cache short of all experts, without a cost per copy or step. Every cell "
        f"weighs the same; a cell that cannot be (a "
        f"cache of more slots than experts, a context beyond the native one) counts for nothing."
    )


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


def _global(cells: Mapping[str, int], indices: Indices) -> str:
    every, one = cells["every"], cells["one"]
    heads = {
        "sobol_by_metric": f"**Which input matters**, every axis at once ({every:,} cells)",
        "deployed": f"**Once {_deployed()} is chosen** ({one:,} cells)",
    }
    parts = []
    for key, head in heads.items():
        lines = [f"- {_leading(metric, found)}" for metric, found in indices[key].items()]
        parts.append(f"{head}, by total index:\n\n" + "\n".join(lines))
    note = (
        "A cell that does not fit has no number. Without it the axes depend on each other (large "
        "models go with large GPUs): an index is still a share of the variance, but the first "
        "orders may add up to more than 1, or exceed the total of their axis."
    )
    return "\n\n".join([*parts, note])


def _deployed() -> str:
    return f"{DEPLOYED['model']} on {DEPLOYED['gpu']} at batch {DEPLOYED['batch']}"


def _leading(metric: str, found: xr.Dataset) -> str:
    total = found.total.sortby(found.total, ascending=False)
    best = zip(total.axis.values[:4], total.values[:4], strict=True)
    name = title(metric)
    text = f"{name[0].upper()}{name[1:]}: {', '.join(f'{title(str(a))} {v:.2f}' for a, v in best)}"
    text += f"; first orders add up to {found.first_order.sum().item():.2f}"
    missing = found.missing.item()
    if missing:
        text += f", and {missing:.0%} of the cells, which do not fit, count for nothing"
    return f"{text}."


def _agreement(priors: Mapping[str, tuple[xr.Dataset, ...]]) -> str:
    """Say how the exact indices compare with the sampled."""
    count = inside = 0
    worst = 0.0
    for exact, found, *_ in priors.values():
        for kind in ("first_order", "total"):
            off = abs(exact[kind] - found[kind])
            count += off.size
            inside += int((off <= found[f"{kind}_interval"] + 1e-9).sum())
            worst = max(worst, off.max().item())
    return (
        f"**Exact against sampled.** For continuous priors the indices on a grid of quantiles and "
        f"SALib's differ by {worst:.3f} at most; {inside} of {count} lie within SALib's 95% "
        f"interval."
    )


def _priors() -> str:
    rows = []
    for name, own in known().items():
        numbers = ", ".join(f"{v:g}" for v in own.numbers)
        of = "factor" if own.factor else "value"
        rows.append([title(name), own.kind, numbers, of, own.source])
    heads = ["input", "prior", "numbers", "of", "source"]
    return markdown(pd.DataFrame(rows, columns=heads)).strip("\n")
