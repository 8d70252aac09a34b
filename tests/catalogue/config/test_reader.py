"""Any MoE config.json comes out exact, or is refused in one line; never anything else."""

import copy
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_configs import CONFIGS, GRANITE, HUNYUAN, LLAMA

import prophet_xr as px
from prophet_xr import SpecError
from prophet_xr.catalogue.build import arithmetic
from prophet_xr.catalogue.config import reader
from prophet_xr.catalogue.config.fields import FAMILIES
from prophet_xr.registry import QUANTITIES, fields

ALL = {**CONFIGS, "granite": GRANITE, "hunyuan": HUNYUAN, "llama": LLAMA}


def numbers(config, **changes):
    row = reader.read_config({**config, **changes})
    found = {name: count.value for name, (count, _) in row.fields.items()}
    return {**found, "total": reader.parameters(row.fields)}


def without(config, *keys):
    return {k: v for k, v in config.items() if k not in keys}


# --- Exact -----------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ALL)
def test_the_arithmetic_gives_the_number_and_every_number_has_a_source(label):
    row = px.spec_from_config(ALL[label])
    for q in fields("model"):
        text = row[f"{q.name}_arithmetic"].item()
        assert arithmetic(text) == pytest.approx(row[q.name].item(), rel=1e-15), q.name
        assert row[f"{q.name}_source"].item()


def test_parameters_announced_by_the_makers():
    assert numbers(GRANITE)["total"] == pytest.approx(3.30e9, rel=0.03)  # granite 3.0 3b-a800m
    assert numbers(HUNYUAN)["total"] == pytest.approx(80.4e9, rel=2e-3)  # 80B-A13B
    assert numbers(LLAMA)["total"] == 8_030_261_248  # safetensors on Hugging Face
    maverick = {"num_local_experts": 128, "interleave_moe_layer_step": 2}
    text = CONFIGS["llama-4-scout"]["text_config"] | maverick
    assert numbers(text)["total"] == pytest.approx(398e9, rel=0.01)  # 400B with vision
    big = {"num_hidden_layers": 36, "num_local_experts": 128, "layer_types": None}
    assert numbers(CONFIGS["gpt-oss-20b"], **big)["total"] == 116_829_156_672


def test_a_dense_model_has_no_experts_and_stands_in_a_cube():
    row = px.spec_from_config(LLAMA, "Llama-3-8B")
    cube = px.sweep(px.inputs(model=[row, "mixtral-8x7b"], gpu="H100-80GB", batch=[1, 64]))
    cell = cube.sel(model="llama-3-8b", policy="prophet")
    assert (cell.unique_experts == 0).all()
    assert cell.dedup_factor.isnull().all()
    assert (cell.slowdown == 1).all()
    assert cube.sel(model="mixtral-8x7b", batch=1, policy="prophet").slowdown > 1


