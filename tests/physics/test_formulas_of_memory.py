"""Formulas of weights, runtimes and the KV cache, with numbers worked out by hand.

The numbers are small and unlike each other, so that a wrong formula does not agree by chance.
"""

import math

import pytest
from formulas import case

from prophet_xr import kernels as k

KEEP = {"keep_all": 0, "keep_batch": 0, "keep_top_k": 0, "keep_slots": 0, "policy_reason": 0}
COUNTS = {"n_experts": 64, "unique_experts": 20, "top_k": 8, "cache_slots": 16, "staging": 3}
WEIGHTS = [
    case(
        k.fixed_parameters,
        58,
        shared_parameters=2,
        router_parameters=3,
        attention_parameters=5,
        dense_parameters=7,
        state_space_parameters=11,
        norm_parameters=13,
        embedding_parameters=17,
    ),
    # 58 + 3 layers x 8 experts x 7, of which a token passes two
    case(
        k.total_parameters, 226, fixed_parameters=58, moe_layers=3, n_experts=8, expert_parameters=7
    ),
    case(k.active_parameters, 100, fixed_parameters=58, moe_layers=3, top_k=2, expert_parameters=7),
    case(k.expert_size, 3.5, expert_parameters=7, expert_width=0.5),
    # half of the layers, the embeddings and what the engine adds
    case(
        k.fixed_memory,
        211.5,
        layer_memory=183,
        embedding_memory=50,
        engine_memory=70,
        stage_share=0.5,
    ),
    case(k.expert_memory, 150, stage_moe_layers=5, rank_resident_experts=2.5, rank_expert_size=12),
    case(k.weight_memory, 361.5, fixed_memory=211.5, expert_memory=150),
    case(k.head_parameters, 70, embedding_parameters=100, lookup_parameters=30),
    case(k.resident_experts, 64, **COUNTS, **KEEP | {"keep_all": 1}),
    case(k.resident_experts, 23, **COUNTS, **KEEP | {"keep_batch": 1}),
    case(k.resident_experts, 8, **COUNTS, **KEEP | {"keep_top_k": 1}),
    case(k.resident_experts, 16, **COUNTS, **KEEP | {"keep_slots": 1}),
    case(k.resident_experts, 64, **COUNTS | {"staging": 50}, **KEEP | {"keep_batch": 1}),
    case(k.resident_experts, math.nan, **COUNTS, **KEEP | {"policy_reason": 1}),
    # 3 layers x (8 - 5 + half of 5) experts x 7 B
    case(
        k.host_memory,
        115.5,
        moe_layers=3,
        n_experts=8,
        resident_experts=5,
        expert_size=7,
        host_copy=0.5,
    ),
    # 2 KV heads on 8 ranks: each head on 4 of them
    case(k.kv_share, 0.5, kv_heads=2, tensor_degree=8, tensor_share=0.125),
    case(k.kv_share, 0.25, kv_heads=8, tensor_degree=4, tensor_share=0.25),
    case(k.kv_projections, 50, hidden_size=10, kv_full=3, kv_windowed=2),
    # ((100 - 20 - 30) / 4 + 30 / 2 + 20) x 2 B
    case(
        k.attention_memory,
        95,
        attention_parameters=100,
        replicated_parameters=20,
        kv_projections=30,
        kv_share=0.5,
        tensor_share=0.25,
        attention_width=2,
    ),
    # 40 x 2 B x (1/2 + 1/2 x 1/4)
    case(
        k.shared_expert_memory,
        50,
        shared_parameters=40,
        shared_width=2,
        shared_copies=0.5,
        tensor_share=0.25,
    ),
    # 95 + 50 + (8 x 2 + 12 x 4) / 4 + 5 x 2 + 3 x 4
    case(
        k.layer_memory,
        183,
        attention_memory=95,
        shared_expert_memory=50,
        router_parameters=5,
        router_width=2,
        dense_parameters=8,
        dense_width=2,
        state_space_parameters=12,
        state_space_width=4,
        norm_parameters=3,
        norm_width=4,
        tensor_share=0.25,
    ),
    case(
        *(k.embedding_memory, 50),
        **{"embedding_parameters": 100, "head_parameters": 70, "embedding_width": 2},
        **{"tensor_share": 0.25, "pipeline_degree": 1},
    ),
    case(
        *(k.embedding_memory, 35),
        **{"embedding_parameters": 100, "head_parameters": 70, "embedding_width": 2},
        **{"tensor_share": 0.25, "pipeline_degree": 2},
    ),
    # 40 x 2 B / 2 stages / 4 ranks, and 5 positions of 3 elements in 4 B
    case(
        k.engine_memory,
        70,
        absorbed_parameters=40,
        absorbed_width=2,
        stage_share=0.5,
        tensor_share=0.25,
        native_context=5,
        rotary_size=3,
        rotary_width=4,
    ),
    # 10 B, a tenth of padding, on 4 ranks; whole under expert parallelism
    case(
        *(k.rank_expert_size, 2.75),
        **{"expert_size": 10, "expert_padding": 1.1, "tensor_share": 0.25, "expert_degree": 1},
    ),
    case(
        *(k.rank_expert_size, 11),
        **{"expert_size": 10, "expert_padding": 1.1, "tensor_share": 0.25, "expert_degree": 4},
    ),
    case(
        *(k.rank_expert_size, math.nan),
        **{"expert_size": 10, "expert_padding": 1.1, "tensor_share": math.nan, "expert_degree": 4},
    ),
    # an eighth of 20 experts; at least one; at most the three of the rank; none of none
    case(k.rank_resident_experts, 2.5, resident_experts=20, expert_share=0.125, rank_experts=3),
    case(k.rank_resident_experts, 1, resident_experts=5, expert_share=0.125, rank_experts=3),
    case(k.rank_resident_experts, 3, resident_experts=50, expert_share=0.125, rank_experts=3),
    case(k.rank_resident_experts, 0, resident_experts=0, expert_share=0.125, rank_experts=3),
    case(
        *(k.rank_resident_experts, math.nan),
        **{"resident_experts": math.nan, "expert_share": 0.125, "rank_experts": 3},
    ),
    case(k.expert_savings, 60, expert_memory=40, baseline_expert_memory=100),
    case(k.expert_savings_fraction, 0.6, expert_savings=60, baseline_expert_memory=100),
    case(k.expert_savings_fraction, math.nan, expert_savings=0, baseline_expert_memory=0),
]

