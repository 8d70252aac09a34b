"""Figures on offloading."""

import hashlib

import numpy as np
import pytest
from matplotlib.figure import Figure

from prophet_xr.reporting import figure_style
from prophet_xr.studies.offloading import regions
from prophet_xr.studies.offloading.figures import FIGURES


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_column_wide_names_units_and_has_the_same_bytes(
    name, results, tmp_path, coarse
):
    draw = FIGURES[name]
    (cube,) = draw.reads
    digests = []
    for folder in ("a", "b"):
        drawing = draw(results[cube])
        assert isinstance(drawing, Figure)
        figure_style.save_figure(drawing, tmp_path / folder, name)
        files = sorted((tmp_path / folder).iterdir())
        digests.append([hashlib.sha256(f.read_bytes()).hexdigest() for f in files])
    assert digests[0] == digests[1]
    assert drawing.get_figwidth() == figure_style.COLUMN
    said = " ".join([drawing.get_supxlabel(), *(a.get_xlabel() for a in drawing.axes)])
    assert "GB/s" in said
    assert "A100-80GB, batch 1" in said.replace("\n", " ")


def test_the_break_even_figure_draws_the_least_hit_rates(results):
    drawing = FIGURES["figure2_break_even_hit_rate"](results["closer"])
    cell = results["closer"].sel(model="mixtral-8x7b")
    expected = 100 * regions.least_hit_rate(cell.sel(cache_slots=4), 1.25)
    lines = [ln.get_ydata() for ln in drawing.axes[0].lines]
    assert any(np.array_equal(y, expected, equal_nan=True) for y in lines if len(y) > 2)
    assert expected.isnull().any()
    assert expected.notnull().any()
