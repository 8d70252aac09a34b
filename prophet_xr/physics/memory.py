"""The memory budget of one GPU, what it is spent on apart from the KV cache, and what then fits."""

import math

from prophet_xr.physics.experts import POLICY_REASONS, POSSIBLE_POLICY
from prophet_xr.physics.missing import keep_nan
from prophet_xr.physics.plans import PLAN_REASONS, POSSIBLE_PLAN
from prophet_xr.physics.units import TOKEN
from prophet_xr.registry import metric

UNBOUNDED = 2**53  # tokens; the context of a cache that does not grow, the last exact float

MEMORY_REASONS = (
    *("serves_the_context", "weights_exceed_memory", "no_room_for_kv"),
    "context_too_long",
)
SERVES_THE_CONTEXT, WEIGHTS_EXCEED_MEMORY, NO_ROOM_FOR_KV, CONTEXT_TOO_LONG = range(
    len(MEMORY_REASONS)
)
# `reason` counts on: first the reasons of memory, then those of the policy, then those of the plan.
REASONS = (*MEMORY_REASONS, *POLICY_REASONS[1:], *PLAN_REASONS[1:])
LAST_MEMORY_REASON = len(MEMORY_REASONS) - 1
LAST_POLICY_REASON = LAST_MEMORY_REASON + len(POLICY_REASONS) - 1

REGIMES = ("neither_fits", "only_this_policy", "both_fit", "only_the_baseline")
NEITHER_FITS, ONLY_THIS_POLICY, BOTH_FIT, ONLY_THE_BASELINE = range(len(REGIMES))


@metric("B")
def counted_memory(nominal_memory, usable_memory, nominal_weight):
    """GPU memory that the budget is a share of.

    usable memory; nominal memory by the study's rule.
    """
    return nominal_weight * nominal_memory + (1.0 - nominal_weight) * usable_memory


@metric("B")
def memory_budget(counted_memory, utilization):
    """GPU memory the runtime may use.

    utilization x counted memory, which is usable memory or, by the study's rule, nominal
    memory.
    """
    return utilization * counted_memory


@metric("B")
def reserved_memory(counted_memory, memory_budget):
    """GPU memory that the runtime leaves unused.

    counted memory - budget.
    """
    return counted_memory - memory_budget


@metric("B")
def predictor_memory(predictor_size):
    """Memory of the expert predictor.

    A constant of the policy; 0 without prediction.
    """
    return predictor_size


@metric("B")
def static_memory(
    weight_memory,
    activation_memory,
    predictor_memory,
    non_torch_memory,
    graph_memory,
    table_memory,
):
    """GPU memory in use without the KV cache.

    weights + activations + predictor + device context + CUDA graphs + token table.
    """
    engine = non_torch_memory + graph_memory + table_memory
    return weight_memory + activation_memory + predictor_memory + engine


@metric("B")
def total_memory(static_memory, pool_memory):
    """GPU memory in use at the context.

    memory in use without the KV cache + KV pool of the batch.
    """
    return static_memory + pool_memory


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
    """Some memory is left for the KV cache.

    KV budget > 0.
    """
    return kv_budget > 0


@metric("1")
def pool_pages(kv_budget, page_size):
    """Blocks of one GPU's KV pool.

    floor(KV budget / bytes of a block); 0 where there is no room, NaN where a block has no
    bytes.
    """
    if not page_size > 0:
        return math.nan
    if kv_budget > 0:
        return 1.0 * math.floor(kv_budget / page_size)
    return keep_nan(0.0, kv_budget)


@metric("1")
def concurrent_sequences(
    kv_budget, block_size, pool_pages, sequence_pages, sequence_memory, data_degree
):
    """Sequences of the asked context that fit in the pools of all data ranks.

    data degree x blocks of a pool / blocks of a sequence; where the runtime has no blocks, data
    degree x KV budget / bytes of a sequence. NaN where a sequence keeps nothing.
    """
    if not sequence_memory > 0:
        return math.nan
    if block_size > TOKEN:
        return data_degree * pool_pages / sequence_pages
    room = keep_nan(max(0.0, kv_budget), kv_budget)
    return data_degree * room / sequence_memory


@metric("token")
def kv_capacity(concurrent_sequences, context):
    """Tokens that fit in the pools of all data ranks, as sequences of the asked context.

    sequences x context, as vllm prints since 0.20; of a model with sliding windows or constant
    state it grows with the context.
    """
    return concurrent_sequences * context


@metric("token")
def block_capacity(pool_pages, page_groups, page_tokens, data_degree):
    """Tokens that fit in the pools of all data ranks, if every layer kept every token.

    data degree x floor(blocks / groups of layers) x tokens of a block, as vllm printed up to
    0.17; a model with sliding windows or constant state can hold more.
    """
    if not pool_pages > 0:
        return data_degree * pool_pages * page_tokens
    return data_degree * math.floor(pool_pages / page_groups) * page_tokens