def test_an_explicit_head_width_beats_hidden_size_over_heads():
    qwen = CONFIGS["qwen3-30b-a3b"]
    assert numbers(qwen)["kv_full"] == 48 * 2 * 4 * 128
    assert numbers(qwen, head_dim=None)["kv_full"] == 48 * 2 * 4 * (2048 // 32)


def test_latent_attention_ignores_the_number_of_heads():
    v3 = CONFIGS["deepseek-v3-671b"]
    assert numbers(v3)["kv_full"] == numbers(v3, num_key_value_heads=1)["kv_full"] == 61 * 576


def test_latent_attention_of_a_prompt_is_that_of_full_heads():
    """DeepSeek-V3: 128 heads score 128 + 64 wide keys and sum 128 wide values, in 61 layers."""
    v3 = numbers(CONFIGS["deepseek-v3-671b"])
    assert v3["prompt_reuse"] * v3["kv_full"] == 61 * 2 * 128 * (128 + 64 + 128)
    assert v3["attention_reuse"] * v3["kv_full"] == 61 * 2 * 128 * (512 + 64 + 512)


def test_a_null_q_lora_rank_is_a_plain_projection():
    lite = CONFIGS["deepseek-v2-lite"]
    assert numbers(lite, q_lora_rank=None)["attention_parameters"] == 371_589_120
    with pytest.raises(SpecError, match=r"key 'q_lora_rank' is missing; family 'deepseek_v2'"):
        numbers(without(lite, "q_lora_rank"))


def test_early_arctic_revisions_have_seven_times_the_cache():
    arctic = CONFIGS["snowflake-arctic-480b"]
    assert numbers(arctic, num_key_value_heads=56)["kv_full"] == 7 * numbers(arctic)["kv_full"]


def test_the_published_switch_xxl_config_is_read_as_it_stands():
    gin = CONFIGS["switch-xxl-128"]
    published = {"num_layers": 48, "num_decoder_layers": 12}
    published |= {"is_gated_act": False, "tie_word_embeddings": True}
    assert numbers(gin, **published)["total"] == pytest.approx(265.69e9, rel=1e-4)  # not 395e9


def test_both_spellings_of_minimax_agree():
    config = CONFIGS["minimax-text-01"]
    kinds = [int(t == "full_attention") for t in config["layer_types"]]
    original = without(config, "layer_types") | {"attn_type_list": kinds}
    assert numbers(original, model_type="minimax_text_01") == numbers(config)


def test_the_text_config_of_llama4_may_stand_alone():
    nested = CONFIGS["llama-4-scout"]
    assert numbers(nested) == numbers(nested["text_config"])


def test_hunyuan_shares_kv_between_layers_when_it_says_so():
    plain, shared = numbers(HUNYUAN), numbers(HUNYUAN, use_cla=True)
    assert shared["kv_full"] == plain["kv_full"] / 2
    saved = plain["attention_parameters"] - shared["attention_parameters"]
    assert saved == 16 * 2 * 4096 * 1024
    with pytest.raises(SpecError, match="differs between layers"):
        numbers(HUNYUAN, moe_topk=[8] * 31 + [4])


def test_jamba_derives_its_rank_and_keeps_a_constant_state():
    small = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
    mini = CONFIGS["jamba-1.5-large"] | small | {"num_attention_heads": 32, "mamba_dt_rank": "auto"}
    assert numbers(mini) == numbers(mini, mamba_dt_rank=256)
    assert numbers(mini)["total"] == 51_570_323_328  # AI21-Jamba-1.5-Mini, safetensors
    assert numbers(mini)["state_size"] == pytest.approx(16.5e6, rel=1e-3)


def test_a_jamba_of_one_expert_is_dense():
    one = numbers(CONFIGS["jamba-1.5-large"], num_experts=1, num_experts_per_tok=1)
    assert (one["moe_layers"], one["n_experts"], one["router_parameters"]) == (0, 0, 0)
    assert one["dense_parameters"] == 72 * 3 * 8192 * 24576


def test_windows_count_only_where_they_bind():
    mixtral = CONFIGS["mixtral-8x7b"]
    windowed = numbers(mixtral, sliding_window=4096)
    assert (windowed["kv_full"], windowed["kv_windowed"]) == (0, 65536)
    assert windowed["kv_window"] == 4096
    assert numbers(mixtral, sliding_window=32768) == numbers(mixtral)


# --- Refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "changes", "message"),
    [
        ("mixtral-8x7b", {"num_experts_per_tok": 9}, "num_experts_per_tok=9 exceeds"),
        ("mixtral-8x7b", {"num_key_value_heads": 5}, "does not divide num_attention_heads=32"),
        ("mixtral-8x7b", {"num_attention_heads": 33}, "no multiple of num_attention_heads=33"),
        ("mixtral-8x7b", {"num_hidden_layers": True}, "num_hidden_layers=True in family"),
        ("mixtral-8x7b", {"hidden_size": 4096.0}, r"hidden_size=4096.0 in family 'mixtral'"),
        ("mixtral-8x7b", {"vocab_size": -1}, r"expected a whole number in \[1, 1000000000\]"),
        (
            "mixtral-8x7b",
            {"model_type": "mixtrl"},
            "'mixtrl' is unknown; nearest: mixtral",
        ),
        ("deepseek-v3-671b", {"first_k_dense_replace": 62}, "exceeds num_hidden_layers=61"),
        ("switch-base-128", {"num_sparse_encoder_layers": 13}, "exceeds the 12 layers"),
        ("gpt-oss-20b", {"layer_types": ["full_attention"]}, "expected a list of 24"),
        ("gpt-oss-20b", {"experts_per_token": 8}, "contradict"),
        ("qwen3-30b-a3b", {"use_sliding_window": True}, "which layers are windowed"),
        ("ernie-4.5-21b-a3b", {"moe_layer_end_index": 28}, "of num_hidden_layers=28"),
        ("jamba-1.5-large", {"attn_layer_offset": 8}, "is not below attn_layer_period=8"),
        ("mixtral-8x7b", {"num_local_experts": 10**6}, "n_experts = 1000000 is outside"),
    ],
)
def test_contradictions_are_refused(label, changes, message):
    with pytest.raises(SpecError, match=message):
        numbers(CONFIGS[label], **changes)


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("mixtral-8x7b", "num_local_experts"),
        ("switch-base-128", "d_ff"),
        ("deepseek-v3-671b", "first_k_dense_replace"),
        ("qwen3-next-80b-a3b", "head_dim"),
        ("gpt-oss-20b", "sliding_window"),
        ("jamba-1.5-large", "mamba_d_state"),
        ("mistral", "sliding_window"),
    ],
)
def test_there_are_no_class_defaults(label, key):
    config = {**LLAMA, "model_type": "mistral"} if label == "mistral" else CONFIGS[label]
    family = config["model_type"]
    with pytest.raises(SpecError, match=f"key '{key}' is missing; family '{family}' needs it"):
        numbers(without(config, key))


