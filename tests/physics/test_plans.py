"""Parallel plans and runtimes: shares add up, and one GPU is what it always was."""

import math

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from prophet_xr import cli, grid, kernels
from prophet_xr.errors import InputError
from prophet_xr.registry import QUANTITIES

V3 = {"model": "deepseek-v3-671b", "precision": "fp8", "gpu": "H800", "policy": "baseline"}


def sweep(*names, **chosen):
    return grid.sweep(grid.inputs(**{"batch": 16, "context": 4096, **chosen}), list(names) or None)


def test_gpus_of_a_plan_hold_all_experts_once():
    plans = ["tp1", "tp8", "tp4-ep4", "dp8-ep8", "dp64-ep64", "tp2-dp4-ep8"]
    cube = sweep("expert_memory", "n_gpus", **V3, plan=plans)
    held = cube.expert_memory * cube.n_gpus
    np.testing.assert_allclose(held, 58 * 256 * 3 * 7168 * 2048 * (1 + 4 / 128**2), rtol=1e-12)


def test_latent_attention_by_hand_on_eight_gpus():
    cube = sweep("fixed_memory", "kv_per_token", **V3, plan=["tp1", "tp8"], runtime="bare")
    down = 61 * (7168 * 1536 + 7168 * 576)  # on every rank, as routers and norms are
    one, eight = cube.fixed_memory.values
    whole = down * (1 + 4 / 128**2) + 2 * (
        cube.router_parameters.item() + cube.norm_parameters.item()
    )
    assert eight == pytest.approx(whole + (one - whole) / 8, rel=1e-12)
    assert (cube.kv_per_token == 61 * 576 * 2).all()  # the latent is on every rank


def test_kv_heads_are_divided_and_then_repeated():
    chosen = {"model": "qwen3-235b-a22b", "gpu": "H200", "policy": "baseline"}  # four KV heads
    cube = sweep("kv_per_token", **chosen, plan=["tp1", "tp2", "tp4", "tp8", "tp16"])
    assert (cube.kv_per_token[0] / cube.kv_per_token).values.tolist() == [1, 2, 4, 4, 4]


def test_stages_share_layers_and_one_holds_the_head():
    chosen = {"model": "mixtral-8x7b", "gpu": "H200", "policy": "baseline", "runtime": "bare"}
    cube = sweep("fixed_memory", "expert_memory", **chosen, plan=["tp1", "pp3"])
    layers = (cube.fixed_memory[0] - 2 * 2 * 32000 * 4096) / 32
    assert cube.fixed_memory[1].item() == pytest.approx(11 * layers.item() + 2 * 32000 * 4096)
    assert (cube.expert_memory[1] / cube.expert_memory[0]).item() == pytest.approx(11 / 32)


def test_an_impossible_plan_is_data_in_a_sweep_and_an_error_in_fit():
    cube = sweep(model="mixtral-8x7b", gpu="H200", plan=["tp1", "tp3", "dp16-ep16", "pp64"])
    meanings = cube.reason.attrs["flag_meanings"].split()
    found = [meanings[int(r)] for r in cube.reason.sel(policy="baseline")]
    assert found[1:] == [
        "heads_do_not_divide",
        "more_expert_ranks_than_experts",
        "more_stages_than_layers",
    ]
    assert not cube.fits.sel(policy="baseline").values[1:].any()
    assert np.isnan(cube.step_time.sel(policy="baseline").values[1:]).all()
    asked = ["fit", "--model", "mixtral-8x7b", "--plan", "tp3"]
    problem = CliRunner().invoke(cli.cli, asked).exception
    assert isinstance(problem, InputError)
    assert "heads do not divide; it has 32 heads, 8 KV heads, 8 experts" in str(problem)


