"""Every figure draws both studies, with units and the same bytes, and nothing half-written."""

import hashlib

import pytest
import xarray as xr
from matplotlib.figure import Figure

from prophet_xr import canvas
from prophet_xr.errors import InputError
from prophet_xr.figures import FIGURES

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
def test_a_figure_reads_its_cube_and_labels_its_axes_with_units(name, study, cubes):
    before = cubes[study].copy(deep=True)
    drawing = FIGURES[name](cubes[study])
    assert isinstance(drawing, Figure)
    assert drawing.get_figwidth() in (canvas.COLUMN, canvas.PAGE)
    labels = [axes.get_xlabel() for axes in drawing.axes if axes.axison and axes.get_xlabel()]
    assert labels
    assert all(any(unit in label for unit in UNITS) for label in labels), labels
    xr.testing.assert_identical(cubes[study], before)


@pytest.mark.parametrize(
    "name", ["figure2_kv_extension_by_model", "figure4_batch_context_tradeoff"]
)
def test_drawing_twice_gives_the_same_bytes_and_truetype_fonts(name, verified, tmp_path):
    for folder in ("a", "b"):
        canvas.save(FIGURES[name](verified), tmp_path / folder, name)
    for kind in ("pdf", "png"):
        assert digest(tmp_path / "a" / f"{name}.{kind}") == digest(
            tmp_path / "b" / f"{name}.{kind}"
        )
    text = (tmp_path / "a" / f"{name}.pdf").read_bytes()
    assert b"/FontFile2" in text or b"/CIDFontType2" in text
    assert b"/Type3" not in text


def test_an_interrupted_save_leaves_the_old_file_whole(tmp_path, monkeypatch):
    (tmp_path / "f.pdf").write_text("old")

    def stop(self, target, **_):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", stop)
    with pytest.raises(KeyboardInterrupt):
        canvas.save(Figure(), tmp_path, "f")
    assert [p.name for p in tmp_path.iterdir()] == ["f.pdf"]
    assert (tmp_path / "f.pdf").read_text() == "old"


def test_a_figure_refuses_a_cube_of_other_dims(verified):
    with pytest.raises(InputError, match="figures show kv_extension over"):
        FIGURES["figure1_memory_breakdown"](verified.isel(gpu=0))
    with pytest.raises(InputError, match="policy lacks"):
        FIGURES["figure1_memory_breakdown"](verified.isel(policy=[0]))
