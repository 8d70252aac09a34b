"""Cube -> Figure, for many GPUs.  A figure's name is its file name."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prophet_xr.catalogue.plans import EXPERT_PLANS, TENSOR_PLANS
from prophet_xr.reporting.figure_style import (
    BASELINE_COLOUR,
    COLOURS,
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
from prophet_xr.reporting.numbers import names, shown
from prophet_xr.studies.multi_gpu import sweeps

_Cubes = Mapping[str, xr.Dataset]
FIGURES = Figures()
_CARD = "H100-80GB"
_SCALED = 16  # sequences; at more, a step needs nearly all experts
_COUNTS = [1, 2, 4, 8, 16, 32, 64]
_POLICIES = {"baseline": BASELINE_COLOUR, "prophet": PROPHET_COLOUR}
_TITLES = {"A100-80GB": "A100", "A100-80GB-PCIe": "A100 in pairs", "H100-80GB": "H100"}
_TITLES |= {"RTX-A6000": "A6000 in pairs", "L40S": "L40S, no link"}
_PARTS = {
    "fixed_memory": ("fixed weights", COLOURS[7]),
    "expert_memory": ("experts", COLOURS[3]),
    "activation_memory": ("activations", COLOURS[1]),
    "engine": ("context, graphs", COLOURS[4]),
    "kv_budget": ("KV cache", COLOURS[0]),
    "reserved_memory": ("left alone", RULE),
}


@FIGURES.figure
def figure1_scaling(scaling: xr.Dataset) -> Figure:
    """Tokens per second and GPU over 1 to 64 GPUs: the best plan that serves, per policy.

    Reads throughput_per_gpu [1/s], plan (gpus, policy, model) of `grids.best`.
    """
    drawing = Figure(figsize=(PAGE, 3.1))
    panels = drawing.subplots(2, 4, sharex=True, sharey=True)
    drawing.supxlabel(
        f"GPUs (H100; batch {_SCALED}, context 8,192, 16-bit weights, vLLM)", fontsize=8
    )
    drawing.supylabel("Tokens/s/GPU", fontsize=8)
    cube = sweeps.best(scaling.sel(gpu=_CARD, batch=_SCALED))
    for axes, model, title in zip(panels.flat, cube.model.values, names(scaling), strict=True):
        for policy, color in _POLICIES.items():
            _curve(axes, cube.sel(model=model, policy=policy), color)
        axes.set_title(title)
    log_axis(panels[0, 0], "x", _COUNTS)
    log_axis(panels[0, 0], "y", [1, 10, 100])
    panels[0, 0].set(xlim=(0.8, 80), ylim=(0.8, 900))
    _key(panels[1, 3])
    return drawing


def _curve(axes: Axes, cell: xr.Dataset, color: str) -> None:
    """One policy of one model: filled where tensor and stages are best, hollow: expert ranks."""
    axes.plot(cell.gpus, cell.throughput_per_gpu, color=color)
    ranks = np.char.startswith(cell["plan"].values.astype(str), "dp")
    for chosen, face in ((~ranks, color), (ranks, "white")):
        y = cell.throughput_per_gpu.where(xr.DataArray(chosen, dims="gpus"))
        axes.plot(cell.gpus, y, "o", color=color, markerfacecolor=face)


def _key(axes: Axes) -> None:
    """What lines and markers mean, in the corner that no curve reaches."""
    lines = (("all experts resident", BASELINE_COLOUR), ("Prophet", PROPHET_COLOUR))
    lines += (("filled: tensor ranks, stages", INK), ("hollow: expert ranks", INK))
    for i, (text, color) in enumerate(lines):
        place = (0.03, 0.93 - 0.12 * i)
        axes.text(*place, text, color=color, transform=axes.transAxes, va="center", fontsize=7)


@FIGURES.figure
def figure2_memory_per_gpu(scaling: xr.Dataset) -> Figure:
    """What fills one GPU, part by part up to the card, per plan and policy.

    Reads the parts of memory [B] (policy, plan, ...).
    """
    cube = scaling.sel(gpu=_CARD, model="qwen3-235b-a22b", batch=_SCALED)
    plans = ["tp4", "tp8", "tp8-pp2", "dp8-ep8", "dp16-ep16"]
    drawing = Figure(figsize=(COLUMN, 3.4))
    axes = drawing.subplots()
    places, labels = [], []
    for i, plan in enumerate(plans):
        for j, policy in enumerate(_POLICIES):
            places.append(i + 0.38 * j)
            labels.append("Prophet" if j else f"{plan}   all")
            _bar(axes, places[-1], cube.sel(plan=plan, policy=policy))
    card = cube.usable_memory.item() / 2**30
    axes.axvline(card, color=INK, linewidth=0.8)
    label_near(axes, "the card", (card, -0.45), 3)
    axes.set_yticks(places, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(plans) - 0.35, -0.65)
    axes.set_xlabel("GiB per GPU (Qwen3-235B, H100, batch 16, vLLM)")
    handles = [axes.barh(0, 0, color=color, label=name) for name, color in _PARTS.values()]
    drawing.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=7.5)
    return drawing


def _bar(axes: Axes, at: float, cell: xr.Dataset) -> None:
    left = 0.0
    for part, (_, color) in _PARTS.items():
        size = _part(cell, part) / 2**30
        if size > 0:
            axes.barh(at, size, left=left, color=color, height=0.34)
            left += size


def _part(cell: xr.Dataset, part: str) -> float:
    if part == "engine":
        parts = ("non_torch_memory", "graph_memory", "table_memory", "predictor_memory")
        return sum(cell[name].item() for name in parts)
    return max(0.0, cell[part].item())


@FIGURES.figure
def figure3_exchange(scaling: xr.Dataset) -> Figure:
    """Share of a step that is exchange between GPUs, over the GPUs, per card.

    Reads communication_share [1] (plan, gpu, ...).
    """
    drawing = Figure(figsize=(COLUMN, 3.7))
    panels = drawing.subplots(2, 1, sharex=True, sharey=True)
    cube = scaling.sel(model="qwen3-235b-a22b", policy="baseline", batch=64)
    kinds = {"Tensor ranks, then stages": TENSOR_PLANS, "Data and expert ranks": EXPERT_PLANS}
    for axes, (title, plans) in zip(panels, kinds.items(), strict=True):
        own = cube.sel(plan=list(plans))
        share = shown(own.communication_share, "%")
        last = share.isel(plan=-1)
        heights = spread_heights(last.values, 4.5)
        for gpu, color, height in zip(sweeps.CARDS, COLOURS[:5], heights, strict=True):
            axes.plot(own.n_gpus, share.sel(gpu=gpu), "o-", color=color)
            label_near(axes, _TITLES[gpu], (64, height), 5, color)
        axes.set_title(title)
        axes.set_ylabel("Exchange (% of step)")
        log_axis(axes, "x", _COUNTS)
    panels[-1].set(xlim=(0.9, 300))
    panels[-1].set_ylim(bottom=0)
    panels[-1].set_xlabel("GPUs (Qwen3-235B, batch 64, as if it fitted)")
    return drawing


def spread_heights(heights: np.ndarray, gap: float) -> np.ndarray:
    """Move heights apart until each is ``gap`` from the next, in their order."""
    order = np.argsort(heights)
    placed = heights[order].astype(float)
    for _ in range(100):
        short = gap - np.diff(placed)
        if (short <= 1e-6).all():
            break
        push = np.where(short > 0, short / 2, 0.0)
        placed[:-1] -= push
        placed[1:] += push
    return placed[np.argsort(order)]


@FIGURES.figure
def figure4_fewest_gpus(scaling: xr.Dataset) -> Figure:
    """Fewest H100 that serve 8,192 tokens a sequence, with all experts resident and with Prophet.

    Reads serves_context, n_gpus (plan, ...).
    """
    drawing = Figure(figsize=(COLUMN, 4.0))
    panels = drawing.subplots(2, 1, sharex=True)
    found = sweeps.fewest(scaling).sel(gpu=_CARD)
    titles = names(scaling)
    for axes, batch in zip(panels, (1, 64), strict=True):
        row = found.sel(batch=batch)
        for i in range(row.sizes["model"]):
            all_, less = (row.isel(model=i).sel(policy=p).item() for p in ("baseline", "prophet"))
            axes.plot([less, all_], [i, i], color=RULE, linewidth=3, zorder=0)
            axes.plot(all_, i, "o", color=BASELINE_COLOUR, markerfacecolor="none", markersize=6)
            axes.plot(less, i, "o", color=PROPHET_COLOUR, markersize=3)
        label_rows(axes, titles, 0.6)
        axes.set_title(f"Batch {batch}")
        log_axis(axes, "x", _COUNTS)
        axes.set_xlim(0.8, 80)
    panels[0].text(
        70, 0, "all experts", color=BASELINE_COLOUR, ha="right", va="center", fontsize=7.5
    )
    panels[0].text(70, 1, "Prophet", color=PROPHET_COLOUR, ha="right", va="center", fontsize=7.5)
    panels[-1].set_xlabel("Fewest GPUs (H100)")
    return drawing


@FIGURES.figure
def figure5_study_systems(note_numbers: tuple[xr.Dataset, xr.Dataset]) -> Figure:
    """Speed-up of Prophet on the study's systems: as published, and by physics.

    Reads throughput (system, policy) [1/s] and the note's rule.
    """
    rule, true = (note.multi_gpu_speedup for note in note_numbers)
    drawing = Figure(figsize=(COLUMN, 2.0))
    axes = drawing.subplots()
    for i, system in enumerate(rule.system.values):
        own, real = rule.sel(system=system).item(), true.sel(system=system).item()
        axes.plot(own, i, "s", color=FAINT)
        label_near(axes, f"{own:.2f}×", (own, i), 5, FAINT)
        if np.isfinite(real):
            axes.plot(real, i, "o", color=PROPHET_COLOUR)
            label_near(axes, f"{real:.2f}×", (real, i), -5, PROPHET_COLOUR)
        else:
            label_near(axes, "all experts do not fit", (0.9, i), -5, PROPHET_COLOUR)
    axes.axvline(1, color=INK, linewidth=0.6)
    label_rows(axes, [str(s) for s in rule.system.values], 0.7)
    axes.text(7, -0.75, "study's rule", color=FAINT, ha="center", va="center", fontsize=7.5)
    axes.text(0.06, -0.75, "physics", color=PROPHET_COLOUR, ha="center", va="center", fontsize=7.5)
    log_axis(axes, "x", [0.01, 0.1, 1, 10])
    axes.set_xlim(0.01, 40)
    axes.set_xlabel("Tokens/s of Prophet over all experts resident")
    return drawing
