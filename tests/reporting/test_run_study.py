"""A toy study of sweeps, a table, a figure and pages, run by the one runner."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

import prophet_xr as px
from prophet_xr.reporting import figure_style, run_study
from prophet_xr.reporting.listing import Figures, Listing, Sweeps
from prophet_xr.reporting.study import Study
from prophet_xr.studies.kv_extension.figures import FIGURES


@dataclass(frozen=True)
class Toy(Study):
    """A study whose parts are given, and in no module."""

    parts: Mapping[str, Any] = field(default_factory=dict)

    def part(self, module: str, name: str) -> Any:
        return self.parts.get(name)


def quiet(title: str, left: int) -> None:
    pass


@pytest.fixture
def made() -> Counter:
    """How often each result was made."""
    return Counter()


@pytest.fixture
def lender(made) -> Toy:
    """Two sweeps, of which the second is lent, and a paragraph on the first."""
    sweeps, paragraphs, pages = Sweeps(), Listing(), Listing()

    @sweeps.saved
    def unasked() -> xr.Dataset:
        """What nobody borrows."""
        made["unasked"] += 1
        return xr.Dataset()

    @sweeps.part
    def models() -> list[str]:
        """Models."""
        made["models"] += 1
        return ["a", "b"]

    @sweeps.saved
    def costs(models) -> xr.Dataset:
        """Costs of the models."""
        made["costs"] += 1
        return xr.Dataset({"cost": ("model", [3.0, 4.0])}, {"model": models})

    @paragraphs.part
    def costs_summary(costs) -> str:
        """The costs in a sentence."""
        made["costs_summary"] += 1
        return f"The costs are {costs.cost.sum().item():g}."

    @paragraphs.part
    def unread_summary(unasked) -> str:
        """What no page reads."""
        made["unread_summary"] += 1
        return ""

    @pages.named("LENDER.md")
    def lent(costs_summary) -> str:
        """The lender's page."""
        return costs_summary

    parts = {"SWEEPS": sweeps, "PARAGRAPHS": paragraphs, "PAGES": pages}
    return Toy("toys.lender", "lend", "Lend.", "LENDER.md", folder="lender", parts=parts)


@pytest.fixture
def borrower(made) -> Toy:
    """A study of two sweeps, a table, a figure and two pages, which borrows two results."""
    sweeps, tables, figures, pages = Sweeps(), Listing(), Figures(), Listing()

    @sweeps.saved
    def cube(costs) -> xr.Dataset:
        """Twice the costs, as a cube that the project can load."""
        made["cube"] += 1
        return px.sweep(px.inputs(model="olmoe-1b-7b", gpu="H200", batch=[1, 2]), ["kv_budget"])

    @sweeps.part
    def double(costs) -> float:
        """Twice the costs."""
        made["double"] += 1
        return 2 * costs.cost.sum().item()

    @sweeps.part
    def of_a_trace(trace) -> int:
        """What is made of an option that nobody gave."""
        made["of_a_trace"] += 1
        return 0

    @tables.part
    def table1_double(double) -> pd.DataFrame:
        """Twice."""
        made["table1_double"] += 1
        return pd.DataFrame({"model": ["both"], "cost": [double]})

    @tables.part
    def table2_trace(of_a_trace) -> pd.DataFrame:
        """Of a trace."""
        pytest.fail("nothing to make it of")

    @figures.figure
    def figure1_double(double) -> Figure:
        """Twice, drawn."""
        made["figure1_double"] += 1
        figure = Figure(figsize=(1, 1))
        figure.subplots().plot([0, double])
        return figure

    @pages.named("notes/data.csv")
    def data(double) -> str:
        """The number."""
        return f"double\n{double:g}\n"

    @pages.named("BORROWER.md")
    def page(costs_summary, results, tables, figures) -> str:
        """The page that a reader begins with."""
        return f"{costs_summary} {tables['table1_double'].cost[0]:g} {figures} {sorted(results)}"

    parts = {"SWEEPS": sweeps, "TABLES": tables, "FIGURES": figures, "PAGES": pages}
    borrows = {"costs": "lend", "costs_summary": "lend"}
    return Toy("toys.b", "borrow", "Borrow.", "BORROWER.md", "borrower", "o", borrows, parts=parts)


@pytest.fixture
def studies(lender, borrower) -> dict[str, Study]:
    return {study.command: study for study in (lender, borrower)}


# --- Results ---------------------------------------------------------------------------------


def test_a_named_result_is_made_once_with_no_more_than_it_reads(lender, studies, made):
    results = run_study.results_of(lender, studies, ["costs", "models"])
    assert set(results) == {"models", "costs"}
    assert made == {"models": 1, "costs": 1}


