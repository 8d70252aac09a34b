"""One decode step with every expert at hand: what it computes and reads, and how long.

Of a plan: by the busiest GPU of each stage, the stages one after another.
"""

from prophet_xr.physics.shards import on_busiest_rank
from prophet_xr.registry import metric


@metric("FLOP / element")
def attention_load(attention_reuse, micro_share, tensor_share):
    """Attention arithmetic of a GPU per KV element of a data rank.

    FLOP per element x share of the sequences in a pass x share of a layer.
    """
    return attention_reuse * micro_share * tensor_share


@metric("parameter")
def decode_parameters(fixed_parameters, lookup_parameters, encoder_parameters):
    """Fixed parameters that a token of a decode step passes.

    All but embeddings that are only looked up and the encoder.
    """
    return fixed_parameters - lookup_parameters - encoder_parameters


@metric("parameter")
def undivided_parameters(replicated_parameters, router_parameters, norm_parameters):
    """Parameters that every tensor rank holds whole.

    Down-projections of latent attention + routers + norms.
    """
    return replicated_parameters + router_parameters + norm_parameters


@metric("parameter")
def routed_parameters(decode_moe_layers, top_k, expert_parameters, expert_degree, imbalance):
    """Parameters of routed experts that one token of a decode step passes.

    layers x top-k x parameters of one expert; of the busiest expert rank, x imbalance.
    """
    uneven = imbalance if expert_degree > 1 else 1.0
    return uneven * decode_moe_layers * top_k * expert_parameters


@metric("parameter")
def rank_active_parameters(
    decode_parameters,
    undivided_parameters,
    routed_parameters,
    kv_projections,
    kv_share,
    tensor_share,
):
    """Parameters of a GPU that one token of its sequences passes, over all stages.

    (fixed + layers x top-k x parameters of one expert) / tensor degree, where expert ranks share
    all tokens as they share all experts; what every rank holds is passed on each, as routers are.
    """
    whole = undivided_parameters + kv_projections * (kv_share - tensor_share)
    divided = decode_parameters - undivided_parameters + routed_parameters
    return divided * tensor_share + whole


@metric("element")
def prompt_kv_elements(kv_full, kv_windowed, kv_window, prompt_context):
    """KV elements that a prompt token attends to.

    full x context + windowed x min(context, window), at the context of the prompt.
    """
    return kv_full * prompt_context + kv_windowed * min(prompt_context, kv_window)


@metric("FLOP")
def prompt_flops(
    micro_prompt,
    rank_active_parameters,
    head_parameters,
    prompt_reuse,
    tensor_share,
    prompt_kv_elements,
):
    """Arithmetic of the prompt tokens of a step.

    2 FLOP per active parameter and token, and the attention of each over the prompt's context; no
    output head, whose logits are computed of the last token alone.
    """
    head = head_parameters * tensor_share
    attended = prompt_reuse * tensor_share * prompt_kv_elements
    return micro_prompt * (2.0 * (rank_active_parameters - head) + attended)


@metric("FLOP")
def step_flops(
    micro_batch, tokens, rank_active_parameters, kv_elements, attention_load, prompt_flops
):
    """Arithmetic of one step.

    2 FLOP per active parameter and token, the attention over the KV cache, and the prompts.
    """
    decoding = 2.0 * micro_batch * rank_active_parameters + attention_load * kv_elements
    return tokens * decoding + prompt_flops


@metric("expert")
def rank_unique_experts(step_experts, expert_share, rank_experts):
    """Distinct experts of a layer that one GPU reads in a step.

    U x share of the busiest expert rank, at most what the rank holds; at least one, since a layer
    ends with the rank that has one.
    """
    return on_busiest_rank(step_experts, expert_share, rank_experts)


@metric("B")
def step_expert_memory(decode_moe_layers, rank_unique_experts, rank_expert_size):
    """Expert weights one decode step reads.

    layers x distinct experts x bytes of one.
    """
    return decode_moe_layers * rank_unique_experts * rank_expert_size


@metric("B")
def step_fixed_memory(
    layer_memory,
    head_parameters,
    embedding_width,
    encoder_parameters,
    attention_width,
    tensor_share,
):
    """Fixed weights one decode step reads, over all stages.

    All layers and the output head; no embeddings only looked up, no encoder.
    """
    head = head_parameters * embedding_width
    return layer_memory + (head - encoder_parameters * attention_width) * tensor_share


@metric("B")
def step_read(
    step_fixed_memory,
    step_expert_memory,
    kv_elements,
    kv_element_size,
    rank_batch,
    state_size,
    tensor_share,
    micro_share,
):
    """Bytes one decode step reads from GPU memory, constant state that it writes back included.

    Fixed weights, distinct experts, over all stages the KV cache of the sequences that pass, and
    their constant state twice.
    """
    cached = kv_elements * kv_element_size + 2.0 * rank_batch * state_size * tensor_share
    return step_fixed_memory + step_expert_memory + micro_share * cached


@metric("s")
def compute_time(step_flops, compute_rate):
    """Time in arithmetic, at the datasheet rate.

    FLOP of the step / FLOP per second.
    """
    return step_flops / compute_rate


@metric("s")
def memory_time(step_read, memory_rate):
    """Time on the memory bus, at the datasheet rate.

    Bytes read / memory bandwidth.
    """
    return step_read / memory_rate


@metric("s")
def memory_slack(memory_time, compute_time):
    """Time by which memory outlasts arithmetic; 0 where arithmetic rules.

    max(memory, arithmetic) - arithmetic.
    """
    return max(memory_time, compute_time) - compute_time


@metric("s")
def fixed_time(software_floor, communication_time):
    """Host overhead and exchange between GPUs of one step.

    Host overhead + exchange.
    """
    return software_floor + communication_time


@metric("s")
def gpu_time(compute_time, memory_time, fixed_time):
    """Decode step with every expert at hand.

    max(arithmetic, memory) + host overhead + exchange between GPUs.
    """
    return max(compute_time, memory_time) + fixed_time
