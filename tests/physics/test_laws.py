"""Laws that hold for any numbers."""

import math

import pytest
from formulas import value
from hypothesis import given
from hypothesis import strategies as st

from prophet_xr import kernels

COUNT = st.integers(1, 512)
SHARE = st.floats(0, 1)


def shape():
    """Experts per layer and top-k, k at most E."""
    return COUNT.flatmap(lambda e: st.tuples(st.just(e), st.integers(1, e)))


def unique(ek, batch, tokens=1, *, a=1.0, w=0.0, s=0.0, g=1.0):
    """Distinct experts of a routing law, from the chain of its formulas."""
    e, k = map(float, ek)
    scale = kernels.zipf_scale(e, k, s)
    drawn = kernels.effective_batch(batch, tokens, g)
    return kernels.unique_experts(e, k, batch * tokens, a, w, s, scale, drawn)


SKEW = st.floats(0, 2)


@given(ek=shape(), b=COUNT, t=COUNT, a=SHARE, w=SHARE, s=SKEW, g=SHARE)
def test_distinct_experts_lie_between_top_k_and_all(ek, b, t, a, w, s, g):
    e, k = ek
    u = unique(ek, b, t, a=a, w=w, s=s, g=g)
    assert k * (1 - 1e-12) <= u <= e * (1 + 1e-12)


@given(ek=shape(), b=COUNT, a=SHARE, w=SHARE, s=SKEW)
def test_more_batch_never_needs_fewer_experts(ek, b, a, w, s):
    less, more = (unique(ek, n, a=a, w=w, s=s) for n in (b, b + 1))
    assert more >= less * (1 - 1e-12)


@given(ek=shape(), b=COUNT, s=SKEW, t=COUNT, g=SHARE)
def test_skew_and_repetition_never_need_more_experts_than_uniform_routing(ek, b, s, t, g):
    assert unique(ek, b, t, s=s, g=g) <= unique(ek, b, t) * (1 + 1e-3)


@given(ek=shape(), s=SKEW)
def test_probabilities_of_experts_add_up_to_top_k(ek, s):
    e, k = ek
    scale = kernels.zipf_scale(float(e), float(k), s)
    total = math.fsum(min(1.0, scale * i**-s) for i in range(1, e + 1))
    assert total == pytest.approx(k, rel=1e-9)


@pytest.mark.parametrize("s", [0.0, 0.4, 1.0, 2.0])
@pytest.mark.parametrize(("e", "k"), [(8, 2), (60, 4), (64, 8), (128, 1), (512, 10)])
def test_the_blocked_sum_equals_the_full_one(e, k, s):
    scale = kernels.zipf_scale(float(e), float(k), s)
    for b in (1, 2, 16, 300, 4096):
        full = math.fsum(1 - (1 - min(1.0, scale * i**-s)) ** b for i in range(1, e + 1))
        assert unique((e, k), b, s=s) == pytest.approx(full, rel=2e-4)


@given(e=COUNT, x=SHARE, y=SHARE, u=SHARE, b=st.floats(0, 10), a=st.floats(0.01, 3), w=SHARE)
def test_reuse_rises_from_nothing_to_everything(e, x, y, u, b, a, w):
    need = 1 + u * (e - 1)

    def reuse(share):
        return kernels.reuse(share * e, e, need, b, a, w)

    low, high = sorted((x, y))
    assert reuse(0) == 0
    assert reuse(1) == 1
    assert reuse(low) <= reuse(high) + 1e-12
    assert min(low, low * e / need) * (1 - 1e-12) <= reuse(low) <= min(1, low * e / need) + 1e-12


def test_reuse_without_locality_is_chance():
    assert kernels.reuse(3.0, 7.0, 2.0, 0.0, 1.0, 1.0) == 3 / 7
    assert kernels.reuse(3.0, 7.0, 2.0, 5.0, 1.0, 0.0) == 3 / 7


