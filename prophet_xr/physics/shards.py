"""Weights of one GPU: what no policy can evict, and the experts that are resident."""

import math

from prophet_xr.physics.missing import keep_nan
from prophet_xr.physics.units import EXPERT, PROJECTION
from prophet_xr.registry import metric


@metric("1")
def kv_share(kv_heads, tensor_degree, tensor_share):
    """Share of a layer's KV heads on one GPU.

    1 / min(tensor degree, KV heads): ranks divide the heads and repeat what cannot be divided, as
    the latent of MLA.
    """
    return tensor_share * max(1.0, tensor_degree / kv_heads)


@metric("parameter")
def kv_projections(hidden_size, kv_full, kv_windowed):
    """Parameters that make K and V, or the latent of MLA.

    hidden size x KV elements of a token.
    """
    return hidden_size * (kv_full + kv_windowed) * PROJECTION


@metric("B")
def layer_memory(
    shared_parameters,
    shared_width,
    router_parameters,
    router_width,
    attention_parameters,
    replicated_parameters,
    attention_width,
    dense_parameters,
    dense_width,
    state_space_parameters,
    state_space_width,
    norm_parameters,
    norm_width,
    kv_projections,
    kv_share,
    tensor_share,
    shared_copies,
):
    """Fixed weights of all layers on one tensor rank.

    Each component in its width; routers, norms and the query's down-projection of MLA whole on
    every rank, K and V as their heads are shared, shared experts as the runtime does.
    """
    shared_share = shared_copies + (1.0 - shared_copies) * tensor_share
    divided = attention_parameters - replicated_parameters - kv_projections
    attention = divided * tensor_share + kv_projections * kv_share + replicated_parameters
    others = dense_parameters * dense_width + state_space_parameters * state_space_width
    whole = router_parameters * router_width + norm_parameters * norm_width
    shared = shared_parameters * shared_width * shared_share
    return attention * attention_width + others * tensor_share + whole + shared


@metric("B")
def embedding_memory(
    embedding_parameters, lookup_parameters, embedding_width, tensor_share, pipeline_degree
):
    """Embeddings and output head on one GPU.

    Both, or in a pipeline the one that the first or last stage holds.
    """
    left_out = lookup_parameters if pipeline_degree > 1 else 0.0 * lookup_parameters
    return (embedding_parameters - left_out) * embedding_width * tensor_share


@metric("B")
def engine_memory(
    absorbed_parameters,
    absorbed_width,
    stage_share,
    tensor_share,
    native_context,
    rotary_size,
    rotary_width,
):
    """What an engine keeps beside the checkpoint's weights.

    Absorbed matrices of latent attention, and the rotary table of the native context.
    """
    absorbed = absorbed_parameters * absorbed_width * stage_share * tensor_share
    return absorbed + native_context * rotary_size * rotary_width


@metric("B")
def fixed_memory(layer_memory, embedding_memory, engine_memory, stage_share):
    """Weights of one GPU that no policy can evict.

    Layers of the largest stage + embeddings + what the engine adds.
    """
    return layer_memory * stage_share + embedding_memory + engine_memory


@metric("B / expert")
def rank_expert_size(expert_size, expert_padding, tensor_share, expert_degree):
    """Bytes of an expert on one GPU.

    A slice of it, or all of it under expert parallelism.
    """
    whole = expert_size * expert_padding
    return keep_nan(whole, tensor_share) if expert_degree > 1 else whole * tensor_share


@metric("expert")
def rank_resident_experts(resident_experts, expert_share, rank_experts):
    """Experts of a layer in one GPU's memory.

    resident x share of the busiest expert rank, at most what the rank holds; at least one, if one
    is resident anywhere.
    """
    experts = max(resident_experts * expert_share, min(resident_experts, EXPERT))
    return keep_nan(min(experts, rank_experts), experts)


@metric("B")
def expert_memory(stage_moe_layers, rank_resident_experts, rank_expert_size):
    """Expert weights in one GPU's memory.

    layers of the largest stage x resident experts x bytes of one.
    """
    return stage_moe_layers * rank_resident_experts * rank_expert_size


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
