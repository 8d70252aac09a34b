"""Results -> Figure, for sensitivity.  A figure's name is its file name."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from prophet_xr.canvas import (
    COLOURS,
    COLUMN,
    FAINT,
    INK,
    PROPHET,
    RULE,
    beside,
    label_rows,
    log,
    style,
    wrapped,
)
from prophet_xr.reduce import names
from prophet_xr.uncertainty.words import NEVER, ROBUST, TITLES

Made = Mapping[str, Any]
Draw = Callable[[Made], Figure]
FIGURES: dict[str, Draw] = {}
INPUTS = {"hit_rate": "hit rate", "dedup_exponent": "exponent"}
INPUTS |= {"study_activation": "activation ×"}
COLOUR_OF = {"robust": COLOURS[2], "hangs on an assumption": COLOURS[1], "wrong": COLOURS[3]}
METRICS = {"kv_extension": "KV extension", "kv_budget": "KV budget"}
METRICS |= {"step_time": "Step time", "slowdown": "Slowdown"}


def figure(draw: Draw) -> Draw:
    """List a figure under its function's name."""

    @wraps(draw)
    def styled(made: Made) -> Figure:
        with style():
            return draw(made)

    FIGURES[draw.__name__] = styled
    return styled


def _note(drawing: Figure, text: str, width: int = 68) -> None:
    drawing.supxlabel(wrapped(text, width), x=0.01, ha="left", linespacing=0.95)


# --- One at a time ---------------------------------------------------------------------------


@figure
def figure1_tornado(made: Made) -> Figure:
    """What the study's proposed variations move, one at a time."""
    cube = made["tornado"]
    drawing = Figure(figsize=(COLUMN, 3.6))
    heads = {
        "mean extension": "DeepSeek-MoE-16B: mean extension (×)",
        "slowdown": "OLMoE-1B-7B: slowdown at batch 1 (×)",
    }
    for axes, (name, title) in zip(drawing.subplots(2, 1), heads.items(), strict=True):
        _bars(axes, cube[name])
        axes.set_title(title)
    _note(
        drawing,
        "Each input at the values the study proposes, the others as stated (upright line); grey: "
        "the change. Above: the study's constants. Below: true architectures, A100-80GB, 75% of "
        "the experts resident.",
    )
    return drawing


def _bars(axes: Axes, values: xr.DataArray) -> None:
    base = values.sel(case=0).item()
    kinds = list(INPUTS)
    spans = {k: values.values[values.input.values == k] for k in kinds}
    kinds.sort(key=lambda k: -np.ptp(spans[k]))
    ends = np.concatenate([*spans.values(), [base]])
    width = np.ptp(ends) or 0.1 * base
    for row, kind in enumerate(kinds):
        low, high = spans[kind].min(), spans[kind].max()
        high = low if high - low < 1e-9 * abs(low) else high
        axes.barh(row, high - low, 0.5, low, color=PROPHET if high > low else RULE)
        inputs = values.value.values[values.input.values == kind]
        texts = {low: inputs[spans[kind].argmin()], high: inputs[spans[kind].argmax()]}
        if high > low:
            for (end, text), side in zip(texts.items(), (-1, 1), strict=True):
                beside(axes, f"{text:g}", (end, row), 3 * side)
        change = f"{100 * (low / base - 1):+.1f}% to {100 * (high / base - 1):+.1f}%"
        at = {"xycoords": axes.get_yaxis_transform(), "annotation_clip": False}
        beside(axes, change if high > low else "no change", (1.0, row - 0.42), -1, FAINT, **at)
    axes.axvline(base, color=INK, linewidth=0.6, zorder=2)
    axes.set_xlim(ends.min() - 0.3 * width, ends.max() + 0.3 * width)
    label_rows(axes, [INPUTS[k] for k in kinds], above=0.2)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)


# --- Global ----------------------------------------------------------------------------------


