"""Parameters, their bytes, and the experts that a policy keeps."""

import math

from prophet_xr.registry import metric

POLICY_REASONS = ("possible", "more_slots_than_experts")
POSSIBLE_POLICY, MORE_SLOTS_THAN_EXPERTS = range(len(POLICY_REASONS))


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
def head_parameters(embedding_parameters, lookup_parameters):
    """Parameters of the output head.

    embedding parameters - those that are only looked up.
    """
    return embedding_parameters - lookup_parameters


@metric("parameter")
def total_parameters(fixed_parameters, moe_layers, n_experts, expert_parameters):
    """Parameters of the model.

    fixed + layers x experts x parameters of one expert.
    """
    return fixed_parameters + moe_layers * n_experts * expert_parameters


@metric("parameter")
def active_parameters(fixed_parameters, moe_layers, top_k, expert_parameters):
    """Parameters that one token passes through, embeddings included.

    fixed + layers x top-k x parameters of one expert.
    """
    return fixed_parameters + moe_layers * top_k * expert_parameters


@metric("B / expert")
def expert_size(expert_parameters, expert_width):
    """Bytes of one routed expert.

    parameters x bytes per parameter.
    """
    return expert_parameters * expert_width


@metric("1", dtype="int64", flags=POLICY_REASONS)
def policy_reason(n_experts, cache_slots, keep_slots):
    """Why the policy cannot exist for the model.

    Its cache has more slots than a layer has experts; a model without experts allows any cache.
    """
    too_large = keep_slots > 0 and cache_slots > n_experts > 0
    return MORE_SLOTS_THAN_EXPERTS if too_large else POSSIBLE_POLICY


@metric("expert")
def resident_experts(
    n_experts,
    unique_experts,
    top_k,
    cache_slots,
    keep_all,
    keep_batch,
    keep_top_k,
    keep_slots,
    staging,
    policy_reason,
):
    """Experts of a layer that stay in GPU memory.

    At most all E: E (baseline), the batch's distinct experts and the staging slots (prophet),
    top-k (on_demand) or the cache slots (lru, cpu_compute); NaN where the policy cannot exist,
    see policy_reason.
    """
    if policy_reason > POSSIBLE_POLICY:
        return math.nan
    experts = keep_all * n_experts + keep_batch * (unique_experts + staging)
    return min(n_experts, experts + keep_top_k * top_k + keep_slots * cache_slots)


@metric("B")
def host_memory(moe_layers, n_experts, resident_experts, expert_size, host_copy):
    """Expert weights in host memory.

    layers x (experts that are not resident + copies of resident ones, where the policy keeps
    them) x bytes of one expert.
    """
    experts = n_experts - resident_experts + host_copy * resident_experts
    return moe_layers * experts * expert_size
