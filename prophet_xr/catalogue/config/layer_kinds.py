"""Which layers hold experts, and which keep every token, a window of them or a constant state."""

from collections.abc import Callable

from prophet_xr.catalogue.config.keys import Config, shown

FULL, WINDOWED, LINEAR = "full", "windowed", "linear"
KINDS = {
    "full_attention": FULL,
    "attention": FULL,
    "sliding_attention": WINDOWED,
    "chunked_attention": WINDOWED,
    "linear_attention": LINEAR,
    "mamba": LINEAR,
}


# --- Experts ---------------------------------------------------------------------------------


def nowhere(c: Config) -> list[int]:
    """A dense model."""
    return []


def everywhere(c: Config) -> list[int]:
    """Every layer."""
    return list(range(c.layers))


def sparse_step(c: Config) -> list[int]:
    """Every decoder_sparse_step-th layer, but those of mlp_only_layers."""
    step = c.whole("decoder_sparse_step")
    dense = set(c.listed("mlp_only_layers") or [])
    return [i for i in range(c.layers) if (i + 1) % step == 0 and i not in dense]


def after_dense(c: Config) -> list[int]:
    """Every moe_layer_freq-th layer from first_k_dense_replace on."""
    first = c.whole("first_k_dense_replace", 0)
    if first > c.layers:
        raise c.refuse(f"first_k_dense_replace={first} exceeds num_hidden_layers={c.layers}")
    frequency = c.whole("moe_layer_freq")
    return [i for i in range(first, c.layers) if i % frequency == 0]


def frequency(c: Config) -> list[int]:
    """Every moe_layer_frequency-th layer, the last of each group."""
    step = c.whole("moe_layer_frequency")
    return [i for i in range(c.layers) if (i + 1) % step == 0]


def interleaved(c: Config) -> list[int]:
    """The list moe_layers if there is one, else every interleave_moe_layer_step-th layer."""
    listed = c.listed("moe_layers")
    if listed is None:
        step = c.whole("interleave_moe_layer_step")
        return [i for i in range(c.layers) if (i + 1) % step == 0]
    known = {i for i in listed if isinstance(i, int) and 0 <= i < c.layers}
    if len(known) != len(listed):
        raise c.refuse(f"moe_layers={shown(listed)} is not a set of layers below {c.layers}")
    return sorted(known)


def between(c: Config) -> list[int]:
    """Every moe_layer_interval-th layer from start to end index, where -1 is the last layer."""
    first = c.whole("moe_layer_start_index", 0)
    last = c.whole("moe_layer_end_index", -1)
    last = c.layers - 1 if last == -1 else last
    if max(first, last) >= c.layers:
        raise c.refuse(f"experts in layers {first} to {last} of num_hidden_layers={c.layers}")
    step = c.whole("moe_layer_interval")
    return [i for i in range(first, last + 1) if (i + 1) % step == 0]


def periodic(c: Config) -> list[int]:
    """Layers at expert_layer_offset in every expert_layer_period; one expert is a dense MLP."""
    if c.uniform("num_experts") == 1:
        return []
    return _at(c, "expert_layer_offset", "expert_layer_period")


def _at(c: Config, offset: str, period: str) -> list[int]:
    every = c.whole(period)
    start = c.whole(offset, 0)
    if start >= every:
        raise c.refuse(f"{offset}={start} is not below {period}={every}")
    return [i for i in range(c.layers) if i % every == start]


# --- Token mixers ----------------------------------------------------------------------------

Kinds = Callable[[Config], list[str]]


def listed_or(rule: Kinds) -> Kinds:
    """``layer_types`` if the config lists them, else the family's rule."""

    def kinds(c: Config) -> list[str]:
        listed = c.listed("layer_types", c.layers)
        if listed is None:
            return rule(c)
        unknown = [t for t in listed if not isinstance(t, str) or t not in KINDS]
        if unknown:
            raise c.refuse(f"layer_types holds {shown(unknown[0])}; known: {', '.join(KINDS)}")
        return [KINDS[t] for t in listed]

    return kinds


def all_full(c: Config) -> list[str]:
    """Every layer keeps every token."""
    return [FULL] * c.layers


def one_window(c: Config) -> list[str]:
    """Every layer keeps ``sliding_window`` tokens, or all of them where it is null."""
    return [WINDOWED if c.maybe("sliding_window") else FULL] * c.layers


def no_window(c: Config) -> list[str]:
    """All layers keep every token; a window in use would need ``layer_types`` to place it."""
    if c.flag("use_sliding_window"):
        raise c.refuse("use_sliding_window=true without layer_types; which layers are windowed?")
    return all_full(c)


def window_after(c: Config) -> list[str]:
    """Layers from max_window_layers on are windowed, if the window is in use."""
    if not c.flag("use_sliding_window"):
        return all_full(c)
    first = min(c.whole("max_window_layers", 0), c.layers)
    return [FULL] * first + [WINDOWED] * (c.layers - first)


def alternating(c: Config) -> list[str]:
    """Windowed and full layers in turn, windowed first."""
    return [FULL if i % 2 else WINDOWED for i in range(c.layers)]


def chunked(c: Config) -> list[str]:
    """Layers with rotary positions see their chunk only; every fourth has none and sees all."""
    if c.maybe("attention_chunk_size") is None:
        return all_full(c)
    rotary = c.listed("no_rope_layers")
    if not rotary:
        step = c.whole("no_rope_layer_interval")
        rotary = [(i + 1) % step for i in range(c.layers)]
    if len(rotary) != c.layers:
        raise c.refuse(f"no_rope_layers lists {len(rotary)} layers of {c.layers}")
    return [WINDOWED if r else FULL for r in rotary]


def every_nth_full(c: Config) -> list[str]:
    """The last layer of every full_attention_interval attends, the others are linear."""
    step = c.whole("full_attention_interval")
    return [LINEAR if (i + 1) % step else FULL for i in range(c.layers)]


def attention_period(c: Config) -> list[str]:
    """Layers at attn_layer_offset in every attn_layer_period attend, the others are Mamba."""
    attending = set(_at(c, "attn_layer_offset", "attn_layer_period"))
    return [FULL if i in attending else LINEAR for i in range(c.layers)]


def attention_list(c: Config) -> list[str]:
    """``attn_type_list``: 1 for softmax attention, 0 for lightning attention."""
    listed = c.listed("attn_type_list", c.layers)
    if listed is None or any(t not in (0, 1) for t in listed):
        raise c.refuse(f"attn_type_list={shown(listed)}; expected {c.layers} values, 0 or 1")
    return [FULL if t else LINEAR for t in listed]
