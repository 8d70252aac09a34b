"""How many sequences the KV pool of an engine holds, in blocks of one size.

An engine cuts its pool into blocks of equal bytes.  It sorts the layers into groups of one kind and
equally many layers, and each group has separate blocks.  A group of constant-state layers takes a
block per copy of the state, so blocks are made large enough to hold the state of one layer.
"""

import math

from prophet_xr.physics.units import TOKEN
from prophet_xr.registry import metric

STEP = 16.0  # token; a block that must hold state is a multiple of this


@metric("B / token")
def layer_kv_size(kv_full, kv_windowed, full_layers, windowed_layers, kv_element_size):
    """KV bytes of a token in one attention layer, on one GPU.

    KV elements of all attention layers x bytes of one / attention layers.
    """
    return (kv_full + kv_windowed) * kv_element_size / max(1.0, full_layers + windowed_layers)


@metric("token")
def page_tokens(block_size, state_layers, state_page, tensor_share, layer_kv_size):
    """Tokens of a KV block.

    The block size of the runtime; for a model with constant state at least as many tokens as
    take the bytes of one layer's state, in multiples of 16.
    """
    if state_layers <= 0 or block_size <= TOKEN or not layer_kv_size > 0:
        return block_size
    state_tokens = state_page * tensor_share / layer_kv_size
    return max(block_size, math.ceil(state_tokens / STEP) * STEP)


@metric("1")
def long_layers(full_layers, windowed_layers, window_pages):
    """Layers whose blocks keep every token.

    layers that keep every token + sliding-window layers whose blocks engines do not free.
    """
    return full_layers + (1.0 - window_pages) * windowed_layers


@metric("1")
def short_layers(windowed_layers, window_pages):
    """Layers whose blocks keep only a window.

    sliding-window layers whose blocks engines free once the window has passed.
    """
    return window_pages * windowed_layers


@metric("1")
def page_layers(long_layers, short_layers, state_layers):
    """Layers of one group.

    The least number of layers of one kind, of the kinds that the model has; at least 1.
    """
    fewest = long_layers if long_layers > 0 else short_layers + state_layers
    if short_layers > 0:
        fewest = min(fewest, short_layers)
    if state_layers > 0:
        fewest = min(fewest, state_layers)
    return max(1.0, fewest)


@metric("1")
def long_groups(long_layers, page_layers):
    """Groups of layers whose pages keep every token.

    ceil(layers / layers of a group).
    """
    return 1.0 * math.ceil(long_layers / page_layers)


@metric("1")
def short_groups(short_layers, page_layers):
    """Groups of layers whose pages keep a window.

    ceil(layers / layers of a group).
    """
    return 1.0 * math.ceil(short_layers / page_layers)


@metric("1")
def state_groups(state_layers, page_layers):
    """Groups of layers with constant state.

    ceil(layers / layers of a group).
    """
    return 1.0 * math.ceil(state_layers / page_layers)


@metric("1")
def page_groups(long_groups, short_groups, state_groups):
    """Groups of layers; each group has separate blocks.

    groups that keep every token + groups that keep a window + groups with constant state.
    """
    return long_groups + short_groups + state_groups


@metric("1")
def window_blocks(kv_window, max_batched_tokens, page_tokens):
    """Blocks that hold a window and the tokens that one step adds to it.

    ceil((window - 1 + tokens of a step) / tokens of a block).
    """
    return 1.0 * math.ceil((kv_window - TOKEN + max_batched_tokens) / page_tokens)


@metric("B")
def page_size(page_tokens, page_layers, layer_kv_size, pipeline_degree):
    """Bytes of a block on one GPU.

    tokens of a block x layers of a group in one stage x KV bytes of a token in one layer.
    """
    return page_tokens * math.ceil(page_layers / pipeline_degree) * layer_kv_size


@metric("1")
def sequence_pages(
    context, page_tokens, long_groups, short_groups, state_groups, window_blocks, state_copies
):
    """Blocks that a sequence takes at the context.

    For each group of layers that keep every token, b = ceil(context / tokens of a block); for
    each group with windows, min(blocks of a window, b) + 1; for each group with constant state,
    min(copies of the state, b).
    """
    blocks = math.ceil(context / page_tokens)
    windows = short_groups * (min(window_blocks, blocks) + 1.0)
    return long_groups * blocks + windows + state_groups * min(state_copies, blocks)


@metric("B")
def sequence_memory(kv_memory, rank_batch, block_size, sequence_pages, page_size):
    """Bytes of the KV pool that a sequence takes at the context, on one GPU.

    blocks x bytes of a block; KV memory of the batch / sequences where the runtime has no
    blocks.
    """
    return kv_memory / rank_batch if block_size <= TOKEN else sequence_pages * page_size


@metric("B")
def pool_memory(kv_memory, rank_batch, block_size, sequence_memory):
    """Bytes of the KV pool that the batch takes at the context, on one GPU.

    sequences x bytes of one.
    """
    return kv_memory if block_size <= TOKEN else rank_batch * sequence_memory
