"""Cubes -> Markdown: what offloading costs, and where the study's numbers on it hold."""

import xarray as xr

from prophet_xr.reporting.listing import Listing
from prophet_xr.reporting.numbers import names, shown
from prophet_xr.reporting.report import Captions, Tables, document, tables_and_figures
from prophet_xr.studies.offloading import regions
from prophet_xr.studies.offloading.figures import FIGURES
from prophet_xr.studies.offloading.tables import TABLES
from prophet_xr.studies.offloading.wording import claim_lines, pair_region, ratio_region
from prophet_xr.studies.published.latency_claims import HIT, MEASURED, prophet_row

PAGES, PARAGRAPHS = Listing(), Listing()
_CARD = "A100-80GB"


@PAGES.named("WHAT_OFFLOADING_COSTS.md")
def report(offloading_summary: str, tables: Tables, figures: Captions) -> str:
    """Write the report on offloading: what holds, tables and figures."""
    parts = ["# What offloading experts costs", offloading_summary]
    return document([*parts, *tables_and_figures(TABLES, tables, FIGURES, figures)])


@PARAGRAPHS.part
def offloading_summary(costs: xr.Dataset) -> str:
    """Say how the cells are made, what the study's three numbers need, and what contradicts them.

    Reads what `sweeps.costs` keeps.
    """
    claimed = "\n".join(claim_lines(costs))
    return "\n\n".join([_cells(costs), claimed, contradiction(costs), _limits()])


@PARAGRAPHS.part
def slowdowns_region(costs: xr.Dataset) -> str:
    """Say where each of the study's two slowdowns holds."""
    return pair_region(costs)


@PARAGRAPHS.part
def slowdown_ratio_region(costs: xr.Dataset) -> str:
    """Say where the ratio of the two slowdowns holds."""
    return ratio_region(costs)


def _cells(cube: xr.Dataset) -> str:
    sizes = {str(d): n for d, n in cube.slowdown.sizes.items()}
    axes = " x ".join(f"{n} {str(d).replace('_', ' ')}" for d, n in sizes.items())
    known = int(cube.locality_measured.sum())
    return (
        f"One sweep of {axes} ({cube.slowdown.size:,} cells), by the measured routing law and at "
        f"datasheet rates, without fixed costs per copy or step. How much requests repeat is "
        f"measured for {known} of {sizes['model']} models, and the median of the measured for the "
        f"rest. Cells beyond a model's native context are not counted. Prophet keeps the experts "
        f"of the step and, on the axis of cache slots, as many more."
    )


def contradiction(cube: xr.Dataset) -> str:
    """Say that few experts resident and a high hit rate exclude each other, with the numbers."""
    cell = regions.usual(cube).sel(gpu=_CARD)
    own = prophet_row(cell).sel(cache_slots=0)
    moved = cube.link_traffic.sel(policy="prophet", batch=1, cache_slots=0)
    same = bool((moved.max("hit_rate") <= 1.000001 * moved.min("hit_rate")).all())
    able = own.feasible_hit_rate
    lines = [
        '**"Only the active experts resident" contradicts "99.4 % hit rate".** A step moves '
        "(1 - reuse) x experts read over the link; the predictor is in neither factor"
        + (", and over every hit rate of the sweep the bytes are the same." if same else "."),
        f"On {_CARD} at batch 1 the share of requests that is resident or can arrive while the GPU "
        f"works (`feasible_hit_rate`) is, over the models:",
    ]
    parts = []
    for link in able.host_link_rate.values:
        row = able.sel(host_link_rate=link)
        parts.append(
            f"- {link / 1e9:g} GB/s: {row.min().item():.0%} to {row.max().item():.0%}, median "
            f"{row.median().item():.0%}; {int((row >= HIT).sum())} of {row.size} models "
            f"reach {HIT:.1%}."
        )
    return " ".join(lines) + "\n\n" + "\n".join(parts) + "\n\n" + _example(own)


def _example(own: xr.Dataset) -> str:
    """The study's headline model, over PCIe 4."""
    cell = own.sel(model=MEASURED[0], host_link_rate=24.8e9)
    moved, able = shown(cell.link_traffic, "GB").item(), cell.feasible_hit_rate.item()
    busy, link = shown(cell.gpu_time, "ms").item(), cell.host_link_rate.item() / 1e9
    return (
        f"{names(cell)[0]} over PCIe 4: {cell.reuse.item():.0%} of a step's requests are still "
        f"there, {moved:.1f} GB must cross the link, which takes {1e3 * moved / link:.0f} ms, "
        f"while the GPU works for {busy:.0f} ms. A step takes {cell.slowdown.item():.0f} times as "
        f"long as with all experts resident, at any hit rate above {able:.0%}."
    )


def _limits() -> str:
    return (
        "Where the all-resident baseline does not fit a card its time is a what-if. Reuse is "
        "measured at batch 1; for larger batches it is an upper bound. How far predicted times are "
        "from measured ones is in `docs/validation.md`: no source measures an engine that "
        "prefetches with a stated hit rate, so Prophet's overlap is the optimistic end."
    )
