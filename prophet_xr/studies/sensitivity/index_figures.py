"""Results -> Figure, for sensitivity.  A figure's name is its file name."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prophet_xr.reporting.figure_style import (
    BASELINE_COLOUR,
    COLOURS,
    COLUMN,
    FAINT,
    INK,
    PAGE,
    PROPHET_COLOUR,
    label_near,
    label_rows,
    log_axis,
    wrapped,
)
from prophet_xr.reporting.listing import Figures
from prophet_xr.reporting.numbers import names
from prophet_xr.studies.sensitivity.wording import label_text, title
from prophet_xr.uncertainty.robustness import DEPENDS, NEVER, ROBUST, SOLID, TRUE_PART, WRONG

_Made = Mapping[str, Any]
FIGURES = Figures()
VARIED = ["hit_rate", "dedup_exponent", "study_activation"]
COLOUR_OF = {SOLID: COLOURS[2], TRUE_PART: COLOURS[2], DEPENDS: COLOURS[1], WRONG: COLOURS[3]}


def note(drawing: Figure, text: str, width: int = 68) -> None:
    """Say below a figure what it shows."""
    drawing.supxlabel(wrapped(text, width), x=0.01, ha="left", linespacing=0.95)


# --- One at a time ---------------------------------------------------------------------------


@FIGURES.figure
def figure1_tornado(tornado: Any, ranges: Any) -> Figure:
    """What one input at a time moves: the study's variations, then what is known of each."""
    cube, ranges = tornado, ranges
    slow = ranges.slowdown.assign_coords(factor=ranges.factor)
    drawing = Figure(figsize=(COLUMN, 4.6))
    panels = drawing.subplots(3, 1, height_ratios=[3, 3, 7])
    _bars(panels[0], cube["mean extension"], VARIED)
    panels[0].set_title("DeepSeek-MoE-16B: mean extension (×)")
    _bars(panels[1], cube["slowdown"], VARIED)
    panels[1].set_title("OLMoE-1B-7B: slowdown (×)")
    _bars(panels[2], slow, list(dict.fromkeys(map(str, slow.input.values[1:]))))
    panels[2].set_title("OLMoE-1B-7B: slowdown (×), by priors")
    note(
        drawing,
        "Upright: as stated; at a bar: the input at its ends. Upper two: the study's "
        "variations; lowest: 5% and 95% of each prior. Extension: the study's constants; "
        "slowdown: true architecture, batch 1 on A100-80GB, 75% of the experts resident.",
    )
    return drawing


def _bars(axes: Axes, values: xr.DataArray, kinds: list[str]) -> None:
    base = values.sel(case=0).item()
    spans = {k: values.isel(case=np.flatnonzero(values.input == k)) for k in kinds}
    moves = {k: abs(own - base).max().item() for k, own in spans.items()}
    kinds = sorted(kinds, key=lambda k: -moves[k])
    ends = np.append(values.values, base)
    width = np.ptp(ends)
    for row, kind in enumerate(kinds):
        low, high = min(spans[kind].min().item(), base), max(spans[kind].max().item(), base)
        if high - low <= 1e-9 * base:
            label_near(axes, "no change", (base, row), 3, FAINT)
            continue
        axes.barh(row, high - low, 0.55, low, color=PROPHET_COLOUR)
        label_near(axes, _ends(kind, spans[kind]), (high, row), 3)
    axes.axvline(base, color=INK, linewidth=0.6, zorder=2)
    axes.set_xlim(ends.min() - 0.1 * width, ends.max() + 0.75 * width)
    label_rows(axes, [title(k) for k in kinds])
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)


def _ends(kind: str, span: xr.DataArray) -> str:
    """Word the input where the metric is least, and where it is largest."""
    texts = []
    for end in (span.min().item(), span.max().item()):
        at = np.isclose(span.values, end, rtol=1e-9)
        inputs = sorted(span.value.values[at], reverse=True)
        factor = bool(span.factor.values[at][0])
        texts.append(", ".join(f"×{v:.3g}" if factor else label_text(kind, v) for v in inputs))
    return " to ".join(texts)


# --- Global ----------------------------------------------------------------------------------


@FIGURES.figure
def figure2_sobol(sobol_by_metric: Any, deployed: Any, cells: Any) -> Figure:
    """Total Sobol indices of four metrics, with every axis and for one deployment."""
    every, given = sobol_by_metric, deployed
    known = [str(a) for a in next(iter(every.values())).axis.values]
    table = {k: _totals(found, known) for k, found in (("every", every), ("given", given))}
    order = np.lexsort([-np.nansum(table["every"], 1), ~np.isnan(table["given"][:, 0])])
    drawing = Figure(figsize=(COLUMN, 3.0))
    panels = drawing.subplots(1, 2, sharey=True)
    heads = {"every": "Every axis varies", "given": "OLMoE-1B-7B, batch 4"}
    for axes, (key, head) in zip(panels, heads.items(), strict=True):
        values = table[key][order]
        text = np.where(values < 0.005, "0", np.char.mod("%.2f", values))
        sns.heatmap(
            values, ax=axes, vmin=0, vmax=1.1, cmap="Blues", linewidths=0.5, cbar=False,
            annot=text, fmt="", annot_kws={"fontsize": 7}, mask=np.isnan(values),
            yticklabels=[title(known[i]) for i in order],
        )  # fmt: skip
        axes.set_title(head)
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(len(every)) + 0.9, [title(m) for m in every])
        axes.tick_params(axis="x", rotation=35)
        for tick in axes.get_xticklabels():
            tick.set_ha("right")
    panels[1].tick_params(labelleft=False)
    missing = [float(f.missing) for f in every.values()]
    note(
        drawing,
        f"Total indices, exact. Left: {cells['every']:,} cells, of which "
        f"{min(missing):.0%} to {max(missing):.0%} do not fit and count for nothing. "
        "Right: A100-80GB, where all fit.",
    )
    return drawing


