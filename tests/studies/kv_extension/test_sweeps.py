"""The published study comes out to the printed digit; the ladder leads to the true one."""

import numpy as np
import pytest
import reference as by_hand

AVERAGES = {
    "deepseek-moe-16b": 2.16,
    "qwen1.5-moe-a2.7b": 1.53,
    "switch-base-128": 1.24,
    "mixtral-8x7b": 1.15,
    "olmoe-1b-7b": 1.06,
}


def test_average_extensions_to_the_printed_digit(published):
    mean = published.kv_extension.sel(policy="prophet").mean(["gpu", "batch"])
    for model in mean.model.values:
        assert round(mean.sel(model=model).item(), 2) == AVERAGES.get(model, 0.0)


@pytest.mark.parametrize(
    ("model", "percent"),
    [
        ("deepseek-moe-16b", 90.6),
        ("qwen1.5-moe-a2.7b", 93.3),
        ("mixtral-8x7b", 75.0),
        ("switch-base-128", 99.2),
    ],
)
def test_savings_at_batch_1(published, model, percent):
    share = published.expert_savings_fraction.sel(model=model, batch=1, policy="prophet")
    assert round(100 * share.item(), 1) == percent


def test_mixtral_at_batch_1_on_80_gb(published):
    cell = published.kv_extension.sel(model="mixtral-8x7b", gpu="A100-80GB", batch=1)
    assert round(cell.sel(policy="prophet").item(), 1) == 10.2


def test_every_published_cell_by_the_studys_own_rule(published):
    gb = dict(zip(published.gpu.values, (32, 40, 80, 80), strict=True))
    sizes = {"mixtral-8x7b": (32, 234.88, 15.99, 46.7), "olmoe-1b-7b": (16, 8.4, 2.557, 6.9)}
    for model, (layers, mb, fixed, stated) in sizes.items():
        m = published.sel(model=model, policy="prophet")
        e, k = int(m.n_experts), int(m.top_k)
        memory = by_hand.study_expert_memory(layers, e, mb)
        for gpu in gb:
            for batch in m.batch.values:
                expected = by_hand.study_extension(
                    gb[gpu], memory, fixed, 0.01077 * stated, e, k, int(batch)
                )
                got = m.kv_extension.sel(gpu=gpu, batch=batch).item()
                assert got == pytest.approx(expected, rel=1e-9), (model, gpu, batch)


def test_the_ladder_starts_published_and_ends_verified(results):
    ladder, published, verified = (results[n] for n in ("ladder", "published", "verified"))
    first = ladder.isel(step=0).kv_extension.fillna(0.0)
    last = ladder.isel(step=-1)
    np.testing.assert_array_equal(first, published.kv_extension)
    for name in ("kv_extension", "max_context", "total_memory", "step_time", "usable_context"):
        expected = verified[name].broadcast_like(last[name])
        np.testing.assert_array_equal(last[name], expected.transpose(*last[name].dims))


def test_each_step_of_the_ladder_moves_what_it_says(results):
    ladder = results["ladder"]
    steps = {a: i for i, a in enumerate(ladder.step.values)}

    def moved(name, step):
        values = ladder[name]
        if "step" not in values.dims:
            return False
        here, before = (values.isel(step=steps[step] - back, drop=True) for back in (0, 1))
        return not here.equals(before)

    assert moved("expert_memory", "exact_parameters")
    assert not moved("kv_per_token", "exact_parameters")
    assert moved("kv_per_token", "exact_kv")
    assert not moved("kv_budget", "exact_kv")
    assert moved("memory_budget", "usable_memory")
    assert moved("activation_memory", "bare")
    assert not moved("memory_budget", "bare")


def test_unfitted_constants_still_give_what_needs_no_fit(results):
    cube = results["unfitted"].sel(policy="prophet")
    assert cube.kv_increase.sel(model="qwen1.5-moe-a2.7b", gpu="A100-80GB", batch=16) == 832
    assert cube.kv_extension.sel(model="mixtral-8x7b", gpu="A100-80GB", batch=1) < 5


def test_the_step_of_the_ladder_is_described(results):
    attrs = results["ladder"].step.attrs
    assert attrs["units"] == "1"
    assert attrs["long_name"]
    assert all(step in attrs["comment"] for step in results["ladder"].step.values)
