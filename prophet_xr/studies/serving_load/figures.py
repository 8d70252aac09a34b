"""Simulations -> Figure.  A figure's name is its file name."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prophet_xr.reporting.figure_style import (
    BASELINE_COLOUR,
    COLOURS,
    COLUMN,
    INK,
    PAGE,
    PROPHET_COLOUR,
    RULE,
    label_rows,
    log_axis,
    wrapped,
)
from prophet_xr.reporting.listing import Figures
from prophet_xr.reporting.numbers import names, shown
from prophet_xr.studies.serving_load import views

_Cubes = Mapping[str, xr.Dataset]
FIGURES = Figures()
LOOKS = {
    "baseline": ("all experts resident", BASELINE_COLOUR),
    "prophet": ("Prophet", PROPHET_COLOUR),
}
LOOKS |= {
    "lru": ("LRU cache of half", COLOURS[1]),
    "on_demand": ("fetched when needed", COLOURS[4]),
}
LOOKS |= {"cpu_compute": ("misses on CPU", COLOURS[2])}
_BATCHES = [1, 4, 16, 64, 256, 1024]


def _note(drawing: Figure, text: str, width: int) -> None:
    drawing.supxlabel(wrapped(text, width), x=0.01, ha="left", linespacing=0.95)


def _key(drawing: Figure, policies: list[str]) -> None:
    """Names of policies above all panels."""
    axes = drawing.axes[0]
    handles = [axes.plot([], [], color=LOOKS[p][1], label=LOOKS[p][0])[0] for p in policies]
    drawing.legend(handles=handles, loc="outside upper left", ncols=len(policies))


# --- Memory over time ------------------------------------------------------------------------


@FIGURES.figure
def figure1_memory_over_time(served: xr.Dataset) -> Figure:
    """What experts and KV cache take of a card while the load comes and goes.

    Reads expert_memory_series, kv_used_series, kv_budget_series [B], batch_series, time [s].
    """
    cube = _shown(served, views.tight(served))
    drawing = Figure(figsize=(COLUMN, 4.4))
    panels = drawing.subplots(3, 1, sharex=True, height_ratios=[1, 1, 0.7])
    for axes, policy in zip(panels, ("baseline", "prophet"), strict=False):
        _split(axes, cube.sel(policy=policy))
        name, color = LOOKS[policy]
        axes.set_title(name.capitalize(), color=color)
        axes.set_ylabel("GiB")
        cell = cube.sel(policy=policy)
        panels[-1].plot(cell.time, cell.batch_series, color=color, linewidth=0.8)
    top = max(axes.get_ylim()[1] for axes in panels[:2])
    for axes in panels[:2]:
        axes.set_ylim(0, top)
    panels[-1].set_ylabel("Sequences")
    panels[-1].set_ylim(bottom=0)
    panels[-1].set_xlabel("Time (s)")
    panels[-1].set_xlim(0, float(cube.time.sel(policy=["baseline", "prophet"]).max().fillna(1)))
    _parts_key(drawing, panels[0])
    _note(
        drawing,
        f"{names(cube)[0]} on {cube.gpu.item()}, {_load(served)}, {cube.rate.item():.3g} "
        f"requests/s. Below: sequences in a step, with all experts and with Prophet.",
        70,
    )
    return drawing


_PARTS = {"experts": COLOURS[7], "KV cache in use": COLOURS[2], "KV cache free": "#cfeee2"}


def _split(axes: Axes, cell: xr.Dataset) -> None:
    """Experts, KV cache in use and what is left of its budget, one above the other."""
    used, budget = shown(cell.kv_used_series, "GiB"), shown(cell.kv_budget_series, "GiB")
    layers = [shown(cell.expert_memory_series, "GiB"), used, (budget - used).clip(min=0)]
    axes.stackplot(
        cell.time, *(v.values for v in layers), colors=list(_PARTS.values()), linewidth=0
    )


def _parts_key(drawing: Figure, axes: Axes) -> None:
    handles = [axes.fill_between([], [], color=c, label=n) for n, c in _PARTS.items()]
    drawing.legend(handles=handles, loc="outside upper left", ncols=3)


def _shown(cube: xr.Dataset, model: str) -> xr.Dataset:
    """A model on the last card, under the most load that a policy can take; the first seed."""
    one = cube.sel(model=model).isel(gpu=-1)
    cell = one.sel(rate=views.loaded(one))
    return cell.isel(seed=0) if "seed" in cell.dims else cell


def _load(cube: xr.Dataset) -> str:
    return str(cube.attrs["title"])


# --- Batches ---------------------------------------------------------------------------------


@FIGURES.figure
def figure2_batch_distribution(served: xr.Dataset) -> Figure:
    """How long a step has how many sequences, and the KV cache that Prophet leaves them.

    Reads batch_share, batch_mean [1], kv_budget, expected_kv_budget [B] (policy, model, ...).
    """
    cube = views.over_seeds(served).isel(gpu=-1)
    drawing = Figure(figsize=(PAGE, 3.6))
    panels = drawing.subplots(2, cube.sizes["model"], sharex=True, squeeze=False)
    for (above, below), model, title in zip(panels.T, cube.model.values, names(cube), strict=True):
        row = cube.sel(model=model)
        above.set_title(title)
        _distributions(above, row.sel(policy="prophet"))
        _budgets(below, row, _top(cube))
    panels[0, 0].set_ylabel("Busy time (%)")
    panels[1, 0].set_ylabel("KV budget (GiB)")
    _rates_key(drawing, cube)
    _note(
        drawing,
        f"{cube.gpu.item()}, {_load(cube)}, requests per second. Above: share of busy time in "
        f"which a step of Prophet's has at most so many sequences. Below: KV budget at a static "
        f"batch (lines), and its mean under the load at the mean batch (dots).",
        150,
    )
    return drawing


def _rates_key(drawing: Figure, cube: xr.Dataset) -> None:
    """Colours of the rates, and of the two lines of budgets."""
    axes, rates = drawing.axes[0], cube.rate.values
    handles = [
        axes.plot([], [], color=shade, label=f"{rate:.3g}/s")[0]
        for rate, shade in zip(rates, _shades(rates.size), strict=True)
    ]
    drawing.legend(handles=handles, loc="outside upper left", ncols=8)
    lines = drawing.axes[-1]
    for policy in ("baseline", "prophet"):
        lines.plot([], [], color=LOOKS[policy][1], label=LOOKS[policy][0])
    lines.legend(loc="upper right")


def _shades(count: int) -> list[tuple[float, float, float, float]]:
    """Light to dark, a colour each."""
    return [colormaps["viridis_r"](x) for x in np.linspace(0.12, 1, count)]


def _distributions(axes: Axes, row: xr.Dataset) -> None:
    share = 100 * views.busy(row).cumsum("batch")
    for rate, shade in zip(row.rate.values, _shades(row.sizes["rate"]), strict=True):
        line = share.sel(rate=rate)
        axes.step(line.batch, line, color=shade, where="post", label=f"{rate:.3g}")
    axes.set_ylim(0, 103)


def _top(cube: xr.Dataset) -> float:
    """The first batch of the axis that Prophet hardly ever exceeds."""
    most = views.batch_below(cube.sel(policy="prophet"), 0.999).max().item()
    return next((b for b in _BATCHES if b >= most), _BATCHES[-1])


def _budgets(axes: Axes, row: xr.Dataset, top: float) -> None:
    for policy in ("baseline", "prophet"):
        cell = row.sel(policy=policy)
        budget = shown(cell.kv_budget, "GiB").sel(batch=slice(1, None))
        axes.plot(budget.batch, budget, color=LOOKS[policy][1])
    means = shown(cell.expected_kv_budget, "GiB")
    axes.scatter(cell.batch_mean, means, color=_shades(row.sizes["rate"]), s=12, zorder=3)
    axes.axhline(0, color=RULE, linewidth=0.6, zorder=0)
    log_axis(axes, "x", [b for b in _BATCHES if b <= top])
    axes.set_xlim(0.9, top)
    axes.set_xlabel("Sequences in a step")


# --- Latency and capacity --------------------------------------------------------------------


@FIGURES.figure
def figure3_latency_cdfs(served: xr.Dataset) -> Figure:
    """Time to the first token and per token after it, by policy, over requests.

    Reads ttft, tpot [s] (policy, model, quantile, ...).
    """
    drawing = Figure(figsize=(PAGE, 3.7))
    panels = drawing.subplots(2, served.sizes["model"], sharey=True, sharex="row", squeeze=False)
    titles = {"ttft": "Time to first token (s)", "tpot": "Time per output token (ms)"}
    limits = {"ttft": views.TTFT, "tpot": 1e3 * views.TPOT}
    for column, model in zip(panels.T, served.model.values, strict=True):
        row = _shown(served, str(model))
        column[0].set_title(f"{names(row)[0]}, {row.rate.item():.3g} requests/s")
        for axes, (name, words) in zip(column, titles.items(), strict=True):
            axes.axvline(limits[name], color=INK, linewidth=0.6, linestyle="--", zorder=0.5)
            for policy in served.policy.values:
                times = row[name].sel(policy=policy) * (1e3 if name == "tpot" else 1)
                axes.plot(times, 100 * times["quantile"], color=LOOKS[str(policy)][1])
            axes.set_xlabel(words)
    for row in panels:
        log_axis(row[0], "x")
        row[0].set_ylabel("Requests (%)")
        row[0].set_ylim(0, 100)
    _key(drawing, [str(p) for p in served.policy.values])
    _note(
        drawing,
        f"{served.gpu.values[-1]}, {_load(served)}, requests that finish; no line where the model "
        f"does not fit. Dashed: the objective.",
        150,
    )
    return drawing


@FIGURES.figure
def figure4_slo_capacity(highest_rates: xr.Dataset) -> Figure:
    """Highest rate that meets the objective, by load, model, card and policy.

    Reads capacity [1/s] (policy, model, gpu, preset).
    """
    count = highest_rates.sizes["preset"]
    rows = [(m, g) for m in highest_rates.model.values for g in highest_rates.gpu.values]
    drawing = Figure(figsize=(PAGE if count > 1 else COLUMN, 1.2 + 0.27 * len(rows)))
    panels = drawing.subplots(1, count, sharey=True, sharex=True, squeeze=False)[0]
    least = highest_rates.capacity.where(highest_rates.capacity > 0).min().fillna(0.1).item()
    low = 10 ** np.floor(np.log10(least))
    for axes, preset in zip(panels, highest_rates.preset.values, strict=True):
        axes.set_title(str(preset))
        for policy in map(str, highest_rates.policy.values):
            cell = highest_rates.capacity.sel(policy=policy, preset=preset)
            _rates(
                axes, [cell.sel(model=m, gpu=g).item() for m, g in rows], policy, highest_rates, low
            )
        axes.set_xlabel("Requests/s")
        log_axis(axes, "x", 10.0 ** np.arange(-5, 4, 2))
    panels[0].set_xlim(low, max(1.5 * highest_rates.capacity.max().item(), 10 * low))
    titles = dict(zip(highest_rates.model.values, names(highest_rates), strict=True))
    label_rows(panels[0], [f"{titles[m]}, {str(g).removesuffix('-80GB')}" for m, g in rows])
    _key(drawing, [str(p) for p in highest_rates.policy.values])
    note = f"Objective: {views.objective()}, for {views.QUANTILE:.0%} of the requests. At the left"
    _note(drawing, f"{note} edge, hollow: met at no rate.", 150 if count > 1 else 70)
    return drawing


def _rates(axes: Axes, rates: list[float], policy: str, cube: xr.Dataset, low: float) -> None:
    """A dot a row, hollow at the left edge where there is no such rate."""
    policies = [str(p) for p in cube.policy.values]
    shift = 0.5 * ((policies.index(policy) + 0.5) / len(policies) - 0.5)
    color = LOOKS[policy][1]
    for y, rate in enumerate(rates):
        if np.isnan(rate):  # met at every rate: the load was too short to say
            continue
        some = rate > 0
        at = rate if some else low
        axes.plot(at, y + shift, "o", color=color, mfc=color if some else "none", clip_on=False)
        axes.plot([low, at], [y + shift] * 2, color=color, linewidth=0.8)