def _totals(found: Mapping[str, xr.Dataset], known: list[str]) -> np.ndarray:
    """Total indices (axis, metric), NaN for an axis that was given."""
    return np.stack([f.total.reindex(axis=known).values for f in found.values()], 1)


# --- Uncertainty -----------------------------------------------------------------------------


@FIGURES.figure
def figure3_fans(draw_bands: Any) -> Figure:
    """Bands of extension, probability of fitting and step time over the draws, by batch."""
    space, time = draw_bands["memory"], draw_bands["times"]
    labels = names(space)
    drawing = Figure(figsize=(PAGE, 4.0))
    panels = drawing.subplots(3, len(labels), sharex=True, sharey="row", height_ratios=[3, 2, 3])
    for i, name in enumerate(labels):
        one = space.isel(model=i)
        gpu = _edge(one.fits.sel(policy="baseline"))
        one, own = one.sel(gpu=gpu), time.isel(model=i).sel(gpu=gpu)
        top, middle, bottom = panels[:, i]
        top.set_title(f"{name}\n{gpu}")
        some = one.kv_extension_share > 0.1
        _fan(top, one.kv_extension_quantile.where(some), PROPHET_COLOUR)
        for policy, color, size in (
            ("baseline", BASELINE_COLOUR, 5.5),
            ("prophet", PROPHET_COLOUR, 2.5),
        ):
            look = {"color": color, "marker": "o", "markersize": size}
            middle.plot(one.batch, 100 * one.fits.sel(policy=policy), **look)
        _fan(bottom, 1e3 * own.step_time_quantile, COLOURS[1])
        bottom.set_xlabel("Decode batch")
    log_axis(panels[0, 0], "x", space.batch.values)
    log_axis(panels[0, 0], "y", [1, 3, 10, 30, 100, 300, 1000])
    panels[0, 0].set_ylim(bottom=0.9)
    panels[1, 0].set_ylim(-8, 108)
    log_axis(panels[2, 0], "y", [10, 30, 100, 300, 1000])
    for axes, text in zip(panels[:, 0], ("KV extension (×)", "Fits (%)", "Step (ms)"), strict=True):
        axes.set_ylabel(text)
    label_near(panels[1, 0], "Prophet", (12, 80), 1, PROPHET_COLOUR)
    label_near(panels[1, 0], "baseline", (1, 50), 1, BASELINE_COLOUR)
    note(
        drawing,
        "Line: median; shades: 50% and 90% of 1,024 draws, of extension those in which the "
        "baseline fits, at least a tenth of all. Upper two rows: the study's constants; below: "
        "true architectures, 4,096 tokens. The card is the smallest on which the baseline fits in "
        "one draw of ten.",
        width=150,
    )
    return drawing


def _edge(fits: xr.DataArray) -> str:
    """First card, in rising order, on which the baseline fits at batch 1 in a tenth of draws."""
    some = fits.isel(batch=0) > 0.1
    return str(fits.gpu.values[int(some.argmax("gpu"))])


def _fan(axes: Axes, bands: xr.DataArray, color: str) -> None:
    x = bands.batch.values
    for low, high, alpha in ((0.05, 0.95, 0.2), (0.25, 0.75, 0.4)):
        below, above = (bands.sel(quantile=q).values for q in (low, high))
        axes.fill_between(x, below, above, color=color, alpha=alpha, linewidth=0)
    axes.plot(x, bands.sel(quantile=0.5), color=color)


# --- Conclusions -----------------------------------------------------------------------------


@FIGURES.figure
def figure4_conclusions(judged: Any) -> Figure:
    """Share of the assumptions in which each of the study's conclusions holds."""
    found = judged.sort_values("share", ascending=False, kind="stable")
    drawing = Figure(figsize=(COLUMN, 0.8 + 0.37 * len(found)))
    axes = drawing.subplots()
    for row, own in enumerate(found.to_dict("records")):
        color, share = COLOUR_OF[own["verdict"]], 100 * own["share"]
        axes.barh(row, share, 0.36, color=color)
        known = own["share_true"] != own["share"]
        truth = f" (true: {own['share_true']:.0%})" if known else ""
        inside = share >= 55
        at = (0 if inside else share, row)
        label_near(
            axes, f"{share:.0f}%{truth}  {_verdict(own)}", at, 3, "white" if inside else color
        )
        label_near(axes, str(own["conclusion"]), (0, row - 0.38), 1)
    axes.axvline(100 * ROBUST, color=INK, linewidth=0.5, linestyle="--", zorder=0.5)
    axes.set_xlim(0, 100)
    axes.set_ylim(len(found) - 0.6, -0.8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Share of the assumption space where it holds (%)")
    note(
        drawing,
        f"True: under the true architectures. Dashed: robust from {ROBUST:.0%}. Wrong: at most "
        f"{NEVER:.0%} of either.",
    )
    return drawing


def _verdict(own: Mapping[Any, Any]) -> str:
    return (
        f"depends on the {title(own['depends_on'])}"
        if own["verdict"] == DEPENDS
        else own["verdict"]
    )
