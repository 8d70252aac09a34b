"""Cube -> Figure.  A figure is one function of a cube; its name is its file name.

Nothing goes through pyplot, so drawing leaves no state behind.
"""

from collections.abc import Callable
from functools import wraps

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prophet_xr.canvas import (
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
    wrapped,
)
from prophet_xr.errors import InputError
from prophet_xr.reduce import by_expert_count, extension, names, shown

Draw = Callable[[xr.Dataset], Figure]
FIGURES: dict[str, Draw] = {}

DIMS = {"policy", "model", "gpu", "batch"}
ONLY_PROPHET, BOTH = 1, 2  # codes of regime
BAND = 0.68  # height of the axes above which figure 3 shows what only Prophet fits
SHADE = "#f1f1f1"
CORNER = {"ha": "right", "va": "top", "fontsize": 7}
TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500]
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
    both = row.regime == BOTH
    return row.assign(
        both=both, alone=row.regime == ONLY_PROPHET, cell=row.kv_extension.where(both)
    )


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


def _alone(row: xr.Dataset) -> str:
    """Say which models have no extension: only Prophet fits them, or nothing does."""
    cells = row.alone.sum(["gpu", "batch"]).values
    never = ~row.both.any(["gpu", "batch"]).values
    listed = [(name, n) for name, n, no in zip(names(row), cells, never, strict=True) if no]
    some = [
        f"{name}\N{NO-BREAK SPACE}{n}" for name, n in sorted(listed, key=lambda pair: -pair[1]) if n
    ]
    none = [name for name, n in listed if not n]
    total = row.sizes["gpu"] * row.sizes["batch"]
    lines = [f"Only Prophet fits (cells of {total}): {', '.join(some)}."] if some else []
    return "\n".join(lines + ([f"Neither fits: {', '.join(none)}."] if none else []))


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
    label_rows(panels[0], names(first), above=0.8)
    return drawing