def test_parts_of_memory_add_up_to_the_card():
    cube = sweep(
        model=["qwen3-235b-a22b", "mixtral-8x7b"],
        gpu=["A100-80GB", "H200"],
        plan=["tp1", "tp8", "dp8-ep8"],
        runtime=["bare", "vllm", "sglang"],
    )
    parts = ["fixed_memory", "expert_memory", "activation_memory", "predictor_memory"]
    parts += ["non_torch_memory", "graph_memory", "table_memory", "kv_budget", "reserved_memory"]
    total = sum(cube[n] for n in parts)
    np.testing.assert_allclose(
        *np.broadcast_arrays(total.values, cube.usable_memory.broadcast_like(total).values)
    )


def test_an_all_reduce_by_hand():
    cube = sweep(model="mixtral-8x7b", gpu="H100-80GB", plan="tp8", policy="baseline", batch=4)
    size = 4 * 4096 * 2  # B: four tokens, 16 bits
    each = 31e-6 + 2 * 7 / 8 * size / 374.1e9
    assert cube.allreduce_time.item() == pytest.approx(2 * 32 * each, rel=1e-12)
    assert cube.dispatch_time.item() == 0
    assert cube.communication_share.item() == pytest.approx(
        cube.communication_time.item() / cube.step_time.item()
    )


def test_dispatch_of_deepseek_by_hand():
    cube = sweep(**V3, plan="dp128-ep128", batch=128)  # one sequence a rank
    # eight copies of 7168 activations, one byte out and two back; 58 layers
    assert cube.dispatch_traffic.item() == 8 * 7168 * 3 == 172_032
    assert cube.exchange_traffic.item() == 58 * 172_032
    assert cube.allreduces.item() == 0
    cube = sweep(**V3, plan="tp8", batch=1)
    assert cube.exchange_traffic.item() == 2 * 61 * 2 * 7 / 8 * 7168 * 2


def test_slower_links_beyond_a_pair_and_beyond_a_server():
    cube = sweep(
        "tensor_rate", model="mixtral-8x7b", gpu="A100-80GB-PCIe", plan=["tp2", "tp4", "tp16"]
    )
    assert cube.tensor_rate.values.tolist() == [197e9, 23.7e9, 50e9]


@given(n=st.sampled_from([1, 2, 4, 8]), b=st.integers(1, 4096))
def test_ranks_share_experts_and_none_holds_more_than_its_own(n, b):
    own = kernels.rank_experts(64.0, 0.0, float(n))
    share = kernels.expert_share(own, 64.0, float(n), 1.5)
    touched = kernels.rank_unique_experts(min(64.0, 8.0 * b), share, own)
    assert touched <= own
    assert n == 1 or own == 64 / n


def test_more_ranks_never_hold_more_and_imbalance_never_less():
    chosen = {"model": "deepseek-v3-671b", "gpu": "H800", "policy": "prophet"}
    cube = sweep(
        *("rank_resident_experts", "step_read"),
        **{**chosen, "imbalance": [1.0, 1.5, 3.0]},
        plan=["dp8-ep8", "dp16-ep16", "dp32-ep32"],
    )
    assert (cube.rank_resident_experts.diff("plan") <= 0).all()
    assert (cube.rank_resident_experts.diff("imbalance") >= 0).all()
    assert (cube.step_read.diff("imbalance") >= 0).all()


def test_a_price_gives_costs_and_none_is_assumed():
    data = {"model": "mixtral-8x7b", "gpu": "H200", "policy": "baseline"}
    assert "token_cost" not in sweep(**data)
    cube = sweep(**data, gpu_price=[1 / 3600, 2 / 3600])
    expected = [p / 3600 / cube.throughput_per_gpu.item() for p in (1, 2)]
    assert cube.token_cost.values == pytest.approx(expected)
    with pytest.raises(InputError, match="gpu_price is missing"):
        sweep("token_cost", **data)
    assert QUANTITIES["gpu_price"].optional


