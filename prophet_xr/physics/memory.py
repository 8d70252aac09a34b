"""The KV cache, what else takes memory, and what then fits."""

import math

from prophet_xr.registry import metric

UNBOUNDED = 2**53  # tokens; the context of a cache that does not grow, the last exact float


@metric("B / element")
def kv_element_size(kv_width, kv_heads, tensor_degree, tensor_share, stage_share):
    """Bytes on one GPU per KV element of a sequence.

    width x share of the largest stage / min(tensor degree, KV heads): ranks divide the heads and
    repeat what cannot be divided, as the latent of MLA.
    """
    held = tensor_share * max(1.0, tensor_degree / kv_heads)
    return kv_width * stage_share * held


@metric("B")
def rank_state_size(state_size, tensor_share, stage_share):
    """Constant state of one sequence on one GPU.

    State x share of the layers x share of a layer.
    """
    return state_size * stage_share * tensor_share


@metric("B / token")
def kv_per_token(kv_full, kv_element_size):
    """KV cache of one more token of one sequence, on one GPU.

    The slope of the layers that keep every token; sliding windows and constant state add none.
    """
    return kv_full * kv_element_size


@metric("element")
def kv_elements(rank_batch, context, encoder_context, kv_full, kv_windowed, kv_window, kv_cross):
    """KV elements of a data rank's sequences at the context.

    B (full x context + windowed x min(context, window) + cross x encoder tokens).
    """
    windowed = kv_windowed * min(context, kv_window)
    return rank_batch * (kv_full * context + windowed + kv_cross * encoder_context)


@metric("B")
def kv_memory(kv_elements, kv_element_size, rank_batch, rank_state_size):
    """KV cache and constant state of the batch at the context, on one GPU.

    elements x bytes of one + B x state.
    """
    return kv_elements * kv_element_size + rank_batch * rank_state_size


@metric("B")
def memory_budget(nominal_memory, usable_memory, nominal_weight, utilization):
    """GPU memory the runtime may use.

    utilization x usable memory; the study counts nominal memory instead.
    """
    nominal = nominal_weight * nominal_memory
    return utilization * (nominal + (1.0 - nominal_weight) * usable_memory)


@metric("B")
def reserved_memory(memory_budget, nominal_memory, usable_memory, nominal_weight):
    """Memory of the card that the runtime leaves alone.

    What budgets are taken from, less the budget.
    """
    return nominal_weight * nominal_memory + (1.0 - nominal_weight) * usable_memory - memory_budget


@metric("B")
def predictor_memory(predictor_size):
    """Memory of the expert predictor.

    What the policy keeps for prediction: a constant, 0 without prediction.
    """
    return predictor_size


@metric("B")
def static_memory(
    fixed_memory,
    expert_memory,
    activation_memory,
    predictor_memory,
    non_torch_memory,
    graph_memory,
    table_memory,
):
    """Everything in GPU memory but the KV cache.

    fixed weights + resident experts + activations + predictor + device context + CUDA graphs +
    token table.
    """
    weights = fixed_memory + expert_memory
    engine = non_torch_memory + graph_memory + table_memory
    return weights + activation_memory + predictor_memory + engine


@metric("B")
def total_memory(static_memory, kv_memory):
    """GPU memory in use at the context.

    all but the KV cache + KV cache.
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
    """Something is left for the KV cache.

    KV budget > 0.
    """
    return kv_budget > 0


@metric("token", dtype="int64")
def max_context(
    kv_budget,
    rank_batch,
    encoder_context,
    kv_full,
    kv_windowed,
    kv_window,
    kv_cross,
    kv_element_size,
    rank_state_size,
):
    """Longest context every sequence can hold.

    Inverts the piecewise KV line and floors; 0 where there is no room, 2**53 where nothing grows.
    """
    taken = rank_state_size + kv_cross * kv_element_size * encoder_context
    room = kv_budget / rank_batch - taken
    rise = (kv_full + kv_windowed) * kv_element_size
    if not room > 0.0:  # NaN too: a policy that cannot exist
        return 0
    if rise * kv_window > room:
        return math.floor(room / rise)
    slope = kv_full * kv_element_size
    beyond = room - kv_windowed * kv_element_size * kv_window
    return math.floor(beyond / slope) if beyond < slope * UNBOUNDED else UNBOUNDED


@metric("token", dtype="int64")
def usable_context(max_context, native_context):
    """Longest context that fits and that the model was made for.

    min(max_context, native context).
    """
    return min(max_context, math.floor(native_context))


@metric("1", dtype="bool")
def serves_context(kv_budget, kv_memory):
    """The asked context fits for the whole batch.

    KV budget > 0, and KV cache at the context <= KV budget.
    """
    return kv_budget > 0 and kv_memory <= kv_budget


@metric(
    "1",
    dtype="int64",
    flags=(
        *("serves_the_context", "weights_exceed_memory", "no_room_for_kv", "context_too_long"),
        *("more_slots_than_experts", "heads_do_not_divide", "more_expert_ranks_than_experts"),
        "more_stages_than_layers",
    ),
)
def reason(
    memory_budget,
    fixed_memory,
    expert_memory,
    kv_budget,
    kv_memory,
    policy_reason,
    plan_reason,
):
    """Why the asked context is not served.

    The first of: a plan that cannot be, a cache larger than the layer, the weights alone,
    activations and the like, the KV cache at the context.
    """
    if plan_reason > 0:
        return 4 + plan_reason
    if policy_reason > 0:
        return 3 + policy_reason
    if fixed_memory + expert_memory >= memory_budget:
        return 1
    if kv_budget <= 0:
        return 2
    return 3 if kv_memory > kv_budget else 0


@metric(
    "1", dtype="int64", flags=("neither_fits", "only_this_policy", "both_fit", "only_the_baseline")
)
def regime(fits, baseline_fits):
    """Which of this policy and the baseline fits.

    0 neither, 1 only this policy, 2 both, 3 only the baseline; fits as in ``fits``.
    """
    if fits:
        return 2 if baseline_fits else 1
    return 3 if baseline_fits else 0


@metric("1")
def kv_extension(kv_budget, baseline_kv_budget):
    """KV budget over the baseline's.

    How many times longer a context (or larger a batch) fits; NaN where the baseline does not fit.
    """
    if not baseline_kv_budget > 0:
        return math.nan
    return 0.0 if kv_budget < 0 else kv_budget / baseline_kv_budget  # NaN stays NaN


@metric("token", dtype="int64")
def kv_increase(max_context, baseline_max_context):
    """Tokens of context gained over the baseline.

    Difference of the two floored contexts.
    """
    return max_context - baseline_max_context
