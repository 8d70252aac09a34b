"""How each model_type writes itself down; see `prophet_xr.catalogue.config.family`."""

from dataclasses import replace

from prophet_xr.catalogue.config import layer_kinds as at
from prophet_xr.catalogue.config import weights as b
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
ROUTED = {"num_experts": "n_routed_experts"}
QWEN = {"decoder_sparse_step": 1, "mlp_only_layers": None, "use_sliding_window": False}
MTP = ("num_nextn_predict_layers", "The multi-token-prediction layers of the checkpoint, {}, are "
       "not counted; in use, each costs one more layer of weights and KV.")  # fmt: skip
VISION = ("vision_config.hidden_size", "The vision tower is not counted.")

mixtral = Family("mixtral", LOCAL, kinds=at.one_window)

qwen2_moe = Family(
    "qwen2_moe",
    absent=NO_HEAD_DIM | QWEN | {"qkv_bias": True},
    experts_in=at.sparse_step,
    kinds=at.listed_or(at.no_window),
    attention=b.attention("qkv", "qkv_bias"),
    expert=b.mlp("moe_intermediate_size"),
    shared=b.shared_width("shared_expert_intermediate_size"),
    router=b.router_with_gate,
)

qwen3_moe = Family(
    "qwen3_moe",
    {"num_experts": ("num_experts", "num_local_experts")},  # as of transformers 5
    absent=NO_HEAD_DIM | QWEN,
    experts_in=at.sparse_step,
    kinds=at.listed_or(at.no_window),
    attention=b.attention("qkvo", "attention_bias"),
    attention_norms=b.head_norms,
    expert=b.mlp("moe_intermediate_size"),
)
qwen3_next = replace(
    qwen3_moe,
    name="qwen3_next",
    absent=OPTIONAL | QWEN,
    kinds=at.listed_or(at.every_nth_full),
    attention=b.attention("qkvo", "attention_bias", gated=True),
    linear=b.delta_net,
    state=b.delta_net_state,
    page=b.delta_net_page,
    shared=b.shared_width("shared_expert_intermediate_size"),
    router=b.router_with_gate,
    notes=(("mtp_num_hidden_layers", "The {} multi-token-prediction layers are not counted."),),
)

deepseek = Family(
    "deepseek",
    ROUTED,
    absent=NO_HEAD_DIM | {"moe_layer_freq": 1},
    experts_in=at.after_dense,
    attention=b.attention("qkvo", "attention_bias"),
    expert=b.mlp("moe_intermediate_size"),
    shared=b.shared("n_shared_experts", "moe_intermediate_size"),
)

deepseek_v3 = replace(
    deepseek,
    name="deepseek_v3",
    attention=b.latent,
    attention_norms=b.latent_norms,
    kv=latent_kv,
    reuse=latent_reuse,
    prompt_reuse=latent_prompt,
    divided=lambda c: plain(1),
    rotary=lambda c: plain(c.whole("qk_rope_head_dim")),
    replicated=b.latent_down,
    absorbed=b.latent_up,
    notes=(MTP,),
)

glm4_moe = replace(
    deepseek,
    name="glm4_moe",
    absent=OPTIONAL | {"moe_layer_freq": 1, "use_qk_norm": False},
    attention=b.attention("qkv", "attention_bias"),
    attention_norms=b.if_flag("use_qk_norm", b.head_norms),
    notes=(MTP,),
)

jamba = Family(
    "jamba",
    experts_in=at.periodic,
    kinds=at.attention_period,
    linear=b.mamba,
    state=b.mamba_state,
    page=b.mamba_page,
    rotary=lambda c: NOTHING,
)

minimax = Family(
    "minimax",
    LOCAL,
    absent=OPTIONAL,
    kinds=at.listed_or(at.attention_list),
    linear=b.lightning,
    state=b.lightning_state,
    page=b.lightning_state,
)


def _uncounted_shared_mlp(c: Config) -> list[Shape]:
    if c.maybe("shared_intermediate_size", 0):
        raise c.refuse("shared_intermediate_size is not 0; no published model says how it is used")
    return []


# --- Hunyuan: with use_cla, only the first layer of each group has k, v and a cache -----------


