"""Cube -> Figure, for offloading.  A figure's name is its file name; all are a column wide."""

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from prophet_xr.reporting.figure_style import (
    BASELINE_COLOUR,
    COLOURS,
    COLUMN,
    INK,
    PROPHET_COLOUR,
    RULE,
    label_near,
    log_axis,
    wrapped,
)
from prophet_xr.reporting.listing import Figures
from prophet_xr.reporting.numbers import names, shown
from prophet_xr.studies.offloading import regions
from prophet_xr.studies.published.latency_claims import (
    HIT,
    MEASURED,
    fetching_row,
    latency_targets,
    prophet_row,
    step_ratio,
)

FIGURES = Figures()
_CARD, _LINK, FAST = "A100-80GB", 24.8e9, 55e9
CACHES = {"lru": COLOURS[1], "cpu_compute": COLOURS[2], "prophet": PROPHET_COLOUR}
_TITLES = {"prophet": "Prophet", "lru": "LRU cache", "cpu_compute": "misses on CPU"}
_TITLES |= {"on_demand": "fetched when needed"}
SHARES = {0.75: COLOURS[2], 0.5: COLOURS[4]}
_TICKS = [1, 2, 5, 10, 20, 50, 100, 200]
_LINKS = (10, 24.8, 55)  # GB/s: the study's, PCIe 4 and 5 as measured


def _panels(
    cube: xr.Dataset, height: float, note: str, *, sharey: bool = True
) -> list[tuple[Axes, xr.Dataset]]:
    """A panel per model, one above the other, each with its title, and a note below all."""
    count = cube.sizes["model"]
    drawing = Figure(figsize=(COLUMN, height * count + 0.55))
    panels = drawing.subplots(count, 1, sharex=True, sharey=sharey, squeeze=False)
    drawing.supxlabel(wrapped(note, 68), x=0.01, ha="left", linespacing=0.95)
    rows = [cube.isel(model=i) for i in range(count)]
    for axes, row in zip(panels.flat, rows, strict=True):
        shape = f"top {row.top_k.item():.0f} of {row.n_experts.item():.0f} experts"
        axes.set_title(f"{row.model_name.item()}, {shape}")
    return list(zip(panels.flat, rows, strict=True))


def _usual(cube: xr.Dataset) -> xr.Dataset:
    return regions.usual(cube).sel(gpu=_CARD, model=MEASURED)


def _name(axes: Axes, x, y, near: float, text: str, color: str, rise: float, **more) -> None:
    """Write the name of a line above it (or below), where its x is nearest to ``near``."""
    x, y = np.asarray(x), np.asarray(y)
    i = int(np.nanargmin(abs(x - near)))
    place = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 7.5}
    axes.annotate(text, (x[i], y[i]), (0, rise), color=color, **{**place, **more})


# --- Slowdown and throughput -----------------------------------------------------------------


@FIGURES.figure
def figure1_slowdown_against_memory(costs: xr.Dataset) -> Figure:
    """Slowdown against expert memory freed, per policy, with the front that none beats.

    Reads slowdown [1], expert_savings_fraction [1] (policy, model, cache_slots, ...).
    """
    note = (
        "A100-80GB, batch 1, PCIe 4 (24.8 GB/s), hit rate 99.4%, host memory 71.6 GB/s. Thick: "
        "the front, which no policy beats. Stars: what the study states."
    )
    panels = _panels(_usual(costs).sel(host_link_rate=_LINK), 1.5, note)
    for axes, row in panels:
        freed, slow = shown(row.expert_savings_fraction, "%"), row.slowdown
        x, y = (v.sel(policy=list(CACHES)).values.ravel() for v in (freed, slow))
        best = regions.undominated(x, y)
        axes.plot(x[best], y[best], color=RULE, linewidth=5, solid_capstyle="round", zorder=0.5)
        for policy, color in CACHES.items():
            one = {"policy": policy}
            axes.plot(freed.sel(one), slow.sel(one), "o-", color=color, markersize=1.8)
        none = {"policy": "on_demand", "cache_slots": 0}
        axes.plot(freed.sel(none), slow.sel(none), "s", color=INK, markersize=4)
        _stars(axes)
        axes.set_ylabel("Slowdown (×)")
        axes.set_xlim(0, 103)
        axes.set_ylim(0.85, 130)
        log_axis(axes, "y", _TICKS[:-1])
    _star_names(panels[0][0])
    _policy_names(*panels[1], ["on_demand"])
    _policy_names(*panels[2], list(CACHES))
    panels[-1][0].set_xlabel("Expert memory freed (%)")
    return panels[0][0].figure  # pyright: ignore[reportReturnType]


