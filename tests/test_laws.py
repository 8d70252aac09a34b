"""Laws that hold for any numbers."""

from hypothesis import given
from hypothesis import strategies as st

from prophet_xr import kernels

COUNT = st.integers(1, 512)
SHARE = st.floats(0, 1)


def shape():
    """Experts per layer and top-k, k at most E."""
    return COUNT.flatmap(lambda e: st.tuples(st.just(e), st.integers(1, e)))


@given(ek=shape(), b=COUNT, a=SHARE, w=SHARE)
def test_distinct_experts_lie_between_top_k_and_all(ek, b, a, w):
    e, k = ek
    u = kernels.unique_experts(e, k, b, a, w)
    assert k * (1 - 1e-12) <= u <= e * (1 + 1e-12)


@given(ek=shape(), b=COUNT, a=SHARE, w=SHARE)
def test_more_batch_never_needs_fewer_experts(ek, b, a, w):
    e, k = ek
    less, more = (kernels.unique_experts(e, k, n, a, w) for n in (b, b + 1))
    assert more >= less * (1 - 1e-12)


@given(e=COUNT, u=st.floats(0, 512), k=COUNT, s=st.floats(0, 64), x=SHARE, y=SHARE, z=SHARE)
def test_resident_experts_never_exceed_all(e, u, k, s, x, y, z):
    assert 0 <= kernels.resident_experts(e, u, k, x, y, z, s) <= e


KV = st.tuples(
    *(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e5), st.floats(0, 1e3)),
    *(st.sampled_from([1.0, 2.0]), st.floats(0, 1e6)),
)


@given(kv=KV, budget=st.floats(-1e9, 1e12), more=st.floats(0, 1e11), b=COUNT)
def test_more_memory_never_shortens_the_context(kv, budget, more, b):
    short, long = (kernels.max_context(m, b, 0, *kv) for m in (budget, budget + more))
    assert 0 <= short <= long


@given(kv=KV, budget=st.floats(1, 1e12), b=COUNT, c=st.integers(1, 10**7))
def test_the_longest_context_fits_and_a_longer_one_does_not(kv, budget, b, c):
    full, windowed, window, cross, width, state = kv

    def size(context):
        elements = kernels.kv_elements(b, context, 0, full, windowed, window, cross)
        return kernels.kv_memory(elements, width, b, state)

    longest = kernels.max_context(budget, b, 0, *kv)
    if 0 < longest < kernels.UNBOUNDED:
        assert size(longest) <= budget * (1 + 1e-9)
        assert size(longest + 2) >= budget * (1 - 1e-9)


@given(t=st.floats(0, 1), h=SHARE, r=SHARE, m=st.floats(0, 1e12), p=st.sampled_from([0.0, 1.0]))
def test_link_traffic_does_not_depend_on_the_predictor(t, h, r, m, p):
    now = kernels.in_time(p, h, r)
    traffic = kernels.link_traffic(kernels.early_traffic(now, r, m), kernels.late_traffic(now, m))
    assert abs(traffic - (1 - r) * m) <= 1e-9 * max(m, 1)


@given(
    early=st.floats(0, 1e12),
    late=st.floats(0, 1e12),
    gpu=st.floats(0, 10),
    rate=st.floats(1e8, 1e12),
)
def test_overlap_hides_at_most_the_gpu_time(early, late, gpu, rate):
    exposed = kernels.exposed_time(early, late, gpu, rate, 0.0, 3, 1.0, 10, 5)
    serial = (early + late) / rate
    assert serial - gpu - 1e-9 * serial - 1e-300 <= exposed <= serial * (1 + 1e-9) + 1e-300
