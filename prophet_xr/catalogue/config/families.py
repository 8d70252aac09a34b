"""How each model_type writes itself down, as differences from Mixtral or from a relative.

Comes in: nothing.  Goes out: `EVERY`, the families of all known model_types but Switch.
Why so: the numbers follow from declarations alone, so a family can be read against the model class
it describes, line by line; `prophet_xr.catalogue.config.family` explains each argument.
"""

from dataclasses import replace

from prophet_xr.catalogue.config import layer_kinds, weights
from prophet_xr.catalogue.config.arithmetic import NOTHING, Count, Shape, plain, times
from prophet_xr.catalogue.config.family import (
    NO_HEAD_DIM,
    OPTIONAL,
    Family,
    grouped_kv,
    latent_kv,
    latent_prompt,
    latent_reuse,
)
from prophet_xr.catalogue.config.keys import Config

LOCAL = {"num_experts": "num_local_experts"}
_ROUTED = {"num_experts": "n_routed_experts"}
QWEN = {"decoder_sparse_step": 1, "mlp_only_layers": None, "use_sliding_window": False}
MTP = ("num_nextn_predict_layers", "The multi-token-prediction layers of the checkpoint, {}, are "
       "not counted; in use, each costs one more layer of weights and KV.")  # fmt: skip
VISION = ("vision_config.hidden_size", "The vision tower is not counted.")

mixtral = Family("mixtral", LOCAL, kinds=layer_kinds.one_window)

qwen2_moe = Family(
    "qwen2_moe",
    absent=NO_HEAD_DIM | QWEN | {"qkv_bias": True},
    experts_in=layer_kinds.sparse_step,
    kinds=layer_kinds.listed_or(layer_kinds.no_window),
    attention=weights.attention("qkv", "qkv_bias"),
    expert=weights.mlp("moe_intermediate_size"),
    shared=weights.shared_width("shared_expert_intermediate_size"),
    router=weights.router_with_gate,
)

qwen3_moe = Family(
    "qwen3_moe",
    {"num_experts": ("num_experts", "num_local_experts")},  # as of transformers 5
    absent=NO_HEAD_DIM | QWEN,
    experts_in=layer_kinds.sparse_step,
    kinds=layer_kinds.listed_or(layer_kinds.no_window),
    attention=weights.attention("qkvo", "attention_bias"),
    attention_norms=weights.head_norms,
    expert=weights.mlp("moe_intermediate_size"),
)
qwen3_next = replace(
    qwen3_moe,
    name="qwen3_next",
    absent=OPTIONAL | QWEN,
    kinds=layer_kinds.listed_or(layer_kinds.every_nth_full),
    attention=weights.attention("qkvo", "attention_bias", gated=True),
    linear=weights.delta_net,
    state=weights.delta_net_state,
    state_page=weights.delta_net_page,
    shared=weights.shared_width("shared_expert_intermediate_size"),
    router=weights.router_with_gate,
    notes=(("mtp_num_hidden_layers", "The {} multi-token-prediction layers are not counted."),),
)

deepseek = Family(
    "deepseek",
    _ROUTED,
    absent=NO_HEAD_DIM | {"moe_layer_freq": 1},
    experts_in=layer_kinds.after_dense,
    attention=weights.attention("qkvo", "attention_bias"),
    expert=weights.mlp("moe_intermediate_size"),
    shared=weights.shared("n_shared_experts", "moe_intermediate_size"),
)

deepseek_v3 = replace(
    deepseek,
    name="deepseek_v3",
    attention=weights.latent,
    attention_norms=weights.latent_norms,
    kv=latent_kv,
    attention_reuse=latent_reuse,
    prompt_reuse=latent_prompt,
    kv_heads=lambda config: plain(1),
    rotary=lambda config: plain(config.whole("qk_rope_head_dim")),
    replicated=weights.latent_down,
    absorbed=weights.latent_up,
    notes=(MTP,),
)

glm4_moe = replace(
    deepseek,
    name="glm4_moe",
    absent=OPTIONAL | {"moe_layer_freq": 1, "use_qk_norm": False},
    attention=weights.attention("qkv", "attention_bias"),
    attention_norms=weights.if_flag("use_qk_norm", weights.head_norms),
    notes=(MTP,),
)

jamba = Family(
    "jamba",
    experts_in=layer_kinds.periodic,
    kinds=layer_kinds.attention_period,
    linear=weights.mamba,
    state=weights.mamba_state,
    state_page=weights.mamba_page,
    rotary=lambda config: NOTHING,
)

minimax = Family(
    "minimax",
    LOCAL,
    absent=OPTIONAL,
    kinds=layer_kinds.listed_or(layer_kinds.attention_list),
    linear=weights.lightning,
    state=weights.lightning_state,
    state_page=weights.lightning_state,
)