RUNTIME = [
    # 2 copies x 8 sequences x 100 logits x 4 B
    case(k.sampler_memory, 6400, vocabulary=100, max_sequences=8, sampler_copies=2),
    # 3 H = 30, experts 2 (3 x 12 / 4 + 10) = 38, dense MLP 3 x 40 / 4 = 30: 7 tokens x 68 x 2 B
    case(
        k.prefill_memory,
        952,
        max_batched_tokens=7,
        hidden_size=10,
        top_k=2,
        expert_intermediate=12,
        dense_intermediate=40,
        tensor_degree=4,
        expert_slices=4,
        buffer_width=2,
    ),
    # a dense MLP of 100: 75, 7 x 105 x 2 B
    case(
        k.prefill_memory,
        1470,
        max_batched_tokens=7,
        hidden_size=10,
        top_k=2,
        expert_intermediate=12,
        dense_intermediate=100,
        tensor_degree=4,
        expert_slices=4,
        buffer_width=2,
    ),
    # half of 3 x 10 B, and the larger of 7 and 5
    case(
        k.activation_memory,
        22,
        study_activation=10,
        activation_weight=0.5,
        batch=3,
        sampler_memory=7,
        prefill_memory=5,
    ),
    # 5 + 7 + 2 log2(8)
    case(
        k.non_torch_memory, 18, context_memory=5, collective_memory=7, collective_growth=2, n_gpus=8
    ),
    case(
        k.non_torch_memory, 5, context_memory=5, collective_memory=7, collective_growth=2, n_gpus=1
    ),
    case(k.table_per_token, 12, max_sequences=3, slot_width=4),
    case(k.table_memory, 60, max_sequences=3, context=5, slot_width=4),
    # half nominal, half usable; nine tenths of it
    case(k.counted_memory, 75, nominal_memory=80, usable_memory=70, nominal_weight=0.5),
    case(k.counted_memory, 72.5, nominal_memory=80, usable_memory=70, nominal_weight=0.25),
    case(k.memory_budget, 67.5, counted_memory=75, utilization=0.9),
    case(k.reserved_memory, 7.5, counted_memory=75, memory_budget=67.5),
    case(
        k.static_memory,
        29,
        weight_memory=2,
        activation_memory=3,
        predictor_memory=5,
        non_torch_memory=7,
        graph_memory=1,
        table_memory=11,
    ),
]

