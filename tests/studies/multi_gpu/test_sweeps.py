"""What fits many GPUs, and by which plan."""

from prophet_xr.studies.multi_gpu import sweeps


def test_prophet_never_needs_more_gpus_and_never_steps_faster(results):
    cube = results["scaling"]
    least = sweeps.fewest(cube).fillna(1e9)
    assert (least.sel(policy="prophet") <= least.sel(policy="baseline")).all()
    step = cube.step_time
    assert not (step.sel(policy="prophet") < step.sel(policy="baseline") * (1 - 1e-12)).any()


def test_the_best_plan_of_a_count_is_the_fastest_that_serves(results):
    cube = results["scaling"].sel(gpu="H100-80GB", batch=16, policy="baseline")
    made = sweeps.best(cube).sel(model="qwen3-235b-a22b")
    own = cube.sel(model="qwen3-235b-a22b")
    assert made.plan.values.tolist()[:3] == ["", "", ""]  # 470 GB on up to four cards of 80
    for gpus in (8, 16, 32, 64):
        served = own.where(own.serves_context & (own.n_gpus == gpus), drop=True)
        cell = made.sel(gpus=gpus)
        assert cell.throughput_per_gpu == served.throughput_per_gpu.max()
        assert cell.step_time == own.step_time.sel(plan=cell["plan"].item())
        share = cell.throughput_per_gpu / made.throughput_per_gpu.sel(gpus=8)
        assert cell.scaling_efficiency == share
