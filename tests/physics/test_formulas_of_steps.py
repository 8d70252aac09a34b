"""Formulas of decode steps, offloading and reasons, with numbers worked out by hand.

The numbers are small and unlike each other, so that a wrong formula does not agree by chance.
"""

import math

import pytest
from formulas import case

from prophet_xr import kernels as k

STEP = [
    case(
        *(k.step_expert_memory, 90),
        **{"decode_moe_layers": 3, "rank_unique_experts": 2.5, "rank_expert_size": 12},
    ),
    case(k.compute_time, 2.5, step_flops=10, compute_rate=4),
    case(k.memory_time, 2.5, step_read=10, memory_rate=4),
    case(k.attention_load, 1.5, attention_reuse=12, micro_share=0.5, tensor_share=0.25),
    case(
        k.decode_parameters, 50, fixed_parameters=100, lookup_parameters=30, encoder_parameters=20
    ),
    case(
        *(k.undivided_parameters, 10),
        **{"replicated_parameters": 2, "router_parameters": 3, "norm_parameters": 5},
    ),
    # 3 layers x 2 experts x 7, half more on the busiest rank
    case(
        *(k.routed_parameters, 63),
        **{"decode_moe_layers": 3, "top_k": 2, "expert_parameters": 7},
        **{"expert_degree": 4, "imbalance": 1.5},
    ),
    case(
        *(k.routed_parameters, 42),
        **{"decode_moe_layers": 3, "top_k": 2, "expert_parameters": 7},
        **{"expert_degree": 1, "imbalance": 1.5},
    ),
    # (50 - 10 + 60) / 4 + 10 + 16 (1/2 - 1/4)
    case(
        k.rank_active_parameters,
        39,
        decode_parameters=50,
        undivided_parameters=10,
        routed_parameters=60,
        kv_projections=16,
        kv_share=0.5,
        tensor_share=0.25,
    ),
    # 3 x 10 + 5 x 7
    case(k.prompt_kv_elements, 65, kv_full=3, kv_windowed=5, kv_window=7, prompt_context=10),
    # 2 tokens x (2 (39 - 20 / 4) + 12 / 4 x 65)
    case(
        k.prompt_flops,
        526,
        micro_prompt=2,
        rank_active_parameters=39,
        head_parameters=20,
        prompt_reuse=12,
        tensor_share=0.25,
        prompt_kv_elements=65,
    ),
    # 2 tokens x (2 x 3 x 39 + 1.5 x 178) + 526
    case(
        k.step_flops,
        1528,
        micro_batch=3,
        tokens=2,
        rank_active_parameters=39,
        kv_elements=178,
        attention_load=1.5,
        prompt_flops=526,
    ),
    case(k.rank_unique_experts, 2.5, step_experts=20, expert_share=0.125, rank_experts=3),
    case(k.rank_unique_experts, 1, step_experts=5, expert_share=0.125, rank_experts=3),
    case(k.rank_unique_experts, 3, step_experts=50, expert_share=0.125, rank_experts=3),
    # 183 + (70 x 2 - 15 x 4) / 4
    case(
        k.step_fixed_memory,
        203,
        layer_memory=183,
        head_parameters=70,
        embedding_width=2,
        encoder_parameters=15,
        attention_width=4,
        tensor_share=0.25,
    ),
    # 203 + 100 + half of (178 x 2 + 2 x 2 x 28 / 4)
    case(
        k.step_read,
        495,
        step_fixed_memory=203,
        step_expert_memory=100,
        kv_elements=178,
        kv_element_size=2,
        rank_batch=2,
        state_size=28,
        tensor_share=0.25,
        micro_share=0.5,
    ),
    case(k.memory_slack, 3, memory_time=5, compute_time=2),
    case(k.memory_slack, 0, memory_time=2, compute_time=5),
    case(k.fixed_time, 5, software_floor=2, communication_time=3),
    case(k.gpu_time, 9, compute_time=2, memory_time=5, fixed_time=4),
    case(k.gpu_time, 9, compute_time=5, memory_time=2, fixed_time=4),
]

