"""specs.nc is what the TOML files say, and a broken one is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from prophet_xr.catalogue import build, specs
from prophet_xr.errors import SpecError
from prophet_xr.registry import LABELLED, QUANTITIES, fields

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    target = tmp_path_factory.mktemp("specs") / "specs.nc"
    build.build(DATA, target)
    return target


@pytest.mark.parametrize("group", specs.groups())
def test_the_committed_file_is_what_the_toml_builds(group, rebuilt):
    with (
        xr.open_dataset(rebuilt, group=group, engine="netcdf4") as new,
        xr.open_dataset(DATA / "specs.nc", group=group, engine="netcdf4") as old,
    ):
        xr.testing.assert_identical(new.load(), old.load())


@pytest.mark.parametrize("group", [*LABELLED, "published/model"])
def test_every_value_has_a_source_and_a_status(group):
    data = specs.read(group)
    for q in fields(group.split("/")[-1]):
        assert (data[f"{q.name}_source"].str.len() > 3).all(), q.name
        assert set(data[f"{q.name}_status"].values) <= set(specs.STATUSES)


def test_published_constants_say_how_they_are_known():
    status = specs.read("published/model").sel(model="mixtral-8x7b")
    assert status.dense_parameters_status.item() == "bounded"
    assert status.study_activation_status.item() == "stand-in"
    assert status.expert_parameters_status.item() == "published"


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("141 GB", "nominal_memory", 141e9),
        ("79.25 GiB", "usable_memory", 79.25 * 2**30),
        ("312 TFLOP/s", "compute_rate", 312e12),
        ("24.8 GB/s", "host_link_rate", 24.8e9),
        ("32 * (2 * 4096 - 1) / 2", "attention_parameters", 32 * 8191 / 2),
    ],
)
def test_numbers_come_out_in_si(text, unit, value):
    assert build.number(text, QUANTITIES[unit]) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "text", ["__import__('os')", "2**9**9", "a * 2", "(1", "1/0", "True", "'x'"]
)
def test_arithmetic_is_nothing_but_arithmetic(text):
    with pytest.raises(ValueError, match="is not arithmetic"):
        build.arithmetic(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('value = "80 GB"', 'value = "80 s"', "is no quantity in B"),
        ("memory_rate = {", "memory_rte = {", "unknown fields"),
        ('status = "measured"', 'status = "guessed"', "has status 'guessed'"),
        ("[", "[[", "cannot be read"),
    ],
)
def test_a_broken_toml_is_refused(old, new, message, tmp_path):
    shutil.copytree(DATA, tmp_path, dirs_exist_ok=True)
    gpu = tmp_path / "gpu.toml"
    gpu.write_text(gpu.read_text().replace(old, new))
    (tmp_path / "specs.nc").write_text("old")
    with pytest.raises(SpecError, match=message):
        build.build(tmp_path, tmp_path / "specs.nc")
    assert (tmp_path / "specs.nc").read_text() == "old"


def test_a_missing_truncated_or_empty_specs_file_is_refused(monkeypatch, tmp_path):
    file = tmp_path / "specs.nc"
    monkeypatch.setattr(specs, "path", lambda: file)
    with pytest.raises(SpecError, match="is missing; expected a file made by"):
        specs.read("gpu")
    whole = (DATA / "specs.nc").read_bytes()
    file.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(SpecError, match="cannot be read"):
        specs.read("gpu")
    for other in (xr.Dataset({"a": 1}), xr.Dataset({"policy": 1, "gpu": 2})):
        file.unlink()
        other.to_netcdf(file)
        with pytest.raises(SpecError, match="cannot be read"):
            specs.read("gpu")


def test_a_number_out_of_bounds_in_specs_is_located(rebuilt):
    data = specs.read("gpu").copy(deep=True)
    data.memory_rate[2] = np.nan
    with pytest.raises(SpecError, match="memory_rate=nan at gpu='A100-80GB'"):
        specs._check(data, "gpu", rebuilt)
    with pytest.raises(SpecError, match="field 'memory_rate' of group 'gpu'"):
        specs._check(data.drop_vars("memory_rate"), "gpu", rebuilt)


@pytest.mark.parametrize("group", specs.groups())
def test_the_catalogue_is_read_only(group):
    data = specs.read(group)
    assert len(data.variables) > len(data.xindexes)
    for name in set(data.variables) - set(data.xindexes):
        with pytest.raises(ValueError, match="read-only"):
            data[name].data[...] = data[name].data
