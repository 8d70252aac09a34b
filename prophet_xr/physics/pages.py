"""How many sequences the KV pool of an engine holds, in pages of one size.

An engine cuts its pool into blocks of equal bytes.  Layers of unlike kinds form groups of as many
layers, each group with blocks of its own; a group of constant-state layers takes a block per
sequence, so blocks grow until one holds the state.
"""

import math

from prophet_xr.registry import metric

STEP = 16.0  # token; a block that holds state is a multiple of this
TOKEN = 1.0


@metric("B / token")
def layer_kv_size(kv_full, kv_windowed, full_layers, windowed_layers, kv_element_size, stage_share):
    """KV bytes of a token in one attention layer, on one GPU.

    KV elements of all attention layers x bytes of one / (attention layers x share in a stage).
    """
    layers = max(1.0, full_layers + windowed_layers)
    return (kv_full + kv_windowed) * kv_element_size / (layers * stage_share)


@metric("token")
def page_tokens(block_size, state_layers, state_page, tensor_share, layer_kv_size):
    """Tokens of a KV block.

    The runtime's; beside layers with constant state as many as hold the state of one, in 16s.
    """
    if state_layers <= 0 or block_size <= TOKEN or not layer_kv_size > 0:
        return block_size
    held = state_page * tensor_share / layer_kv_size
    return max(block_size, math.ceil(held / STEP) * STEP)


@metric("1")
def page_layers(full_layers, windowed_layers, state_layers):
    """Layers of one group.

    The fewest layers of a kind that the model has.
    """
    fewest = full_layers if full_layers > 0 else windowed_layers + state_layers
    if windowed_layers > 0:
        fewest = min(fewest, windowed_layers)
    if state_layers > 0:
        fewest = min(fewest, state_layers)
    return max(1.0, fewest)


@metric("1")
def sequence_pages(
    context,
    page_tokens,
    page_layers,
    full_layers,
    windowed_layers,
    state_layers,
    kv_window,
    max_batched_tokens,
    state_copies,
):
    """Blocks that a sequence takes at the context.

    Per group of full layers ceil(context / block), of windowed layers at most those of a window
    and one step and one more, of layers with constant state the pages of state.
    """
    long = math.ceil(context / page_tokens)
    window = math.ceil((kv_window - TOKEN + max_batched_tokens) / page_tokens) + 1
    groups = math.ceil(full_layers / page_layers)
    sliding = math.ceil(windowed_layers / page_layers)
    states = math.ceil(state_layers / page_layers)
    return groups * long + sliding * min(long, window) + states * min(long, state_copies)


@metric("B")
def sequence_memory(
    kv_memory,
    rank_batch,
    block_size,
    sequence_pages,
    page_tokens,
    page_layers,
    layer_kv_size,
    stage_share,
):
    """Bytes of the pool that a sequence takes at the context, on one GPU.

    Its blocks; its bytes alone where the runtime has no blocks.
    """
    if block_size <= TOKEN:
        return kv_memory / rank_batch
    return sequence_pages * page_tokens * page_layers * stage_share * layer_kv_size


@metric("1")
def concurrent_sequences(kv_budget, sequence_memory, data_degree):
    """Sequences of the context that the pools of all data ranks hold.

    data degree x KV budget / bytes of one; 0 where there is no room.
    """
    return data_degree * 0.5 * (kv_budget + abs(kv_budget)) / sequence_memory  # NaN stays NaN


@metric("token")
def kv_capacity(concurrent_sequences, context):
    """Tokens that the pools of all data ranks hold, in sequences of the context.

    sequences x context; of a model with windows or state it grows with the context.
    """
    return concurrent_sequences * context
