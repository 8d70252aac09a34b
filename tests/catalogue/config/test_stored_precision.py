"""A config's own words become a row of precision, or "unknown"."""

import pytest
from model_configs import LLAMA

import prophet_xr as px
from prophet_xr.catalogue import specs
from prophet_xr.catalogue.config import stored_precision as module
from prophet_xr.catalogue.config.stored_precision import stored_precision

FP8 = {"quantization_config": {"quant_method": "fp8"}}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}


@pytest.mark.parametrize(
    ("extra", "stored"),
    [
        ({"torch_dtype": "float32"}, "fp32"),
        ({"dtype": "torch.bfloat16"}, "bf16"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, "fp8"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "mxfp4"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}, "int4"),
        ({"quantization_config": {"quant_method": "hqq"}}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_precision_of_a_row(extra, stored):
    row = px.spec_from_config({**LLAMA, **extra}, "Odd")
    assert row.stored_precision.item() == stored
    if stored == "unknown":
        with pytest.raises(px.InputError, match=r"precision='stored' at model='odd'"):
            px.inputs(model=row, precision="stored")
    else:
        assert px.inputs(model=row, precision="stored").expert_width > 0


@pytest.mark.parametrize(
    ("outer", "inner", "stored"),
    [
        (FP8, {}, "fp8_tensor"),
        (FP8, {"dtype": "bfloat16"}, "fp8_tensor"),  # weights are quantized, whatever the dtype
        ({"dtype": "bfloat16"}, FP8, "fp8_tensor"),
        ({"dtype": "float32"}, {"dtype": "float16"}, "bf16"),  # the text model's own comes first
        ({"torch_dtype": "float32"}, {"dtype": None}, "fp32"),
        ({"dtype": "float8"}, {}, "unknown"),
        ({"quantization_config": None, "dtype": "float16"}, {}, "bf16"),
        ({"quantization_config": AWQ}, {}, "int4"),
        ({"quantization_config": {**AWQ, "bits": 8}}, {}, "unknown"),
        ({"quantization_config": {**AWQ, "group_size": 64}}, {}, "unknown"),
        ({"quantization_config": {**AWQ, "quant_method": "gptq"}}, {}, "int4"),
    ],
)
def test_what_counts_of_a_config_and_its_text_config(outer, inner, stored):
    assert stored_precision(outer, inner) == stored


def test_every_dtype_is_a_row_of_precision():
    rows = specs.read("precision").precision.values.tolist()
    assert set(module.DTYPES.values()) | {"fp8", "fp8_tensor", "mxfp4", "int4"} <= set(rows)