def _uncounted_shared_mlp(config: Config) -> list[Shape]:
    if config.whole_or_null("shared_intermediate_size", 0):
        raise config.refuse(
            "shared_intermediate_size is not 0; no published model says how it is used"
        )
    return []


# --- Hunyuan: with use_cla, only the first layer of each group has k, v and a cache -----------


def _kv_layers(config: Config) -> int:
    """Layers with keys and values of their own."""
    return (
        -(-config.layers // config.whole("cla_share_factor"))
        if config.flag("use_cla")
        else config.layers
    )


def _hunyuan_attention(config: Config) -> Count:
    q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    kv_layers, biased = _kv_layers(config), config.flag("attention_bias")
    every = [(config.hidden, q), (q, config.hidden)] + [(q,), (config.hidden,)] * biased
    some = [(config.hidden, kv), (config.hidden, kv)] + [(kv,), (kv,)] * biased
    with_kv = times(kv_layers, *every, *some)
    if kv_layers == config.layers:
        return with_kv
    without_kv = times(config.layers - kv_layers, *every)
    return Count(with_kv.value + without_kv.value, f"{with_kv.text} + {without_kv.text}")


def _hunyuan_expert(config: Config) -> list[Shape]:
    width = "moe_intermediate_size"
    return weights.gated(
        config.hidden, config.uniform("intermediate_size" if config.get(width) is None else width)
    )


hunyuan = Family(
    "hunyuan_v1_moe",
    {
        "num_experts_per_tok": "moe_topk",
        "head_dim": ("head_dim", "attention_head_dim"),
    },
    absent=NO_HEAD_DIM
    | {"use_cla": False, "use_qk_norm": True, "use_mixed_mlp_moe": True}
    | {"moe_intermediate_size": None},
    attention_norms=weights.if_flag("use_qk_norm", weights.head_norms),
    expert=_hunyuan_expert,
    shared=weights.if_flag(
        "use_mixed_mlp_moe", weights.shared("num_shared_expert", "intermediate_size")
    ),
    rules={
        "attention_parameters": _hunyuan_attention,
        "kv_full": lambda config: times(_kv_layers(config), *grouped_kv(config)),
        "full_layers": lambda config: plain(_kv_layers(config)),
    },
)

# --- Dense models, to compare the others with -------------------------------------------------

llama = Family(
    "llama",
    absent=NO_HEAD_DIM | {"num_key_value_heads": None, "mlp_bias": False},
    experts_in=layer_kinds.nowhere,
    attention=weights.attention("qkvo", "attention_bias"),
    dense=weights.mlp("intermediate_size", "mlp_bias"),
)

EVERY = (
    mixtral,
    replace(
        mixtral,
        name="phimoe",
        absent=NO_HEAD_DIM | {"lm_head_bias": False},
        attention=weights.attention("qkvo", "attention_bias"),
        norm_vectors=2,  # LayerNorm: weight and bias
        head=weights.if_flag("lm_head_bias", lambda config: [(config.whole("vocab_size"),)]),
    ),
    replace(
        mixtral,
        name="minimax_m2",
        absent=OPTIONAL | {"use_qk_norm": True, "shared_intermediate_size": 0},
        kinds=layer_kinds.all_full,
        attention_norms=weights.if_flag("use_qk_norm", weights.wide_norms),
        shared=_uncounted_shared_mlp,
        notes=(
            (
                "num_mtp_modules",
                "The {} multi-token-prediction modules of the checkpoint are not counted.",
            ),
        ),
    ),
    replace(
        mixtral,
        name="granitemoe",
        kinds=layer_kinds.all_full,
        attention=weights.attention("qkvo", "attention_bias"),
    ),
    replace(
        mixtral,
        name="granitemoeshared",
        kinds=layer_kinds.all_full,
        attention=weights.attention("qkvo", "attention_bias"),
        shared=weights.shared_width("shared_intermediate_size"),
    ),
    qwen2_moe,
    qwen3_moe,
    qwen3_next,
    *(
        replace(
            qwen3_next,
            name=name,
            nested="text_config",
            notes=(*qwen3_next.notes, VISION),
        )
        for name in ("qwen3_5_moe", "qwen3_5_moe_text")
    ),
    Family(
        "olmoe",
        attention=weights.attention("qkvo", "attention_bias"),
        attention_norms=weights.wide_norms,
    ),
    deepseek,
    replace(
        deepseek_v3,
        name="deepseek_v2",
        absent={**deepseek.absent, "mlp_bias": False},
        shared=weights.shared("n_shared_experts", "moe_intermediate_size", "mlp_bias"),
        dense=weights.mlp("intermediate_size", "mlp_bias"),
    ),
    deepseek_v3,
    replace(deepseek_v3, name="kimi_k2"),
    glm4_moe,
    Family(
        "dbrx",
        {
            "hidden_size": "d_model",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "num_key_value_heads": "attn_config.kv_n_heads",
            "max_position_embeddings": "max_seq_len",
            "num_experts": "ffn_config.moe_num_experts",
            "num_experts_per_tok": "ffn_config.moe_top_k",
            "intermediate_size": "ffn_config.ffn_hidden_size",
        },
    ),
    *(
        Family(
            name,
            {"num_experts": ("num_experts", "num_local_experts")},
            absent=NO_HEAD_DIM | {"tie_word_embeddings": True},  # one table, InOutEmbed
            norms=4,
        )
        for name in ("grok-1", "grok")
    ),
    Family(
        "arctic",
        LOCAL | {"use_residual": ("use_residual", "parallel_attn_mlp_res")},
        experts_in=layer_kinds.frequency,
        attention=weights.attention("qkvo", "attention_bias"),
        residual=weights.residual,
        residual_norm=weights.if_flag("use_residual", lambda config: [(config.hidden,)]),
    ),
    jamba,
    Family(
        "gpt_oss",
        LOCAL | {"num_experts_per_tok": ("num_experts_per_tok", "experts_per_token")},
        absent={"layer_types": None, "tie_word_embeddings": False},
        kinds=layer_kinds.listed_or(layer_kinds.alternating),
        attention=weights.with_sinks(weights.attention("qkvo", "attention_bias")),
        expert=weights.biased_mlp("intermediate_size"),
        router=weights.biased_router,
    ),
    *(
        Family(
            name,
            LOCAL | {"sliding_window": "attention_chunk_size"},
            absent=OPTIONAL
            | {
                "moe_layers": None,
                "no_rope_layers": None,
                "no_rope_layer_interval": 4,
            },
            nested="text_config",
            experts_in=layer_kinds.interleaved,
            kinds=layer_kinds.listed_or(layer_kinds.chunked),
            attention=weights.attention("qkvo", "attention_bias"),
            shared=weights.mlp(
                "intermediate_size"
            ),  # always one, as wide as an expert, without a key
            dense=weights.mlp("intermediate_size_mlp"),
            rules={
                "window_pages": lambda config: NOTHING
            },  # chunks: vllm pages them as full layers
            notes=(VISION,),
        )
        for name in ("llama4", "llama4_text")
    ),
    minimax,
    *(
        replace(
            minimax,
            name=name,
            absent=OPTIONAL | {"shared_intermediate_size": 0},
            shared=_uncounted_shared_mlp,
        )
        for name in ("minimax_text_01", "minimax_m1")
    ),
    Family(
        "ernie4_5_moe",
        {
            "num_experts": ("moe_num_experts", "num_experts"),
            "num_experts_per_tok": ("moe_k", "num_experts_per_tok"),
        },
        absent=NO_HEAD_DIM
        | {"use_bias": False, "moe_layer_end_index": -1, "tie_word_embeddings": True},
        experts_in=layer_kinds.layers_between,
        attention=weights.attention("qkvo", "use_bias"),
        expert=weights.mlp("moe_intermediate_size"),
        shared=weights.shared("moe_num_shared_experts", "moe_intermediate_size", "use_bias"),
        router=weights.biased_router,
        dense=weights.mlp("intermediate_size", "use_bias"),
        head=weights.if_flag("use_bias", lambda config: [(config.whole("vocab_size"),)]),
    ),
    hunyuan,
    replace(hunyuan, name="hunyuan"),
    llama,
    replace(
        llama,
        name="mistral",
        absent={k: v for k, v in NO_HEAD_DIM.items() if k != "sliding_window"}
        | {"mlp_bias": False},  # a class default says 4096, later releases null
        kinds=layer_kinds.one_window,
    ),
    replace(llama, name="granite"),
    replace(
        llama,
        name="qwen2",
        absent=NO_HEAD_DIM | {"use_sliding_window": False, "mlp_bias": False, "qkv_bias": True},
        kinds=layer_kinds.listed_or(layer_kinds.window_after),
        attention=weights.attention("qkv", "qkv_bias"),
    ),
    replace(
        llama,
        name="qwen3",
        absent=OPTIONAL | {"use_sliding_window": False, "mlp_bias": False},
        kinds=layer_kinds.listed_or(layer_kinds.window_after),
        attention_norms=weights.head_norms,
    ),
    replace(llama, name="olmo2", attention_norms=weights.wide_norms),
)
