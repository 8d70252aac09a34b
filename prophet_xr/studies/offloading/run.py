"""The files of ``prophet-xr offload``: cubes, tables, figures and the report on them."""

from functools import partial
from pathlib import Path

import xarray as xr

from prophet_xr.reporting import writers
from prophet_xr.studies.offloading import report, sweeps
from prophet_xr.studies.offloading.figures import FIGURES
from prophet_xr.studies.offloading.tables import TABLES

REPORT = "WHAT_OFFLOADING_COSTS.md"


def cubes() -> dict[str, xr.Dataset]:
    """Sweep all that the files are made from."""
    return {"costs": sweeps.costs(), "closer": sweeps.closer(), "engines": sweeps.engines()}


def jobs(out: Path, made: dict[str, xr.Dataset]) -> list[writers.Job]:
    """List the files: a title and what to call."""
    tables = {name: partial(make, made[cube]) for name, (cube, make) in TABLES.items()}
    figures = {name: partial(draw, made[cube]) for name, (cube, draw) in FIGURES.items()}
    return writers.jobs(out, made, tables, figures, {REPORT: partial(report.report, made)})


def run(out: Path, tell: writers.Tell) -> None:
    """Sweep and write everything; ``tell(title, left)`` hears of each file."""
    writers.run(jobs(out, cubes()), tell)
