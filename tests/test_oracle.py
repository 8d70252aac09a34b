"""The reader of configs against the model classes of transformers: `pip install .[oracle]`.

Classes are instantiated without memory (the meta device) and every parameter is counted into its
component; small copies run forward and their caches are measured.  Run as a script, this writes
the table of docs/validation.md.
"""

import re
import warnings
from collections import Counter

import pytest
from model_configs import CONFIGS, GRANITE, HUNYUAN, LLAMA

from prophet_xr.catalogue.config import reader

torch = pytest.importorskip("torch", reason="the oracle needs prophet_xr[oracle]")
transformers = pytest.importorskip("transformers", reason="the oracle needs prophet_xr[oracle]")

FOREIGN = {"deepseek", "grok-1", "arctic"}  # model types transformers has no class for
FOREIGN_MODELS = {"switch-xxl-128"}  # its class has no gated MLP, which the real checkpoint has
COMPONENTS = (
    ("embedding", r"^shared\.weight|embed_tokens|wte|lm_head"),
    ("router", r"router|\.gate\.|shared_expert_gate"),
    ("shared", r"shared_"),
    ("routed", r"experts?[._]|input_linear|output_linear"),
    ("state_space", r"mamba|linear_attn|self_attn\.(norm|qkv_proj|out_proj|output_gate)\."),
    ("attention", r"\.attn\."),
    ("norm", r"norm[^.]*\.(weight|bias)$"),
    ("attention", r"self_attn|Attention"),
    ("dense", r"mlp|feed_forward|ffn"),
)
FIELDS = {
    "shared": "shared_parameters",
    "router": "router_parameters",
    "attention": "attention_parameters",
    "dense": "dense_parameters",
    "state_space": "state_space_parameters",
    "norm": "norm_parameters",
    "embedding": "embedding_parameters",
}


def vary(base, **changes):
    return {**base, **changes}


SCOUT = CONFIGS["llama-4-scout"]["text_config"]
# Without the stored steps: the class takes them where they are there, and they repeat the counts.
STEPS = ("encoder_sparse_step", "decoder_sparse_step")
SWITCH = {k: v for k, v in CONFIGS["switch-base-128"].items() if k not in STEPS}
SWITCH |= {"num_experts": 4}
QWEN = {"max_window_layers": 28, "use_sliding_window": False, "sliding_window": None}
VARIANTS = {
    "granite-3b": GRANITE,
    "hunyuan-a13b": vary(HUNYUAN, head_dim=128, moe_intermediate_size=None),
    "llama-3-8b": LLAMA,
    "llama, biased": vary(LLAMA, attention_bias=True, mlp_bias=True, head_dim=96),
    "mistral": vary(LLAMA, model_type="mistral", sliding_window=4096),
    "granite dense": vary(LLAMA, model_type="granite", tie_word_embeddings=True),
    "qwen2 dense": vary(LLAMA, model_type="qwen2", tie_word_embeddings=True, **QWEN),
    "qwen3 dense": vary(LLAMA, model_type="qwen3", head_dim=64, attention_bias=False, **QWEN),
    "olmo2": vary(LLAMA, model_type="olmo2"),
    "mixtral, tied, head 64": vary(CONFIGS["mixtral-8x7b"], tie_word_embeddings=True, head_dim=64),
    "phimoe, plain": vary(CONFIGS["phi-3.5-moe"], attention_bias=False, lm_head_bias=False),
    "olmoe, biased": vary(CONFIGS["olmoe-1b-7b"], attention_bias=True, num_key_value_heads=4),
    "qwen2_moe, half": vary(
        CONFIGS["qwen1.5-moe-a2.7b"], decoder_sparse_step=2, mlp_only_layers=[1, 5]
    ),
    "qwen3_moe, mixed": vary(
        CONFIGS["qwen3-30b-a3b"], attention_bias=True, mlp_only_layers=[0], tie_word_embeddings=True
    ),
    "qwen3_next, odd": vary(
        CONFIGS["qwen3-next-80b-a3b"],
        full_attention_interval=3,
        linear_num_key_heads=8,
        head_dim=128,
    ),
    "deepseek_v2, biased": vary(CONFIGS["deepseek-v2-lite"], attention_bias=True),
    "deepseek_v3, Moonlight-like": vary(
        CONFIGS["deepseek-v3-671b"], q_lora_rank=None, num_hidden_layers=27, n_shared_experts=2
    ),
    "deepseek_v3, biased": vary(CONFIGS["deepseek-v3-671b"], attention_bias=True),
    "glm4_moe, GLM-4.5": vary(
        CONFIGS["glm-4.5-air"], use_qk_norm=True, first_k_dense_replace=3, n_routed_experts=160
    ),
    "gpt-oss-120b": vary(
        CONFIGS["gpt-oss-20b"], num_hidden_layers=36, num_local_experts=128, layer_types=None
    ),
    "llama4, Maverick": vary(SCOUT, num_local_experts=128, interleave_moe_layer_step=2),
    "llama4, listed": vary(SCOUT, moe_layers=[3, 7], attention_bias=True),
    "jamba-1.5-mini": vary(
        CONFIGS["jamba-1.5-large"], hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, mamba_dt_rank="auto"
    ),
    "jamba, one expert": vary(CONFIGS["jamba-1.5-large"], num_experts=1, num_experts_per_tok=1),
    "deepseek_v2, MLP biases": vary(CONFIGS["deepseek-v2-lite"], mlp_bias=True),
    "jamba, biased": vary(CONFIGS["jamba-1.5-large"], mamba_proj_bias=True, mamba_conv_bias=False),
    "ernie, biased": vary(
        CONFIGS["ernie-4.5-21b-a3b"], use_bias=True, moe_layer_start_index=3, moe_layer_interval=2,
        moe_layer_end_index=-1, tie_word_embeddings=False
    ),
    "minimax, 8 layers": vary(
        CONFIGS["minimax-text-01"], num_hidden_layers=8,
        layer_types=["linear_attention", "full_attention"] * 4
    ),
    "switch-base-8": vary(SWITCH, num_experts=8),
    "switch, uneven": vary(
        SWITCH, num_sparse_encoder_layers=4, num_sparse_decoder_layers=12, num_layers=13,
        router_bias=True
    ),
    "switch, one sparse layer": vary(SWITCH, num_sparse_encoder_layers=0),
}  # fmt: skip
KNOWN = {k: c for k, c in CONFIGS.items() if c["model_type"] not in FOREIGN}
COUNTED = {k: c for k, c in {**KNOWN, **VARIANTS}.items() if k not in FOREIGN_MODELS}