def test_the_nested_width_of_dbrx_is_no_default():
    dbrx = copy.deepcopy(CONFIGS["dbrx-132b"])
    del dbrx["ffn_config"]["ffn_hidden_size"]
    with pytest.raises(SpecError, match=r"key 'ffn_config.ffn_hidden_size' is missing"):
        numbers(dbrx)


def test_qwen3_moe_as_saved_by_newer_libraries():
    old = CONFIGS["qwen3-30b-a3b"]
    new = {**old, "num_local_experts": old["num_experts"]}
    del new["num_experts"]
    assert (
        reader.read_config(new).fields["n_experts"][0]
        == reader.read_config(old).fields["n_experts"][0]
    )


def test_qwen3_5_is_qwen3_next_beside_a_vision_tower():
    """Totals of the model cards; 15,360 B of KV a token on each of two ranks (SGLang, in bf16)."""
    text = without(CONFIGS["qwen3-next-80b-a3b"], "partial_rotary_factor") | {
        "model_type": "qwen3_5_moe_text",
        "vocab_size": 248_320,
        "mtp_num_hidden_layers": 1,
        "rope_parameters": {"partial_rotary_factor": 0.25},
    }
    small = {"num_hidden_layers": 40, "num_experts": 256, "num_experts_per_tok": 8}
    large = {
        **{"num_hidden_layers": 60, "hidden_size": 4096, "num_attention_heads": 32},
        **{"moe_intermediate_size": 1024, "shared_expert_intermediate_size": 1024},
        "linear_num_value_heads": 64,
    }
    for changes, total in ((small, 35e9), (large, 397e9)):
        inner = {**text, **changes}
        whole = {
            "model_type": "qwen3_5_moe",
            "vision_config": {"hidden_size": 9},
            "text_config": inner,
        }
        assert reader.read_config(whole).notes.endswith("The vision tower is not counted.")
        found = numbers(whole)
        assert found == numbers(inner)
        assert found["total"] == pytest.approx(total, rel=0.01)
        assert found["rotary_size"] == 64
    assert found["kv_full"] * 2 / 2 == 15_360


