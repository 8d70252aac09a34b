"""Figures of experts: cube -> Figure."""

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prophet_xr.reporting.figure_style import (
    BASELINE_COLOUR,
    COLUMN,
    FAINT,
    INK,
    PAGE,
    PROPHET_COLOUR,
    RULE,
    label_near,
    label_rows,
    log_axis,
)
from prophet_xr.reporting.listing import Figures
from prophet_xr.reporting.numbers import shown
from prophet_xr.studies.kv_extension import STUDIES_SHOWN
from prophet_xr.studies.kv_extension.panels import (
    SHADE,
    SMALL,
    by_experts,
    check_cube_of_figures,
    prophet_cells,
    with_experts,
)
from prophet_xr.studies.published.averages import (
    by_expert_count,
    extension,
)

FIGURES = Figures(STUDIES_SHOWN, check_cube_of_figures)
SAVINGS = "Share of expert memory freed; white lines part expert counts."
EXPERTS = (
    "Left: deduplication, a dot per batch until every expert is needed, which is from the "
    "batch on that is named. Right: mean extension over the cells where both fit, a dot per "
    "model and a bar per expert count; the columns count cells, and give the mean of the "
    "expert count over these cells and with no fit as 0."
)


@FIGURES.figure(caption=SAVINGS)
def figure4_batch_context_tradeoff(cube: xr.Dataset) -> Figure:
    """Share of expert memory freed, by model and decode batch.

    Reads expert_savings_fraction (policy, model, batch) [1], n_experts (model), top_k (model).
    """
    row = by_experts(cube.sel(policy="prophet"))
    share = shown(row.expert_savings_fraction, "%").transpose("model", "batch")
    drawing = Figure(figsize=(COLUMN, 0.75 + 0.165 * row.sizes["model"]))
    axes = drawing.subplots()
    numbers = {"annot": True, "fmt": ".0f", "annot_kws": {"fontsize": 7.5}}
    colours = {"cmap": "Blues", "vmin": 0, "vmax": 100, "linewidths": 0.5, "cbar": False}
    ticks = {"xticklabels": share.batch.values.tolist(), "yticklabels": with_experts(row)}
    sns.heatmap(share.values, ax=axes, **numbers, **colours, **ticks)
    axes.hlines(1 + np.flatnonzero(np.diff(row.n_experts)), *axes.get_xlim(), color="white", lw=3)
    axes.set_xlabel("Decode batch (sequences)")
    axes.set_title("Expert memory freed (%)")
    label_near(axes, "top-k / experts", (0, -0.12), -3.5, va="bottom", annotation_clip=False)
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
    return drawing


@FIGURES.figure(caption=EXPERTS)
def figure5_expert_count_analysis(cube: xr.Dataset) -> Figure:
    """Deduplication and KV extension by expert count, with the models that do not fit.

    Reads dedup_factor (model, batch) [1], kv_extension (policy, model, gpu, batch) [1],
    regime (policy, model, gpu, batch), n_experts (model), top_k (model).
    """
    row = by_experts(prophet_cells(cube))
    drawing = Figure(figsize=(PAGE, 1.1 + 0.155 * row.sizes["model"]))
    left, right, table = drawing.subplots(1, 3, sharey=True, width_ratios=[1.6, 1, 0.8])
    label_rows(left, with_experts(row), above=0.4)
    edges = np.flatnonzero(np.diff(row.n_experts.values, prepend=-1, append=-1))
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        for start, end in zip(edges[:-1:2], edges[1::2], strict=False):
            axes.axhspan(start - 0.5, end - 0.5, color=SHADE, linewidth=0, zorder=0)
    label_near(left, "top-k / experts", (0, -0.85), -3.5, xycoords=left.get_yaxis_transform())
    _dedup(left, row)
    _extensions(right, row, edges)
    _columns(table, row, edges)
    return drawing


def _dedup(axes: Axes, row: xr.Dataset) -> None:
    """Deduplication factor of each row, one dot per batch until every expert is needed."""
    factor = row.dedup_factor.transpose("model", "batch")
    growing = factor > 1
    at = np.arange(row.sizes["model"])
    axes.hlines(at, factor.min("batch"), factor.max("batch"), color=RULE, lw=0.8, zorder=1)
    shades = sns.color_palette("viridis", row.sizes["batch"]).as_hex()
    for i, (batch, shade) in enumerate(zip(row.batch.values, shades, strict=True)):
        label = str(batch) if i else f"batch {batch}"
        shown = factor.sel(batch=batch).where(growing.sel(batch=batch))
        axes.plot(shown, at, "o", color=shade, label=label)
    for y, more in zip(at, growing.values, strict=True):
        if not more.all():
            first = row.batch.values[~more][0]
            axes.plot(1, y, "|", color=FAINT, markersize=4)
            label_near(axes, f"all from {first}", (1, y), -3, FAINT, va="center_baseline", **SMALL)
    axes.set_xlabel("Deduplication factor: experts / distinct (×)")
    log_axis(axes, "x", 2 ** np.arange(0, np.log2(factor.max().item()) + 1))
    axes.set_xlim(left=0.26)  # room for words
    axes.spines["bottom"].set_bounds(1, factor.max().item())
    axes.spines["left"].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1.02, 1.0), ncols=6, columnspacing=0.5)


def _extensions(axes: Axes, row: xr.Dataset, edges: np.ndarray) -> None:
    """Mean extension where both fit: of each row, and over the rows of an expert count."""
    means, groups = extension(row).mean_fitting.values, by_expert_count(row).mean_fitting.values
    axes.axvline(1, color=INK, linewidth=0.5, zorder=0.5)
    axes.vlines(
        groups, edges[:-1] - 0.5, edges[1:] - 0.5, color=BASELINE_COLOUR, linewidth=1.4, zorder=1
    )
    axes.plot(means, np.arange(len(means)), "o", color=PROPHET_COLOUR, markersize=3.2)
    axes.set_xlabel("Mean KV extension where both fit (×)")
    axes.spines["left"].set_visible(False)


def _columns(axes: Axes, row: xr.Dataset, edges: np.ndarray) -> None:
    """Cells of each row in which both fit and only Prophet does; means of each expert count."""
    over, counts = ["gpu", "batch"], by_expert_count(row)
    middles, rows = (edges[:-1] + edges[1:] - 1) / 2, np.arange(row.sizes["model"])
    total = row.sizes["gpu"] * row.sizes["batch"]
    columns = [
        (0.14, "both\nfit", INK, rows, row.both.sum(over), "{:.0f}"),
        (0.44, "only\nProphet", INK, rows, row.alone.sum(over), "{:.0f}"),
        (0.72, "both\nfit", BASELINE_COLOUR, middles, counts.mean_fitting, "{:.2f}"),
        (1.0, "no fit\nas 0", BASELINE_COLOUR, middles, counts["mean"], "{:.2f}"),
    ]
    place = {"xycoords": axes.get_yaxis_transform(), "ha": "right"}
    head = {**place, **SMALL, "va": "baseline"}
    for x, title, color, at, values, form in columns:
        for level, words in enumerate(reversed(title.splitlines())):
            label_near(axes, words, (x, -0.75 - 0.65 * level), 0, color, **head)
        for y, value in zip(at, values.values, strict=True):
            text = form.format(value) if value == value else "-"
            label_near(axes, text, (x, y), 0, color, **place, va="center_baseline")
    for x, title, color in (
        (0.44, f"cells of {total}", INK),
        (1.0, "mean of group", BASELINE_COLOUR),
    ):
        label_near(axes, title, (x, -2.2), 0, color, **head)
    axes.axis("off")
