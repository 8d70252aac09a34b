"""How a figure looks and is saved: widths, type, colours, and the pieces that figures share.

Widths are those of a page: 3.3 in for one column, 7 in for two, at 8 pt.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prophet_xr.files import replacing

COLUMN, PAGE = 3.3, 7.0  # in
COLOURS = list(sns.color_palette("colorblind").as_hex())
PROPHET_COLOUR, BASELINE_COLOUR = COLOURS[0], COLOURS[3]
INK, FAINT, RULE = "#222222", "#6e6e6e", "#d9d9d9"
# STIX (Times) goes with a paper's text, and embeds in a quarter of the time of DejaVu Sans,
# whose layout tables are large.
STYLE = {
    "font": {"family": "STIXGeneral", "size": 8},
    "figure": {"labelsize": 7, "constrained_layout.use": True},
    "axes": {"titlesize": 8, "titleweight": "bold", "titlelocation": "left", "labelsize": 8}
    | {"linewidth": 0.5, "edgecolor": INK, "labelcolor": INK, "axisbelow": True}
    | {"spines.top": False, "spines.right": False},
    "xtick": {"labelsize": 7.5, "color": INK, "major.width": 0.5, "major.size": 2.5}
    | {"minor.width": 0.4, "minor.size": 1.5},
    "ytick": {"labelsize": 7.5, "color": INK, "major.width": 0.5, "major.size": 2.5},
    "legend": {"fontsize": 7.5, "frameon": False, "handletextpad": 0.3, "columnspacing": 1.0}
    | {"borderaxespad": 0.2, "title_fontsize": 7.5},
    "lines": {"linewidth": 1.0, "markersize": 3.5},
    "text": {"color": INK},
    "mathtext": {"fontset": "stix"},
    "pdf": {"fonttype": 42},  # TrueType, so that text stays text
    "ps": {"fonttype": 42},
    "savefig": {"dpi": 300},
}
METADATA = {"pdf": {"CreationDate": None}, "png": {"Software": None}}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save in the style of the study; the caller's own settings come back after it."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for group, settings in STYLE.items():
            mpl.rc(group, **settings)  # pyright: ignore[reportArgumentType]
        yield


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write ``<name>.pdf`` and ``<name>.png``, each next to its place, then renamed.

    The same figure gives the same bytes: no file holds a time.  Raises OSError if the disk does.
    """
    with style(), mpl.rc_context({"figure.constrained_layout.use": False}):
        if engine := figure.get_layout_engine():
            engine.execute(figure)  # once for both files: an engine, or "none", would draw again
        figure.set_layout_engine(None)
        for kind, metadata in METADATA.items():
            with replacing(folder / f"{name}.{kind}") as draft:
                figure.savefig(draft, format=kind, metadata=metadata)


def wrapped(text: str, width: int) -> str:
    """Break lines, but no word."""
    return "\n".join(
        fill(line, width, break_on_hyphens=False, break_long_words=False)
        for line in text.splitlines()
    )


def log_axis(axes: Axes, which: str, ticks: Iterable[float] | None = None) -> None:
    """Make a log axis with numbers as people write them: 0.1, 1, 10, 1,000."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    if ticks is not None:
        axis.set_major_locator(FixedLocator(list(ticks)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))


def label_rows(axes: Axes, labels: list[str], above: float = 0.0) -> None:
    """One row per label, first on top, with room for ``above`` more rows over them."""
    axes.set_yticks(range(len(labels)), labels, linespacing=0.85)
    axes.set_ylim(len(labels) - 0.4, -0.6 - above)


def label_near(axes: Axes, text: str, at: tuple, shift: float, color: str = INK, **more) -> None:
    """Text to the right of a point, or to its left if ``shift`` (in points) is negative."""
    axes.annotate(
        text,
        at,
        (shift, 0),
        textcoords="offset points",
        color=color,
        **{"ha": "left" if shift > 0 else "right", "va": "center", "fontsize": 7.5, **more},
    )
