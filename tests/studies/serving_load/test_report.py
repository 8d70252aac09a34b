"""What `prophet-xr simulate` writes: sentences and files."""

import pytest
import xarray as xr

from prophet_xr.reporting.run_study import run
from prophet_xr.studies import STUDIES
from prophet_xr.studies.serving_load import report

STUDY = STUDIES["simulate"]


@pytest.fixture
def text(results, write, tmp_path) -> str:
    """The report on the shared simulation."""
    return write("simulate", results, tmp_path).read_text()


def test_the_report_says_what_the_numbers_say(text, results):
    assert "understates in 2" in text  # at Prophet's own mean batch, both rates
    assert "batch 1, the study's headline: overstates in 2" in text
    assert "in 2 cells of server and rate" in text
    for part in ("tables", "figures"):
        for name, listed in STUDY.part(part, part.upper()).items():
            assert set(listed.reads) <= set(results)
            assert f"{name}." in text
    assert "nan" not in text.split("## Tables")[0]


def test_the_report_of_a_model_that_never_fits(results):
    cubes = {name: results[name] for name in ("served", "highest_rates")}
    only = {name: cube.sel(model=["mixtral-8x7b"]) for name, cube in cubes.items()}
    none = {name: cube.drop_sel(policy="on_demand") for name, cube in only.items()}
    text = report.report(none["served"], none, {}, {})
    assert "no cell in which both policies fit" in text
    assert "nan" not in text


def test_same_seed_same_files(text, results, options, tmp_path, coarse):
    """Simulated and written again, from the options of the command."""
    titles = []
    page = run(STUDY, STUDIES, tmp_path, lambda title, left: titles.append(title), **options)
    assert page == tmp_path / "simulate" / "azure-conv" / STUDY.report
    assert titles[-1] == "done"
    assert page.read_text() == text
    names = {file.name for file in page.parent.iterdir()}
    assert {"figure1_memory_over_time.pdf", "figure4_slo_capacity.png"} <= names
    for name, file in STUDY.part("sweeps", "SWEEPS").files.items():
        with xr.open_dataset(page.parent / file) as again:
            for metric, values in results[name].data_vars.items():
                assert again[metric].equals(values), (name, metric)


def test_a_trace_has_files_of_its_own(tmp_path, coarse):
    trace = tmp_path / "My Trace.csv"
    trace.write_text("arrival,prompt,output\n" + "".join(f"{n},200,20\n" for n in range(40)))
    titles, axes = [], {"model": "olmoe-1b-7b", "gpu": "H100-80GB", "policy": "lru"}
    told = lambda title, left: titles.append(title)  # noqa: E731
    page = run(STUDY, STUDIES, tmp_path, told, axes=axes, trace=trace)
    assert page.parent == tmp_path / "simulate" / "my-trace"
    text = page.read_text()
    assert text.startswith("# Prophet under load: My Trace.csv")
    assert "prophet-xr simulate --trace My Trace.csv" in text
    assert "figure4" not in text
    assert {"made served", "table1_service"} <= set(titles)
    assert not {"made highest_rates", "table3_capacity", "figure4_slo_capacity"} & set(titles)
    assert {file.name for file in page.parent.glob("*.nc")} == {"served.nc"}
