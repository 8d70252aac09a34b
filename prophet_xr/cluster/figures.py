"""Cube -> Figure, for many GPUs.  A figure's name is its file name; all are a column wide."""

from collections.abc import Callable, Mapping
from functools import wraps

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prophet_xr import planning
from prophet_xr.canvas import (
    BASELINE,
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
from prophet_xr.cluster import grids, note
from prophet_xr.reduce import names, shown

Cubes = Mapping[str, xr.Dataset]
Draw = Callable[[Cubes], Figure]
FIGURES: dict[str, Draw] = {}
CARD = "H100-80GB"
SHOWN = ["qwen3-235b-a22b", "snowflake-arctic-480b", "deepseek-v3-671b"]
SCALED = 16  # sequences; at more, a step needs nearly all experts
RISE = {"A100-80GB": 3, "A100-80GB-PCIe": -3}  # % of a step, so that names stay apart
COUNTS = [1, 2, 4, 8, 16, 32, 64]
PARTS = {
    "fixed_memory": ("fixed weights", COLOURS[7]),
    "expert_memory": ("experts", COLOURS[3]),
    "activation_memory": ("activations", COLOURS[1]),
    "engine": ("context, graphs", COLOURS[4]),
    "kv_budget": ("KV cache", COLOURS[0]),
    "reserved_memory": ("left alone", RULE),
}


def figure(draw: Draw) -> Draw:
    """List a figure under its function's name."""

    @wraps(draw)
    def styled(cubes: Cubes) -> Figure:
        with style():
            return draw(cubes)

    FIGURES[draw.__name__] = styled
    return styled


def _kind(cube: xr.Dataset, expert: bool) -> xr.Dataset:
    return cube.sel(plan=list(planning.EXPERT if expert else planning.TENSOR))


@figure
def figure1_scaling(cubes: Cubes) -> Figure:
    """Tokens per second and GPU over 1 to 64 GPUs, per kind of plan and policy.

    Reads throughput_per_gpu [1/s], serves_context (policy, plan, model, ...).
    """
    drawing = Figure(figsize=(COLUMN, 4.6))
    panels = drawing.subplots(len(SHOWN), 1, sharex=True)
    drawing.supxlabel(
        wrapped(
            f"H100, batch {SCALED}, context 8,192, vLLM, 16-bit weights, measured routing. Only "
            "plans that serve the context. Solid: tensor and pipeline; dashed: data and "
            "expert ranks.",
            70,
        ),
        x=0.01,
        ha="left",
    )
    cube = cubes["scaling"].sel(gpu=CARD, batch=SCALED)
    for axes, model in zip(panels, SHOWN, strict=True):
        row = cube.sel(model=model)
        for expert, dash in ((False, "-"), (True, "--")):
            own = _kind(row, expert)
            for policy, color in (("baseline", BASELINE), ("prophet", PROPHET)):
                cell = own.sel(policy=policy)
                y = cell.throughput_per_gpu.where(cell.serves_context)
                size = 5 if policy == "baseline" else 3
                axes.plot(cell.n_gpus, y, dash, color=color, marker="o", markersize=size)
        axes.set_title(names(row)[0])
        axes.set_ylabel("Tokens/s/GPU")
        log(axes, "x", COUNTS)
        log(axes, "y", [0.3, 1, 3, 10, 30, 100])
        axes.set_xlim(0.9, 72)
        axes.set_ylim(0.7, 220)
    _key(panels[-1])
    panels[-1].set_xlabel("GPUs")
    return drawing


def _key(axes: Axes) -> None:
    """Names of the two policies, in the empty corner below small systems."""
    axes.text(0.03, 0.55, "all experts resident", color=BASELINE, transform=axes.transAxes)
    axes.text(0.03, 0.4, "Prophet", color=PROPHET, transform=axes.transAxes)


@figure
def figure2_memory_per_gpu(cubes: Cubes) -> Figure:
    """What fills one GPU, part by part up to the card, per plan and policy.

    Reads the parts of memory [B] (policy, plan, ...).
    """
    cube = cubes["scaling"].sel(gpu=CARD, model="qwen3-235b-a22b", batch=16)
    plans = ["tp4", "tp8", "tp8-pp2", "dp8-ep8", "dp16-ep16"]
    rows = [(p, policy) for p in plans for policy in ("baseline", "prophet")]
    drawing = Figure(figsize=(COLUMN, 3.5))
    axes = drawing.subplots()
    for i, (plan, policy) in enumerate(rows):
        _bar(axes, i, cube.sel(plan=plan, policy=policy))
    card = cube.usable_memory.item() / 2**30
    axes.axvline(card, color=INK, linewidth=0.8)
    beside(axes, "the card's memory", (card, -0.9), 4)
    label_rows(axes, [f"{p}, {'all' if q == 'baseline' else 'Prophet'}" for p, q in rows], 0.5)
    axes.set_xlabel("GiB per GPU")
    handles = [axes.barh(0, 0, color=color, label=name) for name, color in PARTS.values()]
    drawing.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=7.5)
    drawing.supxlabel(
        wrapped("Qwen3-235B on H100, batch 16, context 8,192, vLLM. Beyond the card: no room.", 70),
        x=0.01,
        ha="left",
    )
    return drawing