@pytest.mark.parametrize("runtime", ["bare", "vllm", "sglang"])
def test_a_model_that_keeps_nothing_has_no_number_of_sequences(runtime):
    chosen = {"model": "mixtral-8x7b", "gpu": "H200", "runtime": runtime}
    cube = sweep(**chosen, kv_full=0)
    assert np.isnan(cube.concurrent_sequences).all()
    assert np.isnan(cube.block_capacity).all()
    assert cube.serves_context.all()
    table = 4 * 2049 if runtime == "sglang" else 0  # B / token, of its table of token slots
    room = (cube.kv_budget + cube.table_memory) // table if table else 2**53
    assert (cube.max_context == room).all()


@pytest.mark.parametrize("runtime", ["bare", "vllm", "sglang"])
@pytest.mark.parametrize("more", [-1, 0, 1, 17])
def test_the_longest_context_is_served_and_no_longer_one(runtime, more):
    models = [
        "mixtral-8x7b",
        "gpt-oss-20b",
        "llama-4-scout",
        "qwen3-next-80b-a3b",
        "jamba-1.5-large",
    ]
    data = grid.inputs(
        model=[*models, "deepseek-v3-671b", "minimax-text-01"],
        gpu=["H200", "B200"],
        batch=[1, 7, 64],
        plan=["tp1", "tp8", "tp8-pp2"],
        **{"runtime": runtime, "precision": "fp8"},
    )
    longest = grid.sweep(data, ["max_context"]).max_context
    context = (longest + more).clip(1, 1e9).astype(float)
    served = grid.sweep(data.assign(context=context.variable), ["serves_context"]).serves_context
    known = (longest > 0) & (longest < 1e9)
    assert known.sum() > 100
    assert (served == (more <= 0)).where(known, True).all()


def test_the_fullest_gpu_holds_the_expert_it_reads():
    # DeepSeek-V3 on 64 ranks: a token takes 8 of 256 experts, and no rank holds an eighth of one
    wide = sweep(**V3 | {"policy": "prophet", "batch": 1, "plan": "dp64-ep64"})
    assert wide.rank_resident_experts.item() == wide.rank_unique_experts.item() == 1


def test_the_busiest_data_rank_decides_the_experts_that_its_batch_touches():
    cube = sweep(model="mixtral-8x7b", gpu="H200", batch=9, plan=["dp8", "dp8-ep8"])
    assert cube.expert_batch.values.tolist() == [2, 9]


def test_constant_state_is_read_and_written_back():
    # Qwen3-Next: state of 77.9 MB a sequence, an eighth of it on a rank
    chosen = {"model": "qwen3-next-80b-a3b", "gpu": "H200", "plan": "tp8", "policy": "baseline"}
    cube = sweep(**chosen, batch=512, context=2048)
    read = cube.step_fixed_memory + cube.step_expert_memory + cube.kv_memory
    state = 512 * cube.state_size / 8
    assert cube.step_read.item() == pytest.approx((read + state).item(), rel=1e-12)
    assert state.item() > 0.1 * read.item()


def test_every_rank_passes_whole_routers():
    chosen = {"model": "qwen3-next-80b-a3b", "gpu": "H200", "policy": "baseline"}
    one, eight = sweep(**chosen, plan=["tp1", "tp8"]).rank_active_parameters.values
    cube = grid.inputs(**chosen)
    assert eight > one / 8 + 7 / 8 * cube.router_parameters.item()


@pytest.mark.parametrize(
    ("model", "plan", "full"),
    [
        (
            "minimax-text-01",
            "tp8-pp8",
            2 * 2 * 1 * 128 * 2 * 1,
        ),  # layers 31 and 39 in a stage of 10
        ("gpt-oss-20b", "tp1-pp8", 2 * 2 * 8 * 64 * 2),  # two of three layers
        ("mixtral-8x7b", "tp1-pp2", 16 * 2 * 8 * 128 * 2),
    ],
)
def test_the_fullest_stage_has_the_most_layers_that_keep_every_token(model, plan, full):
    cube = sweep(model=model, gpu="H200", policy="baseline", plan=plan, runtime=["bare", "vllm"])
    assert cube.kv_per_token.item() == full
    # over all stages a step reads what all layers hold
    whole = sweep(model=model, gpu="H200", policy="baseline", plan=plan.partition("-")[0])
    parts = (cube, whole)
    cached = [
        (c.step_read - c.step_fixed_memory - c.step_expert_memory) / c.micro_share for c in parts
    ]
    np.testing.assert_allclose(cached[0], cached[1], rtol=1e-12)


