"""Shapes of the weights of one block of a layer, as the published model classes hold them."""

from collections.abc import Callable
from math import ceil

from prophet_xr.catalogue.config.arithmetic import Shape
from prophet_xr.catalogue.config.keys import Config

Shapes = list[Shape]
Block = Callable[[Config], Shapes]


def none(c: Config) -> Shapes:
    """No weights."""
    return []


# --- Attention -------------------------------------------------------------------------------


def attention(biased: str = "", key: str = "", *, gated: bool = False) -> Block:
    """Grouped-query attention: q, k, v and o.

    ``biased`` names the projections with a bias, if the config's flag ``key`` says so; ``gated``
    doubles q, which then carries a gate for the output.
    """

    def shapes(c: Config) -> Shapes:
        q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
        wide = 2 * q if gated else q
        biases = {"q": (wide,), "k": (kv,), "v": (kv,), "o": (c.hidden,)}
        flagged = biased and c.flag(key)
        weights = [(c.hidden, wide), (c.hidden, q), (c.hidden, kv), (c.hidden, kv)]
        return weights + [biases[p] for p in (biased if flagged else "")]

    return shapes


def with_sinks(block: Block) -> Block:
    """One learnt sink per query head beside the attention."""
    return lambda c: [*block(c), (c.heads,)]


def latent(c: Config) -> Shapes:
    """Multi-head latent attention; a null q_lora_rank means a plain q projection."""
    nope, rope, v = (c.whole(f"{n}_head_dim") for n in ("qk_nope", "qk_rope", "v"))
    queries, rank = c.heads * (nope + rope), c.whole("kv_lora_rank")
    narrow = c.maybe("q_lora_rank")
    q = [(c.hidden, narrow), (narrow, queries)] if narrow else [(c.hidden, queries)]
    kv = [(c.hidden, rank + rope), (rank, c.heads * (nope + v)), (c.heads * v, c.hidden)]
    if not c.flag("attention_bias"):
        return q + kv
    down = [(narrow,)] if narrow else []
    return [*q, *kv, *down, (rank + rope,), (c.hidden,)]


def latent_down(c: Config) -> Shapes:
    """Down-projection of the query, which no rank can divide."""
    narrow = c.maybe("q_lora_rank")
    return [(c.hidden, narrow)] if narrow else []


def latent_up(c: Config) -> Shapes:
    """Up-projections of keys and values, which engines fold into queries and outputs."""
    return [
        (c.whole("kv_lora_rank"), c.heads * (c.whole("qk_nope_head_dim") + c.whole("v_head_dim")))
    ]


def latent_norms(c: Config) -> Shapes:
    """Norms of the two latents."""
    narrow = c.maybe("q_lora_rank")
    return [(n,) for n in (narrow, c.whole("kv_lora_rank")) if n]


def head_norms(c: Config) -> Shapes:
    """Norms of q and k, one head wide."""
    return [(c.head_dim,)] * 2


def wide_norms(c: Config) -> Shapes:
    """Norms of q and k over all heads."""
    return [(c.heads * c.head_dim,), (c.kv_heads * c.head_dim,)]


def if_flag(key: str, block: Block) -> Block:
    """``block`` where the config's flag ``key`` is set."""
    return lambda c: block(c) if c.flag(key) else []


# --- MLPs ------------------------------------------------------------------------------------


def gated(hidden: int, width: int, *, bias: bool = False) -> Shapes:
    """Gate, up and down."""
    biases = [(width,), (width,), (hidden,)] if bias else []
    return [(hidden, width)] * 3 + biases


def mlp(width: str, bias: str = "") -> Block:
    """Gated MLP as wide as the key ``width`` says."""
    return lambda c: gated(c.hidden, c.whole(width), bias=bool(bias) and c.flag(bias))


def biased_mlp(width: str) -> Block:
    """Gated MLP with biases."""
    return lambda c: gated(c.hidden, c.whole(width), bias=True)


def shared(number: str, width: str, bias: str = "") -> Block:
    """``number`` shared experts fused into one gated MLP; null means none."""

    def shapes(c: Config) -> Shapes:
        count = c.uniform(number, 0) if c.get(number) is not None else 0
        biased = bool(bias) and c.flag(bias)
        return gated(c.hidden, count * c.uniform(width), bias=biased) if count else []

    return shapes


