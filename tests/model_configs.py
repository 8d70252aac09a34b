"""Configs that several test files read: those of the catalogue, and three of other families."""

import json
from pathlib import Path

CONFIGS = {
    file.stem: json.loads(file.read_text())
    for file in sorted((Path(__file__).parents[1] / "data" / "configs").glob("*.json"))
}
GRANITE = {
    "model_type": "granitemoe",
    "vocab_size": 49155,
    "hidden_size": 1536,
    "intermediate_size": 512,
    "num_hidden_layers": 32,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "num_local_experts": 40,
    "num_experts_per_tok": 8,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
HUNYUAN = {
    "model_type": "hunyuan_v1_moe",
    "vocab_size": 128167,
    "hidden_size": 4096,
    "intermediate_size": 3072,
    "moe_intermediate_size": [3072] * 32,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "attention_head_dim": 128,
    "num_experts": 64,
    "moe_topk": [8] * 32,
    "num_shared_expert": [1] * 32,
    "use_qk_norm": True,
    "use_cla": False,
    "cla_share_factor": 2,
    "use_mixed_mlp_moe": True,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
LLAMA = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
