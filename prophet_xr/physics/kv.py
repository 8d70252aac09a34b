"""The KV cache of one GPU, to the byte."""

from prophet_xr.registry import metric


@metric("B / element")
def kv_element_size(kv_width, kv_share):
    """Bytes on one GPU per KV element of a layer.

    bytes per KV element x share of the KV heads.
    """
    return kv_width * kv_share


@metric("element / token")
def stage_kv_full(kv_full, full_share):
    """KV elements per token of one stage's layers that keep every token.

    elements of all such layers x share of them in the stage.
    """
    return kv_full * full_share


@metric("element / token")
def stage_kv_windowed(kv_windowed, windowed_share):
    """KV elements per token of one stage's sliding-window layers.

    elements of all such layers x share of them in the stage.
    """
    return kv_windowed * windowed_share


@metric("element / token")
def stage_kv_cross(kv_cross, stage_share):
    """KV elements per encoder token of one stage.

    elements of all layers x share of the layers in the stage.
    """
    return kv_cross * stage_share


@metric("B")
def rank_state_size(state_size, tensor_share, state_share):
    """Constant state of one sequence on one GPU.

    state x share of the constant-state layers in the stage / tensor degree.
    """
    return state_size * state_share * tensor_share


@metric("B / token")
def kv_per_token(stage_kv_full, kv_element_size):
    """KV cache of one more token of one sequence, on one GPU.

    elements of the stage's layers that keep every token x bytes of one; full sliding windows
    and constant state do not grow.
    """
    return stage_kv_full * kv_element_size


@metric("B / token")
def kv_per_token_in_window(stage_kv_full, stage_kv_windowed, kv_element_size):
    """KV cache of one more token of one sequence while its windows fill, on one GPU.

    (elements of layers that keep every token + elements of sliding-window layers) x bytes of
    one.
    """
    return (stage_kv_full + stage_kv_windowed) * kv_element_size


@metric("B")
def window_memory(stage_kv_windowed, kv_element_size, kv_window):
    """KV cache of one sequence's full sliding windows, on one GPU.

    elements of the stage's sliding-window layers x bytes of one x window.
    """
    return stage_kv_windowed * kv_element_size * kv_window


@metric("B")
def fixed_sequence_memory(rank_state_size, stage_kv_cross, kv_element_size, encoder_context):
    """Memory of one sequence that does not grow with its context, on one GPU.

    constant state + elements per encoder token x bytes of one x encoder tokens.
    """
    return rank_state_size + stage_kv_cross * kv_element_size * encoder_context


def elements_held(batch, context, encoder_context, full, windowed, window, cross):
    """KV elements that ``batch`` sequences hold at a context."""
    return batch * (full * context + windowed * min(context, window) + cross * encoder_context)


@metric("element")
def kv_elements(rank_batch, context, encoder_context, kv_full, kv_windowed, kv_window, kv_cross):
    """KV elements of a data rank's sequences at the context, over all stages.

    B (full x context + windowed x min(context, window) + cross x encoder tokens).
    """
    return elements_held(
        rank_batch, context, encoder_context, kv_full, kv_windowed, kv_window, kv_cross
    )


@metric("element")
def stage_kv_elements(
    rank_batch,
    context,
    encoder_context,
    stage_kv_full,
    stage_kv_windowed,
    kv_window,
    stage_kv_cross,
):
    """KV elements of a data rank's sequences at the context, in one stage.

    As kv_elements, with the layers of the stage that has most layers that keep every token.
    """
    full, windowed, cross = stage_kv_full, stage_kv_windowed, stage_kv_cross
    return elements_held(rank_batch, context, encoder_context, full, windowed, kv_window, cross)


@metric("B")
def kv_memory(stage_kv_elements, kv_element_size, rank_batch, rank_state_size):
    """KV cache and constant state of the batch at the context, on one GPU.

    KV elements of the stage x bytes of one + sequences x constant state of one.
    """
    return stage_kv_elements * kv_element_size + rank_batch * rank_state_size