def test_the_importer_stands_alone():
    code = f"from prophet_xr.catalogue.config import reader; print(reader.read({LLAMA!r}).family)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "llama\n", done.stderr


def test_like_reads_an_unknown_type_as_a_known_family():
    odd = {**CONFIGS["qwen3-30b-a3b"], "model_type": "my_moe"}
    assert px.spec_from_config(odd, like="qwen3_moe").moe_layers == 48
    with pytest.raises(SpecError, match="like='qwen33_moe' is no known family"):
        px.spec_from_config(odd, like="qwen33_moe")


def test_files_that_are_no_config_are_refused(tmp_path):
    file = tmp_path / "config.json"
    for text in (
        "",
        "[]",
        "{",
        '"x"',
        '{"model_type": 1}',
        "[" * 100_000,
        '{"a": NaN}',
        "9" * 5000,
    ):
        file.write_text(text)
        with pytest.raises(SpecError, match="config"):
            px.spec_from_config(file)
    file.write_text(json.dumps({"junk": "x" * 10_000_000}))
    with pytest.raises(SpecError, match="expected at most 4,000,000"):
        px.spec_from_config(file)
    with pytest.raises(SpecError, match="cannot be read"):
        px.spec_from_config(tmp_path / "none.json")
    with pytest.raises(SpecError, match="expected a path or a mapping"):
        px.spec_from_config(7)  # pyright: ignore[reportArgumentType]


# --- Fuzz ------------------------------------------------------------------------------------

deep: list = []
for _ in range(3000):
    deep = [deep]
junk = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=20),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 10**30, -(10**30), 10**6000, 1e308, float("nan"), deep]),
    st.floats(),
    st.recursive(
        st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=10,
    ),
    st.lists(st.integers(-2, 99), max_size=99),
)


@st.composite
def broken(draw):
    """A config of some family with a few keys dropped, renamed or replaced, at any depth."""
    config = copy.deepcopy(ALL[draw(st.sampled_from(sorted(ALL)))])
    for _ in range(draw(st.integers(0, 3))):
        places = [config, *(v for v in config.values() if isinstance(v, dict))]
        place = draw(st.sampled_from(places))
        if not place:
            continue
        key = draw(st.sampled_from(sorted(place, key=str)))
        match draw(st.sampled_from(["drop", "rename", "replace", "nudge"])):
            case "drop":
                del place[key]
            case "rename":
                place[draw(st.text(max_size=12))] = place.pop(key)
            case "replace":
                place[key] = draw(junk)
            case "nudge" if type(place[key]) is int:
                place[key] += draw(st.integers(-3, 3))
    return config


@settings(max_examples=400, deadline=1000)
@given(broken())
def test_a_broken_config_gives_a_sound_row_or_a_refusal(config):
    try:
        row = reader.read_config(config)
    except SpecError as problem:
        message = str(problem)
        assert len(message.splitlines()) == 1
        return
    found = {name: count.value for name, (count, _) in row.fields.items()}
    for name, value in found.items():
        low, high = QUANTITIES[name].bounds
        assert low <= value <= min(high, 2**53)
    assert found["top_k"] <= found["n_experts"]
    assert found["decode_moe_layers"] <= found["moe_layers"] <= found["n_layers"]
    assert 0 < reader.parameters(row.fields) <= 2**53


@settings(max_examples=100, deadline=1000)
@given(st.dictionaries(st.text(max_size=9), junk, max_size=9), st.sampled_from(sorted(FAMILIES)))
def test_arbitrary_json_is_refused(config, family):
    with pytest.raises(SpecError):
        reader.read_config({**config, "model_type": family})
