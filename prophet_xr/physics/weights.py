"""Weights of one GPU: what no policy can evict, and the experts that are resident."""

import math

from prophet_xr.physics.missing import keep_nan
from prophet_xr.physics.units import EXPERT, PROJECTION
from prophet_xr.registry import metric


@metric("1")
def kv_share(kv_heads, tensor_degree, tensor_share):
    """Share of a layer's KV heads on one GPU.

    1 / min(tensor degree, KV heads): ranks divide the heads, and where there are fewer heads
    than ranks several ranks hold the same head. The latent of MLA counts as one head.
    """
    return tensor_share * max(1.0, tensor_degree / kv_heads)


@metric("parameter")
def kv_projections(hidden_size, kv_full, kv_windowed):
    """Parameters that make K and V, or the latent of MLA.

    hidden size x KV elements of a token.
    """
    return hidden_size * (kv_full + kv_windowed) * PROJECTION


@metric("B")
def attention_memory(
    attention_parameters,
    replicated_parameters,
    kv_projections,
    kv_share,
    tensor_share,
    attention_width,
):
    """Attention weights of all layers on one tensor rank.

    (parameters that ranks divide / tensor degree + K and V x share of the KV heads + parameters
    that every rank holds whole) x bytes per parameter.
    """
    divided = attention_parameters - replicated_parameters - kv_projections
    parameters = divided * tensor_share + kv_projections * kv_share + replicated_parameters
    return parameters * attention_width


@metric("B")
def shared_expert_memory(shared_parameters, shared_width, shared_copies, tensor_share):
    """Weights of the shared experts of all layers on one tensor rank.

    parameters x bytes per parameter x (w + (1 - w) / tensor degree); w is 1 in a runtime that
    keeps shared experts whole on every rank.
    """
    share = shared_copies + (1.0 - shared_copies) * tensor_share
    return shared_parameters * shared_width * share


@metric("B")
def layer_memory(
    attention_memory,
    shared_expert_memory,
    router_parameters,
    router_width,
    dense_parameters,
    dense_width,
    state_space_parameters,
    state_space_width,
    norm_parameters,
    norm_width,
    tensor_share,
):
    """Fixed weights of all layers on one tensor rank.

    attention + shared experts + (dense MLPs + state-space layers) / tensor degree + routers and
    norms, which every rank holds whole; each at its bytes per parameter.
    """
    divided = dense_parameters * dense_width + state_space_parameters * state_space_width
    whole = router_parameters * router_width + norm_parameters * norm_width
    return attention_memory + divided * tensor_share + whole + shared_expert_memory


@metric("B")
def embedding_memory(
    embedding_parameters, head_parameters, embedding_width, tensor_share, pipeline_degree
):
    """Embeddings and output head on one GPU.

    parameters x bytes per parameter / tensor degree; in a pipeline only those of the output
    head, since the first stage holds the embeddings and the last stage the head.
    """
    parameters = head_parameters if pipeline_degree > 1 else embedding_parameters
    return parameters * embedding_width * tensor_share


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
    """Weights that an engine keeps in addition to those of the checkpoint.

    absorbed matrices of latent attention + rotary table of the native context.
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

    bytes of the expert x padding / tensor degree; not divided under expert parallelism, where a
    GPU holds whole experts.
    """
    whole = expert_size * expert_padding
    return keep_nan(whole, tensor_share) if expert_degree > 1 else whole * tensor_share


def on_busiest_rank(experts, expert_share, rank_experts):
    """Experts of a layer on the busiest expert rank: at least one, at most what the rank holds."""
    most = max(experts * expert_share, min(experts, EXPERT))
    return keep_nan(min(most, rank_experts), most)


@metric("expert")
def rank_resident_experts(resident_experts, expert_share, rank_experts):
    """Experts of a layer in one GPU's memory.

    resident experts x share of the busiest expert rank; at least one where any is resident, at
    most what the rank holds.
    """
    return on_busiest_rank(resident_experts, expert_share, rank_experts)


@metric("B")
def expert_memory(stage_moe_layers, rank_resident_experts, rank_expert_size):
    """Expert weights in one GPU's memory.

    layers of the largest stage x resident experts x bytes of one.
    """
    return stage_moe_layers * rank_resident_experts * rank_expert_size


@metric("B")
def weight_memory(fixed_memory, expert_memory):
    """Weights in one GPU's memory.

    weights that no policy can evict + resident experts.
    """
    return fixed_memory + expert_memory


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
