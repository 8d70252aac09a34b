"""One decode step: what it computes, reads and fetches, and how long that takes."""

from prophet_xr.registry import metric


@metric("FLOP")
def step_flops(
    batch,
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

    2 FLOP per active parameter and sequence, and the attention over the KV cache.
    """
    fixed = fixed_parameters - lookup_parameters - encoder_parameters
    active = fixed + decode_moe_layers * top_k * expert_parameters
    return 2.0 * batch * active + attention_reuse * kv_elements


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
def gpu_time(compute_time, memory_time, software_floor):
    """Decode step with every expert at hand.

    max(arithmetic, memory) + host overhead.
    """
    return max(compute_time, memory_time) + software_floor


@metric("1")
def reuse(resident_experts, n_experts):
    """Share of expert requests already resident from earlier steps.

    C / E, the share under routing without locality; real traces do better.  1 without experts.
    """
    return resident_experts / n_experts if n_experts > 0 else 1.0


@metric("1")
def in_time(prediction, hit_rate, reuse):
    """Share of expert requests resident when they are needed.

    max(hit rate, reuse); without prediction only reuse.
    """
    return max(prediction * hit_rate, reuse)


@metric("B")
def early_traffic(in_time, reuse, step_expert_memory):
    """Bytes a step prefetches over the host link.

    (in time - reuse) x experts read.
    """
    return (in_time - reuse) * step_expert_memory


@metric("B")
def late_traffic(in_time, step_expert_memory):
    """Bytes a step fetches over the host link after they were needed.

    (1 - in time) x experts read.
    """
    return (1.0 - in_time) * step_expert_memory


@metric("B")
def link_traffic(early_traffic, late_traffic):
    """Bytes a step moves over the host link.

    (1 - reuse) x experts read, whatever the predictor: prediction hides latency, not bytes.
    """
    return early_traffic + late_traffic


@metric("s")
def exposed_time(
    early_traffic,
    late_traffic,
    gpu_time,
    host_link_rate,
    copy_latency,
    expert_matrices,
    in_time,
    decode_moe_layers,
    unique_experts,
):
    """Transfer time that the GPU waits for.

    What prefetch does not hide, late fetches in series, and a fixed cost per late copy.
    """
    unhidden = max(0.0, early_traffic / host_link_rate - gpu_time)
    missed = (1.0 - in_time) * decode_moe_layers * unique_experts
    return unhidden + late_traffic / host_link_rate + expert_matrices * missed * copy_latency


@metric("s")
def step_time(gpu_time, exposed_time):
    """One decode step; with one token per sequence, the time per output token (TPOT)."""
    return gpu_time + exposed_time


@metric("1")
def slowdown(step_time, baseline_step_time):
    """Decode step over the baseline's.

    As if the baseline fitted; see ``fits``.
    """
    return step_time / baseline_step_time


@metric("1 / s")
def throughput(batch, step_time):
    """Output tokens per second of the batch."""
    return batch / step_time


@metric("1 / s")
def throughput_per_gpu(throughput, n_gpus):
    """Output tokens per second and GPU of the plan."""
    return throughput / n_gpus
