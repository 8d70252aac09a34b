"""Shapes of the weights of one block of a layer, as the published model classes hold them.

Comes in: a `Config`, and for the functions that make a block the keys in which families differ.
Goes out: a `Block`, a function that gives the shape of every weight of one layer.
Why so: a list of shapes can be compared with a checkpoint, tensor by tensor; a sum of parameters
cannot.  Families put their layers together from these blocks.
"""

from collections.abc import Callable
from math import ceil

from prophet_xr.catalogue.config.arithmetic import Shape
from prophet_xr.catalogue.config.keys import Config

Shapes = list[Shape]
Block = Callable[[Config], Shapes]


def none(config: Config) -> Shapes:
    """No weights."""
    return []


# --- Attention -------------------------------------------------------------------------------


def attention(biased: str = "", key: str = "", *, gated: bool = False) -> Block:
    """Grouped-query attention: q, k, v and o.

    ``biased`` names the projections with a bias, if the config's flag ``key`` says so; ``gated``
    doubles q, which then carries a gate for the output.
    """

    def shapes(config: Config) -> Shapes:
        q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
        wide = 2 * q if gated else q
        biases = {"q": (wide,), "k": (kv,), "v": (kv,), "o": (config.hidden,)}
        flagged = biased and config.flag(key)
        weights = [
            (config.hidden, wide),
            (config.hidden, q),
            (config.hidden, kv),
            (config.hidden, kv),
        ]
        return weights + [biases[p] for p in (biased if flagged else "")]

    return shapes


def with_sinks(block: Block) -> Block:
    """The attention of a block, and one learnt sink for each query head."""
    return lambda config: [*block(config), (config.heads,)]


def latent(config: Config) -> Shapes:
    """Multi-head latent attention; a null q_lora_rank means a plain q projection."""
    nope, rope, v = (config.whole(f"{n}_head_dim") for n in ("qk_nope", "qk_rope", "v"))
    queries, rank = config.heads * (nope + rope), config.whole("kv_lora_rank")
    narrow = config.whole_or_null("q_lora_rank")
    q = [(config.hidden, narrow), (narrow, queries)] if narrow else [(config.hidden, queries)]
    kv = [
        (config.hidden, rank + rope),
        (rank, config.heads * (nope + v)),
        (config.heads * v, config.hidden),
    ]
    if not config.flag("attention_bias"):
        return q + kv
    down = [(narrow,)] if narrow else []
    return [*q, *kv, *down, (rank + rope,), (config.hidden,)]


def latent_down(config: Config) -> Shapes:
    """Down-projection of the query, which no rank can divide."""
    narrow = config.whole_or_null("q_lora_rank")
    return [(config.hidden, narrow)] if narrow else []


def latent_up(config: Config) -> Shapes:
    """Up-projections of keys and values, which engines fold into queries and outputs."""
    return [
        (
            config.whole("kv_lora_rank"),
            config.heads * (config.whole("qk_nope_head_dim") + config.whole("v_head_dim")),
        )
    ]


def latent_norms(config: Config) -> Shapes:
    """Norms of the two latents."""
    narrow = config.whole_or_null("q_lora_rank")
    return [(n,) for n in (narrow, config.whole("kv_lora_rank")) if n]


def head_norms(config: Config) -> Shapes:
    """Norms of q and k, one head wide."""
    return [(config.head_dim,)] * 2


def wide_norms(config: Config) -> Shapes:
    """Norms of q and k over all heads."""
    return [(config.heads * config.head_dim,), (config.kv_heads * config.head_dim,)]


def if_flag(key: str, block: Block) -> Block:
    """``block`` where the config's flag ``key`` is set."""
    return lambda config: block(config) if config.flag(key) else []


# --- MLPs ------------------------------------------------------------------------------------


def gated(hidden: int, width: int, *, bias: bool = False) -> Shapes:
    """Gate, up and down."""
    biases = [(width,), (width,), (hidden,)] if bias else []
    return [(hidden, width)] * 3 + biases


def mlp(width: str, bias: str = "") -> Block:
    """Gated MLP as wide as the key ``width`` says."""
    return lambda config: gated(
        config.hidden, config.whole(width), bias=bool(bias) and config.flag(bias)
    )


def biased_mlp(width: str) -> Block:
    """Gated MLP with biases."""
    return lambda config: gated(config.hidden, config.whole(width), bias=True)


def shared(number: str, width: str, bias: str = "") -> Block:
    """``number`` shared experts fused into one gated MLP; null means none."""

    def shapes(config: Config) -> Shapes:
        count = config.uniform(number, 0) if config.get(number) is not None else 0
        biased = bool(bias) and config.flag(bias)
        return gated(config.hidden, count * config.uniform(width), bias=biased) if count else []

    return shapes


