"""What a family of models declares: which key means what, and what each layer is made of.

``keys`` names the places of a value, ``absent`` says what a missing key means.  There is a rule
for a missing key only where the family documents one; class defaults of a library are none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prophet_xr.catalogue.config import layer_kinds as at
from prophet_xr.catalogue.config import weights as b
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


def grouped_kv(c: Config) -> list[Shape]:
    """K and V of every key-value head."""
    return [(2, c.kv_heads, c.head_dim)]


def latent_kv(c: Config) -> list[Shape]:
    """One latent and one rotary key for all heads; the number of heads means nothing here."""
    return [(c.whole("kv_lora_rank"),), (c.whole("qk_rope_head_dim"),)]


def grouped_reuse(c: Config) -> Count:
    """4 FLOP x head width per token and query head, over 2 x head width elements per KV head."""
    return Count(2 * c.heads / c.kv_heads, f"2 * {c.heads} / {c.kv_heads}")


def latent_reuse(c: Config) -> Count:
    """Every head scores latent and rotary part and sums the latent."""
    rank, rope = c.whole("kv_lora_rank"), c.whole("qk_rope_head_dim")
    value = 2 * c.heads * (2 * rank + rope) / (rank + rope)
    return Count(value, f"2 * {c.heads} * (2 * {rank} + {rope}) / ({rank} + {rope})")


def latent_prompt(c: Config) -> Count:
    """Over a prompt, keys and values of every head are made from the latent and attended."""
    rank, rope = c.whole("kv_lora_rank"), c.whole("qk_rope_head_dim")
    nope, wide = c.whole("qk_nope_head_dim"), c.whole("v_head_dim")
    value = 2 * c.heads * (nope + rope + wide) / (rank + rope)
    return Count(value, f"2 * {c.heads} * ({nope} + {rope} + {wide}) / ({rank} + {rope})")


def rotary(c: Config) -> Count:
    """Width of a head that is rotated, all of it where no key says otherwise."""
    width, part = c.peek("rotary_dim"), c.peek("partial_rotary_factor")
    if part is ABSENT:  # where newer libraries save it
        part = c.peek("rope_parameters.partial_rotary_factor")
    if isinstance(width, int) and 0 < width <= c.head_dim:
        return Count(width, str(width))
    if isinstance(part, float) and 0 < part <= 1:
        return Count(int(part * c.head_dim), f"{part} * {c.head_dim}")
    return Count(c.head_dim, str(c.head_dim))


@dataclass(frozen=True)
class Family:
    """One model_type; what a family does not say is as in Mixtral.

    A block gives the shapes of one layer: ``attention`` with its ``attention_norms`` and the
    ``kv`` one token leaves there, ``linear`` with its ``state`` in bytes, ``expert``, ``shared``
    and ``beside`` (with ``beside_norm``) where there are experts, ``dense`` where there are none.
    ``rules`` replaces whole fields of a row.
    """

    name: str
    keys: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    absent: Mapping[str, object] = field(default_factory=lambda: NO_HEAD_DIM)
    nested: str = ""
    experts_in: Callable[[Config], list[int]] = at.everywhere
    kinds: Callable[[Config], list[str]] = at.all_full
    attention: Block = field(default_factory=b.attention)
    attention_norms: Block = b.none
    kv: Block = grouped_kv
    reuse: Callable[[Config], Count] = grouped_reuse
    prompt_reuse: Callable[[Config], Count] = grouped_reuse
    divided: Callable[[Config], Count] = lambda c: plain(c.kv_heads)
    rotary: Callable[[Config], Count] = rotary
    replicated: Block = b.none
    absorbed: Block = b.none
    linear: Block = b.none
    state: Block = b.none
    page: Block = b.none
    expert: Block = field(default_factory=lambda: b.mlp("intermediate_size"))
    shared: Block = b.none
    router: Block = b.router
    dense: Block = field(default_factory=lambda: b.mlp("intermediate_size"))
    beside: Block = b.none
    beside_norm: Block = b.none
    norms: int = 2
    norm_vectors: int = 1
    head: Block = b.none
    matrices: int = 3
    notes: tuple[tuple[str, str], ...] = ()
    rules: Mapping[str, Callable[[Config], Count]] = field(default_factory=dict)
