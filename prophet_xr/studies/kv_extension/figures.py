"""Cube -> Figure.  A figure is one function of a cube; its name is its file name.

Nothing goes through pyplot, so drawing leaves no state behind.
"""

from collections.abc import Callable
from functools import wraps
from itertools import cycle
from typing import Any

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prophet_xr.errors import InputError
from prophet_xr.reporting.figure_style import (
    BASELINE,
    COLOURS,
    COLUMN,
    FAINT,
    INK,
    PAGE,
    PROPHET,
    RULE,
    beside,
    label_rows,
    log,
    style,
)
from prophet_xr.reporting.numbers import names, shown
from prophet_xr.studies.published.averages import (
    BOTH,
    ONLY_PROPHET,
    by_expert_count,
    by_memory,
    extension,
)

Draw = Callable[[xr.Dataset], Figure]
FIGURES: dict[str, Draw] = {}

DIMS = {"policy", "model", "gpu", "batch"}
BAND = 0.68  # share of a panel of figure 3 under the marks of what only Prophet fits
SHADE = "#f1f1f1"
SMALL: dict[str, Any] = {"fontsize": 7}
TICKS = {  # by the end of what is drawn
    1.5: [1, 1.1, 1.2, 1.3, 1.4],
    1.9: [1, 1.2, 1.4, 1.6, 1.8],
    6.0: [1, 1.5, 2, 3, 4, 5],
    np.inf: [1, 2, 5, 10, 20, 50, 100, 200, 500],
}
CARDS = list(zip([COLOURS[i] for i in (1, 2, 0, 4, 5, 7, 8, 9)], "vsoD^Pp*", strict=True))


# --- Drawing and saving --------------------------------------------------------------------


def figure(draw: Draw) -> Draw:
    """List a figure under its function's name; it checks its cube and draws in `style`."""

    @wraps(draw)
    def styled(cube: xr.Dataset) -> Figure:
        with style():
            return draw(_checked(cube))

    FIGURES[draw.__name__] = styled
    return styled


