"""Formulas of plans, of exchange between GPUs and of routing, with numbers worked out by hand.

The numbers are small and unlike each other, so that a wrong formula does not agree by chance.
"""

import math

import pytest
from formulas import case

from prophet_xr import kernels as k

PLANS = [
    case(k.tensor_share, 0.25, tensor_degree=4, plan_reason=0),
    case(k.tensor_share, math.nan, tensor_degree=4, plan_reason=1),
    case(k.n_gpus, 30, tensor_degree=2, pipeline_degree=3, data_degree=5),
    # 61 layers in 4 stages: 16 + 15 + 15 + 15
    case(k.stage_layers, 16, n_layers=61, pipeline_degree=4),
    case(k.stage_share, 16 / 61, stage_layers=16, n_layers=61),
    # 10 layers in 4 stages: 3 + 3 + 2 + 2
    case(k.stage_full_layers, 3, full_layers=10, pipeline_degree=4),
    case(k.full_share, 0.3, stage_full_layers=3, full_layers=10, stage_share=0.4),
    case(k.full_share, 0.4, stage_full_layers=0, full_layers=0, stage_share=0.4),
    # 9 windowed layers in 2 stages: 5, but a stage of 7 with 3 full ones has room for 4
    case(
        k.windowed_share,
        4 / 9,
        windowed_layers=9,
        stage_layers=7,
        stage_full_layers=3,
        pipeline_degree=2,
    ),
    # 5 in 2 stages: 3, for which there is room
    case(
        k.state_share, 3 / 5, state_layers=5, stage_layers=7, stage_full_layers=3, pipeline_degree=2
    ),
    case(k.state_share, 1, state_layers=0, stage_layers=7, stage_full_layers=3, pipeline_degree=2),
    # 61 layers, 3 dense ones first, in 2 stages: 31 - 3 = 28 in the first, 30 in the second
    case(
        k.stage_moe_layers,
        30,
        stage_layers=31,
        n_layers=61,
        moe_layers=58,
        moe_interval=1,
        first_moe_layer=3,
        pipeline_degree=2,
    ),
    # 60 layers in 2 stages: 30 - 3 = 27 in the first, 30 in the second
    case(
        k.stage_moe_layers,
        30,
        stage_layers=30,
        n_layers=60,
        moe_layers=57,
        moe_interval=1,
        first_moe_layer=3,
        pipeline_degree=2,
    ),
    # in 3 stages: 21 - 3 = 18 in the first, 21 in a later one; every second has experts: 10.5
    case(
        k.stage_moe_layers,
        11,
        stage_layers=21,
        n_layers=61,
        moe_layers=29,
        moe_interval=2,
        first_moe_layer=3,
        pipeline_degree=3,
    ),
    # one stage: 61 - 3 = 58, of which the model has 57
    case(
        k.stage_moe_layers,
        57,
        stage_layers=61,
        n_layers=61,
        moe_layers=57,
        moe_interval=1,
        first_moe_layer=3,
        pipeline_degree=1,
    ),
    # 10 sequences on 3 ranks: 4 + 3 + 3
    case(k.rank_batch, 4, batch=10, data_degree=3),
    case(k.micro_batch, 2.5, rank_batch=5, pipeline_degree=2),
    case(k.micro_batch, 1, rank_batch=5, pipeline_degree=7),
    case(
        *(k.expert_batch, 5),
        **{"batch": 10, "micro_batch": 3, "pipeline_degree": 2, "data_degree": 2},
        expert_degree=2,
    ),
    case(
        *(k.expert_batch, 3),
        **{"batch": 10, "micro_batch": 3, "pipeline_degree": 2, "data_degree": 2},
        expert_degree=1,
    ),
    case(
        *(k.expert_batch, 1),
        **{"batch": 10, "micro_batch": 3, "pipeline_degree": 20, "data_degree": 1},
        expert_degree=1,
    ),
    case(k.micro_prompt, 5, prompt_tokens=30, pipeline_degree=2, data_degree=3),
    # with expert parallelism the prompts of all data ranks meet, 30 / 2; without, 30 / (2 x 3)
    case(k.expert_prompt, 15, prompt_tokens=30, pipeline_degree=2, data_degree=3, expert_degree=3),
    case(k.expert_prompt, 5, prompt_tokens=30, pipeline_degree=2, data_degree=3, expert_degree=1),
    case(k.micro_tokens, 17, micro_batch=2, tokens=5, micro_prompt=7),
    case(k.expert_tokens, 10, expert_batch=2, tokens=5),
    case(k.micro_share, 0.4, micro_batch=2, rank_batch=5),
    # 64 experts and 6 copies on 16 ranks: 4.375
    case(k.rank_experts, 5, n_experts=64, redundant_experts=6, expert_degree=16),
    case(k.rank_experts, 64, n_experts=64, redundant_experts=6, expert_degree=1),
    case(k.expert_share, 0.1171875, rank_experts=5, n_experts=64, expert_degree=16, imbalance=1.5),
    case(k.expert_share, 1, rank_experts=64, n_experts=64, expert_degree=1, imbalance=1.5),
    case(k.expert_share, 1, rank_experts=0, n_experts=0, expert_degree=4, imbalance=1.5),
    case(k.expert_slices, 8, tensor_degree=8, expert_degree=1),
    case(k.expert_slices, 1, tensor_degree=8, expert_degree=8),
    # 100 to a multiple of 64 is 128; a slice of 90 / 3 = 30 to a multiple of 16 is 32:
    # 1 + 1/2 (1.28 x 32/30 - 1)
    case(
        k.expert_padding,
        1 + 0.5 * (40.96 / 30 - 1),
        hidden_size=100,
        expert_intermediate=90,
        expert_slices=3,
        hidden_multiple=64,
        ffn_multiple=16,
        padding=0.5,
    ),
    case(
        k.expert_padding,
        1,
        hidden_size=100,
        expert_intermediate=0,
        expert_slices=3,
        hidden_multiple=64,
        ffn_multiple=16,
        padding=0.5,
    ),
]

