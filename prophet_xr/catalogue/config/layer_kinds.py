"""Which layers hold experts, and which keep every token, a window of them or a constant state.

Comes in: a `Config`.  Goes out: the indices of the layers with experts, or the kind of each layer:
``full`` keeps every token, ``windowed`` the last few, ``linear`` a state of constant size.
Why so: each family has its own keys for this pattern, and a row of the catalogue counts layers by
kind.  A pattern that contradicts itself is refused, not repaired.
"""

from collections.abc import Callable

from prophet_xr.catalogue.config.keys import Config, shown_value

FULL, WINDOWED, LINEAR = "full", "windowed", "linear"
_KINDS = {
    "full_attention": FULL,
    "attention": FULL,
    "sliding_attention": WINDOWED,
    "chunked_attention": WINDOWED,
    "linear_attention": LINEAR,
    "mamba": LINEAR,
}


# --- Experts ---------------------------------------------------------------------------------


def nowhere(config: Config) -> list[int]:
    """A dense model."""
    return []


def everywhere(config: Config) -> list[int]:
    """Every layer."""
    return list(range(config.layers))


def sparse_step(config: Config) -> list[int]:
    """Every decoder_sparse_step-th layer, but those of mlp_only_layers."""
    step = config.whole("decoder_sparse_step")
    dense = set(config.list_or_null("mlp_only_layers") or [])
    return [i for i in range(config.layers) if (i + 1) % step == 0 and i not in dense]


def after_dense(config: Config) -> list[int]:
    """Every moe_layer_freq-th layer from first_k_dense_replace on."""
    first = config.whole("first_k_dense_replace", 0)
    if first > config.layers:
        raise config.refuse(
            f"first_k_dense_replace={first} exceeds num_hidden_layers={config.layers}"
        )
    frequency = config.whole("moe_layer_freq")
    return [i for i in range(first, config.layers) if i % frequency == 0]


def frequency(config: Config) -> list[int]:
    """Every moe_layer_frequency-th layer, the last of each group."""
    step = config.whole("moe_layer_frequency")
    return [i for i in range(config.layers) if (i + 1) % step == 0]


def interleaved(config: Config) -> list[int]:
    """The list moe_layers if there is one, else every interleave_moe_layer_step-th layer."""
    listed = config.list_or_null("moe_layers")
    if listed is None:
        step = config.whole("interleave_moe_layer_step")
        return [i for i in range(config.layers) if (i + 1) % step == 0]
    known = {i for i in listed if isinstance(i, int) and 0 <= i < config.layers}
    if len(known) != len(listed):
        raise config.refuse(
            f"moe_layers={shown_value(listed)} is not a set of layers below {config.layers}"
        )
    return sorted(known)


def layers_between(config: Config) -> list[int]:
    """Every moe_layer_interval-th layer from start to end index, where -1 is the last layer."""
    first = config.whole("moe_layer_start_index", 0)
    last = config.whole("moe_layer_end_index", -1)
    last = config.layers - 1 if last == -1 else last
    if max(first, last) >= config.layers:
        raise config.refuse(
            f"experts in layers {first} to {last} of num_hidden_layers={config.layers}"
        )
    step = config.whole("moe_layer_interval")
    return [i for i in range(first, last + 1) if (i + 1) % step == 0]


def periodic(config: Config) -> list[int]:
    """Layers at expert_layer_offset in every expert_layer_period; one expert is a dense MLP."""
    if config.uniform("num_experts") == 1:
        return []
    return _once_a_period(config, "expert_layer_offset", "expert_layer_period")


def _once_a_period(config: Config, offset: str, period: str) -> list[int]:
    """Layers at the offset in every period, by the keys of both."""
    step = config.whole(period)
    first = config.whole(offset, 0)
    if first >= step:
        raise config.refuse(f"{offset}={first} is not below {period}={step}")
    return [i for i in range(config.layers) if i % step == first]


# --- Token mixers ----------------------------------------------------------------------------

Kinds = Callable[[Config], list[str]]


def listed_or(rule: Kinds) -> Kinds:
    """``layer_types`` if the config lists them, else the family's rule."""

    def kinds(config: Config) -> list[str]:
        listed = config.list_or_null("layer_types", config.layers)
        if listed is None:
            return rule(config)
        unknown = [t for t in listed if not isinstance(t, str) or t not in _KINDS]
        if unknown:
            raise config.refuse(
                f"layer_types holds {shown_value(unknown[0])}; known: {', '.join(_KINDS)}"
            )
        return [_KINDS[t] for t in listed]

    return kinds


def all_full(config: Config) -> list[str]:
    """Every layer keeps every token."""
    return [FULL] * config.layers


def one_window(config: Config) -> list[str]:
    """Every layer keeps ``sliding_window`` tokens, or all of them where it is null."""
    return [WINDOWED if config.whole_or_null("sliding_window") else FULL] * config.layers


def no_window(config: Config) -> list[str]:
    """All layers keep every token; a window in use would need ``layer_types`` to place it."""
    if config.flag("use_sliding_window"):
        raise config.refuse(
            "use_sliding_window=true without layer_types; which layers are windowed?"
        )
    return all_full(config)


def window_after(config: Config) -> list[str]:
    """Layers from max_window_layers on are windowed, if the window is in use."""
    if not config.flag("use_sliding_window"):
        return all_full(config)
    first = min(config.whole("max_window_layers", 0), config.layers)
    return [FULL] * first + [WINDOWED] * (config.layers - first)


def alternating(config: Config) -> list[str]:
    """Windowed and full layers in turn, windowed first."""
    return [FULL if i % 2 else WINDOWED for i in range(config.layers)]


def chunked(config: Config) -> list[str]:
    """Layers with rotary positions see their chunk only; every fourth has none and sees all."""
    if config.whole_or_null("attention_chunk_size") is None:
        return all_full(config)
    rotary = config.list_or_null("no_rope_layers")
    if not rotary:
        step = config.whole("no_rope_layer_interval")
        rotary = [(i + 1) % step for i in range(config.layers)]
    if len(rotary) != config.layers:
        raise config.refuse(f"no_rope_layers lists {len(rotary)} layers of {config.layers}")
    return [WINDOWED if r else FULL for r in rotary]


def every_nth_full(config: Config) -> list[str]:
    """The last layer of every full_attention_interval attends, the others are linear."""
    step = config.whole("full_attention_interval")
    return [LINEAR if (i + 1) % step else FULL for i in range(config.layers)]


def attention_period(config: Config) -> list[str]:
    """Layers at attn_layer_offset in every attn_layer_period attend, the others are Mamba."""
    attending = set(_once_a_period(config, "attn_layer_offset", "attn_layer_period"))
    return [FULL if i in attending else LINEAR for i in range(config.layers)]


def attention_list(config: Config) -> list[str]:
    """``attn_type_list``: 1 for softmax attention, 0 for lightning attention."""
    listed = config.list_or_null("attn_type_list", config.layers)
    if listed is None or any(t not in (0, 1) for t in listed):
        raise config.refuse(
            f"attn_type_list={shown_value(listed)}; expected {config.layers} values, 0 or 1"
        )
    return [FULL if t else LINEAR for t in listed]