def shared_width(key: str) -> Block:
    """One shared expert of its own width; 0 or null means none."""

    def shapes(config: Config) -> Shapes:
        width = config.whole_or_null(key, 0)
        return gated(config.hidden, width) if width else []

    return shapes


def residual(config: Config) -> Shapes:
    """Dense MLP as wide as the model, in parallel to the experts of a layer."""
    return gated(config.hidden, config.hidden) if config.flag("use_residual") else []


# --- Routers ---------------------------------------------------------------------------------


def router(config: Config) -> Shapes:
    """One linear layer."""
    return [(config.hidden, config.uniform("num_experts"))]


def router_with_gate(config: Config) -> Shapes:
    """A linear layer, and the gate of the shared expert."""
    return [*router(config), (config.hidden, 1)]


def biased_router(config: Config) -> Shapes:
    """A linear layer and one bias per expert."""
    return [*router(config), (config.uniform("num_experts"),)]


# --- Layers with a constant state ------------------------------------------------------------


def _mamba(config: Config) -> tuple[int, int, int, int]:
    inner = config.whole("mamba_expand") * config.hidden
    rank = config.get("mamba_dt_rank")
    rank = ceil(config.hidden / 16) if rank == "auto" else config.whole("mamba_dt_rank")
    return inner, config.whole("mamba_d_state"), config.whole("mamba_d_conv"), rank


def mamba(config: Config) -> Shapes:
    """Mamba mixer with norms of dt, B and C."""
    inner, state, kernel, rank = _mamba(config)
    projections = [(config.hidden, 2 * inner), (inner, rank + 2 * state), (rank + 1, inner)]
    scan = [(inner, kernel), (inner, state), (inner,), (config.hidden, inner)]
    conv = [(inner,)] if config.flag("mamba_conv_bias") else []
    biases = [(2 * inner,), (config.hidden,)] if config.flag("mamba_proj_bias") else []
    return [*projections, *scan, *conv, *biases, (rank,), (state,), (state,)]


def mamba_state(config: Config) -> Shapes:
    """Bytes: 16-bit convolution window and 32-bit state per channel."""
    inner, state, kernel, _ = _mamba(config)
    return [(inner, kernel, 2), (inner, state, 4)]


def mamba_page(config: Config) -> Shapes:
    """Bytes of one layer's state as an engine pages it: both parts 16-bit."""
    inner, state, kernel, _ = _mamba(config)
    return [(inner, kernel - 1, 2), (inner, state, 2)]


def _delta_net(config: Config) -> tuple[int, int, int, int]:
    keys = config.whole("linear_num_key_heads") * config.whole("linear_key_head_dim")
    heads, width = config.whole("linear_num_value_heads"), config.whole("linear_value_head_dim")
    return keys, heads, width, config.whole("linear_conv_kernel_dim")


def delta_net(config: Config) -> Shapes:
    """Gated delta net: q, k, v, z and the two gates, convolution, decay, norm and output."""
    keys, heads, width, kernel = _delta_net(config)
    values = heads * width
    inputs = [(config.hidden, 2 * keys + 2 * values), (config.hidden, 2 * heads)]
    return [
        *inputs,
        (2 * keys + values, kernel),
        (heads,),
        (heads,),
        (width,),
        (config.hidden, values),
    ]


def delta_net_state(config: Config) -> Shapes:
    """Bytes: 16-bit convolution window and one 32-bit matrix per value head."""
    keys, heads, width, kernel = _delta_net(config)
    matrix = (heads, config.whole("linear_key_head_dim"), width, 4)
    return [(2 * keys + heads * width, kernel, 2), matrix]


def delta_net_page(config: Config) -> Shapes:
    """Bytes of one layer's state as an engine pages it, in the width that the config asks for."""
    keys, heads, width, kernel = _delta_net(config)
    wide = 4 if config.peek("mamba_ssm_dtype") == "float32" else 2
    matrix = (heads, config.whole("linear_key_head_dim"), width, wide)
    return [(2 * keys + heads * width, kernel - 1, 2), matrix]


def lightning(config: Config) -> Shapes:
    """Lightning attention: q, k, v, output gate and output as wide as all heads, and a norm."""
    wide = config.heads * config.head_dim
    return [*[(config.hidden, wide)] * 5, (wide,)]


def lightning_state(config: Config) -> Shapes:
    """Bytes: one 16-bit matrix per head."""
    return [(config.heads, config.head_dim, config.head_dim, 2)]
