"""Which row of ``precision`` a checkpoint is stored in.

Comes in: a config, and the text config inside it.  Goes out: the label of a row, or "unknown",
which ``precision="stored"`` refuses.
Why so: a quantization is looked for before a dtype, because it says how the weights are stored; the
dtype says what they are turned into for arithmetic.
"""

from collections.abc import Mapping

DTYPES = {"bfloat16": "bf16", "float16": "bf16", "float32": "fp32"}
UNKNOWN = "unknown"


def stored_precision(data: Mapping, inner: Mapping) -> str:
    """Name the precision of the stored weights; ``"unknown"`` where the config does not say."""
    for config in (data, inner):
        quantization = config.get("quantization_config")
        if isinstance(quantization, Mapping):
            return _quantized(quantization)
    for config in (inner, data):
        for key in ("dtype", "torch_dtype"):
            dtype = config.get(key)
            if isinstance(dtype, str):
                return DTYPES.get(dtype.removeprefix("torch."), UNKNOWN)
    return UNKNOWN


def _quantized(config: Mapping) -> str:
    method, bits = config.get("quant_method"), config.get("bits", 4)
    if method == "fp8":
        return "fp8" if config.get("weight_block_size") else "fp8_tensor"
    if method == "mxfp4":
        return "mxfp4"
    if method in ("awq", "gptq") and bits == 4 and config.get("group_size") == 128:
        return "int4"
    return UNKNOWN