def _checked(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube, or raise InputError if it is not on the dims that figures show."""
    got = {str(d) for d in cube.kv_extension.dims}
    if got != DIMS:
        raise InputError(
            f"figures show kv_extension over {sorted(DIMS)}, got {sorted(got)}; "
            f"sweep those as lists, and select one value of any other axis"
        )
    missing = {"baseline", "prophet"} - set(cube.policy.values.tolist())
    if missing:
        raise InputError(f"figures compare baseline and prophet; policy lacks {sorted(missing)}")
    return cube


# --- Shared pieces -------------------------------------------------------------------------


def _prophet(cube: xr.Dataset) -> xr.Dataset:
    """Row of the policy, with what figures ask of each cell.

    Adds both, alone (model, gpu, batch): both fit, only Prophet does; cell: the extension where
    both fit, else NaN.
    """
    row = cube.sel(policy="prophet").transpose("model", "gpu", "batch")
    both, alone = row.regime == BOTH, row.regime == ONLY_PROPHET
    return row.assign(both=both, alone=alone, cell=row.kv_extension.where(both))


def _fitting(row: xr.Dataset) -> xr.Dataset:
    """Models that an extension exists for."""
    return row.isel(model=np.flatnonzero(row.both.any(["gpu", "batch"]).values))


def _by_experts(row: xr.Dataset) -> xr.Dataset:
    """Models by expert count, then top-k."""
    return row.isel(model=np.lexsort((row.top_k.values, row.n_experts.values)))


def _with_experts(row: xr.Dataset) -> list[str]:
    """Return ``name  k/E`` of each model."""
    shape = zip(names(row), row.top_k.values, row.n_experts.values, strict=True)
    return [f"{name}  {k:.0f}/{e:.0f}" for name, k, e in shape]


# --- The figures ---------------------------------------------------------------------------


@figure
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
    for policy, color in (("prophet", PROPHET), ("baseline", BASELINE)):
        top = shown(first.expert_memory, "GB").sel(policy=policy).values[0]
        beside(panels[0], policy.replace("pro", "Pro"), (top, -0.85), -0.1, color)
    label_rows(panels[0], names(first), above=0.8)
    return drawing


def _dumbbells(axes: Axes, base: np.ndarray, ours: np.ndarray) -> None:
    """Baseline and Prophet of each row joined by a bar, and their ratio in a column."""
    at = np.arange(len(base))
    axes.hlines(at, ours, base, color=RULE, linewidth=1.6, zorder=1)
    axes.plot(base, at, "o", color=BASELINE)
    axes.plot(ours, at, "D", color=PROPHET, markersize=3.2)
    log(axes, "x")
    axes.set_xlim(right=9 * base.max())  # the column stands inside the axes
    column = {"xycoords": axes.get_yaxis_transform(), "ha": "right", "va": "center_baseline"}
    for row, factor in zip(at, base / ours, strict=True):
        text = f"{factor:.0f}×" if factor >= 10 else f"{factor:.1f}×"
        beside(axes, text, (1.0, row), 0, **column)
    beside(axes, "ratio", (1.0, -0.85), 0, **column)
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


@figure
def figure2_kv_extension_by_model(cube: xr.Dataset) -> Figure:
    """Average KV extension per model, with the cells that the average is made of.

    Reads kv_extension (policy, model, gpu, batch) [1], regime (policy, model, gpu, batch),
    memory_budget (gpu) [B].
    """
    row = _fitting(_prophet(cube))
    row = row.isel(model=np.argsort(-extension(row)["mean"].values, kind="stable"))
    each, cards = extension(row), by_memory(cube.memory_budget)
    drawing = Figure(figsize=(COLUMN, 0.65 + 0.48 * row.sizes["model"]))
    axes, at = drawing.subplots(), np.arange(row.sizes["model"])
    log(axes, "x", TICKS[np.inf])
    held = row.cell.values[row.both.values]
    if held.size:
        axes.set_xlim(0.9 * held.min(), 1.15 * held.max())
    _averages(axes, each, at - 0.33)
    lanes = np.linspace(-0.1, 0.36, len(cards))
    for lane, (label, gpus), (color, mark) in zip(lanes, cards.items(), cycle(CARDS), strict=False):
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
        beside(axes, f"{zeros:.2f}", (1.16, y + 0.33), 0, **column)
    head = {**column, "va": "bottom", "linespacing": 0.9}
    beside(axes, "mean with\nno fit as 0", (1.16, -0.28), 0, **head, **SMALL)
    for y, mean, median in zip(at[:1], each.mean_fitting, each.median_fitting, strict=False):
        apart = 4 if mean > 1.6 * median else -4
        beside(axes, "mean", (mean.item(), y), 4, **SMALL)
        beside(axes, "median", (median.item(), y), apart, **SMALL)


def _in_a_gap(axes: Axes, text: str, taken: np.ndarray, y: float, color: str) -> None:
    """Write in the widest gap between marks of a lane, next to a mark."""
    edges = np.log(np.concatenate([[axes.get_xlim()[0]], taken, [axes.get_xlim()[1]]]))
    widest = int(np.diff(edges).argmax())
    last = widest == len(taken)
    if len(taken):
        beside(axes, text, (taken[widest - last], y), 4 if last else -4, color, **SMALL)


@figure
def figure3_context_scaling(cube: xr.Dataset) -> Figure:
    """KV extension against the decode batch, per model and GPU.

    Reads kv_extension (policy, model, gpu, batch) [1], regime (policy, model, gpu, batch),
    memory_budget (gpu) [B].
    """
    row = _fitting(_prophet(cube))
    row = row.isel(model=np.argsort(-row.cell.max(["gpu", "batch"]).values, kind="stable"))
    count, cards = row.sizes["model"], by_memory(cube.memory_budget)
    across, down = max(1, min(5, count)), max(1, -(-count // 5))
    drawing = Figure(figsize=(PAGE, 0.3 + 1.5 * down))
    panels = drawing.subplots(down, across, sharex=True, squeeze=False)
    log(panels[0, 0], "x", row.batch.values)
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
    for (label, gpus), (color, mark) in zip(cards.items(), cycle(CARDS), strict=False):
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
            beside(axes, label, at, 1.5, color, **place, **SMALL)


def _scale(axes: Axes, model: xr.Dataset, room: float) -> None:
    """Log axis over what is drawn, and room around it; more above where only Prophet fits."""
    low, high = min(1.0, model.cell.min().item()), model.cell.max().item()
    ticks = next(ticks for end, ticks in TICKS.items() if high < end)
    margin = (high / low) ** room
    low, high = low / margin, high * margin
    log(axes, "y", [tick for tick in ticks if tick <= high])
    axes.set_ylim(low, high)
    if model.alone.any():
        axes.set_ylim(low, low * (high / low) ** (1 / BAND))
        axes.spines["left"].set_bounds(low, high)
        corner = {"transform": axes.transAxes, "ha": "right", "va": "top"}
        axes.text(0.99, 0.99, "only Prophet fits", **corner, **SMALL)


@figure
def figure4_batch_context_tradeoff(cube: xr.Dataset) -> Figure:
    """Share of expert memory freed, by model and decode batch.

    Reads expert_savings_fraction (policy, model, batch) [1], n_experts (model), top_k (model).
    """
    row = _by_experts(cube.sel(policy="prophet"))
    share = shown(row.expert_savings_fraction, "%").transpose("model", "batch")
    drawing = Figure(figsize=(COLUMN, 0.75 + 0.165 * row.sizes["model"]))
    axes = drawing.subplots()
    numbers = {"annot": True, "fmt": ".0f", "annot_kws": {"fontsize": 7.5}}
    colours = {"cmap": "Blues", "vmin": 0, "vmax": 100, "linewidths": 0.5, "cbar": False}
    ticks = {"xticklabels": share.batch.values.tolist(), "yticklabels": _with_experts(row)}
    sns.heatmap(share.values, ax=axes, **numbers, **colours, **ticks)
    axes.hlines(1 + np.flatnonzero(np.diff(row.n_experts)), *axes.get_xlim(), color="white", lw=3)
    axes.set_xlabel("Decode batch (sequences)")
    axes.set_title("Expert memory freed (%)")
    beside(axes, "top-k / experts", (0, -0.12), -3.5, va="bottom", annotation_clip=False)
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
    return drawing


@figure
def figure5_expert_count_analysis(cube: xr.Dataset) -> Figure:
    """Deduplication and KV extension by expert count, with the models that do not fit.

    Reads dedup_factor (model, batch) [1], kv_extension (policy, model, gpu, batch) [1],
    regime (policy, model, gpu, batch), n_experts (model), top_k (model).
    """
    row = _by_experts(_prophet(cube))
    drawing = Figure(figsize=(PAGE, 1.1 + 0.155 * row.sizes["model"]))
    left, right, table = drawing.subplots(1, 3, sharey=True, width_ratios=[1.6, 1, 0.8])
    label_rows(left, _with_experts(row), above=0.4)
    edges = np.flatnonzero(np.diff(row.n_experts.values, prepend=-1, append=-1))
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        for start, end in zip(edges[:-1:2], edges[1::2], strict=False):
            axes.axhspan(start - 0.5, end - 0.5, color=SHADE, linewidth=0, zorder=0)
    beside(left, "top-k / experts", (0, -0.85), -3.5, xycoords=left.get_yaxis_transform())
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
            beside(axes, f"all from {first}", (1, y), -3, FAINT, va="center_baseline", **SMALL)
    axes.set_xlabel("Deduplication factor: experts / distinct (×)")
    log(axes, "x", 2 ** np.arange(0, np.log2(factor.max().item()) + 1))
    axes.set_xlim(left=0.26)  # room for words
    axes.spines["bottom"].set_bounds(1, factor.max().item())
    axes.spines["left"].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1.02, 1.0), ncols=6, columnspacing=0.5)


def _extensions(axes: Axes, row: xr.Dataset, edges: np.ndarray) -> None:
    """Mean extension where both fit: of each row, and over the rows of an expert count."""
    means, groups = extension(row).mean_fitting.values, by_expert_count(row).mean_fitting.values
    axes.axvline(1, color=INK, linewidth=0.5, zorder=0.5)
    axes.vlines(groups, edges[:-1] - 0.5, edges[1:] - 0.5, color=BASELINE, linewidth=1.4, zorder=1)
    axes.plot(means, np.arange(len(means)), "o", color=PROPHET, markersize=3.2)
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
        (0.72, "both\nfit", BASELINE, middles, counts.mean_fitting, "{:.2f}"),
        (1.0, "no fit\nas 0", BASELINE, middles, counts["mean"], "{:.2f}"),
    ]
    place = {"xycoords": axes.get_yaxis_transform(), "ha": "right"}
    head = {**place, **SMALL, "va": "baseline"}
    for x, title, color, at, values, form in columns:
        for level, words in enumerate(reversed(title.splitlines())):
            beside(axes, words, (x, -0.75 - 0.65 * level), 0, color, **head)
        for y, value in zip(at, values.values, strict=True):
            text = form.format(value) if value == value else "-"
            beside(axes, text, (x, y), 0, color, **place, va="center_baseline")
    for x, title, color in ((0.44, f"cells of {total}", INK), (1.0, "mean of group", BASELINE)):
        beside(axes, title, (x, -2.2), 0, color, **head)
    axes.axis("off")