OFFLOADING = [
    case(k.predicted_share, 0.45, prediction=0.5, hit_rate=0.9),
    case(k.in_time, 0.9, predicted_share=0.9, reuse=0.4),
    case(k.in_time, 0.4, predicted_share=0.2, reuse=0.4),
    case(k.in_time, math.nan, predicted_share=0.2, reuse=math.nan),
    case(k.hit_rate_raised, True, prediction=1, predicted_share=0.2, reuse=0.4),
    case(k.hit_rate_raised, False, prediction=0, predicted_share=0, reuse=0.4),
    case(k.hit_rate_raised, False, prediction=1, predicted_share=0.4, reuse=0.4),
    case(k.early_share, 0.5, in_time=0.9, reuse=0.4),
    # a tenth is late, a quarter of which the host computes
    case(k.late_share, 0.075, in_time=0.9, host_compute=0.25),
    case(k.host_share, 0.025, in_time=0.9, host_compute=0.25),
    case(k.early_traffic, 50, early_share=0.5, step_expert_memory=100),
    case(k.late_traffic, 7.5, late_share=0.075, step_expert_memory=100),
    case(k.host_read, 2.5, host_share=0.025, step_expert_memory=100),
    case(k.link_traffic, 57.5, early_traffic=50, late_traffic=7.5),
    # 100 B at 25 B/s, and 3 x 2 x 5 copies of 0.1 s
    case(
        k.transfer_time,
        7,
        step_expert_memory=100,
        host_link_rate=25,
        copy_latency=0.1,
        expert_matrices=3,
        decode_moe_layers=2,
        rank_unique_experts=5,
    ),
    case(k.prefetch_time, 3.5, early_share=0.5, transfer_time=7),
    case(k.fetch_time, 0.525, late_share=0.075, transfer_time=7),
    case(k.hidden_time, 2, prefetch_time=3.5, gpu_time=2),
    case(k.hidden_time, 3.5, prefetch_time=3.5, gpu_time=5),
    case(k.hidden_time, math.nan, prefetch_time=math.nan, gpu_time=5),
    case(k.exposed_time, 2, prefetch_time=3.5, fetch_time=0.5, gpu_time=2),
    case(k.exposed_time, 0.5, prefetch_time=3.5, fetch_time=0.5, gpu_time=5),
    # a quarter x 2 FLOP x 5 tokens x 3 layers x 2 experts x 8 parameters / 4 ranks
    case(
        k.host_flops,
        30,
        host_share=0.25,
        micro_tokens=5,
        decode_moe_layers=3,
        top_k=2,
        expert_parameters=8,
        tensor_share=0.25,
    ),
    case(k.host_read_time, 5, host_read=10, host_memory_rate=2),
    case(k.host_arithmetic_time, 6, host_flops=30, host_compute_rate=5),
    case(k.host_compute_time, 6, host_read_time=5, host_arithmetic_time=6),
    case(k.spared_time, 0.5, host_read=10, memory_rate=20),
    case(k.host_time, 5.5, host_compute_time=6, spared_time=0.5, memory_slack=3),
    case(k.host_time, 5.75, host_compute_time=6, spared_time=0.5, memory_slack=0.25),
    case(k.step_time, 10, gpu_time=2, exposed_time=3, host_time=5),
    case(k.token_time, 2.5, step_time=10, tokens=4),
    case(k.slowdown, 2.5, step_time=10, baseline_step_time=4),
    case(k.throughput, 2, batch=5, tokens=4, step_time=10),
    case(k.throughput_per_gpu, 0.25, throughput=2, n_gpus=8),
    # 57.5 B of the 250 B that the link moves in 10 s
    case(k.link_utilization, 0.23, link_traffic=57.5, host_link_rate=25, step_time=10),
    case(k.feasible_hit_rate, 0.65, reuse=0.4, gpu_time=2, transfer_time=8),
    case(k.feasible_hit_rate, 1, reuse=0.4, gpu_time=7, transfer_time=8),
    case(k.feasible_hit_rate, 1, reuse=0.4, gpu_time=2, transfer_time=0),
    case(k.communication_share, 0.3, communication_time=3, step_time=10),
    case(k.token_cost, 0.25, gpu_price=0.5, throughput_per_gpu=2),
]
# a quarter of 8 experts, locality 0.5 x 2 and exponent 0.5: 1 - 0.75 exp(-0.5)
LOCAL = {"n_experts": 8, "reuse_strength": 2, "reuse_exponent": 0.5, "reuse_weight": 0.5}
OFFLOADING += [
    case(k.reuse, 1 - 0.75 * math.exp(-0.5), **LOCAL, resident_experts=2, step_experts=2),
    # the step needs 5, of which 2 are resident
    case(k.reuse, 0.4, **LOCAL, resident_experts=2, step_experts=5),
    case(k.reuse, 1, **LOCAL | {"n_experts": 0}, resident_experts=0, step_experts=0),
    case(k.reuse, math.nan, **LOCAL, resident_experts=math.nan, step_experts=5),
]