@figure
def figure2_sobol(made: Made) -> Figure:
    """Sobol indices of four metrics over every axis, exact for the grid."""
    found = made["sobol"]
    axes_names = [str(a) for a in next(iter(found.values())).axis.values]
    top = {a: max(float(f.total.sel(axis=a)) for f in found.values()) for a in axes_names}
    order = sorted(axes_names, key=lambda a: -top[a])
    drawing = Figure(figsize=(COLUMN, 4.6))
    panels = drawing.subplots(2, 2, sharex=True, sharey=True)
    at = np.arange(len(order))
    for axes, (metric, own) in zip(panels.flat, found.items(), strict=True):
        first, total = (own[k].sel(axis=order).values for k in ("first_order", "total"))
        axes.hlines(at, first, total, color=RULE, linewidth=2.4)
        axes.plot(first, at, "o", color=PROPHET)
        axes.plot(total, at, "D", color=COLOURS[1], fillstyle="none", markeredgewidth=0.9)
        axes.set_title(METRICS[metric])
        axes.set_xlim(-0.04, 1.04)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.tick_params(axis="y", length=0)
    label_rows(panels[0, 0], [TITLES.get(a, a).replace("_", " ") for a in order], above=0.3)
    first = panels[0, 0]
    beside(first, "first order", (0.42, 4.0), 1, PROPHET)
    beside(first, "total", (0.42, 5.0), 1, COLOURS[1])
    for axes in panels[1]:
        axes.set_xlabel("Sobol index (1)")
    missing = [float(f.missing) for f in found.values()]
    _note(
        drawing,
        f"Prophet, {made['cells']:,} cells, alike in weight. Cells that do not fit are dropped: "
        f"{min(missing):.0%} to {max(missing):.0%}. Bar: what an axis does only with others.",
    )
    return drawing


# --- Uncertainty -----------------------------------------------------------------------------


@figure
def figure3_fans(made: Made) -> Figure:
    """Bands of extension and step time over the draws, against the batch."""
    space, time = made["bands"]["memory"], made["bands"]["times"].sel(policy="prophet")
    labels = names(space)
    drawing = Figure(figsize=(COLUMN, 1.3 * len(labels) + 0.7))
    panels = drawing.subplots(len(labels), 2, sharex=True, sharey="col", squeeze=False)
    for i, name in enumerate(labels):
        left, right = panels[i]
        one, own = space.isel(model=i), time.isel(model=i)
        fits = one.kv_extension_share
        _fan(left, one.kv_extension_quantile.where(fits > 0.5), PROPHET)
        _fan(right, 1e3 * own.step_time_quantile, COLOURS[1])
        left.set_title(name)
        left.axhline(1, color=INK, linewidth=0.5, zorder=0.5)
        _probabilities(left, fits)
        left.set_ylabel("KV extension (×)")
        right.set_ylabel("Step (ms)")
        log(right, "y", [10, 30, 100, 300, 1000])
        log(left, "y", [1, 2, 5, 10, 20])
        log(left, "x", space.batch.values)
        left.set_xlim(0.8, 80)
    for axes in panels[-1]:
        axes.set_xlabel("Decode batch")
    _note(
        drawing,
        "Line: median; shades: 50% and 90% of 1,024 draws. A100-80GB. Left: the study's "
        "constants; numbers: probability (%) that the baseline fits, without which there is no "
        "extension. Right: true architectures, 4,096 tokens.",
    )
    return drawing


def _fan(axes: Axes, bands: xr.DataArray, color: str) -> None:
    x = bands.batch.values
    for low, high, alpha in ((0.05, 0.95, 0.2), (0.25, 0.75, 0.4)):
        below, above = (bands.sel(quantile=q).values for q in (low, high))
        axes.fill_between(x, below, above, color=color, alpha=alpha, linewidth=0)
    axes.plot(x, bands.sel(quantile=0.5), color=color)


def _probabilities(axes: Axes, share: xr.DataArray) -> None:
    across = axes.get_xaxis_transform()
    for batch, value in zip(share.batch.values, share.values, strict=True):
        text = f"{100 * value:.0f}"
        look = {"ha": "center", "va": "top", "fontsize": 7, "color": FAINT}
        axes.text(batch, 0.99, text, transform=across, **look)


# --- Conclusions -----------------------------------------------------------------------------


