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
    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE}):
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


def _label(model: xr.Dataset) -> str:
    """``name  k/E`` of one model."""
    return f"{names(model)[0]}  {model.top_k.item():.0f}/{model.n_experts.item():.0f}"


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


def _rows(axes: Axes, labels: list[str]) -> None:
    """One row per label, first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
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