def _dumbbells(axes: Axes, base: np.ndarray, ours: np.ndarray) -> None:
    """Baseline and Prophet of each row joined by a bar, and their ratio in a column."""
    at = np.arange(len(base))
    axes.hlines(at, ours, base, color=RULE, linewidth=1.6, zorder=1)
    axes.plot(base, at, "o", color=BASELINE)
    axes.plot(ours, at, "D", color=PROPHET, markersize=3.2)
    column = {"xycoords": axes.get_yaxis_transform(), "ha": "right", "va": "center_baseline"}
    for row, factor in zip(at, base / ours, strict=True):
        text = f"{factor:.0f}×" if factor >= 10 else f"{factor:.1f}×"
        beside(axes, text, (1.07, row), 0, **column)
    beside(axes, "ratio", (1.07, -0.85), 0, **column)
    beside(axes, "Prophet", (ours[0], -0.85), 0, PROPHET, ha="center")
    white = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
    beside(axes, "baseline", (base[0], -0.85), 1, BASELINE, bbox=white)
    log(axes, "x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _card_lines(axes: Axes, budget: xr.DataArray) -> None:
    """Memory of the cards as vertical lines with stepped labels above the axes."""
    cards: dict[float, list[str]] = {}
    for size, gpu in zip(budget.values.tolist(), budget.gpu.values.tolist(), strict=True):
        near = next((known for known in cards if abs(known / size - 1) < 0.02), size)
        cards.setdefault(near, []).append(gpu)
    across = axes.get_xaxis_transform()
    dashes = {"color": INK, "linewidth": 0.5, "linestyle": (0, (3, 2)), "zorder": 0.5}
    for level, size in enumerate(sorted(cards)):
        top = 1 + 0.04 * (len(cards) - level)
        axes.plot([size, size], [0, top], transform=across, clip_on=False, **dashes)
        axes.text(size, top, f" {', '.join(cards[size])}", transform=across, va="top", fontsize=7)


@figure
def figure2_kv_extension_by_model(cube: xr.Dataset) -> Figure:
    """Average KV extension per model, with the cells that the average is made of.

    Reads kv_extension (policy, model, gpu, batch) [1], regime (policy, model, gpu, batch).
    """
    every = _prophet(cube)
    row = _fitting(every)
    row = row.isel(model=np.argsort(-extension(row)["mean"].values, kind="stable"))
    each = extension(row)
    drawing = Figure(figsize=(COLUMN, 1.4 + 0.38 * row.sizes["model"]))
    axes = drawing.subplots()
    at = np.arange(row.sizes["model"])
    axes.plot(each["mean"], at - 0.33, "D", color=INK, markersize=3.4, label="mean")
    axes.plot(each.median_fitting, at - 0.33, "|", color=INK, markersize=6, label="median")
    for x, y in zip(each["mean"].values, at - 0.33, strict=True):
        beside(axes, f"{x:.2f}", (x, y), 5, fontsize=7)
    lanes = np.linspace(-0.11, 0.36, row.sizes["gpu"])
    for lane, gpu, (color, mark) in zip(lanes, row.gpu.values, CARDS, strict=False):
        cells = row.cell.sel(gpu=gpu).values.ravel()
        lane = np.repeat(at + lane, row.sizes["batch"])
        axes.plot(cells, lane, mark, color=color, alpha=0.8, markersize=2.6, mew=0, label=gpu)
    axes.hlines(at[1:] - 0.5, 0, 1, transform=axes.get_yaxis_transform(), color=RULE, lw=0.5)
    used = zip(names(row), each.cells_fitting.values, each["cells"].values, strict=True)
    label_rows(axes, [f"{name}\n{n} of {total} cells" for name, n, total in used])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(1, color=INK, linewidth=0.5, zorder=0.5)
    axes.set_xlabel("KV extension over the baseline (×)")
    log(axes, "x", TICKS)
    drawing.legend(loc="outside upper center", ncols=3)
    zeros = bool((every.kv_extension == 0).any())
    how = "Mean: a cell that does not fit counts as 0. Median" if zeros else "Mean, median"
    note = f"{how}: over cells (GPU, batch) where both fit.\n{_alone(every)}"
    drawing.supxlabel(wrapped(note, 68), x=0.01, ha="left", linespacing=0.95)
    return drawing


@figure
def figure3_context_scaling(cube: xr.Dataset) -> Figure:
    """KV extension against the decode batch, per model and GPU.

    Reads kv_extension (policy, model, gpu, batch) [1], regime (policy, model, gpu, batch).
    """
    every = _prophet(cube)
    row = _fitting(every)
    count, across = row.sizes["model"], 3
    down = count // across + 1  # a slot is left for the key
    drawing = Figure(figsize=(PAGE, 0.35 + 1.4 * down))
    panels = drawing.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    panels[0, 0].set(xscale="log", yscale="log")
    held = row.cell.values[row.both.values]
    low, high = (held.min(), held.max()) if count else (1.0, 1.0)
    panels[0, 0].set_ylim(low / 1.15, (high / low) ** (1 / BAND) * low)
    log(panels[0, 0], "x", row.batch.values)
    log(panels[0, 0], "y", [tick for tick in TICKS if tick <= high * 1.05])
    for i, axes in enumerate(panels.flat[:count]):
        _lines(axes, row.isel(model=i))
        axes.tick_params(labelbottom=i + across >= count)
    for axes in panels[:, 0]:
        axes.set_ylabel("KV extension (×)")
    for axes in panels[-1]:
        axes.set_xlabel("Decode batch (sequences)")
    for axes in panels.flat[count:]:
        axes.axis("off")
    key = panels.flat[count]
    key.legend(*panels[0, 0].get_legend_handles_labels(), loc="upper left", ncols=2)
    note = f"Lines end where the baseline does not fit.\n{_alone(every)}"
    small = {"va": "top", "fontsize": 7, "transform": key.transAxes, "in_layout": False}
    key.text(0, 0.68, wrapped(note, 45), linespacing=1.0, **small)
    return drawing


def _lines(axes: Axes, model: xr.Dataset) -> None:
    """Extension against batch, one line per GPU; in a band above, cells that only Prophet fits."""
    axes.set_title(names(model)[0])
    axes.axhline(1, color=INK, linewidth=0.5, zorder=0.5)
    across, lane = axes.get_xaxis_transform(), BAND + 0.09
    if model.alone.any():
        band = {"color": SHADE, "linewidth": 0, "zorder": 0, "transform": axes.transAxes}
        axes.fill_between([0, 1], BAND + 0.02, 1, **band)
        axes.text(0.99, 0.98, "only Prophet fits", transform=axes.transAxes, **CORNER)
    for i, (gpu, (color, mark)) in enumerate(zip(model.gpu.values, CARDS, strict=False)):
        one = model.sel(gpu=gpu)
        look = {"color": color, "marker": mark, "markersize": 4.4 - 0.5 * i}
        line = "--" if i % 2 else "-"  # lines that coincide both show
        axes.plot(one.batch, one.cell, linestyle=line, label=gpu, **look)
        if one.alone.any():
            at = one.batch.values[one.alone.values]
            hollow = {"fillstyle": "none", "markeredgewidth": 0.7, "linestyle": "none"}
            axes.plot(at, np.full(len(at), lane), transform=across, **look, **hollow)
            lane += 0.08


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
    drawing = Figure(figsize=(PAGE, 1.0 + 0.155 * row.sizes["model"]))
    left, right = drawing.subplots(1, 2, sharey=True, width_ratios=[1, 1.15])
    label_rows(left, _with_experts(row), above=0.4)
    edges = np.flatnonzero(np.diff(row.n_experts.values, prepend=-1, append=-1))
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        for start, end in zip(edges[:-1:2], edges[1::2], strict=False):
            axes.axhspan(start - 0.5, end - 0.5, color=SHADE, linewidth=0, zorder=0)
    beside(left, "top-k / experts", (0, -0.85), -3.5, xycoords=left.get_yaxis_transform())
    _dedup(left, row)
    _extensions(right, row, edges)
    return drawing


def _dedup(axes: Axes, row: xr.Dataset) -> None:
    """Deduplication factor of each row, one dot per batch."""
    factor = row.dedup_factor.transpose("model", "batch")
    at = np.arange(row.sizes["model"])
    axes.hlines(at, factor.min("batch"), factor.max("batch"), color=RULE, lw=0.8, zorder=1)
    shades = sns.color_palette("viridis", row.sizes["batch"]).as_hex()
    for i, (batch, shade) in enumerate(zip(row.batch.values, shades, strict=True)):
        label = str(batch) if i else f"batch {batch}"
        axes.plot(factor.sel(batch=batch), at, "o", color=shade, label=label)
    axes.set_xlabel("Deduplication factor: experts / distinct (×)")
    log(axes, "x", 2 ** np.arange(0, np.log2(factor.max().item()) + 1))
    axes.legend(loc="lower right", bbox_to_anchor=(1.02, 1.0), ncols=6, columnspacing=0.5)


def _extensions(axes: Axes, row: xr.Dataset, edges: np.ndarray) -> None:
    """Average extension of each row, or why there is none, and the average of each group."""
    each = extension(row)
    mean = each["mean"].where(each.cells_fitting > 0).values
    alone, at = row.alone.sum(["gpu", "batch"]).values, np.arange(len(mean))
    axes.plot(mean, at, "o", color=PROPHET, label="model")
    level = {"xycoords": axes.get_yaxis_transform(), "va": "center_baseline", "ha": "right"}
    for y in at[np.isnan(mean)]:
        why = f"only Prophet fits, {alone[y]} of {each['cells'].values[y]} cells"
        axes.plot(0, y, "o", color=FAINT, fillstyle="none", markeredgewidth=0.7, clip_on=False)
        beside(axes, why if alone[y] else "neither fits", (0.98, y), 0, FAINT, **level, fontsize=7)
    groups = by_expert_count(row).extension.values
    label = "mean of the expert count (no fit = 0)"
    bars = {"color": BASELINE, "linewidth": 1.4, "zorder": 1.5, "label": label}
    axes.vlines(groups, edges[:-1] - 0.38, edges[1:] - 0.62, **bars)
    for x, y in zip(groups, (edges[:-1] + edges[1:] - 1) / 2, strict=True):
        beside(axes, f"{x:.2f}", (1.13, y), 0, BASELINE, **level)
    axes.set_xlabel("Mean KV extension over the baseline (×)")
    axes.set_xlim(left=-0.03 * axes.get_xlim()[1])
    axes.spines["left"].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1.15, 1), ncols=2)