PLAN = {"n_layers": 10, "n_experts": 64, "redundant_experts": 8, "attention_heads": 12}
REASONS = [
    case(
        k.plan_reason, 0, **PLAN, kv_heads=4, tensor_degree=4, pipeline_degree=10, expert_degree=72
    ),
    # 12 heads on 8 ranks
    case(k.plan_reason, 1, **PLAN, kv_heads=4, tensor_degree=8, pipeline_degree=1, expert_degree=1),
    # 12 heads on 6 ranks, but 4 KV heads neither divide 6 nor are divided by it
    case(k.plan_reason, 1, **PLAN, kv_heads=4, tensor_degree=6, pipeline_degree=1, expert_degree=1),
    case(k.plan_reason, 1, **PLAN, kv_heads=4, tensor_degree=3, pipeline_degree=1, expert_degree=1),
    case(k.plan_reason, 0, **PLAN, kv_heads=4, tensor_degree=2, pipeline_degree=1, expert_degree=1),
    case(
        k.plan_reason, 0, **PLAN, kv_heads=4, tensor_degree=12, pipeline_degree=1, expert_degree=1
    ),
    # 73 ranks for 64 experts and 8 copies
    case(
        k.plan_reason, 2, **PLAN, kv_heads=4, tensor_degree=4, pipeline_degree=1, expert_degree=73
    ),
    case(
        k.plan_reason, 3, **PLAN, kv_heads=4, tensor_degree=4, pipeline_degree=11, expert_degree=1
    ),
    case(k.policy_reason, 0, n_experts=8, cache_slots=8, keep_slots=1),
    case(k.policy_reason, 1, n_experts=8, cache_slots=9, keep_slots=1),
    case(k.policy_reason, 0, n_experts=8, cache_slots=9, keep_slots=0),
    case(k.policy_reason, 0, n_experts=0, cache_slots=9, keep_slots=1),
]

MEMORY = {"memory_budget": 100, "weight_memory": 60, "kv_budget": 30, "pool_memory": 30}
REASONS += [
    case(k.reason, 0, **MEMORY, policy_reason=0, plan_reason=0),
    case(k.reason, 1, **MEMORY | {"weight_memory": 100}, policy_reason=0, plan_reason=0),
    case(k.reason, 2, **MEMORY | {"kv_budget": 0}, policy_reason=0, plan_reason=0),
    case(k.reason, 3, **MEMORY | {"pool_memory": 31}, policy_reason=0, plan_reason=0),
    case(k.reason, 4, **MEMORY | {"kv_budget": math.nan}, policy_reason=1, plan_reason=0),
    case(k.reason, 5, **MEMORY | {"kv_budget": math.nan}, policy_reason=0, plan_reason=1),
    case(k.reason, 7, **MEMORY | {"kv_budget": math.nan}, policy_reason=1, plan_reason=3),
    case(k.regime, 0, fits=False, baseline_fits=False),
    case(k.regime, 1, fits=True, baseline_fits=False),
    case(k.regime, 2, fits=True, baseline_fits=True),
    case(k.regime, 3, fits=False, baseline_fits=True),
]


@pytest.mark.parametrize(("formula", "inputs", "expected"), [*STEP, *OFFLOADING, *REASONS])
def test_a_formula_by_hand(formula, inputs, expected):
    assert formula(**inputs) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_the_codes_of_reason_are_those_of_memory_then_policy_then_plan():
    assert k.REASONS == (
        *("serves_the_context", "weights_exceed_memory", "no_room_for_kv", "context_too_long"),
        "more_slots_than_experts",
        *("heads_do_not_divide", "more_expert_ranks_than_experts", "more_stages_than_layers"),
    )
