"""Numbers worked by hand or cited, against the cube."""

import json
import math
from pathlib import Path

import pytest
import reference as by_hand
from formulas import value

from prophet_xr import grid
from prophet_xr.catalogue import specs

MODELS = json.loads((Path(__file__).parents[1] / "models_reference.json").read_text())
PARTS = {
    "shared_parameters": "shared_experts",
    "router_parameters": "router",
    "attention_parameters": "attention",
    "dense_parameters": "dense_mlp",
    "embedding_parameters": "embeddings",
    "state_space_parameters": "state_space",
    "norm_parameters": "norms",
}


@pytest.fixture(scope="module")
def parameters():
    names = ["total_parameters", "active_parameters", "kv_per_token", "kv_memory", "expert_memory"]
    chosen = {"model": list(MODELS), "gpu": "A100-80GB", "batch": 1, "policy": "baseline"}
    return grid.sweep(grid.inputs(**chosen, context=[1, 4096, 32768]), names)


@pytest.mark.parametrize("label", MODELS)
def test_parameters_and_kv_bytes_are_exact_to_the_unit(label, parameters):
    expected, cell = MODELS[label], parameters.sel(model=label)
    assert int(cell.total_parameters) == expected["total"]
    assert int(cell.active_parameters) == expected["active_parameters"]
    assert int(cell.expert_memory) == 2 * expected["routed_experts"]
    assert int(cell.kv_per_token) == expected["kv_bytes_per_token"]
    assert int(cell.kv_cross) * 2 == expected["kv_cross_bytes_per_token"]
    assert int(cell.state_size) == expected["state_bytes"]
    assert int(cell.moe_layers) == expected["moe_layers"]
    for context, size in expected["kv_bytes_at"].items():
        assert int(cell.kv_memory.sel(context=int(context))) == size
    for field, part in PARTS.items():
        assert int(cell[field]) == expected[part], field


def test_the_catalogue_holds_the_twenty_six_models_and_twenty_two_gpus():
    assert set(specs.read("model").model.values) == set(MODELS)
    assert specs.read("gpu").sizes["gpu"] == 22


def test_mixtral_and_deepseek_kv_cache(parameters):
    assert int(parameters.kv_per_token.sel(model="mixtral-8x7b")) == by_hand.MIXTRAL_KV == 131_072
    kv = int(parameters.kv_per_token.sel(model="deepseek-v3-671b"))
    assert kv == by_hand.DEEPSEEK_V3_KV == 70_272


def test_mixtral_in_bf16_does_not_fit_80_gb_and_says_so(verified):
    for gpu in ("A100-80GB", "H100-80GB"):
        cell = verified.sel(model="mixtral-8x7b", gpu=gpu, policy="baseline", batch=1)
        assert 2 * by_hand.MIXTRAL_TOTAL > by_hand.A100_USABLE
        assert not cell.fits
        meanings = cell.reason.attrs["flag_meanings"].split()
        assert meanings[int(cell.reason)] == "weights_exceed_memory"
        assert verified.kv_extension.sel(model="mixtral-8x7b", gpu=gpu).isnull().all()


@pytest.mark.parametrize(("batch", "context"), [(1, 4096), (16, 32768), (64, 1024)])
def test_mixtral_decode_step_by_hand(batch, context):
    data = grid.inputs(model="mixtral-8x7b", gpu="A100-80GB", batch=batch, context=context)
    cell = grid.sweep(data).sel(policy="baseline")
    experts = min(8, 2 * batch**0.932)
    read = by_hand.mixtral_decode_read(batch, context, experts)
    flops = by_hand.mixtral_decode_flops(batch, context)
    assert cell.step_read.item() == pytest.approx(read, rel=1e-12)
    assert cell.step_flops.item() == pytest.approx(flops, rel=1e-12)
    assert cell.step_time.item() == pytest.approx(max(read / 2039e9, flops / 312e12), rel=1e-12)
    assert cell.throughput.item() == pytest.approx(batch / cell.step_time.item())


def test_on_demand_fetches_in_series_what_is_not_resident():
    data = grid.inputs(
        model="mixtral-8x7b",
        gpu="A100-80GB",
        batch=1,
        context=4096,
        policy=["baseline", "on_demand"],
        copy_latency=70e-6,
        software_floor=5e-3,
    )
    cell = grid.sweep(data).sel(policy="on_demand")
    experts = 32 * 2 * by_hand.MIXTRAL_EXPERT * 2  # B: two experts in each of 32 layers
    again = 1 - (1 - 2 / 8) * math.exp(-0.4572 * (2 / 8) ** 0.689)  # two of eight slots
    missing = experts * (1 - again)
    copies = 3 * 32 * 2 * (1 - again)
    gpu = by_hand.mixtral_decode_read(1, 4096, 2) / 2039e9 + 5e-3
    assert cell.link_traffic.item() == pytest.approx(missing)
    expected = gpu + missing / 24.8e9 + copies * 70e-6
    assert cell.step_time.item() == pytest.approx(expected, rel=1e-12)


