"""A cube survives NetCDF with every label and attribute, and a broken file is refused."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.grid import metric_names
from prophet_xr.registry import metrics


@pytest.fixture
def cube(small):
    return px.sweep(small)


def test_round_trip_keeps_everything(cube, tmp_path):
    px.save(cube, tmp_path / "cube.nc")
    with px.load(tmp_path / "cube.nc") as back:
        xr.testing.assert_identical(back.load(), cube)
        cell = back.sel(batch=1, policy="prophet")
        assert cell.unique_experts.item() == 2
        for q in (q for q in metrics() if q.name in metric_names(None, cube)):
            array = back[q.name]
            assert array.attrs["units"] == q.units
            assert array.attrs["long_name"] == q.long_name
            assert not q.comment or array.attrs["comment"] == q.comment
            assert array.dtype == cube[q.name].dtype
        assert {"specs_digest", "prophet_xr_version", "history"} <= back.attrs.keys()


def test_selection_by_label_after_a_round_trip(tmp_path):
    data = px.inputs(model=["mixtral-8x7b", "olmoe-1b-7b"], gpu=["A100-80GB"], batch=[1, 4])
    px.save(px.sweep(data), tmp_path / "cube.nc")
    with px.load(tmp_path / "cube.nc") as back:
        cell = back.sel(model="mixtral-8x7b", batch=1)
        assert cell.kv_per_token.item() == 131_072
        assert np.isnan(cell.kv_extension.sel(gpu="A100-80GB", policy="prophet"))


def test_flags_carry_their_meanings(cube):
    for name in ("regime", "reason"):
        attrs = cube[name].attrs
        assert len(attrs["flag_values"]) == len(attrs["flag_meanings"].split()) > 3


def test_a_netcdf_file_is_not_called_zarr(cube, tmp_path):
    with pytest.raises(px.InputError, match=r"expected \.nc"):
        px.save(cube, tmp_path / "cube.zarr")


def test_an_interrupted_save_leaves_the_old_file_whole(cube, tmp_path, monkeypatch):
    path = tmp_path / "cube.nc"
    px.save(cube, path)
    before = path.read_bytes()

    def stop(self, target, **_):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(xr.Dataset, "to_netcdf", stop)
    with pytest.raises(KeyboardInterrupt):
        px.save(cube, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["cube.nc"]


def test_what_a_query_found_is_kept_too(small, tmp_path):
    found = px.summarize(small, "slowdown", "batch", ["mean", "argmax"])
    px.save(found, tmp_path / "found.nc")
    with px.load(tmp_path / "found.nc") as again:
        np.testing.assert_array_equal(again.slowdown_mean, found.slowdown_mean)


def test_what_is_no_cube_is_refused(cube, tmp_path):
    with pytest.raises(px.InputError, match="does not exist"):
        px.load(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("hello")
    with pytest.raises(px.InputError, match="cannot be read as NetCDF"):
        px.load(tmp_path / "text.nc")
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(px.InputError, match="is none of prophet_xr"):
        px.load(tmp_path / "other.nc")
    px.save(cube, tmp_path / "cube.nc")
    whole = (tmp_path / "cube.nc").read_bytes()
    (tmp_path / "short.nc").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(px.InputError, match="cannot be read as NetCDF"):
        px.load(tmp_path / "short.nc")


def test_the_same_inputs_give_the_same_bytes(small, cube):
    again = px.sweep(small)
    for name in cube.variables:
        assert again[name].values.tobytes() == cube[name].values.tobytes(), name


def test_a_process_that_only_loads_knows_the_metrics(cube, tmp_path):
    px.save(cube, tmp_path / "cube.nc")
    program = "import sys, prophet_xr as px; print(px.load(sys.argv[1]).regime.shape)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cube.nc")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(cube.regime.shape)
