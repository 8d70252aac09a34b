"""Cube -> Figure.  A figure is one function of a cube; its name is its file name.

Widths are those of a page: 3.3 in for one column, 7 in for two, at 7 pt.  Nothing goes through
pyplot, so drawing leaves no state behind.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prophet_xr.errors import InputError
from prophet_xr.reduce import by_expert_count, extension, names, shown

Draw = Callable[[xr.Dataset], Figure]
FIGURES: dict[str, Draw] = {}

COLUMN, PAGE = 3.3, 7.0  # in
DIMS = {"policy", "model", "gpu", "batch"}
ONLY_PROPHET, BOTH = 1, 2  # codes of regime
COLOURS = list(sns.color_palette("colorblind").as_hex())
PROPHET, BASELINE, INK, FAINT = COLOURS[0], COLOURS[3], "#222222", "#8a8a8a"
CARDS = list(zip([COLOURS[i] for i in (1, 2, 0, 4, 5, 7, 8, 9)], "vsoD^Pp*", strict=True))
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handletextpad": 0.3,
    "legend.columnspacing": 1.0,
    "legend.borderaxespad": 0.2,
    "figure.labelsize": 6,
    "figure.constrained_layout.use": True,
    "axes.linewidth": 0.5,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.width": 0.4,
    "xtick.minor.size": 1.5,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "savefig.dpi": 300,
}
METADATA = {"pdf": {"CreationDate": None}, "png": {"Software": None}}


# --- Drawing and saving --------------------------------------------------------------------


@contextmanager
def style() -> Iterator[None]:
    """Draw and save in the style of the study; the caller's own settings come back after it."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def figure(draw: Draw) -> Draw:
    """List a figure under its function's name; it draws in `style`, from a cube that was checked."""

    @wraps(draw)
    def styled(cube: xr.Dataset) -> Figure:
        with style():
            return draw(_checked(cube))

    FIGURES[draw.__name__] = styled
    return styled


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write ``<name>.pdf`` and ``<name>.png``, each beside its place, then renamed.

    The same figure gives the same bytes: no file holds a time.  Raises OSError if the disk does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind, metadata in METADATA.items():
        draft = folder / f".{name}.{kind}.{os.getpid()}.draft"
        try:
            with style():
                figure.savefig(draft, format=kind, metadata=metadata)
            draft.replace(folder / f"{name}.{kind}")
        finally:
            draft.unlink(missing_ok=True)


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
    """Row of the policy, with ``cell``: the extension where both fit, else NaN."""
    row = cube.sel(policy="prophet")
    return row.assign(cell=row.kv_extension.where(row.regime == BOTH))


def _by_experts(cube: xr.Dataset) -> xr.Dataset:
    """Models by expert count, then top-k."""
    return cube.isel(model=np.lexsort((cube.top_k.values, cube.n_experts.values)))


def _plain(axis: object, ticks: np.ndarray | list[float] | None = None) -> None:
    """Numbers on a log axis as people write them: 0.1, 1, 10, 1,000."""
    if ticks is not None:
        axis.set_major_locator(FixedLocator(list(ticks)))  # type: ignore[attr-defined]
        axis.set_minor_locator(NullLocator())  # type: ignore[attr-defined]
    text = FuncFormatter(lambda value, _: f"{value:,.12g}")
    axis.set_major_formatter(text)  # type: ignore[attr-defined]