def _policy_names(axes: Axes, row: xr.Dataset, policies: list[str]) -> None:
    """Names of policies at their lines, or their one point."""
    places = {"cpu_compute": (33, 9, "center"), "lru": (45, 9, "center")}
    places |= {"prophet": (63, -8, "left"), "on_demand": (0, 10, "right")}
    for policy in policies:
        one, (near, rise, side) = row.sel(policy=policy), places[policy]
        freed, color = shown(one.expert_savings_fraction, "%"), CACHES.get(policy, INK)
        _name(axes, freed, one.slowdown, near, _TITLES[policy], color, rise, ha=side)


def _stars(axes: Axes) -> None:
    """What the study states of Prophet and of offloading."""
    look = {"markersize": 7, "fillstyle": "none", "markeredgewidth": 0.8}
    for (freed, slow), color in zip(latency_targets().stated, (PROPHET_COLOUR, INK), strict=True):
        axes.plot(100 * freed, slow, "*", color=color, **look)


def _star_names(axes: Axes) -> None:
    targets = latency_targets()
    (freed, slow), (_, offloaded) = targets.stated
    label_near(axes, f"study: Prophet {slow:g}×", (100 * freed, slow), -6, PROPHET_COLOUR)
    label_near(axes, f"study: offloading {offloaded:g}×", (103, 2.2 * offloaded), 0, INK)


@FIGURES.figure
def figure3_throughput_against_cache(costs: xr.Dataset) -> Figure:
    """Tokens per second against the share of experts resident, per policy and link.

    Reads throughput [1 / s], resident_experts [expert] (policy, model, cache_slots, ...).
    """
    note = (
        "A100-80GB, batch 1, hit rate 99.4%, host memory 71.6 GB/s. Solid: PCIe 4 (24.8 GB/s); "
        "dashed: PCIe 5 (55 GB/s), on which computing misses on the CPU does not depend."
    )
    panels = _panels(_usual(costs), 1.5, note, sharey=False)
    for axes, row in panels:
        share = 100 * row.resident_experts / row.n_experts
        for policy, color in CACHES.items():
            for link, line in ((_LINK, "-"), (FAST, "--")):
                if policy != "cpu_compute" or link == _LINK:
                    at = {"policy": policy, "host_link_rate": link}
                    axes.plot(share.sel(policy=policy), row.throughput.sel(at), line, color=color)
        full = row.throughput.sel(policy="baseline", host_link_rate=_LINK, cache_slots=0).item()
        axes.axhline(full, color=BASELINE_COLOUR, linewidth=0.8, zorder=0.5)
        label_near(axes, "all resident", (1, 1.06 * full), 1, BASELINE_COLOUR, va="bottom")
        axes.set_ylabel("Tokens/s")
        axes.set_xlim(0, 100)
        log_axis(axes, "y", [tick for tick in (*_TICKS, 500, 1000) if tick < 1.5 * full])
        axes.set_ylim(top=2 * full)
    axes, row = panels[-1]
    places = {"cpu_compute": (45, -9, _LINK), "lru": (68, -11, _LINK), "prophet": (25, 12, FAST)}
    for policy, (near, rise, link) in places.items():
        one = row.sel(policy=policy, host_link_rate=link)
        share = 100 * one.resident_experts / one.n_experts
        _name(axes, share, one.throughput, near, _TITLES[policy], CACHES[policy], rise)
    axes.set_xlabel("Experts resident in GPU memory (%)")
    return axes.figure  # pyright: ignore[reportReturnType]


