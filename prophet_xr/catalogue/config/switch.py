"""Switch Transformers: an encoder and a decoder, of which only the decoder runs at each step."""

from prophet_xr.catalogue.config.arithmetic import NOTHING, Count, Shape, plain, times, total
from prophet_xr.catalogue.config.family import Family
from prophet_xr.catalogue.config.keys import MOST_LAYERS, Config

PRETRAINED = 512  # tokens; relative positions have no limit, this is the pre-training length


def _layers(c: Config, stack: str) -> int:
    return c.whole("num_layers" if stack == "encoder" else "num_decoder_layers", high=MOST_LAYERS)


def _sparse(c: Config, stack: str) -> int:
    """Layers of a stack that hold experts.

    The step follows from the two numbers, as in the classes that the checkpoints were published
    with.  A stored ``encoder_sparse_step`` is not read: releases differ in whether it rules.
    """
    layers, sparse = _layers(c, stack), c.whole(f"num_sparse_{stack}_layers", 0)
    if sparse > layers:
        raise c.refuse(f"num_sparse_{stack}_layers={sparse} exceeds the {layers} layers")
    step = layers // sparse if sparse else layers
    return sum(i % step == 1 or step == 1 for i in range(layers))


def _matrices(c: Config) -> int:
    return 3 if c.flag("is_gated_act") else 2


def _mlp(c: Config) -> Shape:
    return (_matrices(c), c.hidden, c.whole("d_ff"))


def _attention(c: Config) -> Shape:
    return (4, c.hidden, c.heads * c.head_dim)


def _positions(c: Config) -> Shape:
    return (c.whole("relative_attention_num_buckets"), c.heads)


def _router(c: Config, sparse: int) -> Count:
    experts = c.whole("num_experts")
    bias = [(experts,)] if c.flag("router_bias") else []
    return times(sparse, (c.hidden, experts), *bias)


def _encoder_norms(c: Config) -> Count:
    return total(times(2 * _layers(c, "encoder"), (c.hidden,)), times(1, (c.hidden,)))


def _norms(c: Config) -> Count:
    decoder = times(3 * _layers(c, "decoder"), (c.hidden,))
    return total(_encoder_norms(c), decoder, times(1, (c.hidden,)))


def _both(c: Config) -> int:
    return _sparse(c, "encoder") + _sparse(c, "decoder")


def _dense_layers(c: Config, stack: str) -> int:
    return _layers(c, stack) - _sparse(c, stack)


def _all_attention(c: Config) -> Count:
    blocks = times(_layers(c, "encoder") + 2 * _layers(c, "decoder"), _attention(c))
    return total(blocks, times(2, _positions(c)))


def _dense(c: Config) -> Count:
    return times(_dense_layers(c, "encoder") + _dense_layers(c, "decoder"), _mlp(c))


def _encoder(c: Config) -> Count:
    """What a decode step skips; k and v of cross-attention still count as decoder."""
    layers, sparse = _layers(c, "encoder"), _sparse(c, "encoder")
    fixed = [times(layers, _attention(c)), times(1, _positions(c))]
    rest = [times(layers - sparse, _mlp(c)), _router(c, sparse), _encoder_norms(c)]
    return total(*fixed, *rest)


def _kv(c: Config) -> Count:
    return times(_layers(c, "decoder"), (2, c.heads, c.head_dim))


switch = Family(
    "switch_transformers",
    {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_key_value_heads": "num_heads",
        "head_dim": "d_kv",
        "num_experts_per_tok": "num_selected_experts",
    },
    absent={
        "num_selected_experts": 1,
        "num_experts_per_tok": 1,
        "router_bias": False,
        "is_gated_act": False,
        "tie_word_embeddings": True,
        "max_position_embeddings": PRETRAINED,
    },
    rules={
        "expert_intermediate": lambda c: plain(c.whole("d_ff")),
        "dense_intermediate": lambda c: plain(c.whole("d_ff")),
        "moe_interval": lambda c: plain(
            max(1, _layers(c, "decoder") // max(1, _sparse(c, "decoder")))
        ),
        "first_moe_layer": lambda c: NOTHING,
        "full_layers": lambda c: plain(_layers(c, "decoder")),
        "windowed_layers": lambda c: NOTHING,
        "state_layers": lambda c: NOTHING,
        "state_page": lambda c: NOTHING,
        "rotary_size": lambda c: NOTHING,
        "replicated_parameters": lambda c: NOTHING,
        "absorbed_parameters": lambda c: NOTHING,
        "n_layers": lambda c: plain(_layers(c, "encoder") + _layers(c, "decoder")),
        "moe_layers": lambda c: plain(_both(c)),
        "decode_moe_layers": lambda c: plain(_sparse(c, "decoder")),
        "n_experts": lambda c: plain(c.whole("num_experts")),
        "top_k": lambda c: plain(c.whole("num_experts_per_tok", high=c.whole("num_experts"))),
        "expert_matrices": lambda c: plain(_matrices(c)),
        "expert_parameters": lambda c: times(1, _mlp(c)),
        "router_parameters": lambda c: _router(c, _both(c)),
        "attention_parameters": _all_attention,
        "dense_parameters": _dense,
        "norm_parameters": _norms,
        "encoder_parameters": _encoder,
        "kv_full": _kv,
        "kv_cross": _kv,
        "kv_windowed": lambda c: NOTHING,
        "shared_parameters": lambda c: NOTHING,
        "state_space_parameters": lambda c: NOTHING,
        "state_size": lambda c: NOTHING,
        "kv_window": lambda c: NOTHING,
    },
)