@figure
def figure4_conclusions(made: Made) -> Figure:
    """Share of the assumptions in which each of the study's conclusions holds."""
    found = made["judged"].sort_values("share", ascending=False, kind="stable")
    drawing = Figure(figsize=(COLUMN, 0.9 + 0.42 * len(found)))
    axes = drawing.subplots()
    for row, own in enumerate(found.itertuples()):
        color = COLOUR_OF[str(own.verdict)]
        share = 100 * float(own.share)  # pyright: ignore[reportArgumentType]
        axes.barh(row, share, 0.34, color=color)
        first = f"hangs on {TITLES.get(str(own.hangs_on), own.hangs_on)}" if own.hangs_on else ""
        text = f"{share:.0f}%  {own.verdict}" if own.verdict != "hangs on an assumption" else ""
        text = text or f"{share:.0f}%  {first}"
        beside(axes, text, (share if share < 55 else 0, row), 3, "white" if share >= 55 else color)
        beside(axes, str(own.conclusion), (0, row - 0.36), 1)
    axes.axvline(100 * ROBUST, color=INK, linewidth=0.5, linestyle="--")
    axes.set_xlim(0, 100)
    axes.set_ylim(len(found) - 0.5, -0.8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Share of the assumption space where it holds (%)")
    _note(
        drawing,
        f"Dashed: robust from {ROBUST:.0%}. Wrong: at most {NEVER:.0%}, of the whole space or "
        f"under the true architectures.",
    )
    return drawing


# --- Break-even ------------------------------------------------------------------------------


@figure
def figure5_break_even_batch(made: Made) -> Figure:
    """Batch from which Prophet frees less than a tenth of the experts, by law and exponent."""
    found = made["batch"]
    order = np.lexsort((found.top_k.values, found.n_experts.values))
    found = found.isel(model=order)
    power = found.batch.sel(routing="power").transpose("model", "dedup_exponent")
    others = [found.batch.sel(routing=r).isel(dedup_exponent=0).values for r in ("uniform", "zipf")]
    table = np.column_stack([power.values, *others])
    ticks = [f"{e:g}" for e in found.dedup_exponent.values] + ["uniform", "zipf"]
    drawing = Figure(figsize=(COLUMN, 1.0 + 0.165 * len(table)))
    axes = drawing.subplots()
    look = {"annot": True, "fmt": ".0f", "annot_kws": {"fontsize": 7}, "cbar": False}
    shades = {"cmap": "Blues", "norm": LogNorm(1, 2000), "linewidths": 0.5}
    sns.heatmap(table, ax=axes, xticklabels=ticks, yticklabels=names(found), **shades, **look)
    axes.axvline(power.shape[1], color="white", linewidth=3)
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
    axes.set_xlabel("Exponent of the power law; other laws")
    axes.set_title("Batch that leaves less than 10% to free")
    return drawing


@figure
def figure6_break_even_hit_rate(made: Made) -> Figure:
    """Least hit rate at which Prophet costs what the study says, by link and residency."""
    found = made["hit"]
    labels = names(found)
    drawing = Figure(figsize=(COLUMN, 1.05 * len(labels) + 0.9))
    panels = drawing.subplots(len(labels), 1, sharex=True)
    links = [f"{v / 1e9:g}" for v in found.host_link_rate.values]
    for axes, name, i in zip(panels, labels, range(len(labels)), strict=True):
        one = found.isel(model=i).transpose("kept", "host_link_rate")
        text = np.where(one.side == 2, "any", np.where(one.side == 1, "-", "")).astype(object)
        for at in np.argwhere(one.side.values == 0):
            text[tuple(at)] = f"{100 * one.hit_rate.values[tuple(at)]:.1f}"
        shade = np.where(one.side == 0, 100 * one.hit_rate, np.where(one.side == 2, 0.0, np.nan))
        rows = [f"{100 * k:.0f}%" for k in one.kept.values]
        look = {"annot": text, "fmt": "", "annot_kws": {"fontsize": 7}, "cbar": False}
        sns.heatmap(
            shade, ax=axes, vmin=0, vmax=130, cmap="Blues", mask=np.zeros_like(shade, bool),
            linewidths=0.5, xticklabels=links, yticklabels=rows, **look,
        )  # fmt: skip
        for at in np.argwhere(one.side.values == 1):
            axes.text(at[1] + 0.5, at[0] + 0.5, "-", ha="center", va="center", color=FAINT)
        axes.set_title(name)
        axes.set_ylabel("Also resident")
        axes.tick_params(length=0)
        axes.tick_params(axis="y", rotation=0)
    panels[-1].set_xlabel("Host link (GB/s)")
    _note(
        drawing,
        "Least hit rate (%) for a slowdown of at most 1.25 at batch 1 on A100-80GB, 4,096 tokens; "
        "rows: share of the experts kept beside those of the step. Dash: no hit rate will do.",
    )
    return drawing
