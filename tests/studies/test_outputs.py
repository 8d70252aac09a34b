"""Every text that a study writes is as committed, and the studies write every committed text."""

import re
from pathlib import Path

import pytest

import prophet_xr as px
from prophet_xr.studies import STUDIES

OUTPUTS = Path(__file__).parents[2] / "outputs"
TEXTS = {".md", ".csv", ".json"}


def texts(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.suffix in TEXTS)
    return {str(file.relative_to(folder)): file.read_text() for file in files}


@pytest.fixture(scope="module")
def other_studies() -> set[str]:
    return {study.folder for study in STUDIES.values() if study.folder} | {"simulate"}


@pytest.mark.parametrize("command", ["study", "offload", "cluster"])
def test_the_texts_of_a_study_are_as_committed(command, results_of, write, tmp_path, other_studies):
    results = results_of(command)
    report = write(command, results, tmp_path)
    folder = STUDIES[command].folder
    written, committed = texts(tmp_path / folder), texts(OUTPUTS / folder)
    if not folder:
        committed = {n: t for n, t in committed.items() if Path(n).parts[0] not in other_studies}
    assert set(written) == set(committed)
    for name, text in written.items():
        assert text == committed[name], f"run `prophet-xr {command}`: {name}"
    assert report.is_file()
    assert not [file for file in tmp_path.rglob("*") if "draft" in file.name]


@pytest.mark.parametrize("command", ["study", "offload", "cluster"])
def test_a_report_shows_every_table_and_figure_and_no_hole(command):
    study = STUDIES[command]
    text = (OUTPUTS / study.folder / study.report).read_text()
    for title in (part.title for part in study.part("tables", "TABLES").values()):
        assert f"### {title}" in text
    for name in study.part("figures", "FIGURES"):
        assert re.search(rf"!\[.*\]\((.*/)?{name}.png\)", text), name
    assert not re.search(r"\bnan\b", text)


def test_the_comprehensive_report_is_comprehensive():
    assert len((OUTPUTS / STUDIES["study"].report).read_text().splitlines()) >= 350


def test_a_saved_cube_is_the_result(costs, results_of, write, tmp_path):
    report = write("offload", results_of("offload"), tmp_path)
    names = {file.stem for file in report.parent.glob("*.nc")}
    assert names == set(STUDIES["offload"].part("sweeps", "SWEEPS").files)
    with px.load(report.parent / "costs.nc") as again:
        assert again.slowdown.equals(costs.slowdown)
