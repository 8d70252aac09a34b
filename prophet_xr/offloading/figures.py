"""Cube -> Figure, for offloading.  A figure's name is its file name; all are a column wide."""

from collections.abc import Callable
from functools import wraps

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from prophet_xr.canvas import (
    BASELINE,
    COLOURS,
    COLUMN,
    FAINT,
    INK,
    PROPHET,
    RULE,
    beside,
    log,
    style,
    wrapped,
)
from prophet_xr.offloading import regions
from prophet_xr.reduce import names, shown

Draw = Callable[[xr.Dataset], Figure]
FIGURES: dict[str, tuple[str, Draw]] = {}  # by name: the cube it reads, and the function
CARD, LINK, FAST = "A100-80GB", 24.8e9, 55e9
CACHES = {"lru": COLOURS[1], "cpu_compute": COLOURS[2], "prophet": PROPHET}
TITLES = {"prophet": "Prophet", "lru": "LRU cache", "cpu_compute": "misses on CPU"}
SHARES = {0.75: COLOURS[2], 0.5: COLOURS[4]}
TICKS = [1, 2, 5, 10, 20, 50, 100, 200]
LINKS = {10: "study", 24.8: "PCIe 4", 55: "PCIe 5"}
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.8}


def figure(cube: str) -> Callable[[Draw], Draw]:
    """List a figure under its function's name, with the name of the sweep it reads."""

    def register(draw: Draw) -> Draw:
        @wraps(draw)
        def styled(data: xr.Dataset) -> Figure:
            with style():
                return draw(data)

        FIGURES[draw.__name__] = cube, styled
        return styled

    return register


def _panels(cube: xr.Dataset, height: float, note: str) -> list[tuple[Axes, xr.Dataset]]:
    """A panel per model, one above the other, each with its title, and a note below all."""
    count = cube.sizes["model"]
    drawing = Figure(figsize=(COLUMN, height * count + 0.55))
    panels = drawing.subplots(count, 1, sharex=True, sharey=True, squeeze=False)
    drawing.supxlabel(wrapped(note, 68), x=0.01, ha="left", linespacing=0.95)
    rows = [cube.isel(model=i) for i in range(count)]
    for axes, row in zip(panels.flat, rows, strict=True):
        shape = f"top {row.top_k.item():.0f} of {row.n_experts.item():.0f} experts"
        axes.set_title(f"{row.model_name.item()}, {shape}")
    return list(zip(panels.flat, rows, strict=True))


def _usual(cube: xr.Dataset) -> xr.Dataset:
    return regions.usual(cube).sel(gpu=CARD, model=regions.SHOWN)


# --- Slowdown and throughput -----------------------------------------------------------------


@figure("costs")
def figure1_slowdown_against_memory(cube: xr.Dataset) -> Figure:
    """Slowdown against expert memory freed, per policy, with the front that none beats.

    Reads slowdown [1], expert_savings_fraction [1] (policy, model, cache_slots, ...).
    """
    targets = regions.targets()
    note = (
        "A100-80GB, batch 1, PCIe 4 (24.8 GB/s), hit rate 99.4%, host memory 71.6 GB/s. Thick: "
        "what no other policy beats. Stars: what the study states."
    )
    panels = _panels(_usual(cube).sel(host_link_rate=LINK), 1.5, note)
    for axes, row in panels:
        freed, slow = shown(row.expert_savings_fraction, "%"), row.slowdown
        policies = [*CACHES, "on_demand"]
        x, y = (v.sel(policy=policies).values.ravel() for v in (freed, slow))
        best = regions.front(x, y)
        axes.plot(x[best], y[best], color=RULE, linewidth=5, solid_capstyle="round", zorder=0.5)
        for policy, color in CACHES.items():
            one = {"policy": policy}
            axes.plot(freed.sel(one), slow.sel(one), "o-", color=color, markersize=2)
        none = {"policy": "on_demand", "cache_slots": 0}
        axes.plot(freed.sel(none), slow.sel(none), "s", color=INK)
        for (x_, y_), color in zip(targets.stated, (PROPHET, INK), strict=True):
            axes.plot(100 * x_, y_, "*", color=color, markersize=7, fillstyle="none", mew=0.8)
        axes.set_ylabel("Slowdown (×)")
        axes.set_xlim(0, 104)
        axes.set_ylim(0.85, 130)
        log(axes, "y", TICKS)
    _caches_key(panels[0][0])
    panels[-1][0].set_xlabel("Expert memory freed (%)")
    return panels[0][0].figure  # pyright: ignore[reportReturnType]


def _caches_key(axes: Axes) -> None:
    """Names of the policies in the first panel."""
    beside(axes, "Prophet", (30, 3.1), 0, PROPHET, ha="right")


@figure("costs")
def figure3_throughput_against_cache(cube: xr.Dataset) -> Figure:
    """Tokens per second against the share of experts resident, per policy and link.

    Reads throughput [1 / s], resident_experts [expert] (policy, model, cache_slots, ...).
    """
    note = (
        "A100-80GB, batch 1, hit rate 99.4%, host memory 71.6 GB/s. Solid PCIe 4 (24.8 GB/s), "
        "dashed PCIe 5 (55 GB/s). Red: all experts resident."
    )
    panels = _panels(_usual(cube), 1.5, note)
    for axes, row in panels:
        share = 100 * row.resident_experts / row.n_experts
        for policy, color in CACHES.items():
            for link, line in ((LINK, "-"), (FAST, "--")):
                if policy == "cpu_compute" and link == FAST:
                    continue  # it does not feel the link
                at = {"policy": policy, "host_link_rate": link}
                x, y = share.sel(policy=policy), row.throughput.sel(at)
                axes.plot(x, y, line, color=color)
        full = row.throughput.sel(policy="baseline", host_link_rate=LINK).isel(cache_slots=0)
        axes.axhline(full.item(), color=BASELINE, linewidth=0.8, zorder=0.5)
        axes.set_ylabel("Tokens/s")
        axes.set_xlim(0, 100)
        log(axes, "y", [1, 2, 5, 10, 20, 50, 100, 200, 500])
    panels[-1][0].set_xlabel("Experts resident in GPU memory (%)")
    return panels[0][0].figure  # pyright: ignore[reportReturnType]


