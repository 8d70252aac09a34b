"""Every figure draws both studies, with units and the same bytes."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from prophet_xr.errors import InputError
from prophet_xr.reporting import figure_style
from prophet_xr.reporting.numbers import names
from prophet_xr.studies.kv_extension.figures import FIGURES

UNITS = ("(GB", "(×)", "(%)", "(sequences)")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_five_figures_have_the_names_of_their_files():
    assert list(FIGURES) == [
        "figure1_memory_breakdown",
        "figure2_kv_extension_by_model",
        "figure3_context_scaling",
        "figure4_batch_context_tradeoff",
        "figure5_expert_count_analysis",
    ]


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("study", ["published", "verified"])
def test_a_figure_reads_its_cube_and_labels_its_axes_with_units(name, study, results):
    before = results[study].copy(deep=True)
    drawing = FIGURES[name](results[study])
    assert isinstance(drawing, Figure)
    assert drawing.get_figwidth() in (figure_style.COLUMN, figure_style.PAGE)
    labels = [axes.get_xlabel() for axes in drawing.axes if axes.axison and axes.get_xlabel()]
    assert labels
    assert all(any(unit in label for unit in UNITS) for label in labels), labels
    xr.testing.assert_identical(results[study], before)


@pytest.mark.parametrize("name", FIGURES)
def test_drawing_twice_gives_the_same_bytes_and_truetype_fonts(name, verified, tmp_path, coarse):
    for folder in ("a", "b"):
        figure_style.save_figure(FIGURES[name](verified), tmp_path / folder, name)
    for kind in ("pdf", "png"):
        assert digest(tmp_path / "a" / f"{name}.{kind}") == digest(
            tmp_path / "b" / f"{name}.{kind}"
        )
    text = (tmp_path / "a" / f"{name}.pdf").read_bytes()
    assert b"/FontFile2" in text or b"/CIDFontType2" in text
    assert b"/Type3" not in text


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_where_no_model_fits(name, verified):
    drawing = FIGURES[name](verified.sel(model=["grok-1-314b", "dbrx-132b"]))
    with figure_style.style():
        drawing.draw_without_rendering()


@pytest.mark.parametrize("study", ["published", "verified"])
def test_the_ranking_shows_every_fitting_cell_and_its_caption_names_every_other_model(
    study, results
):
    drawing = FIGURES["figure2_kv_extension_by_model"](results[study])
    row = results[study].sel(policy="prophet")
    both = row.regime == 2
    lines = [ln for ln in drawing.axes[0].lines if "GB" in str(ln.get_label())]
    drawn = np.sort(np.concatenate([np.asarray(ln.get_xdata(), float) for ln in lines]))
    held = np.sort(row.kv_extension.values[both.values])
    np.testing.assert_array_equal(drawn[~np.isnan(drawn)], held)
    text = FIGURES["figure2_kv_extension_by_model"].words(results[study])
    for model in names(row.isel(model=np.flatnonzero(~both.any(["gpu", "batch"]).values))):
        assert model in text


@pytest.mark.parametrize("study", ["published", "verified"])
def test_words_in_a_figure_neither_overlap_nor_leave_it(study, results):
    for name, draw in FIGURES.items():
        drawing = draw(results[study])
        with figure_style.style():
            drawing.draw_without_rendering()
            boxes = [(t.get_text(), t.get_window_extent()) for t in _texts(drawing)]
        whole = drawing.bbox
        for i, (text, box) in enumerate(boxes):
            assert whole.x0 <= box.x0, (name, text)
            assert box.x1 <= whole.x1, (name, text)
            for other, neighbour in boxes[i + 1 :]:
                shared = Bbox.intersection(box, neighbour)
                assert shared is None or min(shared.width, shared.height) < 3, (name, text, other)


def _texts(drawing):
    """Words that a figure places itself: all but those of its axes, which matplotlib spaces."""
    every = [t for axes in drawing.axes for t in [*axes.texts, *axes.findobj(Legend)]]
    return [t for found in every for t in found.findobj(Text) if t.get_text().strip()]


def test_every_figure_has_a_caption(published):
    assert all(figure.words(published) for figure in FIGURES.values())


def test_a_figure_refuses_a_cube_of_other_dims(verified):
    with pytest.raises(InputError, match="figures show kv_extension over"):
        FIGURES["figure1_memory_breakdown"](verified.isel(gpu=0))
    with pytest.raises(InputError, match="policy lacks"):
        FIGURES["figure1_memory_breakdown"](verified.isel(policy=[0]))


FORKED = """
import os
from prophet_xr.reporting import drawing_processes as drawing
drawing.start("prophet_xr.studies.kv_extension.figures")
child = os.fork()
if child == 0:
    os._exit(drawing.start("prophet_xr.studies.kv_extension.figures").get_start_method() != "spawn")
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_child_draws_with_processes_of_its_own():
    subprocess.run([sys.executable, "-c", FORKED], timeout=120, check=True)
