"""Frames as Markdown, with the digits that a reader needs."""

import numpy as np
import pandas as pd
import pytest

from prophet_xr.reporting.listing import Listing
from prophet_xr.reporting.markdown import digits, markdown
from prophet_xr.reporting.report import document, tables_and_figures


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1234567, 12], ["1,234,567", "12"]),
        ([1234.5, 123.45, 12.345, np.nan], ["1,234", "123.5", "12.35", "-"]),
        ([True, False], ["yes", "no"]),
        (["a", 12.3456, 1234.5, None, 7], ["a", "12.35", "1,234", "-", "7"]),
        (pd.array([1, None], dtype="Int64"), ["1", "-"]),
    ],
)
def test_a_number_has_the_digits_of_its_size(values, texts):
    assert digits(pd.Series(values)).tolist() == texts


def test_numbers_stand_right_and_text_left():
    frame = pd.DataFrame({"model": ["a", "bcdefghi"], "cost": [1.0, 1000.0], "n": [1, 2]})
    assert markdown(frame).splitlines() == [
        "| model    |   cost |   n |",
        "|:---------|-------:|----:|",
        "| a        |   1.00 |   1 |",
        "| bcdefghi |  1,000 |   2 |",
    ]


def test_the_note_of_a_frame_is_below_it():
    frame = pd.DataFrame({"n": [1]})
    frame.attrs["note"] = "Of one."
    assert markdown(frame).endswith("|   1 |\n\nOf one.\n")
    frame.attrs["note"] = ""
    assert markdown(frame).endswith("|   1 |\n")


def test_a_report_shows_each_table_and_figure_under_its_title():
    parts = Listing()

    @parts.part
    def table1(costs):
        """Costs of models."""

    @parts.part
    def figure1(costs):
        """Costs, drawn."""

    tables, captions = {"table1": pd.DataFrame({"n": [1]})}, {"figure1": "A mark is a model."}
    sections = tables_and_figures(parts, tables, parts, captions)
    assert document(["# Costs", *sections]) == (
        "# Costs\n\n## Tables\n\n### Costs of models.\n\n`table1.csv`\n\n"
        "|   n |\n|----:|\n|   1 |\n\n"
        "## Figures\n\n### Costs, drawn.\n\n![Costs, drawn.](figure1.png)\n\nA mark is a model.\n"
    )