# --- Hit rates and links ---------------------------------------------------------------------


@figure("closer")
def figure2_break_even_hit_rate(cube: xr.Dataset) -> Figure:
    """Least hit rate at which Prophet is as fast as the study says, per host link and cache.

    Reads slowdown, feasible_hit_rate (policy, model, hit_rate, host_link_rate, cache_slots) [1].
    """
    most = regions.targets().free
    note = (
        f"A100-80GB, batch 1, 4,096 tokens. Solid: least hit rate for at most {most:g}×; no line "
        f"where none will do. Dotted: the largest that the link can use. Dashed: the study's 99.4%."
    )
    panels = _panels(cube, 1.5, note)
    for axes, row in panels:
        least = 100 * regions.least_hit_rate(row, most)
        able = 100 * row.feasible_hit_rate.sel(policy="prophet")
        link = row.host_link_rate / 1e9
        cells = {
            "step's experts": ({"cache_slots": 0}, PROPHET),
            **{
                f"{share:.0%}": ({"cache_slots": share * row.n_experts - row.top_k}, color)
                for share, color in SHARES.items()
            },
        }
        for at, color in cells.values():
            axes.plot(link, least.sel(at), color=color)
            axes.plot(link, able.sel(at), ":", color=color)
        axes.axhline(100 * regions.HIT, color=INK, linewidth=0.5, linestyle="--", zorder=0.5)
        _links(axes)
        axes.set_ylabel("Hit rate (%)")
        axes.set_ylim(0, 104)
        axes.set_xlim(link.min(), link.max())
        log(axes, "x", [5, 10, 25, 55, 100, 200, 500, 1000, 2000])
    panels[-1][0].set_xlabel("Host link (GB/s)")
    return panels[0][0].figure  # pyright: ignore[reportReturnType]


def _links(axes: Axes) -> None:
    """Mark the study's link and those measured."""
    for rate in LINKS:
        axes.axvline(rate, color=RULE, linewidth=0.6, zorder=0.2)


@figure("closer")
def figure4_where_the_claims_hold(cube: xr.Dataset) -> Figure:
    """Where 1.2x, 50x and 40x hold: hit rate or resident share against the host link.

    Reads slowdown, resident_experts (policy, model, hit_rate, host_link_rate, cache_slots).
    """
    drawing = Figure(figsize=(COLUMN, 5.6))
    panels = drawing.subplots(3, 1, sharex=True)
    mixtral, local = cube.sel(model=regions.SHOWN[0]), cube.sel(model=regions.SHOWN[-1])
    _map(panels[0], mixtral.sel(cache_slots=0), "hit_rate")
    _map(panels[1], mixtral.sel(hit_rate=regions.HIT), "cache_slots")
    _map(panels[2], local.sel(hit_rate=regions.HIT), "cache_slots")
    panels[-1].set_xlabel("Host link (GB/s)")
    return drawing


def _map(axes: Axes, row: xr.Dataset, across: str) -> None:
    """Slowdown of Prophet over the link and another axis, with the study's numbers as lines."""
    own = regions.prophet(row)
    slow = own.slowdown.transpose(across, "host_link_rate")
    y = 100 * (own.share if across == "cache_slots" else own.hit_rate)
    keep = np.flatnonzero(np.r_[True, np.diff(y.values) > 0])  # slots beyond all experts
    x, y, slow = row.host_link_rate / 1e9, y.values[keep], slow.isel({across: keep})
    axes.pcolormesh(x, y, slow, norm=LogNorm(1, 200), cmap="cividis_r", rasterized=True)
    log(axes, "x", [5, 10, 25, 55, 100, 200, 500, 1000, 2000])
    axes.set_ylim(y.min(), y.max())


@figure("costs")
def figure5_models_and_links(cube: xr.Dataset) -> Figure:
    """Slowdown of fetching when needed and of Prophet in the same memory, by model and link.

    Reads slowdown (policy, model, host_link_rate, cache_slots, ...) [1].
    """
    cell = regions.usual(cube).sel(gpu=CARD, cache_slots=0)
    drawing = Figure(figsize=(COLUMN, 0.95 + 0.165 * cell.sizes["model"]))
    panels = drawing.subplots(1, 2, sharey=True)
    titles = {"on_demand": "Fetched when needed", "prophet": "Prophet, 99.4% hits"}
    for axes, (policy, title) in zip(panels, titles.items(), strict=True):
        slow = cell.slowdown.sel(policy=policy).transpose("model", "host_link_rate")
        ticks = {"xticklabels": [f"{v / 1e9:g}" for v in slow.host_link_rate.values]}
        ticks["yticklabels"] = names(cell)
        look = {"annot": True, "fmt": ".0f", "annot_kws": {"fontsize": 7}, "cbar": False}
        norm = LogNorm(1, 200)
        sns.heatmap(slow.values, ax=axes, cmap="Blues", norm=norm, linewidths=0.5, **ticks, **look)
        axes.set_title(title)
        axes.tick_params(length=0)
        axes.tick_params(axis="y", rotation=0)
    drawing.supxlabel("Host link (GB/s)", fontsize=8)
    return drawing
