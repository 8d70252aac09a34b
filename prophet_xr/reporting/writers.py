"""What a command writes: cubes, tables, figures and a report, one job each."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from prophet_xr.files import write
from prophet_xr.reporting import figure_style
from prophet_xr.reporting.markdown import markdown
from prophet_xr.store import save

Job = tuple[str, Callable[[], object]]
Tell = Callable[[str, int], None]


def table(make: Callable[[], pd.DataFrame], path: Path) -> pd.DataFrame:
    """Write a table as CSV and Markdown."""
    frame = make()
    write(path.with_suffix(".csv"), frame.to_csv(index=False, float_format="%.6g"))
    write(path.with_suffix(".md"), markdown(frame))
    return frame


def figure(draw: Callable[[], Figure], path: Path) -> None:
    """Write a figure as PDF and PNG."""
    figure_style.save(draw(), path.parent, path.name)


def jobs(
    out: Path,
    cubes: Mapping[str, xr.Dataset],
    tables: Mapping[str, Callable[[], pd.DataFrame]],
    figures: Mapping[str, Callable[[], Figure]],
    reports: Mapping[str, Callable[[], str]],
) -> list[Job]:
    """List the files by name: a title and what to call."""
    todo: list[Job] = [(f"{n}.nc", partial(save, c, out / f"{n}.nc")) for n, c in cubes.items()]
    todo += [(n, partial(table, make, out / n)) for n, make in tables.items()]
    todo += [(n, partial(figure, draw, out / n)) for n, draw in figures.items()]
    todo += [(n, partial(_report, make, out / n)) for n, make in reports.items()]
    return todo


def _report(make: Callable[[], str], path: Path) -> None:
    write(path, make())


def run(todo: list[Job], tell: Tell) -> None:
    """Do the jobs; ``tell(title, left)`` hears of each."""
    for done, (title, job) in enumerate(todo):
        tell(title, len(todo) - done)
        job()
    tell("done", 0)