@given(e=COUNT, u=st.floats(0, 512), k=COUNT, c=COUNT, s=st.floats(0, 64), x=SHARE, y=SHARE)
def test_resident_experts_never_exceed_all(e, u, k, c, s, x, y):
    assert 0 <= kernels.resident_experts(e, u, k, c, x, y, y, x, s, 0) <= e
    assert math.isnan(kernels.resident_experts(e, u, k, c, x, y, y, x, s, 1))


KV = st.tuples(
    *(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e5), st.floats(0, 1e3)),
    *(st.sampled_from([1.0, 2.0]), st.floats(0, 1e6)),
)


def longest(budget, batch, kv):
    """Longest context of a runtime without blocks and without a table of tokens."""
    full, windowed, window, cross, width, state = kv
    known = {"kv_budget": budget, "rank_batch": batch, "kv_window": window}
    known |= {"stage_kv_full": full, "stage_kv_windowed": windowed, "stage_kv_cross": cross}
    known |= {"kv_element_size": width, "rank_state_size": state, "encoder_context": 0.0}
    known |= {"table_memory": 0.0, "table_per_token": 0.0, "block_size": 1.0}
    return value("max_context", {**known, "page_tokens": 1.0, "longest_blocks": math.inf})


@given(kv=KV, budget=st.floats(-1e9, 1e12), more=st.floats(0, 1e11), b=COUNT)
def test_more_memory_never_shortens_the_context(kv, budget, more, b):
    short, long = (longest(memory, b, kv) for memory in (budget, budget + more))
    assert 0 <= short <= long


@given(kv=KV, budget=st.floats(1, 1e12), b=COUNT)
def test_the_longest_context_fits_and_a_longer_one_does_not(kv, budget, b):
    full, windowed, window, cross, width, state = kv

    def size(context):
        elements = kernels.kv_elements(b, context, 0, full, windowed, window, cross)
        return kernels.kv_memory(elements, width, b, state)

    context = longest(budget, b, kv)
    if 0 < context < kernels.UNBOUNDED:
        assert size(context) <= budget * (1 + 1e-9)
        assert size(context + 2) >= budget * (1 - 1e-9)


@given(h=SHARE, r=SHARE, m=st.floats(0, 1e12), p=SHARE, c=SHARE)
def test_link_traffic_does_not_depend_on_the_predictor(h, r, m, p, c):
    known = {"hit_rate": h, "prediction": p, "reuse": r, "host_compute": c}
    known["step_expert_memory"] = m
    moved, host = value("link_traffic", known), value("host_read", known)
    assert abs(moved + host - (1 - r) * m) <= 1e-9 * max(m, 1)


@given(r=SHARE, h=SHARE, p=SHARE, transfer=st.floats(0, 1e3), gpu=st.floats(0, 10))
def test_overlap_hides_at_most_the_gpu_time(r, h, p, transfer, gpu):
    known = {"hit_rate": h, "prediction": p, "reuse": r, "host_compute": 0.0}
    known |= {"transfer_time": transfer, "gpu_time": gpu}
    hidden, exposed = value("hidden_time", known), value("exposed_time", known)
    serial = (1.0 - r) * transfer
    rounding = 1e-12 * transfer + 1e-300
    assert hidden + exposed == pytest.approx(serial, rel=1e-9, abs=rounding)
    assert serial - gpu - rounding <= exposed <= serial + rounding


@given(
    r=SHARE,
    h=SHARE,
    memory=st.floats(1, 1e12),
    gpu=st.floats(1e-4, 10),
    rate=st.floats(1e8, 1e12),
)
def test_prediction_at_most_halves_a_step_in_the_same_memory(r, h, memory, gpu, rate):
    cell = {"reuse": r, "hit_rate": h, "step_expert_memory": memory, "gpu_time": gpu}
    cell |= {"host_link_rate": rate, "copy_latency": 0.0, "host_compute": 0.0, "host_time": 0.0}
    cell |= {"expert_matrices": 3, "decode_moe_layers": 10, "rank_unique_experts": 5}
    predicted, reactive = (value("step_time", {**cell, "prediction": p}) for p in (1.0, 0.0))
    assert predicted <= reactive * (1 + 1e-9)
    assert 2 * predicted >= reactive * (1 - 1e-9)
