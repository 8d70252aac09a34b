"""Figures of memory, extension and context: cube -> Figure.

Nothing goes through pyplot, so drawing leaves no state behind.
"""

from itertools import cycle

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prophet_xr.reporting.figure_style import (
    BASELINE_COLOUR,
    COLUMN,
    INK,
    PAGE,
    PROPHET_COLOUR,
    RULE,
    label_near,
    label_rows,
    log_axis,
)
from prophet_xr.reporting.listing import Figures
from prophet_xr.reporting.numbers import names, shown
from prophet_xr.studies.kv_extension import STUDIES_SHOWN
from prophet_xr.studies.kv_extension.panels import (
    CARD_MARKS,
    SMALL,
    check_cube_of_figures,
    fitting_models,
    prophet_cells,
    unextended,
)
from prophet_xr.studies.published.averages import (
    by_memory,
    extension,
)

FIGURES = Figures(STUDIES_SHOWN, check_cube_of_figures)
BAND = 0.68  # share of a panel of figure 3 under the marks of what only Prophet fits
_TICKS = {  # by the end of what is drawn
    1.5: [1, 1.1, 1.2, 1.3, 1.4],
    1.9: [1, 1.2, 1.4, 1.6, 1.8],
    6.0: [1, 1.5, 2, 3, 4, 5],
    np.inf: [1, 2, 5, 10, 20, 50, 100, 200, 500],
}


def memory_caption(cube: xr.Dataset) -> str:
    """Which memory is drawn, and what the dashed lines are."""
    kind = "nominal" if cube.nominal_weight.item() else "usable"
    return (
        f"Expert weights, and all memory: weights, predictor, activations and the KV cache at the "
        f"native context, at batch {cube.batch.values[0]}. Dashed lines: {kind} memory of the GPUs."
    )


@FIGURES.figure(caption=memory_caption)
def figure1_memory_breakdown(cube: xr.Dataset) -> Figure:
    """Expert and total memory at the native context, baseline against Prophet, smallest batch.

    Reads expert_memory (policy, model, batch) [B], total_memory (policy, model, batch) [B],
    memory_budget (gpu) [B].
    """
    first = cube.sel(batch=cube.batch.min())
    first = first.isel(model=np.argsort(first.total_memory.sel(policy="baseline").values))
    drawing = Figure(figsize=(PAGE, 1.1 + 0.15 * first.sizes["model"]))
    panels = drawing.subplots(1, 2, sharex=True, sharey=True)
    titles = {"expert_memory": "Expert weights", "total_memory": "All memory at native context"}
    for axes, (metric, title) in zip(panels, titles.items(), strict=True):
        memory = shown(first[metric], "GB")
        _dumbbells(axes, memory.sel(policy="baseline").values, memory.sel(policy="prophet").values)
        axes.set_title(title, pad=28)
        axes.set_xlabel(f"GPU memory at batch {first.batch.item()} (GB = 10$^9$ B)")
        _card_lines(axes, shown(cube.memory_budget, "GB"))
    for policy, color in (("prophet", PROPHET_COLOUR), ("baseline", BASELINE_COLOUR)):
        top = shown(first.expert_memory, "GB").sel(policy=policy).values[0]
        label_near(panels[0], policy.replace("pro", "Pro"), (top, -0.85), -0.1, color)
    label_rows(panels[0], names(first), above=0.8)
    return drawing


def _dumbbells(axes: Axes, base: np.ndarray, ours: np.ndarray) -> None:
    """Baseline and Prophet of each row joined by a bar, and their ratio in a column."""
    at = np.arange(len(base))
    axes.hlines(at, ours, base, color=RULE, linewidth=1.6, zorder=1)
    axes.plot(base, at, "o", color=BASELINE_COLOUR)
    axes.plot(ours, at, "D", color=PROPHET_COLOUR, markersize=3.2)
    log_axis(axes, "x")
    axes.set_xlim(right=9 * base.max())  # the column stands inside the axes
    column = {"xycoords": axes.get_yaxis_transform(), "ha": "right", "va": "center_baseline"}
    for row, factor in zip(at, base / ours, strict=True):
        text = f"{factor:.0f}×" if factor >= 10 else f"{factor:.1f}×"
        label_near(axes, text, (1.0, row), 0, **column)
    label_near(axes, "ratio", (1.0, -0.85), 0, **column)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _card_lines(axes: Axes, budget: xr.DataArray) -> None:
    """Memory of the cards as vertical lines with stepped labels above the axes."""
    across, cards = axes.get_xaxis_transform(), by_memory(budget)
    dashes = {"color": INK, "linewidth": 0.5, "linestyle": (0, (3, 2)), "zorder": 0.5}
    for level, (label, gpus) in enumerate(cards.items()):
        top, size = 1 + 0.04 * (len(cards) - level), budget.sel(gpu=gpus[0]).item()
        axes.plot([size, size], [0, top], transform=across, clip_on=False, **dashes)
        text = f" {label}: {size:.1f} GB"
        axes.text(size, top, text, transform=across, va="top", **SMALL)


