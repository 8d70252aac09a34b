"""Simulations -> Markdown: whether a static batch understates or overstates Prophet."""

import numpy as np
import xarray as xr

from prophet_xr.reporting.listing import Listing, Results
from prophet_xr.reporting.numbers import ends
from prophet_xr.reporting.report import Captions, Tables, document, tables_and_figures
from prophet_xr.studies.serving_load import views
from prophet_xr.studies.serving_load.figures import FIGURES
from prophet_xr.studies.serving_load.tables import TABLES

PAGES = Listing()
TWICE = 2.0  # extension
_CLOSE = 0.9  # of a rate
CHATTING = 0.95  # of the requests, by the study
CHAT = 2  # sequences; the study has 95 % of chatbot requests at a batch of 1 or 2


@PAGES.named("UNDER_LOAD.md")
def report(served: xr.Dataset, results: Results, tables: Tables, figures: Captions) -> str:
    """Write the report on one load: what holds, tables and figures."""
    parts = [f"# Prophet under load: {served.attrs['title']}"]
    parts += [say(served) for say in (_answer, _feedback, _window, _memory, _chat)]
    if "highest_rates" in results:  # which a trace has none of
        parts.append(_capacity(results["highest_rates"]))
    parts = [*(part for part in parts if part), _method(served)]
    return document([*parts, *tables_and_figures(TABLES, tables, FIGURES, figures)])


def _answer(cube: xr.Dataset) -> str:
    """Whether a static batch understates or overstates, by which batch is taken."""
    found = views.static_and_loaded(views.over_seeds(cube), "kv_extension")
    takes = {
        "alone": "batch 1, the study's headline",
        "resident": "the mean batch that the load makes while all experts are resident",
        "own": "the mean batch that it makes under Prophet",
    }
    lines = [f"- {words}: {_verdict(found[view] / found.loaded)}" for view, words in takes.items()]
    return "\n".join(
        [
            "**Does a static batch understate or overstate Prophet?** It depends on the batch that "
            f"is taken. KV extension at a static batch over its mean under the load, in "
            f"{int(found.loaded.count())} cells of server and rate where all experts fit:",
            "",
            *lines,
        ]
    )


def _verdict(ratio: xr.DataArray) -> str:
    """In how many cells a static value lies above or below, and by how much."""
    known = ratio.values[ratio.notnull().values]
    if not known.size:
        return "no cell in which both policies fit."
    low, high = ends(ratio)
    above, below = int((known > 1).sum()), int((known < 1).sum())
    counts = [f"{word} in {n}" for word, n in (("overstates", above), ("understates", below)) if n]
    middle = np.median(known)
    words = " and ".join(counts) or "agrees"
    return f"{words}, {low:.2f} to {high:.2f} times, median {middle:.2f}."


def _feedback(cube: xr.Dataset) -> str:
    """How much larger the batch is with Prophet, and what extension is left when it peaks."""
    mean = views.over_seeds(cube)
    grown = mean.batch_mean.sel(policy="prophet") / mean.batch_mean.sel(policy="baseline")
    if not grown.notnull().any():
        return ""
    found = views.static_and_loaded(mean, "kv_extension")
    peak = grown.isel(grown.argmax(...))
    return (
        f"**What Prophet does to the batch.** Experts that a step lacks cross the host link, so "
        f"that steps take longer and sequences pile up: under the same load the mean batch is "
        f"{_range(grown)} times that with all experts resident, most for {_where(peak)}. Memory "
        f"is wanted when most sequences are there: at the batch that is not exceeded for "
        f"{views.BUSIEST:.0%} of busy time the extension is {_range(found.crowded)} (at batch 1 "
        f"{_range(found.alone)})."
    )


def _window(cube: xr.Dataset) -> str:
    """Where Prophet meets the objective under more load, but not under less."""
    kept = views.over_seeds(cube).attainment.sel(policy="prophet")
    least = kept.sel(rate=cube.rate.min(), drop=True)
    rises = (least < views.QUANTILE) & (kept.max("rate") >= views.QUANTILE)
    if not rises.any():
        return ""
    rise = (kept.max("rate") - least).where(rises)
    best = kept.isel(rise.argmax(...))
    top = best.isel(rate=best.argmax("rate"))
    return (
        f"**Slow when idle.** On {int(rises.sum())} of {rises.size} servers Prophet misses the "
        f"objective at the lowest rate asked and meets it at a higher one: with few sequences few "
        f"experts are resident, and a prompt needs nearly all of them. {_where(top)}: "
        f"{top.item():.1%} of the requests are within it, against "
        f"{best.sel(rate=cube.rate.min()).item():.1%} at {cube.rate.min().item():.3g} requests/s."
    )


