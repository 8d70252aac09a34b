"""Rows and labels mix, and a user's models are kept."""

import json
from pathlib import Path

import pytest
import xarray as xr

import prophet_xr as px
from prophet_xr.catalogue import lookup
from prophet_xr.registry import QUANTITIES
from prophet_xr.terminal import catalogue_text

CONFIGS = Path(__file__).parents[2] / "data" / "configs"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setenv("PROPHET_XR_CATALOGUE", str(tmp_path / "models"))
    return tmp_path / "models"


def test_a_row_from_a_config_is_the_catalogues_own():
    row = px.spec_from_config(CONFIGS / "mixtral-8x22b.json", "Copy")
    chosen = {"model": [row, "mixtral-8x22b"], "gpu": "H200", "batch": [1, 16], "context": 4096}
    cube = px.sweep(px.inputs(**chosen))
    assert cube.model.values.tolist() == ["copy", "mixtral-8x22b"]
    assert cube.model_name.values.tolist() == ["Copy", "Mixtral-8x22B"]
    for name in ("total_memory", "step_time", "kv_budget"):
        mine, theirs = cube[name].sel(model="copy"), cube[name].sel(model="mixtral-8x22b")
        xr.testing.assert_equal(mine.drop_vars(["model", "model_name"]), theirs.drop_vars(
            ["model", "model_name"]))  # fmt: skip


def test_a_row_from_a_config_assumes_what_no_config_says():
    row = px.spec_from_config(CONFIGS / "mixtral-8x7b.json", "Copy")
    assert row.skew.item() == 0
    assert row.gamma.item() == 1
    assert row.cache_slots.item() == 2
    for name in ("skew", "gamma", "reuse_strength", "reuse_exponent", "cache_slots"):
        assert row[f"{name}_status"].item() == "assumed"
    known = lookup.row("model", "mixtral-8x7b")
    assert known.skew_status.item() == known.reuse_strength_status.item() == "measured"
    assert lookup.row("model", "switch-base-128").skew_status.item() == "assumed"


def test_a_row_alone_is_a_scalar():
    row = px.spec_from_config(CONFIGS / "olmoe-1b-7b.json", "Alone")
    assert px.inputs(model=row).model.item() == "alone"


def test_a_row_may_stand_in_for_a_label_of_the_catalogue():
    row = px.spec_from_config(CONFIGS / "olmoe-1b-7b.json", "Mixtral-8x7B")
    assert px.inputs(model=row).n_experts.item() == 64


def test_the_same_model_twice_and_what_is_no_row_are_refused():
    row = px.spec_from_config(CONFIGS / "olmoe-1b-7b.json", "OLMoE-1B-7B")
    with pytest.raises(px.InputError, match="model holds 'olmoe-1b-7b' twice"):
        px.inputs(model=[row, "olmoe-1b-7b"])
    with pytest.raises(px.InputError, match="has no single n_layers"):
        px.inputs(model=row.drop_vars("n_layers"))
    with pytest.raises(px.InputError, match="has no single model"):
        px.inputs(model=xr.Dataset())


def test_a_kept_model_is_known_by_its_label(mine):
    lookup.add(CONFIGS / "qwen3-30b-a3b.json", "My Qwen")
    assert lookup.kept() == ["my-qwen"]
    cube = px.sweep(px.inputs(model=["my-qwen", "qwen3-30b-a3b"], batch=1), ["total_parameters"])
    assert cube.total_parameters.sel(model="my-qwen") == 30_532_122_624
    with pytest.raises(px.InputError, match="is kept already in"):
        lookup.add(CONFIGS / "olmoe-1b-7b.json", "My Qwen")
    lookup.add(CONFIGS / "olmoe-1b-7b.json", "My Qwen", replace=True)
    assert px.inputs(model="my-qwen").n_experts.item() == 64
    with pytest.raises(px.InputError, match="is in the catalogue"):
        lookup.add(CONFIGS / "olmoe-1b-7b.json", "dbrx-132b")


def test_a_broken_kept_model_is_refused_only_where_it_is_asked_for(mine):
    mine.mkdir()
    (mine / "odd.json").write_text(json.dumps({"config": 3}))
    assert px.inputs(model="olmoe-1b-7b").n_experts == 64
    with pytest.raises(px.SpecError, match=r"odd.json: expected a file made by"):
        px.inputs(model="odd")
    listed = catalogue_text.catalogue()
    assert "olmoe-1b-7b" in listed
    assert "odd.json: expected a file made by" in listed


def test_precision_may_be_each_models_own():
    models = ["mixtral-8x7b", "gpt-oss-20b", "deepseek-v3-671b"]
    data = px.inputs(model=models, precision=["bf16", "stored"])
    assert data.expert_width.sel(precision="stored").values.tolist() == [2, 0.53125, 1 + 4 / 128**2]
    assert (data.expert_width.sel(precision="bf16") == 2).all()
    with pytest.raises(px.InputError, match="needs study='verified'"):
        px.inputs("published", precision="stored")


@pytest.mark.parametrize(
    ("name", "label"), [("My Model/7B", "my-model-7b"), ("..", "model"), ("A" * 3, "aaa")]
)
def test_labels_can_be_file_names(name, label):
    assert lookup.slug(name) == label


def test_what_is_written_into_a_row_stays_there(mine):
    config = CONFIGS / "olmoe-1b-7b.json"
    lookup.add(config, "Mine")
    row = px.spec_from_config(config, "Mine")
    kept = px.inputs(model="mine")
    for data in (row, kept, lookup.rows_by_label("plan", "verified", ["tp1"], {})):
        for name in set(data.data_vars) & set(QUANTITIES):
            data[name].data[...] = -1
    assert px.spec_from_config(config, "Mine").n_experts.item() == 64
    assert px.inputs(model="mine").n_experts.item() == 64
    assert px.inputs(plan="tp1").tensor_degree.item() == 1
    with pytest.raises(ValueError, match="read-only"):
        lookup.own("mine").n_experts.data[...] = 1
