"""Switch Transformers: an encoder and a decoder, of which only the decoder runs at each step.

Comes in: a `Config` of this family.  Goes out: rules for the fields of its row.
Why so: the other families are stacks of decoder layers, which `fields` multiplies out.  Here two
stacks have layers of their own, cross-attention reads the encoder, and both hold experts; so the
family has a rule of its own for nearly every field.
"""

from prophet_xr.catalogue.config.arithmetic import NOTHING, Count, Shape, plain, times, total
from prophet_xr.catalogue.config.family import Family
from prophet_xr.catalogue.config.keys import MOST_LAYERS, Config

PRETRAINED = 512  # tokens; relative positions have no limit, this is the pre-training length


def _layers(config: Config, stack: str) -> int:
    return config.whole(
        "num_layers" if stack == "encoder" else "num_decoder_layers", high=MOST_LAYERS
    )


def _sparse(config: Config, stack: str) -> int:
    """Layers of a stack that hold experts.

    The step follows from the two numbers, as in the classes that the checkpoints were published
    with.  A stored ``encoder_sparse_step`` is not read: releases differ in whether it rules.
    """
    layers, sparse = _layers(config, stack), config.whole(f"num_sparse_{stack}_layers", 0)
    if sparse > layers:
        raise config.refuse(f"num_sparse_{stack}_layers={sparse} exceeds the {layers} layers")
    step = layers // sparse if sparse else layers
    return sum(i % step == 1 or step == 1 for i in range(layers))


def _matrices(config: Config) -> int:
    return 3 if config.flag("is_gated_act") else 2


def _mlp(config: Config) -> Shape:
    return (_matrices(config), config.hidden, config.whole("d_ff"))


def _attention(config: Config) -> Shape:
    return (4, config.hidden, config.heads * config.head_dim)


def _positions(config: Config) -> Shape:
    return (config.whole("relative_attention_num_buckets"), config.heads)


def _router(config: Config, sparse: int) -> Count:
    experts = config.whole("num_experts")
    bias = [(experts,)] if config.flag("router_bias") else []
    return times(sparse, (config.hidden, experts), *bias)


def _encoder_norms(config: Config) -> Count:
    return total(
        times(2 * _layers(config, "encoder"), (config.hidden,)), times(1, (config.hidden,))
    )


def _norms(config: Config) -> Count:
    decoder = times(3 * _layers(config, "decoder"), (config.hidden,))
    return total(_encoder_norms(config), decoder, times(1, (config.hidden,)))


def _both(config: Config) -> int:
    return _sparse(config, "encoder") + _sparse(config, "decoder")


def _dense_layers(config: Config, stack: str) -> int:
    return _layers(config, stack) - _sparse(config, stack)


def _all_attention(config: Config) -> Count:
    blocks = times(_layers(config, "encoder") + 2 * _layers(config, "decoder"), _attention(config))
    return total(blocks, times(2, _positions(config)))


def _dense(config: Config) -> Count:
    return times(_dense_layers(config, "encoder") + _dense_layers(config, "decoder"), _mlp(config))


def _encoder(config: Config) -> Count:
    """What a decode step skips; k and v of cross-attention still count as decoder."""
    layers, sparse = _layers(config, "encoder"), _sparse(config, "encoder")
    fixed = [times(layers, _attention(config)), times(1, _positions(config))]
    rest = [times(layers - sparse, _mlp(config)), _router(config, sparse), _encoder_norms(config)]
    return total(*fixed, *rest)


def _kv(config: Config) -> Count:
    return times(_layers(config, "decoder"), (2, config.heads, config.head_dim))


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
        "expert_intermediate": lambda config: plain(config.whole("d_ff")),
        "dense_intermediate": lambda config: plain(config.whole("d_ff")),
        "moe_interval": lambda config: plain(
            max(1, _layers(config, "decoder") // max(1, _sparse(config, "decoder")))
        ),
        "first_moe_layer": lambda config: NOTHING,
        "full_layers": lambda config: plain(_layers(config, "decoder")),
        "windowed_layers": lambda config: NOTHING,
        "state_layers": lambda config: NOTHING,
        "state_page": lambda config: NOTHING,
        "rotary_size": lambda config: NOTHING,
        "replicated_parameters": lambda config: NOTHING,
        "absorbed_parameters": lambda config: NOTHING,
        "n_layers": lambda config: plain(_layers(config, "encoder") + _layers(config, "decoder")),
        "moe_layers": lambda config: plain(_both(config)),
        "decode_moe_layers": lambda config: plain(_sparse(config, "decoder")),
        "n_experts": lambda config: plain(config.whole("num_experts")),
        "top_k": lambda config: plain(
            config.whole("num_experts_per_tok", high=config.whole("num_experts"))
        ),
        "expert_matrices": lambda config: plain(_matrices(config)),
        "expert_parameters": lambda config: times(1, _mlp(config)),
        "router_parameters": lambda config: _router(config, _both(config)),
        "attention_parameters": _all_attention,
        "dense_parameters": _dense,
        "norm_parameters": _norms,
        "encoder_parameters": _encoder,
        "kv_full": _kv,
        "kv_cross": _kv,
        "kv_windowed": lambda config: NOTHING,
        "shared_parameters": lambda config: NOTHING,
        "state_space_parameters": lambda config: NOTHING,
        "state_size": lambda config: NOTHING,
        "kv_window": lambda config: NOTHING,
    },
)
