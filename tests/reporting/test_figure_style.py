"""A figure is saved whole, or not at all."""

import pytest
from matplotlib.figure import Figure

from prophet_xr.reporting import figure_style


def test_an_interrupted_save_leaves_the_old_file_whole(tmp_path, monkeypatch):
    (tmp_path / "f.pdf").write_text("old")

    def stop(self, target, **_):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", stop)
    with pytest.raises(KeyboardInterrupt):
        figure_style.save_figure(Figure(), tmp_path, "f")
    assert [p.name for p in tmp_path.iterdir()] == ["f.pdf"]
    assert (tmp_path / "f.pdf").read_text() == "old"