LINKS = {"link_gpus": 2, "server_gpus": 8}
RATES = LINKS | {"link_rate": 300, "server_rate": 20, "network_rate": 5}
LATENCIES = LINKS | {"link_latency": 1, "server_latency": 2, "network_latency": 4}
COMMUNICATION = [
    *(case(k.tensor_rate, r, **RATES, tensor_degree=n) for n, r in ((2, 300), (8, 20), (9, 5))),
    *(case(k.tensor_latency, t, **LATENCIES, tensor_degree=n) for n, t in ((2, 1), (8, 2), (9, 4))),
    *(
        case(k.dispatch_latency, t, **LATENCIES, expert_degree=n)
        for n, t in ((2, 1), (8, 2), (9, 4))
    ),
    # stages of 2 and of 4 GPUs: 2, 8 and 12 GPUs in all
    case(k.handover_rate, 300, **RATES, tensor_degree=1, pipeline_degree=2),
    case(k.handover_rate, 20, **RATES, tensor_degree=4, pipeline_degree=2),
    case(k.handover_rate, 5, **RATES, tensor_degree=4, pipeline_degree=3),
    case(k.handover_latency, 1, **LATENCIES, tensor_degree=1, pipeline_degree=2),
    case(k.handover_latency, 2, **LATENCIES, tensor_degree=4, pipeline_degree=2),
    case(k.handover_latency, 4, **LATENCIES, tensor_degree=4, pipeline_degree=3),
    # 2 x 3/4 x 5 tokens x 10 x 2 B
    case(
        k.allreduce_traffic,
        150,
        micro_tokens=5,
        hidden_size=10,
        activation_width=2,
        tensor_degree=4,
    ),
    case(k.exchanges, 7, decode_moe_layers=7, data_degree=2, expert_degree=2),
    case(k.exchanges, 0, decode_moe_layers=7, data_degree=1, expert_degree=2),
    case(k.exchanges, 0, decode_moe_layers=7, data_degree=2, expert_degree=1),
    # 2 x 10 layers, 7 of which send their tokens instead of one
    case(k.allreduces, 13, n_layers=10, exchanges=7, tensor_degree=2),
    case(k.allreduces, 0, n_layers=10, exchanges=7, tensor_degree=1),
    case(
        k.allreduce_time, 91, allreduces=13, allreduce_traffic=150, tensor_rate=30, tensor_latency=2
    ),
    # 5 tokens / 4 ranks x 8 experts x 10 x 1.5
    case(
        k.dispatch_elements,
        150,
        micro_tokens=5,
        top_k=8,
        hidden_size=10,
        tensor_share=0.25,
        imbalance=1.5,
    ),
    # within the fast link; 8 of 8 in the server; 8 of 16: half at 20, half at 5
    case(k.dispatch_pace, 1 / 300, **RATES, expert_degree=2),
    case(k.dispatch_pace, 1 / 20, **RATES, expert_degree=8),
    case(k.dispatch_pace, 0.1, **RATES, expert_degree=16),
    # 4 of 5 at 1 B/s in the server take longer than 1 of 5 at 5 B/s
    case(k.dispatch_pace, 0.8, **RATES | {"server_rate": 1}, expert_degree=10),
    case(k.dispatch_traffic, 450, dispatch_elements=150, dispatch_width=1, combine_width=2),
    case(
        *(k.exchange_traffic, 4100),
        **{
            "allreduces": 13,
            "allreduce_traffic": 150,
            "exchanges": 7,
            "dispatch_traffic": 2150 / 7,
        },
    ),
    # 7 x (2 x 3 + 450 / 50)
    case(
        *(k.dispatch_time, 105),
        **{"exchanges": 7, "dispatch_traffic": 450, "dispatch_pace": 0.02, "dispatch_latency": 3},
    ),
    # 2 x (3 + 5 x 10 x 2 B / 25)
    case(
        k.handover_time,
        14,
        micro_tokens=5,
        hidden_size=10,
        activation_width=2,
        pipeline_degree=3,
        handover_rate=25,
        handover_latency=3,
    ),
    case(k.communication_time, 10, allreduce_time=2, dispatch_time=3, handover_time=5),
]