def shared_width(key: str) -> Block:
    """One shared expert of its own width; 0 or null means none."""

    def shapes(c: Config) -> Shapes:
        width = c.maybe(key, 0)
        return gated(c.hidden, width) if width else []

    return shapes


def residual(c: Config) -> Shapes:
    """Dense MLP as wide as the model, beside the experts of a layer."""
    return gated(c.hidden, c.hidden) if c.flag("use_residual") else []


# --- Routers ---------------------------------------------------------------------------------


def router(c: Config) -> Shapes:
    """One linear layer."""
    return [(c.hidden, c.uniform("num_experts"))]


def router_with_gate(c: Config) -> Shapes:
    """A linear layer, and the gate of the shared expert."""
    return [*router(c), (c.hidden, 1)]


def biased_router(c: Config) -> Shapes:
    """A linear layer and one bias per expert."""
    return [*router(c), (c.uniform("num_experts"),)]


# --- Layers with a constant state ------------------------------------------------------------


def _mamba(c: Config) -> tuple[int, int, int, int]:
    inner = c.whole("mamba_expand") * c.hidden
    rank = c.get("mamba_dt_rank")
    rank = ceil(c.hidden / 16) if rank == "auto" else c.whole("mamba_dt_rank")
    return inner, c.whole("mamba_d_state"), c.whole("mamba_d_conv"), rank


def mamba(c: Config) -> Shapes:
    """Mamba mixer with norms of dt, B and C."""
    inner, state, kernel, rank = _mamba(c)
    projections = [(c.hidden, 2 * inner), (inner, rank + 2 * state), (rank + 1, inner)]
    scan = [(inner, kernel), (inner, state), (inner,), (c.hidden, inner)]
    conv = [(inner,)] if c.flag("mamba_conv_bias") else []
    biases = [(2 * inner,), (c.hidden,)] if c.flag("mamba_proj_bias") else []
    return [*projections, *scan, *conv, *biases, (rank,), (state,), (state,)]


def mamba_state(c: Config) -> Shapes:
    """Bytes: 16-bit convolution window and 32-bit state per channel."""
    inner, state, kernel, _ = _mamba(c)
    return [(inner, kernel, 2), (inner, state, 4)]


def mamba_page(c: Config) -> Shapes:
    """Bytes of one layer's state as an engine pages it: both parts 16-bit."""
    inner, state, kernel, _ = _mamba(c)
    return [(inner, kernel - 1, 2), (inner, state, 2)]


def _delta_net(c: Config) -> tuple[int, int, int, int]:
    keys = c.whole("linear_num_key_heads") * c.whole("linear_key_head_dim")
    heads, width = c.whole("linear_num_value_heads"), c.whole("linear_value_head_dim")
    return keys, heads, width, c.whole("linear_conv_kernel_dim")


def delta_net(c: Config) -> Shapes:
    """Gated delta net: q, k, v, z and the two gates, convolution, decay, norm and output."""
    keys, heads, width, kernel = _delta_net(c)
    values = heads * width
    inputs = [(c.hidden, 2 * keys + 2 * values), (c.hidden, 2 * heads)]
    return [*inputs, (2 * keys + values, kernel), (heads,), (heads,), (width,), (c.hidden, values)]


def delta_net_state(c: Config) -> Shapes:
    """Bytes: 16-bit convolution window and one 32-bit matrix per value head."""
    keys, heads, width, kernel = _delta_net(c)
    matrix = (heads, c.whole("linear_key_head_dim"), width, 4)
    return [(2 * keys + heads * width, kernel, 2), matrix]


def delta_net_page(c: Config) -> Shapes:
    """Bytes of one layer's state as an engine pages it, in the width that the config asks for."""
    keys, heads, width, kernel = _delta_net(c)
    wide = 4 if c.peek("mamba_ssm_dtype") == "float32" else 2
    matrix = (heads, c.whole("linear_key_head_dim"), width, wide)
    return [(2 * keys + heads * width, kernel - 1, 2), matrix]


def lightning(c: Config) -> Shapes:
    """Lightning attention: q, k, v, output gate and output as wide as all heads, and a norm."""
    wide = c.heads * c.head_dim
    return [*[(c.hidden, wide)] * 5, (wide,)]


def lightning_state(c: Config) -> Shapes:
    """Bytes: one 16-bit matrix per head."""
    return [(c.heads, c.head_dim, c.head_dim, 2)]
