"""Results of the studies, each made once a session, when a test first asks for it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from prophet_xr.reporting import run_study
from prophet_xr.studies import STUDIES


class Results(dict):
    """Results of a study by name; one that it borrows is the lender's own."""

    def __init__(self, command: str, given: Mapping[str, Any] | None = None) -> None:
        super().__init__(given or {})
        study = STUDIES[command]
        self.borrows = study.borrows
        self.parts = {
            **(study.part("sweeps", "SWEEPS") or {}),
            **(study.part("report", "PARAGRAPHS") or {}),
        }

    def __missing__(self, name: str) -> Any:
        if name in self.borrows:
            self[name] = shared_results(self.borrows[name])[name]
        else:
            part = self.parts[name]
            self[name] = part(*(self[n] for n in part.reads))
        return self[name]

    def complete(self) -> "Results":
        """Make those that nothing asked for yet."""
        for name in (*self.parts, *self.borrows):
            self[name]
        return self


shared_results = cache(Results)


@pytest.fixture(scope="session")
def results_of():
    """Results of a study by its command, where nothing is asked of it or with what is given."""
    return lambda command, given=None: Results(command, given) if given else shared_results(command)


@pytest.fixture(scope="session")
def published() -> xr.Dataset:
    return shared_results("study")["published"]


@pytest.fixture(scope="session")
def costs() -> xr.Dataset:
    return shared_results("offload")["costs"]


@pytest.fixture
def coarse(monkeypatch) -> None:
    """Coarser pictures, which are quicker."""
    from prophet_xr.reporting import figure_style

    monkeypatch.setitem(figure_style.STYLE, "savefig", {"dpi": 50})


@pytest.fixture
def write():
    """Let the runner write the files of a study whose results are there, without its pictures."""

    def write_files(command: str, results: Results, out: Path) -> Path:
        study = replace(STUDIES[command], draws_apart=False)
        given = out / study.folder, dict(results.complete())
        sweeps = import_module(f"{study.package}.sweeps")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sweeps, "prepare", lambda out: given, raising=False)
            patch.setattr(run_study, "_figure", lambda part, values, path: None)
            return run_study.run(study, STUDIES, out, lambda title, left: None)

    return write_files
