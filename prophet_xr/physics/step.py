"""One decode step with every expert at hand: what it computes and reads, and how long."""

from prophet_xr.registry import metric


@metric("FLOP")
def step_flops(
    batch,
    tokens,
    fixed_parameters,
    lookup_parameters,
    encoder_parameters,
    decode_moe_layers,
    top_k,
    expert_parameters,
    kv_elements,
    attention_reuse,
):
    """Arithmetic of one decode step.

    2 FLOP per active parameter and token, and the attention over the KV cache.
    """
    fixed = fixed_parameters - lookup_parameters - encoder_parameters
    active = fixed + decode_moe_layers * top_k * expert_parameters
    return tokens * (2.0 * batch * active + attention_reuse * kv_elements)


@metric("B")
def step_expert_memory(decode_moe_layers, unique_experts, expert_size):
    """Expert weights one decode step reads.

    layers x distinct experts x bytes of one.
    """
    return decode_moe_layers * unique_experts * expert_size


@metric("B")
def step_read(
    fixed_memory,
    lookup_parameters,
    embedding_width,
    encoder_parameters,
    attention_width,
    step_expert_memory,
    kv_memory,
):
    """Bytes one decode step reads from GPU memory.

    Fixed weights (less embeddings only looked up and the encoder), distinct experts, KV cache.
    """
    idle = lookup_parameters * embedding_width + encoder_parameters * attention_width
    return fixed_memory - idle + step_expert_memory + kv_memory


@metric("s")
def compute_time(step_flops, compute_rate):
    """Time in arithmetic, at the datasheet rate."""
    return step_flops / compute_rate


@metric("s")
def memory_time(step_read, memory_rate):
    """Time on the memory bus, at the datasheet rate."""
    return step_read / memory_rate


@metric("s")
def memory_slack(memory_time, compute_time):
    """Time by which memory outlasts arithmetic; 0 where arithmetic rules."""
    return max(memory_time, compute_time) - compute_time


@metric("s")
def gpu_time(compute_time, memory_time, software_floor):
    """Decode step with every expert at hand.

    max(arithmetic, memory) + host overhead.
    """
    return max(compute_time, memory_time) + software_floor