ROUTING = [
    case(k.routing_skew, 0.35, skew=0.7, skew_scale=0.5),
    # 1 + 0.5 (0.6 - 1)
    case(k.routing_gamma, 0.8, gamma=0.6, gamma_scale=0.5),
    # 3 sequences of 16 tokens, 16**0.5 = 4
    case(k.effective_batch, 12, expert_batch=3, tokens=16, routing_gamma=0.5),
    case(k.step_draws, 17, effective_batch=12, expert_prompt=25, routing_gamma=0.5),
    # without skew every expert has k / E
    case(k.zipf_scale, 0.25, n_experts=8, top_k=2, routing_skew=0),
    # 1 + 1/2 + 1/3 + 1/4 = 25/12, so that l = 12/25
    case(k.zipf_scale, 0.48, n_experts=4, top_k=1, routing_skew=1),
    # three of four: the first is always taken, the others share two: l (1/2 + 1/3 + 1/4) = 2
    case(k.zipf_scale, 24 / 13, n_experts=4, top_k=3, routing_skew=1),
]
LAW = {"n_experts": 8, "top_k": 2, "dedup_exponent": 0.5, "zipf_scale": 0.25}
ROUTING += [
    # power law: 2 x 9**0.5 = 6; uniform: 8 (1 - (1 - 1/4)**2) = 3.5; a quarter of the first
    case(
        k.unique_experts,
        0.25 * 6 + 0.75 * 3.5,
        **LAW,
        expert_tokens=9,
        power_weight=0.25,
        routing_skew=0,
        effective_batch=2,
    ),
    case(
        *(k.unique_experts, 8),
        **LAW,
        **{"expert_tokens": 25, "power_weight": 1, "routing_skew": 0, "effective_batch": 2},
    ),
    # four experts with l = 0.48: of 2 draws each is in 1 - (1 - l / i)**2:
    # 0.7296 + 0.4224 + 0.2944 + 0.2256
    case(
        *(k.unique_experts, 1.672),
        **{"n_experts": 4, "top_k": 1, "dedup_exponent": 1, "zipf_scale": 0.48},
        **{"expert_tokens": 2, "power_weight": 0, "routing_skew": 1, "effective_batch": 2},
    ),
    # 9 tokens and 7 of prompts: 2 x 16**0.5 = 8 of the power law, 3.5 of two draws
    case(
        k.step_experts,
        0.25 * 8 + 0.75 * 3.5,
        **LAW,
        unique_experts=5,
        expert_tokens=9,
        expert_prompt=7,
        power_weight=0.25,
        routing_skew=0,
        step_draws=2,
    ),
    case(
        k.step_experts,
        5,
        **LAW,
        unique_experts=5,
        expert_tokens=9,
        expert_prompt=0,
        power_weight=0.25,
        routing_skew=0,
        step_draws=2,
    ),
    case(k.dedup_factor, 1.6, n_experts=8, unique_experts=5),
    case(k.dedup_factor, math.nan, n_experts=0, unique_experts=0),
]


@pytest.mark.parametrize(("formula", "inputs", "expected"), [*PLANS, *COMMUNICATION, *ROUTING])
def test_a_formula_by_hand(formula, inputs, expected):
    assert formula(**inputs) == pytest.approx(expected, rel=1e-12, nan_ok=True)