def _bar(axes: Axes, at: float, cell: xr.Dataset) -> None:
    left = 0.0
    for part, (_, color) in PARTS.items():
        size = _part(cell, part) / 2**30
        if size > 0:
            axes.barh(at, size, left=left, color=color, height=0.75)
            left += size


def _part(cell: xr.Dataset, part: str) -> float:
    if part == "engine":
        return (cell.non_torch_memory + cell.graph_memory + cell.predictor_memory).item()
    return max(0.0, cell[part].item())


@figure
def figure3_exchange(cubes: Cubes) -> Figure:
    """Share of a step that is exchange between GPUs, over the GPUs, per card.

    Reads communication_share [1] (plan, gpu, ...).
    """
    drawing = Figure(figsize=(COLUMN, 3.6))
    panels = drawing.subplots(2, 1, sharex=True, sharey=True)
    cube = cubes["scaling"].sel(model="qwen3-235b-a22b", policy="baseline", batch=64)
    colors = dict(zip(grids.CARDS, (COLOURS[0], COLOURS[1], COLOURS[3], COLOURS[2]), strict=True))
    titles = {"A100-80GB": "A100", "A100-80GB-PCIe": "A100 in pairs", "H100-80GB": "H100"}
    titles["RTX-A6000"] = "RTX A6000 in pairs"
    for axes, expert in zip(panels, (False, True), strict=True):
        own = _kind(cube, expert)
        for gpu in grids.CARDS:
            y = shown(own.communication_share.sel(gpu=gpu), "%")
            axes.plot(own.n_gpus, y, "o-", color=colors[gpu])
            if expert:
                place = (64, y.values[-1] + RISE.get(gpu, 0))
                beside(axes, titles[gpu], place, 5, colors[gpu])
        axes.set_title("Data and expert ranks" if expert else "Tensor ranks, then pipeline stages")
        axes.set_ylabel("Exchange (% of step)")
        log(axes, "x", COUNTS)
    panels[-1].set_xlim(0.9, 300)
    panels[-1].set_ylim(bottom=0)
    panels[-1].set_xlabel("GPUs")
    drawing.supxlabel(
        wrapped("Qwen3-235B, batch 64, context 8,192; where weights do not fit, a what-if.", 70),
        x=0.01,
        ha="left",
    )
    return drawing


@figure
def figure4_fewest_gpus(cubes: Cubes) -> Figure:
    """Fewest H100 that serve 8,192 tokens a sequence, with all experts resident and with Prophet.

    Reads serves_context, n_gpus (plan, ...).
    """
    drawing = Figure(figsize=(COLUMN, 4.0))
    panels = drawing.subplots(2, 1, sharex=True)
    found = grids.fewest(cubes["scaling"]).sel(gpu=CARD)
    titles = names(cubes["scaling"])
    for axes, batch in zip(panels, (1, 64), strict=True):
        row = found.sel(batch=batch)
        for i in range(row.sizes["model"]):
            all_, less = (row.isel(model=i).sel(policy=p).item() for p in ("baseline", "prophet"))
            axes.plot([less, all_], [i, i], color=RULE, linewidth=3, zorder=0)
            axes.plot(all_, i, "o", color=BASELINE, markerfacecolor="none", markersize=6)
            axes.plot(less, i, "o", color=PROPHET, markersize=3)
        label_rows(axes, titles, 0.6)
        axes.set_title(f"Batch {batch}")
        log(axes, "x", COUNTS)
        axes.set_xlim(0.8, 80)
    panels[0].text(70, 0, "all experts", color=BASELINE, ha="right", va="center", fontsize=7.5)
    panels[0].text(70, 1, "Prophet", color=PROPHET, ha="right", va="center", fontsize=7.5)
    panels[-1].set_xlabel("Fewest GPUs (H100)")
    return drawing


@figure
def figure5_study_systems(cubes: Cubes) -> Figure:
    """Speed-up of Prophet on the study's systems: as published, and by physics.

    Reads throughput (system, policy) [1/s] and the note's rule.
    """
    rule, true = (made.multi_gpu_speedup for made in note.both(cubes))
    drawing = Figure(figsize=(COLUMN, 2.0))
    axes = drawing.subplots()
    for i, system in enumerate(rule.system.values):
        own, real = rule.sel(system=system).item(), true.sel(system=system).item()
        axes.plot(own, i, "s", color=FAINT)
        beside(axes, f"{own:.2f}×", (own, i), 5, FAINT)
        if np.isfinite(real):
            axes.plot(real, i, "o", color=PROPHET)
            beside(axes, f"{real:.2f}×", (real, i), -5, PROPHET)
        else:
            beside(axes, "all experts do not fit", (0.9, i), -5, PROPHET)
    axes.axvline(1, color=INK, linewidth=0.6)
    label_rows(axes, [str(s) for s in rule.system.values], 0.7)
    axes.text(7, -0.75, "study's rule", color=FAINT, ha="center", va="center", fontsize=7.5)
    axes.text(0.06, -0.75, "physics", color=PROPHET, ha="center", va="center", fontsize=7.5)
    log(axes, "x", [0.01, 0.1, 1, 10])
    axes.set_xlim(0.01, 40)
    axes.set_xlabel("Tokens/s of Prophet over all experts resident")
    return drawing