def _own_kv(c: Config) -> int:
    return -(-c.layers // c.whole("cla_share_factor")) if c.flag("use_cla") else c.layers


def _hunyuan_attention(c: Config) -> Count:
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    own, biased = _own_kv(c), c.flag("attention_bias")
    every = [(c.hidden, q), (q, c.hidden)] + [(q,), (c.hidden,)] * biased
    some = [(c.hidden, kv), (c.hidden, kv)] + [(kv,), (kv,)] * biased
    if own == c.layers:
        return times(own, *every, *some)
    first, rest = times(own, *every, *some), times(c.layers - own, *every)
    return Count(first.value + rest.value, f"{first.text} + {rest.text}")


def _hunyuan_expert(c: Config) -> list[Shape]:
    own = "moe_intermediate_size"
    return b.gated(c.hidden, c.uniform("intermediate_size" if c.get(own) is None else own))


hunyuan = Family(
    "hunyuan_v1_moe",
    {
        "num_experts_per_tok": "moe_topk",
        "head_dim": ("head_dim", "attention_head_dim"),
    },
    absent=NO_HEAD_DIM
    | {"use_cla": False, "use_qk_norm": True, "use_mixed_mlp_moe": True}
    | {"moe_intermediate_size": None},
    attention_norms=b.if_flag("use_qk_norm", b.head_norms),
    expert=_hunyuan_expert,
    shared=b.if_flag("use_mixed_mlp_moe", b.shared("num_shared_expert", "intermediate_size")),
    rules={
        "attention_parameters": _hunyuan_attention,
        "kv_full": lambda c: times(_own_kv(c), *grouped_kv(c)),
        "full_layers": lambda c: plain(_own_kv(c)),
    },
)

# --- Dense models, so that they can stand beside the others -----------------------------------

llama = Family(
    "llama",
    absent=NO_HEAD_DIM | {"num_key_value_heads": None, "mlp_bias": False},
    experts_in=at.nowhere,
    attention=b.attention("qkvo", "attention_bias"),
    dense=b.mlp("intermediate_size", "mlp_bias"),
)

EVERY = (
    mixtral,
    replace(
        mixtral,
        name="phimoe",
        absent=NO_HEAD_DIM | {"lm_head_bias": False},
        attention=b.attention("qkvo", "attention_bias"),
        norm_vectors=2,  # LayerNorm: weight and bias
        head=b.if_flag("lm_head_bias", lambda c: [(c.whole("vocab_size"),)]),
    ),
    replace(
        mixtral,
        name="minimax_m2",
        absent=OPTIONAL | {"use_qk_norm": True, "shared_intermediate_size": 0},
        kinds=at.all_full,
        attention_norms=b.if_flag("use_qk_norm", b.wide_norms),
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
        kinds=at.all_full,
        attention=b.attention("qkvo", "attention_bias"),
    ),
    replace(
        mixtral,
        name="granitemoeshared",
        kinds=at.all_full,
        attention=b.attention("qkvo", "attention_bias"),
        shared=b.shared_width("shared_intermediate_size"),
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
        attention=b.attention("qkvo", "attention_bias"),
        attention_norms=b.wide_norms,
    ),
    deepseek,
    replace(
        deepseek_v3,
        name="deepseek_v2",
        absent={**deepseek.absent, "mlp_bias": False},
        shared=b.shared("n_shared_experts", "moe_intermediate_size", "mlp_bias"),
        dense=b.mlp("intermediate_size", "mlp_bias"),
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
        experts_in=at.frequency,
        attention=b.attention("qkvo", "attention_bias"),
        beside=b.residual,
        beside_norm=b.if_flag("use_residual", lambda c: [(c.hidden,)]),
    ),
    jamba,
    Family(
        "gpt_oss",
        LOCAL | {"num_experts_per_tok": ("num_experts_per_tok", "experts_per_token")},
        absent={"layer_types": None, "tie_word_embeddings": False},
        kinds=at.listed_or(at.alternating),
        attention=b.with_sinks(b.attention("qkvo", "attention_bias")),
        expert=b.biased_mlp("intermediate_size"),
        router=b.biased_router,
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
            experts_in=at.interleaved,
            kinds=at.listed_or(at.chunked),
            attention=b.attention("qkvo", "attention_bias"),
            shared=b.mlp("intermediate_size"),  # always one, as wide as an expert, without a key
            dense=b.mlp("intermediate_size_mlp"),
            rules={"window_pages": lambda c: NOTHING},  # chunks: vllm pages them as full layers
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
        experts_in=at.between,
        attention=b.attention("qkvo", "use_bias"),
        expert=b.mlp("moe_intermediate_size"),
        shared=b.shared("moe_num_shared_experts", "moe_intermediate_size", "use_bias"),
        router=b.biased_router,
        dense=b.mlp("intermediate_size", "use_bias"),
        head=b.if_flag("use_bias", lambda c: [(c.whole("vocab_size"),)]),
    ),
    hunyuan,
    replace(hunyuan, name="hunyuan"),
    llama,
    replace(
        llama,
        name="mistral",
        absent={k: v for k, v in NO_HEAD_DIM.items() if k != "sliding_window"}
        | {"mlp_bias": False},  # a class default says 4096, later releases null
        kinds=at.one_window,
    ),
    replace(llama, name="granite"),
    replace(
        llama,
        name="qwen2",
        absent=NO_HEAD_DIM | {"use_sliding_window": False, "mlp_bias": False, "qkv_bias": True},
        kinds=at.listed_or(at.window_after),
        attention=b.attention("qkv", "qkv_bias"),
    ),
    replace(
        llama,
        name="qwen3",
        absent=OPTIONAL | {"use_sliding_window": False, "mlp_bias": False},
        kinds=at.listed_or(at.window_after),
        attention_norms=b.head_norms,
    ),
    replace(llama, name="olmo2", attention_norms=b.wide_norms),
)
