"""specs.nc is what the TOML files say, in SI units, and a broken file is refused."""

import shutil
from pathlib import Path

import pytest
import xarray as xr

from prophet_xr.catalogue import build, specs
from prophet_xr.errors import SpecError
from prophet_xr.registry import QUANTITIES

DATA = Path(__file__).parents[2] / "data"


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
    assert build.parse_number(text, QUANTITIES[unit]) == pytest.approx(value, rel=1e-15)


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
