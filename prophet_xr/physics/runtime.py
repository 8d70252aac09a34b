"""Memory that a serving engine takes in addition to weights and KV cache, on one GPU."""

import math

from prophet_xr.physics.units import ELEMENT, EXPERT, TOKEN
from prophet_xr.registry import metric

LOGIT = 4.0  # B, a 32-bit number


@metric("B")
def sampler_memory(vocabulary, max_sequences, sampler_copies):
    """Peak memory of the sampler when the engine warms up.

    copies of the logits x sequences x vocabulary x 4 B.
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
    """Peak memory of activations in a prefill step.

    tokens x (3 H + max(k (3 I + H) of the experts, 3 I of a dense MLP)) x bytes per activation;
    H is the hidden size, I the intermediate size on one rank.
    """
    routed = top_k / EXPERT * (3.0 * expert_intermediate / expert_slices + hidden_size)
    dense = 3.0 * dense_intermediate / tensor_degree
    width = 3.0 * hidden_size + max(routed, dense)
    return max_batched_tokens / TOKEN * width * buffer_width * ELEMENT


@metric("B")
def activation_memory(study_activation, activation_weight, batch, sampler_memory, prefill_memory):
    """Peak memory of activations.

    max(sampler, prefill) + sequences x the study's constant, where the runtime follows the
    study's rule.
    """
    return activation_weight * study_activation * batch + max(sampler_memory, prefill_memory)


@metric("B")
def non_torch_memory(context_memory, collective_memory, collective_growth, n_gpus):
    """Device context, workspaces and buffers for exchange between GPUs.

    device context; with more than one GPU + buffers + growth x log2(GPUs).
    """
    if n_gpus <= 1:
        return context_memory
    return context_memory + collective_memory + collective_growth * math.log2(n_gpus)


@metric("B / token")
def table_per_token(max_sequences, slot_width):
    """Table of token slots per token of the context.

    sequences that can run x bytes of a slot.
    """
    return max_sequences * slot_width


@metric("B")
def table_memory(max_sequences, context, slot_width):
    """Table of token slots that some engines keep for every sequence that can run.

    sequences that can run x context x bytes of a slot.
    """
    return max_sequences * context * slot_width
