"""Physics worked by hand, from public sources.  Imports nothing from prophet_xr."""

# --- Mixtral-8x7B: config.json of mistralai/Mixtral-8x7B-v0.1 -------------------------------
# 32 layers, hidden 4096, 32 heads of 128, 8 KV heads, 8 experts of 3 x 4096 x 14336, top-2.
MIXTRAL_EXPERT = 3 * 4096 * 14336  # 176,160,768
MIXTRAL_TOTAL = 46_702_792_704  # safetensors index on the Hub
MIXTRAL_ACTIVE = 12_879_925_248  # 46.7B / 12.9B in the model's announcement
MIXTRAL_FIXED = MIXTRAL_TOTAL - 32 * 8 * MIXTRAL_EXPERT
MIXTRAL_KV = 2 * 32 * 8 * 128 * 2  # B per token in 16 bits: 131,072
A100_USABLE = 79.25 * 2**30

# --- DeepSeek-V3: arXiv:2412.19437, and 70.272 KB per token in arXiv:2505.09343, table 1 ------
DEEPSEEK_V3_KV = 61 * (512 + 64) * 2  # MLA latent and rotary key, no factor 2, no heads


def mixtral_decode_read(batch: int, context: int, experts: float) -> float:
    """Bytes a decode step reads: everything but the input embedding, U experts, the KV cache."""
    fixed = 2 * (MIXTRAL_FIXED - 32000 * 4096)
    return fixed + 2 * 32 * experts * MIXTRAL_EXPERT + batch * context * MIXTRAL_KV


def mixtral_decode_flops(batch: int, context: int) -> float:
    """FLOP of a decode step: 2 per active parameter; QK and PV, 4 per head, width and token."""
    active = MIXTRAL_FIXED - 32000 * 4096 + 32 * 2 * MIXTRAL_EXPERT
    attention = 32 * 32 * 128 * 4 * context
    return batch * (2 * active + attention)


# --- The published study, by its own rules (GB = 1e9 B; an expert is MB / 1024 x 1e9 B) -------


def study_expert_memory(layers: int, experts: int, mb: float) -> float:
    """Bytes of all routed experts."""
    return layers * experts * mb / 1024 * 1e9


def study_unique(experts: int, top_k: int, batch: int) -> float:
    """Distinct experts of a batch."""
    return min(experts, top_k * batch**0.932)


def study_extension(gpu_gb, memory, fixed_gb, activation_gb, experts, top_k, batch) -> float:
    """(available + freed) / available, 0 where nothing is available."""
    available = gpu_gb * 1e9 - memory - fixed_gb * 1e9 - activation_gb * 1e9 * batch
    freed = memory * (1 - study_unique(experts, top_k, batch) / experts) - 7.2e6
    return (available + freed) / available if available > 0 else 0.0