# --- Hit rates and links ---------------------------------------------------------------------


@FIGURES.figure
def figure2_break_even_hit_rate(closer: xr.Dataset) -> Figure:
    """Least hit rate at which Prophet is as fast as the study says, per host link and cache.

    Reads slowdown, in_time, feasible_hit_rate (policy, model, hit_rate, host_link_rate, ...) [1].
    """
    most = latency_targets().free
    note = (
        f"A100-80GB, batch 1. Solid: least hit rate for a slowdown of at most {most:g}; no line "
        f"where no hit rate will do. Dotted: the largest that the link can use. Dashed: the "
        f"study's 99.4%. Upright: the study's 10, PCIe 4 and 5."
    )
    panels = _panels(closer, 1.5, note)
    for axes, row in panels:
        shares = {float(row.top_k / row.n_experts): PROPHET_COLOUR, **SHARES}
        for (share, color), width in zip(shares.items(), (3.2, 2.1, 1.1), strict=True):
            cell = regions.at_share(row, share, row.top_k)
            able = 100 * cell.feasible_hit_rate.sel(policy="prophet")
            link = cell.host_link_rate / 1e9
            least = 100 * regions.least_hit_rate(cell, most)
            axes.plot(link, least, color=color, linewidth=width)  # so that all show where they meet
            axes.plot(link, able, ":", color=color)
            rise = 6 if share > 0.7 else -6
            _name(axes, link, able, 5.3, f"{100 * share:.3g}% resident", color, rise, ha="left")
        axes.axhline(100 * HIT, color=INK, linewidth=0.5, linestyle="--", zorder=0.5)
        _link_axis(axes)
        axes.set_ylabel("Hit rate (%)")
        axes.set_ylim(25, 112)
        axes.set_yticks([25, 50, 75, 100])
    panels[-1][0].set_xlabel("Host link (GB/s)")
    return panels[0][0].figure  # pyright: ignore[reportReturnType]


def _link_axis(axes: Axes, color: str = RULE) -> None:
    """Host links on a log axis, with a line at the study's and at those measured."""
    for rate in _LINKS:
        axes.axvline(rate, color=color, linewidth=0.6, zorder=0.2)
    log_axis(axes, "x", [5, 10, 25, 55, 100, 200, 500, 1000, 2000])
    axes.set_xlim(5, 2000)


@FIGURES.figure
def figure4_where_the_claims_hold(closer: xr.Dataset) -> Figure:
    """Where 1.2x, 50x and 40x hold: hit rate or resident share against the host link.

    Reads slowdown, step_time, resident_experts (policy, model, hit_rate, host_link_rate, ...).
    """
    drawing = Figure(figsize=(COLUMN, 6.2))
    panels = drawing.subplots(3, 1, sharex=True)
    mixtral, local = closer.sel(model=MEASURED[0]), closer.sel(model=MEASURED[-1])
    bare = mixtral.sel(cache_slots=0)
    least = f"{prophet_row(bare).share.item():.0%} resident"
    _map(panels[0], bare, "hit_rate", least)
    for axes, row in zip(panels[1:], (mixtral, local), strict=True):
        _map(axes, row.sel(hit_rate=HIT), "cache_slots", f"hit rate {HIT:.1%}")
    panels[0].plot(10, 100 * HIT, "*", color=INK, markersize=8, clip_on=False)
    label_near(panels[0], "study: 1.2×", (10, 91), -1, INK, ha="center")
    panels[-1].set_xlabel("Host link (GB/s)")
    note = (
        "A100-80GB, batch 1. Lines and shade: Prophet's slowdown, at most 1.25 beyond the thick "
        "line. Left of the orange line fetching when needed is slower than 47.5×; above the "
        "dashed line its step is at least 37.5 of Prophet's, which holds more experts there."
    )
    drawing.supxlabel(wrapped(note, 68), x=0.01, ha="left", linespacing=0.95)
    return drawing