def _memory(cube: xr.Dataset) -> str:
    """Whether the KV cache was short where Prophet extends it."""
    mean = views.over_seeds(cube)
    extension = mean.expected_kv_extension.sel(policy="prophet")
    peak = mean.kv_peak.sel(policy="baseline")
    more, full = extension >= TWICE, (peak >= views.BUSIEST) & extension.notnull()
    used = f" (they use {_range(100 * peak.where(more))} % of it at most)" if more.any() else ""
    there = f"; there the extension is {_range(extension.where(full))}" if full.any() else ""
    return (
        f"**Where memory is freed, and where it is short.** Under the load Prophet at least "
        f"doubles the KV budget in {int(more.sum())} of {int(extension.count())} cells, and in "
        f"{int((more & full).sum())} of these all experts resident ever fill theirs{used}. They "
        f"fill it in {int(full.sum())} cells{there}."
    )


def _chat(cube: xr.Dataset) -> str:
    """The study's batches of a chat service."""
    share = views.busy(views.over_seeds(cube)).sel(batch=slice(1, CHAT)).sum("batch", skipna=False)
    if not share.notnull().any():
        return ""
    parts = []
    for policy, words in (("baseline", "all experts resident"), ("prophet", "Prophet")):
        own = share.sel(policy=policy)
        if not own.notnull().any():
            continue
        rates = cube.rate.where((own >= CHATTING).any(["model", "gpu"])).dropna("rate")
        until = f"up to {rates.max().item():.3g} requests/s" if rates.size else "at no rate asked"
        parts.append(f"with {words} {until} ({_range(100 * own)} % over all)")
    return (
        f"**Batches of a chat service.** The study has {CHATTING:.0%} of chatbot requests at a "
        f"batch of 1 or {CHAT}. Steps are so small for that share of busy time on some server, "
        f"{'; '.join(parts)}."
    )


def _capacity(cube: xr.Dataset) -> str:
    """What Prophet does to the highest rate within the objective."""
    rates = cube.capacity
    base, own = (rates.sel(policy=p) for p in ("baseline", "prophet"))
    able = base > 0
    ratio = (own / base).where(able)
    counts = [
        f"more in {int((ratio > 1).sum())}",
        f"{_CLOSE:.0%} to 100% of the rate in {int(((ratio <= 1) & (ratio >= _CLOSE)).sum())}",
        f"less in {int(((ratio < _CLOSE) & (ratio > 0)).sum())}",
        f"at no rate in {int((ratio == 0).sum())}",
    ]
    won, none = int(((base == 0) & (own > 0)).sum()), int((base == 0).sum())
    return (
        f"**What it does to capacity.** Of {int(able.sum())} pairs of load and server that all "
        f"experts resident can serve, Prophet serves {', '.join(counts)}; of the {none} that they "
        f"cannot serve, it serves {won}.{_best(ratio)} Objective: {views.objective()}, for "
        f"{views.QUANTILE:.0%} of the requests."
    )


def _best(ratio: xr.DataArray) -> str:
    """The most that Prophet adds to a capacity."""
    if not ratio.notnull().any():
        return ""
    best = ratio.isel(ratio.argmax(...))
    return f" The most is {best.item():.2f} times, for {_where(best)}."


def _range(values: xr.DataArray) -> str:
    return " to ".join(dict.fromkeys(f"{end:.3g}" for end in ends(values)))


def _where(cell: xr.DataArray) -> str:
    """Name a cell by the coordinates that it has."""
    rate = [f"at {cell.rate.item():.3g} requests/s"] if "rate" in cell.coords else []
    load = [f"under {cell.preset.item()}"] if "preset" in cell.coords else []
    return " ".join([f"{cell.model_name.item()} on {cell.gpu.item()}", *load, *rate])


def _method(cube: xr.Dataset) -> str:
    """How it was found, and what is left out."""
    file = cube.attrs.get("file")
    again = (
        f"Written by `prophet-xr simulate --trace {file}`; the file is not part of the project. "
        if file
        else "Written by `prophet-xr simulate`. "
    )
    return (
        f"{again}Load: {cube.attrs['source']}; "
        f"{int(cube.requests.max()):,} requests a run. Every step is scheduled as vLLM V1 "
        f"does, with its defaults for the card; step times are bounds at datasheet rates, prompts "
        f"touch nearly all experts, which stream through where they are not resident, and latent "
        f"attention over a prompt is that of full heads, made once per token. What prompts share "
        f"is not reused."
    )