def ranking_caption(cube: xr.Dataset) -> str:
    """What a mark is, what is averaged, and which models have no extension."""
    return (
        "KV extension: the KV budget with Prophet over the budget without. A mark is a cell (GPU, "
        "batch) in which both fit, and the mean and median are over these. The column on the right "
        f"is the mean with no fit as 0, by which models are ranked. {unextended(cube)}"
    )


@FIGURES.figure(caption=ranking_caption)
def figure2_kv_extension_by_model(cube: xr.Dataset) -> Figure:
    """Average KV extension per model, with the cells that the average is made of.

    Reads kv_extension (policy, model, gpu, batch) [1], regime (policy, model, gpu, batch),
    memory_budget (gpu) [B].
    """
    row = fitting_models(prophet_cells(cube))
    row = row.isel(model=np.argsort(-extension(row)["mean"].values, kind="stable"))
    each, cards = extension(row), by_memory(cube.memory_budget)
    drawing = Figure(figsize=(COLUMN, 0.65 + 0.48 * row.sizes["model"]))
    axes, at = drawing.subplots(), np.arange(row.sizes["model"])
    log_axis(axes, "x", _TICKS[np.inf])
    held = row.cell.values[row.both.values]
    if held.size:
        axes.set_xlim(0.9 * held.min(), 1.15 * held.max())
    _averages(axes, each, at - 0.33)
    lanes = np.linspace(-0.1, 0.36, len(cards))
    for lane, (label, gpus), (color, mark) in zip(
        lanes, cards.items(), cycle(CARD_MARKS), strict=False
    ):
        cells = row.cell.sel(gpu=gpus).values.reshape(len(at), len(gpus) * row.sizes["batch"])
        where = np.repeat(at + lane, cells.shape[1])
        axes.plot(cells.ravel(), where, mark, color=color, alpha=0.8, ms=2.8, mew=0, label=label)
        for y, found in zip(at[:1] + lane, cells, strict=False):
            _in_a_gap(axes, label, np.sort(found[found == found]), y, color)
    axes.hlines(at[1:] - 0.5, 0, 1, transform=axes.get_yaxis_transform(), color=RULE, lw=0.5)
    used = zip(names(row), each.cells_fitting.values, each["cells"].values, strict=True)
    label_rows(axes, [f"{name}\n{n} of {total} cells" for name, n, total in used])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(1, color=INK, linewidth=0.5, zorder=0.5)
    axes.set_xlabel("KV extension over the baseline (×)")
    return drawing


def _averages(axes: Axes, each: xr.Dataset, at: np.ndarray) -> None:
    """Mean and median where both fit, named in the first row; the mean with zeros in a column."""
    axes.plot(each.mean_fitting, at, "x", color=INK, markersize=3.6, mew=1.1)
    axes.plot(each.median_fitting, at, "|", color=INK, markersize=6, mew=1.1)
    column = {"xycoords": axes.get_yaxis_transform(), "ha": "right", "va": "center_baseline"}
    for y, zeros in zip(at, each["mean"].values, strict=True):
        label_near(axes, f"{zeros:.2f}", (1.16, y + 0.33), 0, **column)
    head = {**column, "va": "bottom", "linespacing": 0.9}
    label_near(axes, "mean with\nno fit as 0", (1.16, -0.28), 0, **head, **SMALL)
    for y, mean, median in zip(at[:1], each.mean_fitting, each.median_fitting, strict=False):
        apart = 4 if mean > 1.6 * median else -4
        label_near(axes, "mean", (mean.item(), y), 4, **SMALL)
        label_near(axes, "median", (median.item(), y), apart, **SMALL)


def _in_a_gap(axes: Axes, text: str, taken: np.ndarray, y: float, color: str) -> None:
    """Write in the widest gap between marks of a lane, next to a mark."""
    edges = np.log(np.concatenate([[axes.get_xlim()[0]], taken, [axes.get_xlim()[1]]]))
    widest = int(np.diff(edges).argmax())
    last = widest == len(taken)
    if len(taken):
        label_near(axes, text, (taken[widest - last], y), 4 if last else -4, color, **SMALL)