def build(config, device):
    text = config.get("text_config", config)
    shape = transformers.AutoConfig.for_model(**text)
    seq2seq = text["model_type"] == "switch_transformers"
    auto = transformers.AutoModelForSeq2SeqLM if seq2seq else transformers.AutoModelForCausalLM
    with torch.device(device), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return auto.from_config(shape, dtype=torch.bfloat16)


def component(name):
    return next(part for part, pattern in COMPONENTS if re.search(pattern, name))


def count(config):
    """Parameters of the real class by component; what is tied counts once."""
    found = Counter()
    for name, weight in build(config, "meta").named_parameters():
        found[component(name)] += weight.numel()
    return found


def numbers(config):
    return {name: int(c.value) for name, (c, _) in reader.read_config(config).fields.items()}


def compare(config):
    """Components in which the importer and the class differ."""
    row, real = numbers(config), count(config)
    row["routed"] = row["moe_layers"] * row["n_experts"] * row["expert_parameters"]
    pairs = {
        part: (row[field], real[part]) for part, field in {**FIELDS, "routed": "routed"}.items()
    }
    return {part: pair for part, pair in pairs.items() if pair[0] != pair[1]}


@pytest.mark.parametrize("label", COUNTED)
def test_every_component_equals_the_class(label):
    assert compare(COUNTED[label]) == {}


# --- Caches ----------------------------------------------------------------------------------

TOKENS = 20
SMALL = {
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 128,
    "intermediate_size": 32,
    "moe_intermediate_size": 32,
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "rotary_dim": 8,
}
LINEAR = {f"linear_{n}": 16 for n in ("key_head_dim", "value_head_dim", "num_value_heads")}
LATENT = {
    **{"kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8},
    **{"n_group": 1, "topk_group": 1, "num_key_value_heads": 4, "head_dim": 8},
}
TURNS = ["sliding_attention", "full_attention"]
CACHED = {
    "mixtral-8x7b": {},
    "qwen3-30b-a3b": {},
    "qwen1.5-moe-a2.7b": {"shared_expert_intermediate_size": 32},
    "olmoe-1b-7b": {},
    "phi-3.5-moe": {},
    "ernie-4.5-21b-a3b": {"moe_num_experts": 4, "moe_k": 2, "moe_layer_end_index": 3},
    "glm-4.5-air": {},
    "minimax-m2.5": {},
    "gpt-oss-20b": {"sliding_window": 8, "layer_types": TURNS * 2, "experts_per_token": 2},
    "jamba-1.5-large": {"num_hidden_layers": 8, "mamba_dt_rank": 4},
    "qwen3-next-80b-a3b": LINEAR | {"linear_num_key_heads": 8},
    "minimax-text-01": {"layer_types": ["linear_attention"] * 3 + ["full_attention"]},
    "deepseek-v3-671b": LATENT | {"q_lora_rank": 24},
    "deepseek-v2-lite": LATENT | {"q_lora_rank": None},
    "llama-4-scout": {"attention_chunk_size": 8, "num_experts_per_tok": 1},
}


def cached(config):
    """Elements of K and V, and bytes of constant state, in the cache of a small model."""
    model = build(config, "cpu").eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = model(torch.arange(TOKENS)[None] % 100, use_cache=True)
    cache = out.past_key_values
    kept = [(name, v) for layer in cache.layers for name, v in vars(layer).items()]
    kept += [("linear", getattr(cache, "linear_cache", []))]
    elements = sum(v.numel() for name, v in kept if name in ("keys", "values") and v is not None)
    states = [v for name, v in kept if name in ("conv_states", "recurrent_states", "linear")]
    tensors = [t for v in states for t in (v.values() if isinstance(v, dict) else v)]
    state = sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor))
    return elements, state


@pytest.mark.parametrize("label", CACHED)
def test_caches_hold_what_the_row_says(label):
    whole = CONFIGS[label]
    config = vary(whole.get("text_config", whole), **SMALL | CACHED[label])
    row, (elements, state) = numbers(config), cached(config)
    window = max(row["kv_window"] - 1, 0)  # transformers drops the oldest token before it adds one
    assert elements == row["kv_full"] * TOKENS + row["kv_windowed"] * min(TOKENS, window)
    assert state == row["state_size"]


def main():
    print(f"transformers {transformers.__version__}, torch {torch.__version__}\n")
    print("| config | class | parameters | components that differ |")
    print("|:--|:--|--:|:--|")
    for label, config in COUNTED.items():
        name, total = type(build(config, "meta")).__name__, sum(count(config).values())
        print(f"| {label} | `{name}` | {total:,} | {compare(config) or 'none'} |")


if __name__ == "__main__":
    main()
