"""The time of a step: exact on the grid of the tables, close to the cube between its points."""

import numpy as np
import pytest
from servers import POLICIES, SERVER, server_tables

import prophet_xr as px
from prophet_xr.serving.server_tables import server_cubes
from prophet_xr.serving.step_time import PARTS, interpolate, locate, step_duration


def points(count):
    """Steps at random: every other one only decodes, the others take a prompt, too."""
    random = np.random.default_rng(0)
    prompt = np.where(np.arange(count) % 2, np.exp(random.uniform(0, 9, count)).round(), 0.0)
    return {
        "batch": random.permutation(np.geomspace(1, 1024, count).round()),
        "context": np.exp(random.uniform(2, 9.9, count)),
        "prompt_tokens": prompt,
        "prompt_context": np.where(prompt > 0, np.exp(random.uniform(0, 9.9, count)), 0.0),
    }


@pytest.mark.parametrize(("plan", "worst"), [("tp1", 0.02), ("dp4-ep4", 0.03)])
@pytest.mark.parametrize("gpu", ["A100-80GB", "H100-80GB"])
@pytest.mark.parametrize("routing", ["power", "zipf"])
def test_a_step_takes_what_the_cube_says(routing, gpu, plan, worst):
    inputs = px.inputs(
        model=["qwen3-30b-a3b", "gpt-oss-20b", "jamba-1.5-large"],
        policy=[*POLICIES, "lru", "cpu_compute"],
        runtime="vllm",
        max_sequences=1024,  # on every card: the points below reach as far
        max_batched_tokens=8192,
        **{"routing": routing, "gpu": gpu, "plan": plan, "cache_slots": 4, "copy_latency": 2e-5},
    )
    steps = points(100)
    means = {"continuous": 1}  # the contexts of a batch differ
    at_steps = inputs.drop_vars(steps).assign({n: ("point", v, means) for n, v in steps.items()})
    exact = px.sweep(at_steps, ["step_time"]).step_time
    cubes = server_cubes(inputs, 20_000)
    interpolated = np.zeros((*cubes.sizes.values(), 100))
    for position in cubes.positions():
        tables, rows = cubes.at(position), zip(*steps.values(), strict=True)
        interpolated[position] = [
            step_duration(tables, np.zeros(PARTS), int(batch), *rest) for batch, *rest in rows
        ]
    errors = interpolated / exact.transpose(*cubes.sizes, "point").values - 1
    assert np.abs(errors).max() < worst
    assert np.sqrt(np.mean(np.square(errors))) < 0.002


def test_a_value_is_located_in_its_gap():
    grid = np.array([1.0, 2.0, 4.0, 8.0])
    assert locate(grid, 1.0) == (0, 0.0)
    assert locate(grid, 2.0) == (1, 0.0)
    assert locate(grid, 3.0) == (1, 0.5)
    assert locate(grid, 7.0) == (2, 0.75)
    assert locate(grid, 8.0) == (2, 1.0)
    assert locate(grid, 16.0) == (2, 3.0)  # beyond the last point the last gap goes on
    assert locate(grid, 0.0) == (0, -1.0)


def test_between_reads_the_far_end_only_where_it_counts():
    assert interpolate(3.0, 5.0, 0.25) == 3.5
    assert interpolate(3.0, np.nan, 0.0) == 3.0
    assert np.isnan(interpolate(3.0, np.nan, 0.25))


def test_a_step_on_the_grid_takes_what_the_table_holds():
    tables = server_tables(random=np.random.default_rng(0))
    for b, c, p, a in np.ndindex(4, 3, 3, 3):
        on_grid = (tables.contexts[c], tables.prompt_tokens[p], tables.prompt_contexts[a])
        duration = step_duration(tables, np.zeros(PARTS), b + 1, *on_grid)
        compute = tables.compute_time[b, p, c, a if p else 0]  # no prompt, nothing that it attends
        assert duration == pytest.approx(max(compute, tables.memory_time[b, p, c]), rel=1e-12)


def test_a_step_between_points_is_linear_in_each_axis():
    tables = server_tables()
    for axis in range(4):
        tables.compute_time[:] += 10.0**axis * np.arange(tables.compute_time.shape[axis]).reshape(
            [-1 if n == axis else 1 for n in range(4)]
        )
    # half a gap of context, a quarter of prompt tokens, three quarters of prompt context
    duration = step_duration(tables, np.zeros(PARTS), 3, 32.5, 1.0, 64 * 0.75 + 0.25)
    assert duration == pytest.approx(1.0 + 2 + 10 * 0.25 + 100 * 0.5 + 1000 * 0.75)


def test_a_batch_that_the_cube_does_not_hold_spoils_no_other():
    """Batches in which a policy or plan cannot be are NaN in the tables."""
    tables = server_tables(slots=4)
    tables.compute_time[2:] = tables.memory_time[2:] = tables.other_times[2:] = np.nan
    assert step_duration(tables, np.zeros(PARTS), 2, 10.0, 1.0, 5.0) == 1.0
    assert np.isnan(step_duration(tables, np.zeros(PARTS), 3, 10.0, 1.0, 5.0))


def test_a_prompt_computes_by_hand():
    # Mixtral-8x7B: 4 FLOP x 32 heads x 128 x 32 layers per pair of tokens; top-2 of 8 experts
    inputs = px.inputs(model="mixtral-8x7b", gpu="H200", policy="baseline", batch=4, context=2048)
    prompts = {"prompt_tokens": ("chunk", [0.0, 512.0]), "prompt_context": 1000.0}
    cube = px.sweep(inputs.assign(prompts))
    parameters = float(cube.active_parameters) - 32_000 * 4096  # no token computes the embeddings
    parameters -= 32_000 * 4096  # nor its logits, but for the last
    decoding, with_prompt = cube.step_flops.values
    attention = 4 * 32 * 128 * 32 * 1000
    assert with_prompt - decoding == pytest.approx(512 * (2 * parameters + attention))


def test_a_prompt_touches_experts_in_passing():
    inputs = px.inputs(
        **{**SERVER, "model": "qwen3-30b-a3b"}, policy=POLICIES, batch=2, context=2048
    )
    chunks = np.array([0.0, 1.0, 16.0, 256.0, 8192.0])
    cube = px.sweep(inputs.assign(prompt_tokens=("chunk", chunks), prompt_context=100.0))
    assert "chunk" not in cube.resident_experts.dims
    assert "chunk" not in cube.kv_budget.dims
    assert cube.step_experts[0] == cube.unique_experts
    assert (cube.step_experts.diff("chunk") > 0).all()
    assert cube.step_experts[-1] == pytest.approx(float(cube.n_experts), rel=1e-3)
    assert (cube.link_traffic.sel(policy="baseline") == 0).all()
    missing = (cube.step_experts - cube.resident_experts).sel(policy="prophet")
    streamed = missing * cube.moe_layers * cube.expert_size
    assert (cube.link_traffic.sel(policy="prophet") >= streamed * (1 - 1e-12)).all()
