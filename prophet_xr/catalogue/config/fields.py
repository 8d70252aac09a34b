"""A config and its family -> the fields of one model row, each with arithmetic and source.

Comes in: a `Config`, which knows its family.  Goes out: for each field a `Count`, and the keys that
were read to make it.
Why so: `RULES` is the definition of every field, once for all families; it multiplies the blocks of
one layer, which the family gives, by the number of such layers.  A family whose model is built in
another way (Switch) replaces rules by its own.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise

from prophet_xr.catalogue.config.arithmetic import NOTHING, Count, plain, times, total
from prophet_xr.catalogue.config.families import EVERY
from prophet_xr.catalogue.config.family import Family
from prophet_xr.catalogue.config.keys import ABSENT, Config, peek, shown_value
from prophet_xr.catalogue.config.layer_kinds import FULL, LINEAR, WINDOWED
from prophet_xr.catalogue.config.switch import switch

FAMILIES: Mapping[str, Family] = {family.name: family for family in (*EVERY, switch)}


def _experts(config: Config) -> Count:
    return plain(config.uniform("num_experts")) if config.moe_layers else NOTHING


def _top_k(config: Config) -> Count:
    if not config.moe_layers:
        return NOTHING
    k, experts = config.uniform("num_experts_per_tok"), config.uniform("num_experts")
    if k > experts:
        raise config.refuse(f"num_experts_per_tok={k} exceeds num_experts={experts}")
    return plain(k)


def _attending(config: Config) -> int:
    """Layers with attention, windowed or not."""
    return config.count_layers(FULL) + config.count_layers(WINDOWED)


def _dense(config: Config) -> Count:
    moe = len(config.moe_layers)
    bare = config.layers - moe
    return total(
        times(bare, *config.family.dense(config)) if bare else NOTHING,
        times(moe, *config.family.residual(config)),
    )


def _norms(config: Config) -> Count:
    norm = [(config.hidden,)] * config.family.norm_vectors
    return total(
        times(config.layers * config.family.norms, *norm),
        times(1, *norm),
        times(_attending(config), *config.family.attention_norms(config)),
        times(len(config.moe_layers), *config.family.residual_norm(config)),
    )


def _embedding(config: Config) -> Count:
    tables = 1 if config.flag("tie_word_embeddings") else 2
    return total(
        times(tables, (config.whole("vocab_size"), config.hidden)),
        times(1, *config.family.head(config)),
    )


def _lookup(config: Config) -> Count:
    tied = config.flag("tie_word_embeddings")
    return NOTHING if tied else times(1, (config.whole("vocab_size"), config.hidden))


def _windows_bind(config: Config) -> bool:
    """Whether there are windowed layers and the window is shorter than the native context."""
    if not config.count_layers(WINDOWED):
        return False
    window = config.whole_or_null("sliding_window")
    if window is None:
        raise config.refuse("layers are windowed, but sliding_window is null; expected its length")
    return window < config.whole("max_position_embeddings")


def _kv_full(config: Config) -> Count:
    return times(
        config.count_layers(FULL) if _windows_bind(config) else _attending(config),
        *config.family.kv(config),
    )


def _kv_windowed(config: Config) -> Count:
    return (
        times(config.count_layers(WINDOWED), *config.family.kv(config))
        if _windows_bind(config)
        else NOTHING
    )


def _in_state_layers(block: str) -> Callable[[Config], Count]:
    def count(config: Config) -> Count:
        layers = config.count_layers(LINEAR)
        return times(layers, *getattr(config.family, block)(config)) if layers else NOTHING

    return count


def _in_expert_layers(block: str) -> Callable[[Config], Count]:
    def count(config: Config) -> Count:
        layers = len(config.moe_layers)
        return times(layers, *getattr(config.family, block)(config)) if layers else NOTHING

    return count


def _full_layers(config: Config) -> Count:
    return plain(config.count_layers(FULL) if _windows_bind(config) else _attending(config))


def _in_attention_layers(block: str) -> Callable[[Config], Count]:
    def count(config: Config) -> Count:
        return times(_attending(config), *getattr(config.family, block)(config))

    return count


def _expert_width(config: Config) -> Count:
    return plain(config.family.expert(config)[0][1]) if config.moe_layers else NOTHING


def _dense_width(config: Config) -> Count:
    """The widest dense MLP of any layer, shared experts included."""
    blocks = [config.family.shared, config.family.residual] if config.moe_layers else []
    if len(config.moe_layers) < config.layers:
        blocks.append(config.family.dense)
    return plain(max((shapes[0][1] for block in blocks if (shapes := block(config))), default=0))


def _interval(config: Config) -> Count:
    steps = (later - earlier for earlier, later in pairwise(config.moe_layers))
    return plain(min(steps, default=1))


_RULES: Mapping[str, Callable[[Config], Count]] = {
    "n_layers": lambda config: plain(config.layers),
    "hidden_size": lambda config: plain(config.hidden),
    "moe_layers": lambda config: plain(len(config.moe_layers)),
    "decode_moe_layers": lambda config: plain(len(config.moe_layers)),
    "n_experts": _experts,
    "top_k": _top_k,
    "expert_matrices": lambda config: plain(config.family.matrices),
    "expert_parameters": lambda config: (
        times(1, *config.family.expert(config)) if config.moe_layers else NOTHING
    ),
    "shared_parameters": _in_expert_layers("shared"),
    "router_parameters": _in_expert_layers("router"),
    "attention_parameters": lambda config: times(
        _attending(config), *config.family.attention(config)
    ),
    "dense_parameters": _dense,
    "state_space_parameters": _in_state_layers("linear"),
    "norm_parameters": _norms,
    "embedding_parameters": _embedding,
    "lookup_parameters": _lookup,
    "encoder_parameters": lambda config: NOTHING,
    "kv_full": _kv_full,
    "kv_windowed": _kv_windowed,
    "kv_window": lambda config: (
        plain(config.whole("sliding_window")) if _windows_bind(config) else NOTHING
    ),
    "kv_cross": lambda config: NOTHING,
    "state_size": _in_state_layers("state"),
    "attention_reuse": lambda config: config.family.attention_reuse(config),
    "prompt_reuse": lambda config: config.family.prompt_reuse(config),
    "attention_heads": lambda config: plain(config.heads),
    "kv_heads": lambda config: config.family.kv_heads(config),
    "replicated_parameters": _in_attention_layers("replicated"),
    "absorbed_parameters": _in_attention_layers("absorbed"),
    "expert_intermediate": _expert_width,
    "dense_intermediate": _dense_width,
    "moe_interval": _interval,
    "first_moe_layer": lambda config: plain(config.moe_layers[0] if config.moe_layers else 0),
    "full_layers": _full_layers,
    "windowed_layers": lambda config: plain(
        config.count_layers(WINDOWED) if _windows_bind(config) else 0
    ),
    "window_pages": lambda config: plain(1),
    "state_layers": lambda config: plain(config.count_layers(LINEAR)),
    "state_page": lambda config: (
        times(1, *config.family.state_page(config)) if config.count_layers(LINEAR) else NOTHING
    ),
    "rotary_size": lambda config: config.family.rotary(config),
    "vocabulary": lambda config: plain(config.whole("vocab_size")),
    "native_context": lambda config: plain(config.whole("max_position_embeddings")),
}


def row_fields(config: Config) -> dict[str, tuple[Count, str]]:
    """Every field of a row: its count, and the keys of the config it was made from."""
    counts = {}
    for name, rule in {**_RULES, **config.family.rules}.items():
        config.seen.clear()
        count = rule(config)
        counts[name] = (count, ", ".join(f"{k} {v}".strip() for k, v in config.seen.items()))
    return counts


def notes(config: Config, data: Mapping) -> str:
    """What the row leaves out of the checkpoint, by its text model or by all of its config."""
    asked = [(peek({**data, **config.data}, key), text) for key, text in config.family.notes]
    return " ".join(
        text.format(shown_value(value)) for value, text in asked if value not in (ABSENT, None, 0)
    )
