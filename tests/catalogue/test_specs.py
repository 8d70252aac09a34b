"""Every number of specs.nc has a source, and a broken file is refused."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.errors import SpecError
from prophet_xr.registry import LABELLED, fields

DATA = Path(__file__).parents[2] / "data"


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


def test_a_number_out_of_bounds_in_specs_is_located():
    data = specs.read("gpu").copy(deep=True)
    data.memory_rate[2] = np.nan
    with pytest.raises(SpecError, match="memory_rate=nan at gpu='A100-80GB'"):
        specs._check(data, "gpu", DATA / "specs.nc")
    with pytest.raises(SpecError, match="field 'memory_rate' of group 'gpu'"):
        specs._check(data.drop_vars("memory_rate"), "gpu", DATA / "specs.nc")


@pytest.mark.parametrize("group", specs.groups())
def test_the_catalogue_is_read_only(group):
    data = specs.read(group)
    assert len(data.variables) > len(data.xindexes)
    for name in set(data.variables) - set(data.xindexes):
        with pytest.raises(ValueError, match="read-only"):
            data[name].data[...] = data[name].data