def most_blocks(pages, taken, groups):
    """Blocks that each of ``groups`` can have from the pages that are not taken."""
    if taken > pages:
        return 0.0
    return math.floor((pages - taken) / groups) if groups > 0 else math.inf


@metric("1")
def longest_blocks(
    pool_pages,
    rank_batch,
    long_groups,
    short_groups,
    state_groups,
    window_blocks,
    state_copies,
):
    """Blocks of tokens that the pool has for every sequence of the batch.

    Inverts sequence_pages, which is the least of four lines: with windows full or not, and with
    the state full or not.
    """
    if not pool_pages >= 0:
        return math.inf
    pages = math.floor(pool_pages / rank_batch) - short_groups
    windows, states = short_groups * window_blocks, state_groups * state_copies
    return max(
        most_blocks(pages, 0.0, long_groups + short_groups + state_groups),
        most_blocks(pages, windows, long_groups + state_groups),
        most_blocks(pages, states, long_groups + short_groups),
        most_blocks(pages, windows + states, long_groups),
    )


@metric("token", dtype="int64")
def max_context(
    kv_budget,
    rank_batch,
    fixed_sequence_memory,
    kv_per_token,
    kv_per_token_in_window,
    kv_window,
    window_memory,
    table_memory,
    table_per_token,
    block_size,
    page_tokens,
    longest_blocks,
):
    """Longest context every sequence can hold.

    Inverts the piecewise KV line and floors; a token table that grows with the context is
    counted, and only whole blocks where the runtime has blocks. 0 where there is no room, 2**53
    where nothing grows.
    """
    if block_size > TOKEN and kv_budget > 0:
        tokens = longest_blocks * page_tokens
        return math.floor(tokens) if tokens < UNBOUNDED else UNBOUNDED
    room = (kv_budget + table_memory) / rank_batch - fixed_sequence_memory
    table = table_per_token / rank_batch
    if not room > 0.0:  # NaN too: a policy that cannot exist
        return 0
    slope_in_window = kv_per_token_in_window + table
    if slope_in_window * kv_window > room:
        return math.floor(room / slope_in_window)
    slope = kv_per_token + table
    room -= window_memory
    return math.floor(room / slope) if room < slope * UNBOUNDED else UNBOUNDED


@metric("token", dtype="int64")
def usable_context(max_context, native_context):
    """Longest context that fits and that the model supports.

    min(max_context, native context).
    """
    return min(max_context, math.floor(native_context))


@metric("1", dtype="bool")
def serves_context(kv_budget, pool_memory):
    """The asked context fits for the whole batch.

    KV budget > 0, and the KV pool of the batch at the context <= KV budget.
    """
    return kv_budget > 0 and pool_memory <= kv_budget


@metric("1", dtype="int64", flags=REASONS)
def reason(
    memory_budget,
    weight_memory,
    kv_budget,
    pool_memory,
    policy_reason,
    plan_reason,
):
    """Why the asked context is not served.

    The first of: the plan cannot exist, the policy cannot exist, the weights alone exceed the
    budget, nothing is left for the KV cache, the KV cache at the context exceeds what is left.
    """
    if plan_reason > POSSIBLE_PLAN:
        return LAST_POLICY_REASON + plan_reason
    if policy_reason > POSSIBLE_POLICY:
        return LAST_MEMORY_REASON + policy_reason
    if weight_memory >= memory_budget:
        return WEIGHTS_EXCEED_MEMORY
    if kv_budget <= 0:
        return NO_ROOM_FOR_KV
    return CONTEXT_TOO_LONG if pool_memory > kv_budget else SERVES_THE_CONTEXT


@metric("1", dtype="int64", flags=REGIMES)
def regime(fits, baseline_fits):
    """Which of this policy and the baseline fits.

    0 neither, 1 only this policy, 2 both, 3 only the baseline; fits as in ``fits``.
    """
    if fits:
        return BOTH_FIT if baseline_fits else ONLY_THIS_POLICY
    return ONLY_THE_BASELINE if baseline_fits else NEITHER_FITS


@metric("1")
def kv_extension(kv_budget, baseline_kv_budget):
    """KV budget over the baseline's.

    How many times longer a context (or larger a batch) fits; NaN where the baseline does not fit.
    """
    if not baseline_kv_budget > 0:
        return math.nan
    return keep_nan(max(0.0, kv_budget), kv_budget) / baseline_kv_budget


@metric("token", dtype="int64")
def kv_increase(max_context, baseline_max_context):
    """Tokens of context gained over the baseline.

    Difference of the two floored contexts.
    """
    return max_context - baseline_max_context
