"""What a serving engine takes beside weights and KV cache, on one GPU."""

import math

from prophet_xr.physics.units import ELEMENT, EXPERT, TOKEN
from prophet_xr.registry import metric

LOGIT = 4.0  # B, a 32-bit number


@metric("B")
def sampler_memory(vocabulary, max_sequences, sampler_copies):
    """Peak of the sampler when the engine warms up.

    copies x sequences x vocabulary x 4 B.
    """
    return sampler_copies * max_sequences * vocabulary * LOGIT


@metric("B")
def prefill_memory(
    max_batched_tokens,
    hidden_size,
    top_k,
    expert_intermediate,
    dense_intermediate,
    tensor_degree,
    expert_slices,
    buffer_width,
):
    """Peak of activations in a prefill step.

    tokens x (3 H + the larger of k (3 I + H) of experts and 3 I of a dense MLP) x bytes, I as
    one rank has it.
    """
    routed = top_k / EXPERT * (3.0 * expert_intermediate / expert_slices + hidden_size)
    dense = 3.0 * dense_intermediate / tensor_degree
    width = 3.0 * hidden_size + max(routed, dense)
    return max_batched_tokens / TOKEN * width * buffer_width * ELEMENT


@metric("B")
def activation_memory(study_activation, activation_weight, batch, sampler_memory, prefill_memory):
    """Peak of activations.

    The larger of sampler and prefill; by the study's rule a constant per sequence of the batch.
    """
    return activation_weight * study_activation * batch + max(sampler_memory, prefill_memory)


@metric("B")
def non_torch_memory(context_memory, collective_memory, collective_growth, n_gpus):
    """Device context, workspaces and buffers for exchange.

    Context, and with more GPUs: buffers + growth x log2 of the GPUs.
    """
    if n_gpus <= 1:
        return context_memory
    return context_memory + collective_memory + collective_growth * math.log2(n_gpus)


@metric("B / token")
def table_per_token(max_sequences, slot_width):
    """Table of token slots, per token of the context.

    Sequences x bytes of a slot.
    """
    return max_sequences * slot_width


@metric("B")
def table_memory(max_sequences, context, slot_width):
    """Table of token slots, as some engines keep it for every sequence that can run.

    Sequences x context x bytes of a slot.
    """
    return max_sequences * context * slot_width
