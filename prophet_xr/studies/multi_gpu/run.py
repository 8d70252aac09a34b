"""The files of ``prophet-xr cluster``: cubes, tables, figures and the report on them."""

from functools import partial
from pathlib import Path

import xarray as xr

from prophet_xr.reporting import writers
from prophet_xr.studies.multi_gpu import published_note, report, sweeps
from prophet_xr.studies.multi_gpu.figures import FIGURES
from prophet_xr.studies.multi_gpu.tables import TABLES

REPORT = "MANY_GPUS.md"


def cubes() -> dict[str, xr.Dataset]:
    """Sweep all that the files are made from."""
    source = published_note.rows()
    double = source.assign(gpus=2 * source.gpus)
    systems = {"systems": sweeps.systems(source), "doubled": sweeps.systems(double)}
    return {"scaling": sweeps.scaling(), **systems}


def jobs(out: Path, made: dict[str, xr.Dataset]) -> list[writers.Job]:
    """List the files: a title and what to call."""
    tables = {name: partial(make, made) for name, make in TABLES.items()}
    figures = {name: partial(draw, made) for name, draw in FIGURES.items()}
    return writers.jobs(out, made, tables, figures, {REPORT: partial(report.report, made)})


def run(out: Path, tell: writers.Tell) -> None:
    """Sweep and write everything; ``tell(title, left)`` hears of each file."""
    writers.run(jobs(out, cubes()), tell)
