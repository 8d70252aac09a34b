"""The physics: one formula, one cell, floats in, float out.

A formula reads only its arguments and other functions of this module, so that it runs unchanged
in plain Python and inside a compiled loop.  SI units: B, s, FLOP, token, expert, parameter.
"""

import math

from prophet_xr import schema  # noqa: F401  (declares what the formulas read)
from prophet_xr.registry import metric

UNBOUNDED = 2**53  # tokens; the context of a cache that does not grow, the last exact float


# --- Parameters and bytes ------------------------------------------------------------------


@metric("parameter")
def fixed_parameters(
    shared_parameters,
    router_parameters,
    attention_parameters,
    dense_parameters,
    state_space_parameters,
    norm_parameters,
    embedding_parameters,
):
    """Parameters that no policy can evict.

    Everything but the routed experts: shared experts, routers, attention, dense MLPs,
    state-space layers, norms and embeddings.
    """
    return (
        shared_parameters
        + router_parameters
        + attention_parameters
        + dense_parameters
        + state_space_parameters
        + norm_parameters
        + embedding_parameters
    )


@metric("parameter")
def total_parameters(fixed_parameters, moe_layers, n_experts, expert_parameters):
    """Parameters of the model.

    fixed + layers x experts x parameters of one expert.
    """
    return fixed_parameters + moe_layers * n_experts * expert_parameters


@metric("parameter")
def active_parameters(fixed_parameters, moe_layers, top_k, expert_parameters):
    """Parameters one token passes through, embeddings included.

    fixed + layers x top-k x parameters of one expert.
    """
    return fixed_parameters + moe_layers * top_k * expert_parameters


@metric("B / expert")
def expert_size(expert_parameters, expert_width):
    """Bytes of one routed expert.

    parameters x bytes per parameter.
    """
    return expert_parameters * expert_width


@metric("B")
def fixed_memory(fixed_parameters, embedding_parameters, dense_width, embedding_width):
    """Weights that no policy can evict.

    Embeddings may be stored wider than the rest.
    """
    dense = fixed_parameters - embedding_parameters
    return dense * dense_width + embedding_parameters * embedding_width


# --- Experts -------------------------------------------------------------------------------


@metric("expert")
def unique_experts(n_experts, top_k, batch, dedup_exponent, power_weight):
    """Distinct experts a layer needs for one decode batch.

    Power law of the study: min(E, k B**a).  Uniform routing: E (1 - (1 - k/E)**B).
    """
    power = min(n_experts, top_k * batch**dedup_exponent)
    uniform = n_experts * (1.0 - (1.0 - top_k / n_experts) ** batch)
    return power_weight * power + (1.0 - power_weight) * uniform


@metric("1")
def dedup_factor(n_experts, unique_experts):
    """Deduplication factor.

    E / U: experts of a layer over the experts the batch needs.
    """
    return n_experts / unique_experts


@metric("expert")
def resident_experts(
    n_experts, unique_experts, top_k, keep_all, keep_batch, keep_top_k, staging
):
    """Experts a layer keeps in GPU memory.

    All E (baseline), the batch's working set U plus staging slots (prophet), or k (on_demand).
    """
    kept = keep_all * n_experts + keep_batch * (unique_experts + staging) + keep_top_k * top_k
    return min(n_experts, kept)


@metric("B")
def expert_memory(moe_layers, resident_experts, expert_size):
    """Expert weights in GPU memory.

    layers x resident experts x bytes of one.
    """
    return moe_layers * resident_experts * expert_size


@metric("B")
def expert_savings(expert_memory, baseline_expert_memory):
    """Expert memory freed against the baseline.

    The baseline's expert memory less this policy's.
    """
    return baseline_expert_memory - expert_memory


@metric("1")
def expert_savings_fraction(expert_savings, baseline_expert_memory):
    """Share of expert memory freed.

    Freed / the baseline's expert memory; NaN for a model without experts.
    """
    return expert_savings / baseline_expert_memory if baseline_expert_memory > 0 else math.nan


# --- KV cache ------------------------------------------------------------------------------


@metric("B / token")
def kv_per_token(kv_full, kv_width):
    """KV cache of one more token of one sequence.

    The slope of the layers that keep every token; sliding windows and constant state add none.
    """
    return kv_full * kv_width


@metric("element")
def kv_elements(batch, context, encoder_context, kv_full, kv_windowed, kv_window, kv_cross):
    """KV elements of the whole batch at the context.

    B (full x context + windowed x min(context, window) + cross x encoder tokens).
    """
    windowed = kv_windowed * min(context, kv_window)
    return batch * (kv_full * context + windowed + kv_cross * encoder_context)


@metric("B")
def kv_memory(kv_elements, kv_width, batch, state_size):
    """KV cache and constant state of the batch at the context.

    elements x bytes of one + B x state.
    """
    return kv_elements * kv_width + batch * state_size


