"""One decode step with every expert in GPU memory: what it computes and reads, and how long.

Under a plan, the busiest GPU of each stage counts, and the stages run one after another.
"""

from prophet_xr.physics.weights import on_busiest_rank
from prophet_xr.registry import metric


@metric("FLOP / element")
def attention_load(attention_reuse, micro_share, tensor_share):
    """Attention arithmetic of one GPU per KV element of its data rank.

    FLOP per element x share of the sequences in a stage x share of a layer.
    """
    return attention_reuse * micro_share * tensor_share


@metric("parameter")
def decode_parameters(fixed_parameters, lookup_parameters, encoder_parameters):
    """Fixed parameters that a token of a decode step passes through.

    fixed parameters - embeddings that are only looked up - encoder.
    """
    return fixed_parameters - lookup_parameters - encoder_parameters


@metric("parameter")
def undivided_parameters(replicated_parameters, router_parameters, norm_parameters):
    """Parameters that every tensor rank holds whole.

    replicated parameters of attention + routers + norms.
    """
    return replicated_parameters + router_parameters + norm_parameters


@metric("parameter")
def routed_parameters(decode_moe_layers, top_k, expert_parameters, expert_degree, imbalance):
    """Parameters of routed experts that one token of a decode step passes through.

    layers x top-k x parameters of one expert; under expert parallelism x imbalance.
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
    """Parameters of one GPU that a token passes through, over all stages.

    (fixed parameters that ranks divide + routed experts) / tensor degree + parameters that
    every rank holds whole + copies of K and V where ranks repeat KV heads.
    """
    whole = undivided_parameters + kv_projections * (kv_share - tensor_share)
    divided = decode_parameters - undivided_parameters + routed_parameters
    return divided * tensor_share + whole


@metric("element")
def prompt_kv_elements(kv_full, kv_windowed, kv_window, prompt_context):
    """KV elements that one prompt token attends to.

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
    """Arithmetic of the prompt tokens of one step.

    prompt tokens x (2 FLOP per active parameter without the output head + attention over the
    prompt's context); the head computes the logits of the last token alone.
    """
    head = head_parameters * tensor_share
    attended = prompt_reuse * tensor_share * prompt_kv_elements
    return micro_prompt * (2.0 * (rank_active_parameters - head) + attended)


@metric("FLOP")
def step_flops(
    micro_batch, tokens, rank_active_parameters, kv_elements, attention_load, prompt_flops
):
    """Arithmetic of one step.

    tokens of a sequence x (2 FLOP per active parameter and sequence + attention over the KV
    cache) + prompts.
    """
    decoding = 2.0 * micro_batch * rank_active_parameters + attention_load * kv_elements
    return tokens * decoding + prompt_flops


@metric("expert")
def rank_unique_experts(step_experts, expert_share, rank_experts):
    """Distinct experts of a layer that one GPU reads in a step.

    distinct experts x share of the busiest expert rank; at least one, since the layer waits for
    a rank that reads one, at most what the rank holds.
    """
    return on_busiest_rank(step_experts, expert_share, rank_experts)


@metric("B")
def step_expert_memory(decode_moe_layers, rank_unique_experts, rank_expert_size):
    """Expert weights that one decode step reads.

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
    """Fixed weights that one decode step reads, over all stages.

    weights of all layers + output head - encoder; embeddings that are only looked up are not
    read.
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
    """Bytes that one decode step reads from GPU memory, and of constant state writes back.

    fixed weights + distinct experts + share of the sequences in a stage x (KV cache of all
    layers + 2 x constant state).
    """
    cached = kv_elements * kv_element_size + 2.0 * rank_batch * state_size * tensor_share
    return step_fixed_memory + step_expert_memory + micro_share * cached


@metric("s")
def compute_time(step_flops, compute_rate):
    """Time of the arithmetic of one step, at the datasheet rate.

    FLOP / FLOP per second.
    """
    return step_flops / compute_rate


@metric("s")
def memory_time(step_read, memory_rate):
    """Time of the memory reads of one step, at the datasheet rate.

    bytes / memory bandwidth.
    """
    return step_read / memory_rate


@metric("s")
def memory_slack(memory_time, compute_time):
    """Time by which memory reads take longer than arithmetic.

    max(memory, arithmetic) - arithmetic; 0 where arithmetic takes longer.
    """
    return max(memory_time, compute_time) - compute_time


@metric("s")
def fixed_time(software_floor, communication_time):
    """Host overhead and exchange between GPUs in one step.

    host overhead + exchange.
    """
    return software_floor + communication_time


@metric("s")
def gpu_time(compute_time, memory_time, fixed_time):
    """Time of one decode step if all experts were in GPU memory.

    max(arithmetic, memory) + host overhead + exchange between GPUs.
    """
    return max(compute_time, memory_time) + fixed_time
