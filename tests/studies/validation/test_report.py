"""The page on validation is current, shows every row, and keeps what is around its part."""

from pathlib import Path

import pytest

from prophet_xr.errors import InputError
from prophet_xr.reporting.run_study import run
from prophet_xr.studies import STUDIES
from prophet_xr.studies.validation import report

FILE = Path(__file__).parents[3] / "docs" / "validation.md"


@pytest.fixture(scope="module")
def part() -> str:
    return report.laws_part()


def test_the_page_is_current(part):
    text = FILE.read_text()
    start, end = text.index(report.START), text.index(report.END) + len(report.END)
    assert text[start:end] == part, "run `prophet-xr validation`"


def test_the_part_shows_every_row(part, fetched):
    rows = [line for line in part.splitlines() if line.startswith("| ")]
    for system, seen in zip(fetched.system, 1e3 * fetched.measured, strict=True):
        shown = f"{seen:,.0f}" if seen >= 1000 else f"{seen:.1f}" if seen >= 100 else f"{seen:.2f}"
        assert any(f"| {system} " in line and f" {shown} |" in line for line in rows), system


def test_a_page_keeps_what_is_around_the_part(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "laws_part", lambda: f"{report.START}\nnew\n{report.END}")
    file = tmp_path / "validation.md"

    def update() -> str:
        assert run(STUDIES["validation"], STUDIES, tmp_path, lambda title, left: None) == file
        return file.read_text()

    assert update() == f"{report.START}\nnew\n{report.END}\n"
    file.write_text(f"before\n\n{report.START}\nold\n{report.END}\n\nafter\n")
    assert update() == f"before\n\n{report.START}\nnew\n{report.END}\n\nafter\n"
    file.write_text("before\n")
    assert update() == f"before\n\n{report.START}\nnew\n{report.END}\n"
    file.write_text(report.START)
    with pytest.raises(InputError, match="has one of <!-- laws"):
        update()
    assert file.read_text() == report.START