def test_a_borrowed_result_is_made_once_with_no_more_than_it_reads(borrower, studies, made):
    results = run_study.results_of(borrower, studies, ["double", "costs_summary"])
    assert results["double"] == 14
    assert results["costs_summary"] == "The costs are 7."
    assert made == {"models": 1, "costs": 1, "double": 1, "costs_summary": 1}


def test_without_names_a_study_makes_its_sweeps_and_the_paragraphs_of_its_pages(
    lender, studies, made
):
    assert set(run_study.results_of(lender, studies)) == {
        *("unasked", "models", "costs"),
        "costs_summary",
    }
    assert made["unread_summary"] == 0


def test_a_result_of_an_option_that_was_not_given_is_left_out(borrower, studies, made):
    assert "of_a_trace" not in run_study.results_of(borrower, studies)
    assert made["of_a_trace"] == 0


# --- Files -----------------------------------------------------------------------------------


def test_every_file_is_written_once(borrower, studies, made, tmp_path, monkeypatch):
    written = []
    for name in ("write", "save"):
        function = getattr(run_study, name)

        def counted(*given, function=function, name=name):
            written.append(given[0 if name == "write" else 1])
            return function(*given)

        monkeypatch.setattr(run_study, name, counted)
    page = run_study.run(borrower, studies, tmp_path, quiet)
    assert page == tmp_path / "borrower" / "BORROWER.md"
    files = {str(f.relative_to(page.parent)) for f in page.parent.rglob("*") if f.is_file()}
    texts = {"table1_double.csv", "table1_double.md", "notes/data.csv", "BORROWER.md"}
    assert files == texts | {"cube.nc", "figure1_double.pdf", "figure1_double.png"}
    assert sorted(written) == sorted(page.parent / name for name in {*texts, "cube.nc"})
    assert set(made.values()) == {1}
    assert not made["unasked"]
    assert [f.name for f in tmp_path.iterdir()] == ["borrower"]


def test_files_hold_what_the_parts_give(borrower, studies, tmp_path):
    folder = run_study.run(borrower, studies, tmp_path, quiet).parent
    assert (folder / "table1_double.csv").read_text() == "model,cost\nboth,14\n"
    assert "| both    |  14.00 |" in (folder / "table1_double.md").read_text()
    assert (folder / "notes" / "data.csv").read_text() == "double\n14\n"
    page = (folder / "BORROWER.md").read_text()
    assert page.startswith("The costs are 7. 14 {'figure1_double': ''} ['costs', 'costs_summary', ")
    with px.load(folder / "cube.nc") as cube:
        assert cube.kv_budget.sizes["batch"] == 2


def test_each_file_and_result_is_told_with_how_many_are_left(borrower, studies, tmp_path):
    told = []
    run_study.run(borrower, studies, tmp_path, lambda title, left: told.append((title, left)))
    results = ["cube", "double", "costs", "costs_summary"]
    files = ["cube.nc", "table1_double", "figure1_double", "notes/data.csv", "BORROWER.md"]
    assert told == [
        ("sweeping", 0),
        *((f"made {name}", 0) for name in results),
        *zip(files, range(5, 0, -1), strict=True),
        ("done", 0),
    ]


def test_prepare_names_the_folder_and_gives_results(borrower, studies, made, tmp_path):
    def prepare(out, name):
        return out / name, {"trace": 0, "double": 5.0}

    del borrower.parts["TABLES"]["table2_trace"]
    study = replace(borrower, parts={**borrower.parts, "prepare": prepare})
    page = run_study.run(study, studies, tmp_path, quiet, name="one")
    assert page == tmp_path / "one" / "BORROWER.md"
    assert (page.parent / "notes" / "data.csv").read_text() == "double\n5\n"
    assert (made["double"], made["of_a_trace"]) == (0, 1)


def test_figures_drawn_in_another_process_have_the_same_bytes(verified, tmp_path):
    """Of a real study, as what the other process draws must be in a module."""
    name, sweeps, figures, told = "figure4_batch_context_tradeoff", Sweeps(), Figures(), []
    figures[name] = FIGURES[name]

    @sweeps.part
    def cube() -> xr.Dataset:
        """The cube that is drawn."""
        return verified

    parts = {"SWEEPS": sweeps, "FIGURES": figures}
    package = "prophet_xr.studies.kv_extension"
    study = Toy(package, "draw", "Draw.", "", "apart", draws_apart=True, parts=parts)
    run_study.run(study, {}, tmp_path, lambda title, left: told.append((title, left)))
    assert told == [("sweeping", 0), ("made cube", 0), ("figures", 1), ("done", 0)]
    figure_style.save_figure(FIGURES[name](verified), tmp_path / "here", name)
    for kind in ("pdf", "png"):
        apart, here = (tmp_path / folder / f"{name}.{kind}" for folder in ("apart", "here"))
        assert apart.read_bytes() == here.read_bytes()