def _rows(axes: Axes, labels: list[str], above: float = 0.0) -> None:
    """One row per label, first on top, with room for ``above`` more rows over them."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6 - above)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _outside(row: xr.Dataset) -> str:
    """Text on the models that no extension exists for: only Prophet fits, or neither does."""
    only = (row.regime == ONLY_PROPHET).sum(["gpu", "batch"])
    never = ~(row.regime == BOTH).any(["gpu", "batch"])
    alone = row.isel(model=np.flatnonzero(never & (only > 0)))
    none = row.isel(model=np.flatnonzero(never & (only == 0)))
    counts = only.sel(model=alone.model).values
    cells = row.sizes["gpu"] * row.sizes["batch"]
    lines = []
    if alone.sizes["model"]:
        listed = [f"{n} {c}" for n, c in zip(names(alone), counts, strict=True)]
        lines.append(f"Only Prophet fits (cells of {cells}): {', '.join(listed)}")
    if none.sizes["model"]:
        lines.append(f"Neither ever fits: {', '.join(names(none))}")
    return "\n".join(lines)


def _card_lines(axes: Axes, budget: xr.DataArray) -> None:
    """Memory of the cards as vertical lines with stepped labels above the axes."""
    groups: list[tuple[float, list[str]]] = []
    for size, gpu in sorted(zip(budget.values.tolist(), budget.gpu.values.tolist(), strict=True)):
        if groups and size < 1.02 * groups[-1][0]:
            groups[-1][1].append(gpu)
        else:
            groups.append((size, [gpu]))
    across = axes.get_xaxis_transform()
    for level, (size, gpus) in enumerate(groups):
        top = 1 + 0.037 * (len(groups) - level)
        line = {"color": INK, "linewidth": 0.5, "linestyle": (0, (3, 2)), "clip_on": False}
        axes.plot([size, size], [0, top], transform=across, zorder=0.5, **line)
        text = f" {', '.join(gpus)}"
        axes.text(size, top, text, transform=across, va="top", fontsize=6)


def _note(drawing: Figure, text: str, width: int) -> None:
    """Small print under the axes."""
    lines = "\n".join(fill(line, width, subsequent_indent="    ") for line in text.splitlines())
    if lines:
        drawing.supxlabel(lines, x=0.01, ha="left", color=INK)


# --- The figures ---------------------------------------------------------------------------


@figure
def figure1_memory_breakdown(cube: xr.Dataset) -> Figure:
    """Expert and total memory at the native context, baseline against Prophet, smallest batch.

    Reads expert_memory (policy, model, batch) [B], total_memory (policy, model, batch) [B],
    memory_budget (gpu) [B].
    """
    first = cube.sel(batch=cube.batch.min())
    first = first.isel(model=np.argsort(first.total_memory.sel(policy="baseline").values))
    drawing = Figure(figsize=(PAGE, 3.5))
    panels = drawing.subplots(1, 2, sharey=True)
    titles = {"expert_memory": "Expert weights", "total_memory": "All, at native context"}
    for axes, (metric, title) in zip(panels, titles.items(), strict=True):
        memory = shown(first[metric], "GB")
        _dumbbells(axes, memory.sel(policy="baseline").values, memory.sel(policy="prophet").values)
        axes.set_title(title, pad=24, fontweight="bold")
        axes.set_xlabel(f"GPU memory at batch {first.batch.item()} (GB = 10$^9$ B)")
        _card_lines(axes, shown(cube.memory_budget, "GB"))
    _rows(panels[0], names(first), above=0.8)
    panels[1].tick_params(axis="y", length=0)
    panels[1].spines["left"].set_visible(False)
    return drawing


def _dumbbells(axes: Axes, base: np.ndarray, ours: np.ndarray) -> None:
    """Baseline and Prophet of each row joined by a bar, with the factor between them."""
    rows = np.arange(len(base))
    axes.hlines(rows, ours, base, color="#cfcfcf", linewidth=1.6, zorder=1)
    axes.plot(base, rows, "o", color=BASELINE)
    axes.plot(ours, rows, "D", color=PROPHET, markersize=3.2)
    for row, x, factor in zip(rows, ours, base / ours, strict=True):
        _beside(axes, f"{factor:.2g}×", (x, row), (-4, 0), FAINT, 5.5)
    _beside(axes, "Prophet", (ours[0], -0.8), (3, 0), PROPHET)
    axes.annotate("baseline", (base[0], -0.8), (-3, 0), textcoords="offset points", va="center",
                  color=BASELINE, fontsize=6.5)
    axes.set_xscale("log")
    _plain(axes.xaxis)


def _beside(axes: Axes, text: str, at: tuple[float, float], shift: tuple[float, float],
            color: str, size: float = 6.5) -> None:
    side = "right" if shift[0] < 0 else "left"
    axes.annotate(text, at, shift, textcoords="offset points", ha=side, va="center",
                  color=color, fontsize=size)


@figure
def figure2_kv_extension_by_model(cube: xr.Dataset) -> Figure:
    """Average KV extension per model, with the cells that the average is made of.

    Reads kv_extension (policy, model, gpu, batch) [1], regime (policy, model, gpu, batch).
    """
    row = _prophet(cube)
    row = row.isel(model=np.flatnonzero((row.regime == BOTH).any(["gpu", "batch"]).values))
    row = row.isel(model=np.argsort(-extension(row)["mean"].values, kind="stable"))
    each = extension(row)
    drawing = Figure(figsize=(COLUMN, 1.35 + 0.36 * row.sizes["model"]))
    axes = drawing.subplots()
    lanes = row.sizes["gpu"] + 1
    for lane, (gpu, (color, mark)) in enumerate(zip(row.gpu.values, CARDS, strict=False), 1):
        values = row.cell.sel(gpu=gpu).transpose("model", "batch")
        at = np.arange(row.sizes["model"])[:, None] + (lane / lanes - 0.42) + 0 * values
        axes.plot(values.values.ravel(), at.values.ravel(), mark, color=color, alpha=0.75,
                  markersize=2.6, markeredgewidth=0, label=gpu)
    _averages(axes, each)
    counts = [f"{n}\n{c} of {t} cells" for n, c, t in zip(
        names(row), each.cells_fitting.values, each["cells"].values, strict=True)]
    _rows(axes, counts)
    axes.set(xscale="log", xlabel="KV extension over the baseline (×)")
    _plain(axes.xaxis, [1, 2, 5, 10, 20, 50, 100])
    axes.axvline(1, color=INK, linewidth=0.5, zorder=0.5)
    drawing.legend(loc="outside upper left", ncols=3)
    zeros = bool((cube.kv_extension == 0).any())
    means = "Mean: cells where the baseline does not fit count as 0." if zeros else (
        "Mean: over the cells where both fit.")
    _note(drawing, f"{means} Median: cells where both fit.\n{_outside(_prophet(cube))}", 74)
    return drawing


def _averages(axes: Axes, each: xr.Dataset) -> None:
    """Mean and median of each row, above its cells."""
    at = np.arange(each.sizes["model"]) - 0.42
    axes.plot(each["mean"], at, "D", color=INK, markersize=3.6, label="mean")
    axes.plot(each.median_fitting, at, "|", color=INK, markersize=6, label="median")
    for x, y in zip(each["mean"].values, at, strict=True):
        _beside(axes, f"{x:.2f}", (x, y), (5, 0), INK)


@figure
def figure3_context_scaling(cube: xr.Dataset) -> Figure:
    """KV extension against the decode batch, per model and GPU.

    Reads kv_extension (policy, model, gpu, batch) [1], regime (policy, model, gpu, batch).
    """
    row = _prophet(cube)
    fitting = row.isel(model=np.flatnonzero((row.regime == BOTH).any(["gpu", "batch"]).values))
    count, across = fitting.sizes["model"], 3
    down = -(-(count + 1) // across)
    drawing = Figure(figsize=(PAGE, 0.35 + 1.45 * down))
    panels = drawing.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, i in zip(panels, range(count), strict=False):
        _lines(axes, fitting.isel(model=i))
    for axes in panels[count:]:
        axes.axis("off")
    return drawing


def _lines(axes: Axes, model: xr.Dataset) -> None:
    """Extension against batch, one line per GPU; above it the cells that only Prophet fits."""
    axes.set_title(names(model)[0], fontweight="bold")
    axes.axhline(1, color=INK, linewidth=0.5, zorder=0.5)
    for lane, (gpu, (color, mark)) in enumerate(zip(model.gpu.values, CARDS, strict=False)):
        cell = model.sel(gpu=gpu)
        axes.plot(cell.batch, cell.cell, color=color, marker=mark, label=gpu)
    axes.set(xscale="log", yscale="log")
    _plain(axes.xaxis, model.batch.values)
    _plain(axes.yaxis, [1, 2, 5, 10, 20, 50])


@figure
def figure4_batch_context_tradeoff(cube: xr.Dataset) -> Figure:
    """Share of expert memory freed, by model and decode batch.

    Reads expert_savings_fraction (policy, model, batch) [1], n_experts (model), top_k (model).
    """
    row = _by_experts(cube.sel(policy="prophet"))
    share = shown(row.expert_savings_fraction, "%").transpose("model", "batch")
    drawing = Figure(figsize=(COLUMN, 0.75 + 0.165 * row.sizes["model"]))
    axes = drawing.subplots()
    frame = share.to_pandas()
    frame.index = _labels(row)
    sns.heatmap(frame, ax=axes, cmap="Blues", vmin=0, vmax=100, annot=True, fmt=".0f",
                annot_kws={"fontsize": 6.5}, cbar=False, linewidths=0.6, linecolor="white")
    axes.set(xlabel="Decode batch (sequences)", ylabel="")
    axes.set_title("Expert memory freed (%)", fontweight="bold")
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)
    return drawing


def _labels(row: xr.Dataset) -> list[str]:
    """``name  k/E`` of each model."""
    shape = zip(names(row), row.top_k.values, row.n_experts.values, strict=True)
    return [f"{name}  {k:.0f}/{e:.0f}" for name, k, e in shape]


@figure
def figure5_expert_count_analysis(cube: xr.Dataset) -> Figure:
    """Deduplication and KV extension by expert count, with the models that do not fit.

    Reads dedup_factor (model, batch) [1], kv_extension (policy, model, gpu, batch) [1],
    regime (policy, model, gpu, batch), n_experts (model), top_k (model).
    """
    row = _by_experts(_prophet(cube))
    drawing = Figure(figsize=(PAGE, 0.75 + 0.165 * row.sizes["model"]))
    left, right = drawing.subplots(1, 2, sharey=True)
    return drawing
