"""Break-even maps -> Figure, of the study on sensitivity."""

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from prophet_xr.reporting.figure_style import COLUMN, FAINT
from prophet_xr.reporting.listing import Figures
from prophet_xr.reporting.numbers import names
from prophet_xr.studies.sensitivity.assumptions import BASE
from prophet_xr.studies.sensitivity.index_figures import note
from prophet_xr.uncertainty.break_even import ABOVE, BELOW, CROSSES

FIGURES = Figures()


def _heatmap(axes: Axes, shade: np.ndarray, text: np.ndarray, **more: Any) -> None:
    """Shades, a text on each, and in grey the text of those without a shade."""
    look = {"fmt": "", "annot_kws": {"fontsize": 7}, "cbar": False, "cmap": "Blues"}
    empty = np.isnan(shade)
    sns.heatmap(shade, ax=axes, annot=text, mask=empty, linewidths=0.5, **look, **more)
    for row, column in np.argwhere(empty):
        place = {"ha": "center", "va": "center", "fontsize": 7, "color": FAINT}
        axes.text(column + 0.5, row + 0.5, str(text[row, column]), **place)
    axes.tick_params(length=0)
    axes.tick_params(axis="y", rotation=0)


@FIGURES.figure
def figure5_break_even_batch(batch_break_even: Any) -> Figure:
    """Batch from which Prophet frees less than a tenth of the experts, by law and exponent."""
    order = np.lexsort((batch_break_even.top_k.values, batch_break_even.n_experts.values))
    found = batch_break_even.isel(model=order)
    power = found.batch.sel(routing="power").transpose("model", "dedup_exponent")
    others = [found.batch.sel(routing=r).isel(dedup_exponent=0).values for r in ("uniform", "zipf")]
    table = np.column_stack([power.values, *others])
    ticks = [f"{e:g}" for e in found.dedup_exponent.values] + ["uniform", "zipf"]
    drawing = Figure(figsize=(COLUMN, 0.7 + 0.165 * len(table)))
    axes = drawing.subplots()
    shades = {"norm": LogNorm(1, 2000), "xticklabels": ticks, "yticklabels": names(found)}
    _heatmap(axes, table, np.char.mod("%.0f", table), **shades)
    axes.axvline(power.shape[1], color="white", linewidth=3)
    axes.set_xlabel("Exponent of the power law; other laws")
    axes.set_title("Batch from which less than 10% is left to free")
    return drawing


@FIGURES.figure
def figure6_break_even_hit_rate(hit_rate_break_even: Any) -> Figure:
    """Least hit rate at which Prophet costs what the study says, by link and residency."""
    labels, most = names(hit_rate_break_even), hit_rate_break_even.attrs["target"]
    drawing = Figure(figsize=(COLUMN, 1.05 * len(labels) + 0.7))
    panels = drawing.subplots(len(labels), 1, sharex=True)
    links = [f"{v / 1e9:g}" for v in hit_rate_break_even.host_link_rate.values]
    rows = [f"{100 * k:.0f}%" for k in hit_rate_break_even.kept.values]
    for axes, name, i in zip(panels, labels, range(len(labels)), strict=True):
        one = hit_rate_break_even.isel(model=i).transpose("kept", "host_link_rate")
        hits, side = 100 * one.hit_rate.values, one.side.values
        text = np.where(
            side == BELOW, "any", np.where(side == ABOVE, "-", np.char.mod("%.1f", hits))
        )
        shade = np.where(side == CROSSES, hits, np.where(side == BELOW, 0.0, np.nan))
        _heatmap(axes, shade, text, vmin=0, vmax=130, xticklabels=links, yticklabels=rows)
        axes.set_title(name)
        axes.set_ylabel("Also resident")
    panels[-1].set_xlabel("Host link (GB/s)")
    note(
        drawing,
        f"Least hit rate (%) for a slowdown of at most {most:g} at batch 1 on "
        "A100-80GB, 4,096 tokens; rows: share of the experts kept next to those of the step. "
        "Dash: no hit rate will do.",
    )
    return drawing


@FIGURES.figure
def figure7_break_even_exponent(exponent_break_even: Any) -> Figure:
    """Exponent at which Prophet stops fitting A100-80GB, by model and batch."""
    found = exponent_break_even.sel(gpu="A100-80GB").transpose("model", "batch", ...)
    found = found.isel(model=(found.side == CROSSES).any("batch").values)
    edge, side = found.dedup_exponent.values, found.side.values
    text = np.where(side == ABOVE, "any", np.where(side == BELOW, "-", np.char.mod("%.2f", edge)))
    shade = np.where(side == CROSSES, edge, np.where(side == ABOVE, 1.0, np.nan))
    drawing = Figure(figsize=(COLUMN, 1.25 + 0.165 * len(shade)))
    axes = drawing.subplots()
    ticks = {"xticklabels": found.batch.values, "yticklabels": names(found)}
    _heatmap(axes, shade, text, vmin=0, vmax=1.6, **ticks)
    axes.set_xlabel("Decode batch")
    axes.set_title("Largest exponent with which Prophet fits")
    note(
        drawing,
        f"A100-80GB, true architectures in bf16; the study's exponent is "
        f"{BASE['dedup_exponent']:g}. Any: it fits with every exponent to 1; dash: with "
        "none. Models that fit at every batch or at none are left out.",
    )
    return drawing