def test_pages_of_a_hybrid_model_by_hand():
    # Qwen3-Next on two H200: blocks of 544 tokens over 12 layers; 482 of them and 3 of state
    chosen = {"model": "qwen3-next-80b-a3b", "gpu": "H200", "policy": "baseline"}
    cube = sweep(**chosen, plan="tp2", runtime="vllm", context=262144, batch=1)
    assert cube.page_tokens.item() == 544
    assert cube.sequence_pages.item() == math.ceil(262144 / 544) + 3 == 485
    pool = 7162 * 544 * 1024 * 12  # B: num_gpu_blocks of the log
    assert pool / cube.sequence_memory.item() == pytest.approx(14.77, abs=5e-3)


def test_defaults_of_the_engine_follow_the_card_unless_given():
    cards = ["A100-80GB", "H100-80GB", "RTX-4090"]
    chosen = {"model": "mixtral-8x7b", "gpu": cards, "runtime": "vllm", "policy": "baseline"}
    data = grid.inputs(**chosen)
    assert data.max_sequences.values.tolist() == [256, 1024, 256]
    assert data.max_batched_tokens.values.tolist() == [2048, 8192, 2048]
    assert grid.inputs(**chosen, max_sequences=32).max_sequences.item() == 32
    assert grid.inputs(**{**chosen, "runtime": "bare"}).max_sequences.dims == ()


def test_stages_as_the_engine_cuts_them():
    chosen = {"model": ["deepseek-v3-671b", "mixtral-8x7b"], "gpu": "H100-80GB"}
    cube = sweep("stage_moe_layers", **chosen, plan=["tp1", "pp2", "pp3", "pp4"])
    # 61 layers, of which 3 dense come first: 31 + 30; 20 + 21 + 20; 15 + 15 + 16 + 15
    expected = [[58, 30, 21, 16], [32, 16, 11, 8]]
    assert cube.stage_moe_layers.transpose("model", "plan").values.tolist() == expected


def test_kv_projections_are_repeated_with_their_heads():
    chosen = {"model": "qwen3-30b-a3b", "gpu": "H100-80GB", "policy": "baseline"}  # 4 KV heads
    cube = sweep("layer_memory", **chosen, plan=["tp1", "tp4", "tp8"])
    projections = 48 * 2 * 2048 * 4 * 128  # parameters of K and V
    one, four, eight = cube.layer_memory.values / 2
    whole = (cube.router_parameters + cube.norm_parameters).item()
    assert four == pytest.approx((one - whole) / 4 + whole)
    assert eight == pytest.approx((one - whole - projections) / 8 + projections / 4 + whole)


def test_windows_and_chunks_in_pages():
    # gpt-oss: 18 layers see all, 18 see 128 tokens; of a window a step and one block more are held
    chosen = {"gpu": "H100-80GB", "policy": "baseline", "runtime": "vllm", "context": 131072}
    cube = sweep(model=["gpt-oss-20b", "llama-4-scout"], **chosen)
    groups, pages = cube.page_groups.values, cube.sequence_pages.values
    assert groups.tolist() == [2, 1]  # chunks are paged as full layers
    assert pages.tolist() == [8192 + math.ceil((127 + 8192) / 16) + 1, 8192]


def test_a_layer_ends_with_the_rank_that_has_an_expert():
    chosen = {"model": "mixtral-8x7b", "gpu": "H100-80GB", "policy": "baseline"}
    cube = sweep("rank_unique_experts", **chosen, plan="dp8-ep8", batch=1)
    assert cube.rank_unique_experts.item() == 1  # two experts on two of eight ranks