def _map(axes: Axes, row: xr.Dataset, across: str, title: str) -> None:
    """Prophet's slowdown over the link and another axis, with lines where the claims hold."""
    targets, own = latency_targets(), prophet_row(row)
    y = 100 * (own.share if across == "cache_slots" else own.hit_rate)
    keep = {across: np.flatnonzero(np.r_[True, np.diff(y.values) > 0])}  # no slots beyond all
    link, y = own.host_link_rate / 1e9, y.isel(keep)
    slow = own.slowdown.transpose(across, ...).isel(keep)
    shades = {"norm": LogNorm(1, 1500), "cmap": "Blues", "rasterized": True}
    axes.pcolormesh(link, y, slow, shading="gouraud", **shades)
    lines = axes.contour(link, y, slow, [2, 5, 10, 20, 50], colors=INK, linewidths=0.5)
    for label in axes.clabel(lines, fmt="%g×", fontsize=7):
        label.set_visible(label.get_position()[1] < 95)
    axes.contour(link, y, slow, [targets.free], colors=INK, linewidths=1.8)
    lower = step_ratio(row).transpose(across, ...).isel(keep)
    if lower.max() > targets.lower:
        axes.contour(link, y, lower, [targets.lower], colors=INK, linestyles="--", linewidths=1)
    slower = link.where(fetching_row(row).slowdown >= targets.slow).max()
    axes.axvline(slower.item(), color=COLOURS[1], linewidth=1.4)
    _link_axis(axes, "white")
    axes.set_title(f"{row.model_name.item()}, {title}")
    axes.set_ylabel("Experts resident (%)" if across == "cache_slots" else "Hit rate (%)")
    axes.set_ylim(float(y.min()), 100)


@FIGURES.figure
def figure5_models_and_links(costs: xr.Dataset) -> Figure:
    """Slowdown of fetching when needed and of Prophet in the same memory, by model and link.

    Reads slowdown (policy, model, host_link_rate, cache_slots, ...) [1].
    """
    targets = latency_targets()
    cell = regions.usual(costs).sel(gpu=_CARD, cache_slots=0)
    drawing = Figure(figsize=(COLUMN, 1.25 + 0.165 * cell.sizes["model"]))
    panels = drawing.subplots(1, 2, sharey=True)
    slow = cell.slowdown.transpose("policy", "model", "host_link_rate")
    fetched, own = slow.sel(policy="on_demand"), slow.sel(policy="prophet")
    _heat(panels[0], fetched, fetched >= targets.slow, "Fetched when needed", names(cell))
    _heat(panels[1], own, own <= targets.free, "Prophet", names(cell))
    note = (
        f"Slowdown (×) by host link (GB/s). A100-80GB, batch 1, hit rate {HIT:.1%}. "
        f"Framed: at least {targets.slow:g} (left: {int((fetched >= targets.slow).sum())} of "
        f"{fetched.size} cells), at most {targets.free:g} (right, in the same "
        f"memory: {int((own <= targets.free).sum())} of {own.size})."
    )
    drawing.supxlabel(wrapped(note, 68), x=0.01, ha="left", linespacing=0.95)
    return drawing


def _heat(
    axes: Axes, slow: xr.DataArray, framed: xr.DataArray, title: str, models: list[str]
) -> None:
    """Numbers of models x links on shades, some of them framed."""
    look = {"annot": True, "fmt": ".0f", "annot_kws": {"fontsize": 7}, "cbar": False}
    links = [f"{v / 1e9:g}" for v in slow.host_link_rate.values]
    shades = {"cmap": "Blues", "norm": LogNorm(1, 250), "linewidths": 0.5}
    sns.heatmap(slow.values, ax=axes, xticklabels=links, yticklabels=models, **shades, **look)
    for y, x in np.argwhere(framed.values):
        box = {"fill": False, "edgecolor": COLOURS[1], "linewidth": 1.2, "clip_on": False}
        axes.add_patch(Rectangle((x + 0.06, y + 0.06), 0.88, 0.88, **box))
    axes.set_title(title)
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
