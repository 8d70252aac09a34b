"""A config and its family -> the fields of one model row, each with arithmetic and source."""

from collections.abc import Callable, Mapping
from itertools import pairwise

from prophet_xr.catalogue.config.arithmetic import NOTHING, Count, plain, times, total
from prophet_xr.catalogue.config.families import EVERY
from prophet_xr.catalogue.config.family import Family
from prophet_xr.catalogue.config.keys import ABSENT, Config, peek, shown
from prophet_xr.catalogue.config.layer_kinds import FULL, LINEAR, WINDOWED
from prophet_xr.catalogue.config.switch import switch

FAMILIES: Mapping[str, Family] = {family.name: family for family in (*EVERY, switch)}


def _experts(c: Config) -> Count:
    return plain(c.uniform("num_experts")) if c.moe_layers else NOTHING


def _top_k(c: Config) -> Count:
    if not c.moe_layers:
        return NOTHING
    k, experts = c.uniform("num_experts_per_tok"), c.uniform("num_experts")
    if k > experts:
        raise c.refuse(f"num_experts_per_tok={k} exceeds num_experts={experts}")
    return plain(k)


def _attending(c: Config) -> int:
    return c.kinds(FULL) + c.kinds(WINDOWED)


def _dense(c: Config) -> Count:
    moe = len(c.moe_layers)
    bare = c.layers - moe
    return total(
        times(bare, *c.family.dense(c)) if bare else NOTHING,
        times(moe, *c.family.beside(c)),
    )


def _norms(c: Config) -> Count:
    norm = [(c.hidden,)] * c.family.norm_vectors
    return total(
        times(c.layers * c.family.norms, *norm),
        times(1, *norm),
        times(_attending(c), *c.family.attention_norms(c)),
        times(len(c.moe_layers), *c.family.beside_norm(c)),
    )


def _embedding(c: Config) -> Count:
    tables = 1 if c.flag("tie_word_embeddings") else 2
    return total(times(tables, (c.whole("vocab_size"), c.hidden)), times(1, *c.family.head(c)))


def _lookup(c: Config) -> Count:
    tied = c.flag("tie_word_embeddings")
    return NOTHING if tied else times(1, (c.whole("vocab_size"), c.hidden))


def _windows_bind(c: Config) -> bool:
    """Whether there are windowed layers and the window is shorter than the native context."""
    if not c.kinds(WINDOWED):
        return False
    window = c.maybe("sliding_window")
    if window is None:
        raise c.refuse("layers are windowed, but sliding_window is null; expected its length")
    return window < c.whole("max_position_embeddings")


def _kv_full(c: Config) -> Count:
    return times(c.kinds(FULL) if _windows_bind(c) else _attending(c), *c.family.kv(c))


def _kv_windowed(c: Config) -> Count:
    return times(c.kinds(WINDOWED), *c.family.kv(c)) if _windows_bind(c) else NOTHING


def _linear(block: str) -> Callable[[Config], Count]:
    def count(c: Config) -> Count:
        layers = c.kinds(LINEAR)
        return times(layers, *getattr(c.family, block)(c)) if layers else NOTHING

    return count


def _in_experts(block: str) -> Callable[[Config], Count]:
    def count(c: Config) -> Count:
        layers = len(c.moe_layers)
        return times(layers, *getattr(c.family, block)(c)) if layers else NOTHING

    return count


def _attends_fully(c: Config) -> Count:
    return plain(c.kinds(FULL) if _windows_bind(c) else _attending(c))


def _every_attention(block: str) -> Callable[[Config], Count]:
    def count(c: Config) -> Count:
        return times(_attending(c), *getattr(c.family, block)(c))

    return count


def _expert_width(c: Config) -> Count:
    return plain(c.family.expert(c)[0][1]) if c.moe_layers else NOTHING


def _dense_width(c: Config) -> Count:
    """The widest dense MLP of any layer, shared experts included."""
    blocks = [c.family.shared, c.family.beside] if c.moe_layers else []
    if len(c.moe_layers) < c.layers:
        blocks.append(c.family.dense)
    return plain(max((shapes[0][1] for block in blocks if (shapes := block(c))), default=0))


def _interval(c: Config) -> Count:
    at = c.moe_layers
    return plain(min((b - a for a, b in pairwise(at)), default=1))


RULES: Mapping[str, Callable[[Config], Count]] = {
    "n_layers": lambda c: plain(c.layers),
    "hidden_size": lambda c: plain(c.hidden),
    "moe_layers": lambda c: plain(len(c.moe_layers)),
    "decode_moe_layers": lambda c: plain(len(c.moe_layers)),
    "n_experts": _experts,
    "top_k": _top_k,
    "expert_matrices": lambda c: plain(c.family.matrices),
    "expert_parameters": lambda c: times(1, *c.family.expert(c)) if c.moe_layers else NOTHING,
    "shared_parameters": _in_experts("shared"),
    "router_parameters": _in_experts("router"),
    "attention_parameters": lambda c: times(_attending(c), *c.family.attention(c)),
    "dense_parameters": _dense,
    "state_space_parameters": _linear("linear"),
    "norm_parameters": _norms,
    "embedding_parameters": _embedding,
    "lookup_parameters": _lookup,
    "encoder_parameters": lambda c: NOTHING,
    "kv_full": _kv_full,
    "kv_windowed": _kv_windowed,
    "kv_window": lambda c: plain(c.whole("sliding_window")) if _windows_bind(c) else NOTHING,
    "kv_cross": lambda c: NOTHING,
    "state_size": _linear("state"),
    "attention_reuse": lambda c: c.family.reuse(c),
    "prompt_reuse": lambda c: c.family.prompt_reuse(c),
    "attention_heads": lambda c: plain(c.heads),
    "kv_heads": lambda c: c.family.divided(c),
    "replicated_parameters": _every_attention("replicated"),
    "absorbed_parameters": _every_attention("absorbed"),
    "expert_intermediate": _expert_width,
    "dense_intermediate": _dense_width,
    "moe_interval": _interval,
    "first_moe_layer": lambda c: plain(c.moe_layers[0] if c.moe_layers else 0),
    "full_layers": _attends_fully,
    "windowed_layers": lambda c: plain(c.kinds(WINDOWED) if _windows_bind(c) else 0),
    "window_pages": lambda c: plain(1),
    "state_layers": lambda c: plain(c.kinds(LINEAR)),
    "state_page": lambda c: times(1, *c.family.page(c)) if c.kinds(LINEAR) else NOTHING,
    "rotary_size": lambda c: c.family.rotary(c),
    "vocabulary": lambda c: plain(c.whole("vocab_size")),
    "native_context": lambda c: plain(c.whole("max_position_embeddings")),
}


def fields(c: Config) -> dict[str, tuple[Count, str]]:
    """Every field of a row: its count, and the keys of the config it was made from."""
    found = {}
    for name, rule in {**RULES, **c.family.rules}.items():
        c.seen.clear()
        count = rule(c)
        found[name] = (count, ", ".join(f"{k} {v}".strip() for k, v in c.seen.items()))
    return found


def notes(c: Config, data: Mapping) -> str:
    """What the row leaves out of the checkpoint, by its text model or by all of its config."""
    asked = [(peek({**data, **c.data}, key), text) for key, text in c.family.notes]
    return " ".join(
        text.format(shown(value)) for value, text in asked if value not in (ABSENT, None, 0)
    )