def test_a_perfect_predictor_moves_as_many_bytes_and_hides_what_fits_the_step():
    chosen = {"model": "olmoe-1b-7b", "gpu": "H100-80GB", "batch": 1, "context": 4096}
    cube = grid.sweep(grid.inputs(**chosen, hit_rate=[0.0, 1.0])).sel(policy="prophet")
    blind, perfect = cube.sel(hit_rate=0.0), cube.sel(hit_rate=1.0)
    assert blind.link_traffic.item() == pytest.approx(perfect.link_traffic.item())
    hidden = min(perfect.gpu_time.item(), perfect.early_traffic.item() / 55.4e9)
    saved = blind.step_time.item() - perfect.step_time.item()
    assert saved == pytest.approx(hidden, rel=1e-9)


def test_uniform_routing_law():
    cube = grid.sweep(grid.inputs(model="olmoe-1b-7b", gpu="A100-80GB", routing="uniform"))
    expected = 64 * (1 - (1 - 8 / 64) ** 16)
    assert cube.unique_experts.sel(batch=16).item() == pytest.approx(expected)


def test_a_checkpoint_weighs_what_its_files_do():
    # sums of the safetensors shards on Hugging Face, in GB; see data/model.toml for the rows
    sizes = {"gpt-oss-20b": 13.76, "mixtral-8x7b": 93.41, "switch-base-128": 29.66}
    cube = grid.sweep(grid.inputs(model=list(sizes), gpu="H200", batch=1, precision="stored"))
    weights = (cube.fixed_memory + cube.expert_memory).sel(policy="baseline")
    for label, size in sizes.items():
        assert weights.sel(model=label).item() == pytest.approx(size * 1e9, rel=2e-3), label


WITHOUT_BLOCKS = {  # a runtime that counts bytes, and keeps no table of tokens
    **{"table_memory": 0, "table_per_token": 0},
    **{"block_size": 1, "page_tokens": 1, "longest_blocks": math.inf},
}


def test_windowed_cache_inverts_piecewise():
    # 10 full and 30 windowed elements a token, window 100, 2 B each: 80 B to the window, then 20
    cell = {"rank_batch": 1, "kv_window": 100, "kv_element_size": 2, **WITHOUT_BLOCKS}
    cell |= {"stage_kv_full": 10, "stage_kv_windowed": 30, "fixed_sequence_memory": 0}

    def longest(room, **other):
        return value("max_context", {**cell, "kv_budget": room, **other})

    assert longest(8_000) == 100
    assert longest(7_999) == 99
    assert longest(8_020) == 101
    assert longest(8_019) == 100
    assert longest(0) == longest(-5) == 0
    assert longest(1e9, stage_kv_full=0) == 2**53


def test_encoder_tokens_and_state_take_room_before_the_context():
    cell = {"kv_budget": 1_000, "rank_batch": 2, "encoder_context": 10, "rank_state_size": 40}
    cell |= {"stage_kv_full": 5, "stage_kv_windowed": 0, "kv_window": 0, "stage_kv_cross": 3}
    longest = value("max_context", {**cell, "kv_element_size": 2, **WITHOUT_BLOCKS})
    assert longest == (1_000 / 2 - 40 - 3 * 2 * 10) // (5 * 2) == 40


def test_precision_narrows_what_it_names():
    cube = grid.sweep(
        grid.inputs(
            model="mixtral-8x7b",
            gpu="H200",
            batch=1,
            precision=["bf16", "fp8"],
            kv_precision=["bf16", "fp8"],
        )
    )
    half = cube.expert_memory.sel(policy="baseline")
    assert (half.sel(precision="fp8") / half.sel(precision="bf16")).item() == pytest.approx(
        0.5 * (1 + 4 / 128**2)
    )
    wide = 262_144_000 + 32 * 4096 * 8 + 65 * 4096  # embeddings, routers, norms
    fixed = cube.fixed_memory.sel(precision="fp8").item()
    assert fixed == pytest.approx((by_hand.MIXTRAL_FIXED - wide) * (1 + 4 / 128**2) + 2 * wide)
    assert cube.kv_per_token.sel(kv_precision="fp8").item() == by_hand.MIXTRAL_KV / 2
