"""The tables of a server: memory as in the cube, in whole bytes; grids that reach far enough."""

import numpy as np
import pytest
from servers import FEW, POLICIES, SERVER

import prophet_xr as px
from prophet_xr.serving.server_tables import (
    OTHER_TIMES,
    batch_grid,
    batch_points,
    powers,
    prompt_grid,
    server_cubes,
    whole_budget,
    whole_bytes,
)

# --- Against the cube ------------------------------------------------------------------------


def test_the_kv_budget_is_that_of_the_batch():
    inputs = px.inputs(**SERVER, policy=POLICIES)
    cubes = server_cubes(inputs, 1000)
    by_batch = inputs.drop_vars("batch").assign_coords(batch=np.arange(1.0, 1025.0))
    expected = px.sweep(by_batch, ["kv_budget"]).kv_budget
    for n in range(3):
        budget = cubes.at((n, 0)).kv_budget
        np.testing.assert_allclose(budget[1:], expected[n].squeeze(), atol=1)
        assert budget[0] == budget[1]
    prophet = cubes.at((1, 0)).kv_budget[1:]
    assert prophet[0] > 5 * prophet[-1] > 0
    assert (np.diff(prophet) <= 0).all()


@pytest.mark.parametrize("runtime", ["vllm", "sglang"])
def test_blocks_hold_what_the_cube_says(runtime):
    servers = {**SERVER, **FEW, "runtime": runtime}
    servers["model"] = ["qwen3-30b-a3b", "gpt-oss-20b", "jamba-1.5-large"]
    inputs = px.inputs(**servers, policy=["baseline"])
    cubes = server_cubes(inputs, 5000)
    for position in cubes.positions():
        tables = cubes.at(position)
        model = inputs.isel(policy=[0], model=[position[1]])
        blocks = np.arange(1.0, tables.sequence_bytes.size)
        context = ("n", blocks * tables.block_tokens)
        cube = px.sweep(model.assign(batch=1.0, context=context), ["sequence_memory"])
        expected = cube.sequence_memory.squeeze()
        whole = tables.sequence_bytes[1:]
        assert ((whole >= expected - 1e-2) & (whole > 0)).all()
        np.testing.assert_allclose(whole, expected, rtol=1e-4)


def test_every_limit_of_an_engine_is_in_its_place():
    limits = {"max_sequences": 8, "max_batched_tokens": 64, "context": 2048}
    inputs = px.inputs(**SERVER, **limits, policy=["baseline"], plan=["tp1", "dp4-ep4"])
    cubes = server_cubes(inputs, 1000)
    assert cubes.sizes == {"policy": 1, "plan": 2, "model": 1}
    assert list(cubes.positions()) == [(0, 0, 0), (0, 1, 0)]
    for ranks, tables in zip((1, 4), map(cubes.at, cubes.positions()), strict=True):
        assert tables.max_sequences == 8 * ranks
        assert tables.max_tokens == 64 * ranks
        assert tables.context_limit == 2048
        assert tables.block_tokens == 16
        assert tables.kv_budget.size == tables.expert_memory.size == 8 * ranks + 1
        grids = (tables.prompt_tokens.size, tables.contexts.size, tables.prompt_contexts.size)
        assert tables.compute_time.shape[1:] == grids
        assert tables.memory_time.shape == tables.compute_time.shape[:3]
        assert tables.other_times.shape == (*tables.compute_time.shape[:2], len(OTHER_TIMES))


# --- Whole bytes -----------------------------------------------------------------------------


def test_whole_bytes_round_every_block_up():
    assert whole_bytes(np.array([1.5, 3.0, 3.0, 4.25])).tolist() == [0, 2, 4, 4, 6]


def test_a_rounding_error_of_the_cube_adds_no_byte():
    assert whole_bytes(np.array([2.0, 4.0 + 1e-9])).tolist() == [0, 2, 4]


def test_a_budget_is_whole_and_never_grows_with_the_batch():
    budget = whole_budget(np.array([5.9, 3.2, 4.5, -1.0, np.nan, np.inf]))
    assert budget.dtype == np.int64
    assert budget.tolist() == [5, 3, 3, 0, 0, 0]
    assert whole_budget(np.array([np.inf])).tolist() == [2**62]


# --- Grids -----------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 2, 5, 32, 33, 256, 1024, 4096])
def test_the_grid_of_batches_ends_at_the_slots_in_small_steps(slots):
    grid = batch_grid(slots)
    assert grid[0] == 1
    assert grid[-1] == max(slots, 2)
    assert (np.diff(grid) > 0).all()
    assert (grid == np.round(grid)).all()
    assert grid[:32].tolist() == list(range(1, min(max(slots, 2), 32) + 1))
    assert (grid[1:] / grid[:-1])[32:].max(initial=1) < 1.07  # 4 %, and the rounding to whole ones


@pytest.mark.parametrize("tokens", [2, 16, 17, 512, 8192])
def test_the_grid_of_prompts_reaches_a_full_step(tokens):
    grid = prompt_grid(tokens)
    assert grid[:16].tolist() == list(range(16))
    assert grid[-1] >= tokens
    assert grid[-2] < max(tokens, 17)
    np.testing.assert_allclose(grid[17:] / grid[16:-1], 2**0.5)


def test_powers_go_on_until_one_reaches_the_last():
    assert powers(128.0, 1000.0, 2.0).tolist() == [128, 256, 512, 1024]
    assert powers(128.0, 1024.0, 2.0).tolist() == [128, 256, 512, 1024]
    assert powers(128.0, 1025.0, 2.0).tolist() == [128, 256, 512, 1024, 2048]
    assert powers(128.0, 3.0, 2.0).tolist() == [128, 256]


def test_batches_lie_between_the_points_of_their_grid():
    grid = np.array([1.0, 2.0, 4.0, 8.0])
    point, gap_share = batch_points(grid, 8)
    assert point.tolist() == [0, 0, 1, 1, 2, 2, 2, 2, 2]
    assert gap_share.tolist() == [0, 0, 0, 0.5, 0, 0.25, 0.5, 0.75, 1]
