"""Parameters, their bytes, and the experts that a batch needs and a policy keeps."""

import math

from prophet_xr.registry import metric


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
def fixed_memory(
    shared_parameters,
    shared_width,
    router_parameters,
    router_width,
    attention_parameters,
    attention_width,
    dense_parameters,
    dense_width,
    state_space_parameters,
    state_space_width,
    norm_parameters,
    norm_width,
    embedding_parameters,
    embedding_width,
):
    """Weights that no policy can evict.

    Each component in the width the precision gives it.
    """
    return (
        shared_parameters * shared_width
        + router_parameters * router_width
        + attention_parameters * attention_width
        + dense_parameters * dense_width
        + state_space_parameters * state_space_width
        + norm_parameters * norm_width
        + embedding_parameters * embedding_width
    )


@metric("expert")
def unique_experts(n_experts, top_k, batch, dedup_exponent, power_weight):
    """Distinct experts a layer needs for one decode batch.

    Power law of the study: min(E, k B**a).  Uniform routing: E (1 - (1 - k/E)**B).
    """
    power = min(n_experts, top_k * batch**dedup_exponent)
    share = top_k / n_experts if n_experts > 0 else 0.0
    uniform = n_experts * (1.0 - (1.0 - share) ** batch)
    return power_weight * power + (1.0 - power_weight) * uniform


@metric("1")
def dedup_factor(n_experts, unique_experts):
    """Deduplication factor.

    E / U: experts of a layer over the experts the batch needs; NaN for a model without experts.
    """
    return n_experts / unique_experts if unique_experts > 0 else math.nan


@metric("expert")
def resident_experts(n_experts, unique_experts, top_k, keep_all, keep_batch, keep_top_k, staging):
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