CACHE = [
    case(k.kv_element_size, 0.5, kv_width=2, kv_share=0.25),
    case(k.stage_kv_full, 6, kv_full=20, full_share=0.3),
    case(k.stage_kv_windowed, 8, kv_windowed=20, windowed_share=0.4),
    case(k.stage_kv_cross, 10, kv_cross=20, stage_share=0.5),
    # 800 B, 3/5 of the layers with state, a quarter of each
    case(k.rank_state_size, 120, state_size=800, state_share=0.6, tensor_share=0.25),
    case(k.kv_per_token, 12, stage_kv_full=6, kv_element_size=2),
    # 2 sequences x (3 x 10 + 5 x 7 of a window + 4 x 6 of an encoder)
    case(
        k.stage_kv_elements,
        178,
        rank_batch=2,
        context=10,
        encoder_context=6,
        stage_kv_full=3,
        stage_kv_windowed=5,
        kv_window=7,
        stage_kv_cross=4,
    ),
    case(k.predictor_memory, 7.2e6, predictor_size=7.2e6),
    case(k.total_memory, 75, static_memory=29, pool_memory=46),
    case(k.kv_budget, 38.5, memory_budget=67.5, static_memory=29),
    case(k.fits, True, kv_budget=38.5),
    case(k.fits, False, kv_budget=0),
    case(k.fits, False, kv_budget=-38.5),
    case(k.kv_per_token_in_window, 16, stage_kv_full=3, stage_kv_windowed=5, kv_element_size=2),
    case(k.window_memory, 70, stage_kv_windowed=5, kv_element_size=2, kv_window=7),
    # 11 + 3 x 2 B x 5 encoder tokens
    case(
        k.fixed_sequence_memory,
        41,
        rank_state_size=11,
        stage_kv_cross=3,
        kv_element_size=2,
        encoder_context=5,
    ),
    # 2 sequences x (3 x 10 + 5 x 7 of a window + 4 x 6 of an encoder)
    case(
        k.kv_elements,
        178,
        rank_batch=2,
        context=10,
        encoder_context=6,
        kv_full=3,
        kv_windowed=5,
        kv_window=7,
        kv_cross=4,
    ),
    case(
        k.kv_memory, 412, stage_kv_elements=178, kv_element_size=2, rank_batch=2, rank_state_size=28
    ),
    # (6 + 4) elements x 2 B / (3 + 2) layers
    case(
        k.layer_kv_size,
        4,
        kv_full=6,
        kv_windowed=4,
        full_layers=3,
        windowed_layers=2,
        kv_element_size=2,
    ),
    # a layer's state of 1000 B on 4 ranks takes 250 / 4 = 62.5 tokens, in 16s: 64
    case(
        k.page_tokens,
        64,
        block_size=16,
        state_layers=3,
        state_page=1000,
        tensor_share=0.25,
        layer_kv_size=4,
    ),
    case(
        k.page_tokens,
        16,
        block_size=16,
        state_layers=0,
        state_page=1000,
        tensor_share=0.25,
        layer_kv_size=4,
    ),
    # 6 layers and a quarter of 8 windowed ones
    case(k.long_layers, 8, full_layers=6, windowed_layers=8, window_pages=0.75),
    case(k.short_layers, 6, windowed_layers=8, window_pages=0.75),
    case(k.page_layers, 5, long_layers=8, short_layers=5, state_layers=6),
    case(k.page_layers, 6, long_layers=8, short_layers=0, state_layers=6),
    case(k.page_layers, 5, long_layers=0, short_layers=5, state_layers=0),
    case(k.page_layers, 3, long_layers=0, short_layers=0, state_layers=3),
    case(k.page_layers, 8, long_layers=8, short_layers=0, state_layers=0),
    case(k.page_layers, 1, long_layers=0.25, short_layers=0.75, state_layers=0),
    case(k.long_groups, 2, long_layers=8, page_layers=5),
    case(k.short_groups, 2, short_layers=6, page_layers=5),
    case(k.state_groups, 3, state_layers=11, page_layers=5),
    case(k.page_groups, 9, long_groups=2, short_groups=3, state_groups=4),
    # (100 - 1 + 50) / 16 = 9.3
    case(k.window_blocks, 10, kv_window=100, max_batched_tokens=50, page_tokens=16),
    # 16 tokens x ceil(5 / 2) layers x 4 B
    case(k.page_size, 192, page_tokens=16, page_layers=5, pipeline_degree=2, layer_kv_size=4),
]
GROUPS = {"long_groups": 2, "short_groups": 3, "state_groups": 4, "window_blocks": 5}
CACHE += [
    # 100 / 16 = 7 blocks: 2 x 7 + 3 (5 + 1) + 4 x 3
    case(k.sequence_pages, 44, **GROUPS, state_copies=3, context=100, page_tokens=16),
    # 20 / 16 = 2 blocks: 2 x 2 + 3 (2 + 1) + 4 x 2
    case(k.sequence_pages, 21, **GROUPS, state_copies=3, context=20, page_tokens=16),
    # and back: 2 sequences have 44 pages each, 45 are too few for another block of 2 groups
    case(k.longest_blocks, 7, **GROUPS, state_copies=3, pool_pages=88, rank_batch=2),
    case(k.longest_blocks, 7, **GROUPS, state_copies=3, pool_pages=91, rank_batch=2),
    case(k.longest_blocks, 8, **GROUPS, state_copies=3, pool_pages=92, rank_batch=2),
    case(k.longest_blocks, 2, **GROUPS, state_copies=3, pool_pages=42, rank_batch=2),
    case(k.longest_blocks, 0, **GROUPS, state_copies=3, pool_pages=22, rank_batch=2),
    case(
        *(k.sequence_memory, 132),
        **{"kv_memory": 70, "rank_batch": 2, "block_size": 16, "sequence_pages": 44},
        page_size=3,
    ),
    case(
        *(k.sequence_memory, 35),
        **{"kv_memory": 70, "rank_batch": 2, "block_size": 1, "sequence_pages": 44},
        page_size=3,
    ),
    case(k.pool_memory, 264, kv_memory=70, rank_batch=2, block_size=16, sequence_memory=132),
    case(k.pool_memory, 70, kv_memory=70, rank_batch=2, block_size=1, sequence_memory=35),
    case(k.pool_pages, 5, kv_budget=17, page_size=3),
    case(k.pool_pages, 0, kv_budget=-17, page_size=3),
    case(k.pool_pages, math.nan, kv_budget=math.nan, page_size=3),
    case(k.pool_pages, math.nan, kv_budget=17, page_size=0),
]
POOL = {"pool_pages": 100, "sequence_pages": 8, "sequence_memory": 20, "data_degree": 3}
CACHE += [
    # 3 x 100 / 8 by blocks; 3 x 500 / 20 by bytes
    case(k.concurrent_sequences, 37.5, **POOL, kv_budget=500, block_size=16),
    case(k.concurrent_sequences, 75, **POOL, kv_budget=500, block_size=1),
    case(k.concurrent_sequences, 0, **POOL, kv_budget=-500, block_size=1),
    case(k.concurrent_sequences, math.nan, **POOL, kv_budget=math.nan, block_size=1),
    case(k.kv_capacity, 150, concurrent_sequences=37.5, context=4),
    # 3 x floor(100 / 7) x 16
    case(k.block_capacity, 672, pool_pages=100, page_groups=7, page_tokens=16, data_degree=3),
    case(k.block_capacity, 0, pool_pages=0, page_groups=7, page_tokens=16, data_degree=3),
]
LINE = {"fixed_sequence_memory": 10, "kv_per_token": 2, "kv_per_token_in_window": 5}
LINE |= {"kv_window": 20, "window_memory": 60, "page_tokens": 16, "longest_blocks": 4}
LINE |= {"table_memory": 30, "table_per_token": 2}
CACHE += [
    # each of 2 sequences has (410 + 30) / 2 - 10 = 210 B; 1 B a token more for the table: 20
    # tokens of a window take 120, and then 60 of the window leave 150 for 3 B a token
    case(k.max_context, 50, **LINE, kv_budget=410, rank_batch=2, block_size=1),
    # (170 + 30) / 2 - 10 = 90 B, within the window 6 B a token
    case(k.max_context, 15, **LINE, kv_budget=170, rank_batch=2, block_size=1),
    # 5 and 11 B more a sequence are less than a token, and than two
    case(k.max_context, 15, **LINE, kv_budget=180, rank_batch=2, block_size=1),
    case(k.max_context, 50, **LINE, kv_budget=414, rank_batch=2, block_size=1),
    case(k.max_context, 64, **LINE, kv_budget=410, rank_batch=2, block_size=16),
    case(
        *(k.max_context, 62),  # 4 blocks of 15.6 tokens
        **LINE | {"page_tokens": 15.6},
        **{"kv_budget": 410, "rank_batch": 2, "block_size": 16},
    ),
    case(
        *(k.max_context, 2**53),
        **LINE | {"longest_blocks": math.inf},
        **{"kv_budget": 410, "rank_batch": 2, "block_size": 16},
    ),
    case(k.max_context, 0, **LINE, kv_budget=-30, rank_batch=2, block_size=1),
    case(k.usable_context, 50, max_context=50, native_context=64),
    case(k.usable_context, 64, max_context=100, native_context=64.5),
    case(k.serves_context, True, kv_budget=10, pool_memory=10),
    case(k.serves_context, False, kv_budget=10, pool_memory=11),
    case(k.serves_context, False, kv_budget=0, pool_memory=0),
    case(k.kv_extension, 2.5, kv_budget=25, baseline_kv_budget=10),
    case(k.kv_extension, 0, kv_budget=-25, baseline_kv_budget=10),
    case(k.kv_extension, math.nan, kv_budget=math.nan, baseline_kv_budget=10),
    case(k.kv_extension, math.nan, kv_budget=25, baseline_kv_budget=0),
    case(k.kv_increase, -4, max_context=96, baseline_max_context=100),
    case(k.total_savings_fraction, 0.25, total_memory=75, baseline_total_memory=100),
]


@pytest.mark.parametrize(("formula", "inputs", "expected"), [*WEIGHTS, *RUNTIME, *CACHE])
def test_a_formula_by_hand(formula, inputs, expected):
    assert formula(**inputs) == pytest.approx(expected, rel=1e-12, nan_ok=True)