def context_caption(cube: xr.Dataset) -> str:
    """Where a line ends, what hollow marks are, and which models have no extension."""
    return (
        "KV extension against the decode batch; every panel has its own scale. A line ends where "
        f"the baseline does not fit; hollow marks are cells that only Prophet fits. "
        f"{unextended(cube)}"
    )


@FIGURES.figure(caption=context_caption)
def figure3_context_scaling(cube: xr.Dataset) -> Figure:
    """KV extension against the decode batch, per model and GPU.

    Reads kv_extension (policy, model, gpu, batch) [1], regime (policy, model, gpu, batch),
    memory_budget (gpu) [B].
    """
    row = fitting_models(prophet_cells(cube))
    row = row.isel(model=np.argsort(-row.cell.max(["gpu", "batch"]).values, kind="stable"))
    count, cards = row.sizes["model"], by_memory(cube.memory_budget)
    across, down = max(1, min(5, count)), max(1, -(-count // 5))
    drawing = Figure(figsize=(PAGE, 0.3 + 1.5 * down))
    panels = drawing.subplots(down, across, sharex=True, squeeze=False)
    log_axis(panels[0, 0], "x", row.batch.values)
    unnamed = list(cards)
    for i, axes in enumerate(panels.flat[:count]):
        _lines(axes, row.isel(model=i), cards, unnamed)
        axes.tick_params(labelbottom=i + across >= count)
    for axes in panels[:, 0]:
        axes.set_ylabel("KV extension (×)")
    for axes in panels[-1]:
        axes.set_xlabel("Batch (sequences)")
    for axes in panels.flat[count:]:
        axes.axis("off")
        axes.text(0.5, 0.5, "" if count else "No model fits without Prophet", ha="center")
    return drawing


def _lines(axes: Axes, model: xr.Dataset, cards: dict[str, list[str]], unnamed: list[str]) -> None:
    """Extension against batch, a line per GPU; above it marks in cells that only Prophet fits."""
    axes.set_title(names(model)[0])
    axes.axhline(1, color=INK, linewidth=0.5, zorder=0.5)
    named = [label for label in unnamed if model.both.sel(gpu=cards[label]).any()]
    _scale(axes, model, 0.17 if named else 0.07)
    across = axes.get_xaxis_transform()
    only = [label for label, gpus in cards.items() if model.alone.sel(gpu=gpus).any()]
    lanes = dict(zip(only, np.linspace(BAND + 0.09, 0.86, len(only)), strict=True))
    hollow = {"fillstyle": "none", "markeredgewidth": 0.7, "linestyle": "none"}
    for (label, gpus), (color, mark) in zip(cards.items(), cycle(CARD_MARKS), strict=False):
        look = {"color": color, "marker": mark, "markersize": 3.2}
        for one in (model.sel(gpu=gpu) for gpu in gpus):
            axes.plot(one.batch, one.cell, label=label, **look)
            at = one.batch.values[one.alone.values]
            axes.plot(at, [lanes.get(label, 0.0)] * len(at), transform=across, **look, **hollow)
        if label in named:
            unnamed.remove(label)
            start = model.cell.sel(gpu=gpus).max("gpu").dropna("batch")[0]
            under = label == named[-1] and len(named) > 1  # the lines above leave no room
            at = (start.batch.item(), 0 if under else start.item())
            place = {"xycoords": across if under else "data", "va": "bottom"}
            label_near(axes, label, at, 1.5, color, **place, **SMALL)


def _scale(axes: Axes, model: xr.Dataset, room: float) -> None:
    """Log axis over what is drawn, and room around it; more above where only Prophet fits."""
    low, high = min(1.0, model.cell.min().item()), model.cell.max().item()
    ticks = next(ticks for end, ticks in _TICKS.items() if high < end)
    margin = (high / low) ** room
    low, high = low / margin, high * margin
    log_axis(axes, "y", [tick for tick in ticks if tick <= high])
    axes.set_ylim(low, high)
    if model.alone.any():
        axes.set_ylim(low, low * (high / low) ** (1 / BAND))
        axes.spines["left"].set_bounds(low, high)
        corner = {"transform": axes.transAxes, "ha": "right", "va": "top"}
        axes.text(0.99, 0.99, "only Prophet fits", **corner, **SMALL)
