"""The KV cache of one GPU, to the byte."""

from prophet_xr.registry import metric


@metric("B / element")
def kv_element_size(kv_width, kv_share, stage_share):
    """Bytes on one GPU per KV element of a sequence.

    width x share of the largest stage x share of the KV heads.
    """
    return kv_width * stage_share * kv_share


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
