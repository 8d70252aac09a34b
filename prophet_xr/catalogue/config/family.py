"""What a family of models declares: which key means what, and what each layer is made of.

Comes in: nothing; a `Family` is a declaration.  Goes out: functions of a `Config` that give the
shapes of the weights of one layer, or which layers are of which kind; `fields` counts with them.
Why so: models differ in few places, so a family says only in what it differs from Mixtral.
``keys`` names the places of a value, ``absent`` gives the value that a missing key stands for.
There is one only where the family documents it: the class defaults of a library are those of one
release, and checkpoints were saved by others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prophet_xr.catalogue.config import layer_kinds, weights
from prophet_xr.catalogue.config.arithmetic import Count, Shape, plain
from prophet_xr.catalogue.config.keys import ABSENT, Config
from prophet_xr.catalogue.config.weights import Block

OPTIONAL: dict[str, object] = {
    "layer_types": None,
    "sliding_window": None,
    # Written whenever it is true by every library version that knows the key.
    "tie_word_embeddings": False,
    "attention_bias": False,
}
NO_HEAD_DIM: dict[str, object] = {**OPTIONAL, "head_dim": None}  # hidden size / heads


def grouped_kv(config: Config) -> list[Shape]:
    """K and V of every key-value head."""
    return [(2, config.kv_heads, config.head_dim)]


def latent_kv(config: Config) -> list[Shape]:
    """One latent and one rotary key for all heads; the number of heads means nothing here."""
    return [(config.whole("kv_lora_rank"),), (config.whole("qk_rope_head_dim"),)]


def grouped_reuse(config: Config) -> Count:
    """4 FLOP x head width per token and query head, over 2 x head width elements per KV head."""
    return Count(2 * config.heads / config.kv_heads, f"2 * {config.heads} / {config.kv_heads}")


def latent_reuse(config: Config) -> Count:
    """Every head scores latent and rotary part and sums the latent."""
    rank, rope = config.whole("kv_lora_rank"), config.whole("qk_rope_head_dim")
    value = 2 * config.heads * (2 * rank + rope) / (rank + rope)
    return Count(value, f"2 * {config.heads} * (2 * {rank} + {rope}) / ({rank} + {rope})")


def latent_prompt(config: Config) -> Count:
    """Over a prompt, keys and values of every head are made from the latent and attended."""
    rank, rope = config.whole("kv_lora_rank"), config.whole("qk_rope_head_dim")
    nope, wide = config.whole("qk_nope_head_dim"), config.whole("v_head_dim")
    value = 2 * config.heads * (nope + rope + wide) / (rank + rope)
    return Count(value, f"2 * {config.heads} * ({nope} + {rope} + {wide}) / ({rank} + {rope})")


def rotary(config: Config) -> Count:
    """Width of a head that is rotated, all of it where no key says otherwise."""
    width, part = config.peek("rotary_dim"), config.peek("partial_rotary_factor")
    if part is ABSENT:  # where newer libraries save it
        part = config.peek("rope_parameters.partial_rotary_factor")
    if isinstance(width, int) and 0 < width <= config.head_dim:
        return Count(width, str(width))
    if isinstance(part, float) and 0 < part <= 1:
        return Count(int(part * config.head_dim), f"{part} * {config.head_dim}")
    return Count(config.head_dim, str(config.head_dim))


@dataclass(frozen=True)
class Family:
    """One model_type; what a family does not say is as in Mixtral.

    ``name``         its model_type; ``nested`` the key under which a config holds it, if any
    ``experts_in``   indices of the layers with experts
    ``kinds``        whether each layer is full, windowed or linear

    A block gives the shapes of the weights of one layer:

    ``attention``    with its ``attention_norms``, and the ``kv`` elements of one token; of it
                     ``replicated`` is on every rank, and ``absorbed`` is kept twice by engines
    ``linear``       a layer without KV; its ``state``, and ``state_page`` as engines hold it, in B
    ``expert``       with ``shared`` and ``router``, in layers with experts; there too
                     ``residual``, a dense MLP in parallel, with its ``residual_norm``
    ``dense``        the MLP of layers without experts
    ``head``         what the output has besides the embedding

    ``norms``        norms of a layer, each of ``norm_vectors`` vectors
    ``matrices``     weight matrices of an expert
    ``notes``        keys, and what to say of the row where they are not 0
    ``rules``        whole fields of a row, in place of those of `fields`
    """

    name: str
    keys: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    absent: Mapping[str, object] = field(default_factory=lambda: NO_HEAD_DIM)
    nested: str = ""
    experts_in: Callable[[Config], list[int]] = layer_kinds.everywhere
    kinds: Callable[[Config], list[str]] = layer_kinds.all_full
    attention: Block = field(default_factory=weights.attention)
    attention_norms: Block = weights.none
    kv: Block = grouped_kv
    attention_reuse: Callable[[Config], Count] = grouped_reuse
    prompt_reuse: Callable[[Config], Count] = grouped_reuse
    kv_heads: Callable[[Config], Count] = lambda config: plain(config.kv_heads)
    rotary: Callable[[Config], Count] = rotary
    replicated: Block = weights.none
    absorbed: Block = weights.none
    linear: Block = weights.none
    state: Block = weights.none
    state_page: Block = weights.none
    expert: Block = field(default_factory=lambda: weights.mlp("intermediate_size"))
    shared: Block = weights.none
    router: Block = weights.router
    dense: Block = field(default_factory=lambda: weights.mlp("intermediate_size"))
    residual: Block = weights.none
    residual_norm: Block = weights.none
    norms: int = 2
    norm_vectors: int = 1
    head: Block = weights.none
    matrices: int = 3
    notes: tuple[tuple[str, str], ...] = ()
    rules: Mapping[str, Callable[[Config], Count]] = field(default_factory=dict)