# --- Memory --------------------------------------------------------------------------------


@metric("B")
def memory_budget(nominal_memory, usable_memory, nominal_weight, utilization):
    """GPU memory the runtime may use.

    utilization x usable memory; the study counts nominal memory instead.
    """
    nominal = nominal_weight * nominal_memory
    return utilization * (nominal + (1.0 - nominal_weight) * usable_memory)


@metric("B")
def activation_memory(study_activation, activation_weight, batch):
    """Activations, by the study's rule.

    A constant per sequence times the batch; 0 under runtimes that do not use the rule.
    """
    return activation_weight * study_activation * batch


@metric("B")
def predictor_memory(predictor_size):
    """Memory of the expert predictor."""
    return predictor_size


@metric("B")
def static_memory(fixed_memory, expert_memory, activation_memory, predictor_memory):
    """Everything in GPU memory but the KV cache.

    fixed weights + resident experts + activations + predictor.
    """
    return fixed_memory + expert_memory + activation_memory + predictor_memory


@metric("B")
def total_memory(static_memory, kv_memory):
    """GPU memory in use at the context.

    weights + activations + predictor + KV cache.
    """
    return static_memory + kv_memory


@metric("1")
def total_savings_fraction(total_memory, baseline_total_memory):
    """Share of all memory freed.

    1 - this policy's total memory / the baseline's.
    """
    return 1.0 - total_memory / baseline_total_memory


@metric("B")
def kv_budget(memory_budget, static_memory):
    """Memory left for the KV cache.

    Budget less everything else; negative where the weights do not fit.
    """
    return memory_budget - static_memory


@metric("1", dtype="bool")
def fits(kv_budget):
    """Something is left for the KV cache."""
    return kv_budget > 0


@metric("token", dtype="int64")
def max_context(
    kv_budget,
    batch,
    encoder_context,
    kv_full,
    kv_windowed,
    kv_window,
    kv_cross,
    kv_width,
    state_size,
):
    """Longest context every sequence can hold.

    Inverts the piecewise KV line and floors; 0 where there is no room, 2**53 where nothing grows.
    """
    room = kv_budget / batch - state_size - kv_cross * kv_width * encoder_context
    rise = (kv_full + kv_windowed) * kv_width
    if room <= 0.0:
        return 0
    if rise * kv_window > room:
        return math.floor(room / rise)
    slope = kv_full * kv_width
    beyond = room - kv_windowed * kv_width * kv_window
    return math.floor(beyond / slope) if beyond < slope * UNBOUNDED else UNBOUNDED


@metric("token", dtype="int64")
def usable_context(max_context, native_context):
    """Longest context that fits and that the model was made for.

    min(max_context, native context).
    """
    return min(max_context, math.floor(native_context))


@metric("1", dtype="bool")
def serves_context(kv_budget, kv_memory):
    """The asked context fits for the whole batch."""
    return kv_budget > 0 and kv_memory <= kv_budget


@metric(
    "1",
    dtype="int64",
    flags=("serves_the_context", "weights_exceed_memory", "no_room_for_kv", "context_too_long"),
)
def reason(memory_budget, fixed_memory, expert_memory, kv_budget, kv_memory):
    """Why the asked context is not served.

    The first of: the weights alone, activations and predictor, the KV cache at the context.
    """
    if fixed_memory + expert_memory >= memory_budget:
        return 1
    if kv_budget <= 0:
        return 2
    return 3 if kv_memory > kv_budget else 0


@metric(
    "1", dtype="int64", flags=("neither_fits", "only_this_policy", "both_fit", "only_the_baseline")
)
def regime(fits, baseline_fits):
    """Which of this policy and the baseline fits."""
    if fits:
        return 2 if baseline_fits else 1
    return 3 if baseline_fits else 0


@metric("1")
def kv_extension(kv_budget, baseline_kv_budget):
    """KV budget over the baseline's.

    How many times longer a context (or larger a batch) fits; NaN where the baseline does not fit.
    """
    return max(kv_budget, 0.0) / baseline_kv_budget if baseline_kv_budget > 0 else math.nan


@metric("token", dtype="int64")
def kv_increase(max_context, baseline_max_context):
    """Tokens of context gained over the baseline.

    Difference of the two floored contexts.
    """
    return max_context - baseline_max_context


# --- One decode step -----------------------------------------------------------------------


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
    dense_width,
    step_expert_memory,
    kv_memory,
):
    """Bytes one decode step reads from GPU memory.

    Fixed weights (less embeddings only looked up and the encoder), distinct experts, KV cache.
    """
    idle = lookup_parameters * embedding_width + encoder_parameters * dense_width
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

    C / E, the share under routing without locality; real traces do better.
    """
    return resident_experts / n_experts


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
