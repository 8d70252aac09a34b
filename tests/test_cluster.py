"""Many GPUs: the study's note by its rule, what fits, and logs of engines and large systems."""

import pandas as pd
import pytest

from prophet_xr.studies.multi_gpu import published_note, report, run, sweeps, tables
from prophet_xr.studies.validation import engine_logs, engine_report


@pytest.fixture(scope="module")
def cubes():
    return run.cubes()


@pytest.fixture(scope="module")
def memory() -> pd.DataFrame:
    return engine_logs.memory()


def test_the_note_comes_out_to_the_printed_digit(cubes):
    rule, _ = published_note.both(cubes)
    printed = {"4xH100": (105.9, 679.2, 6.42), "8xA100": (171.4, 1263.2, 7.37)}
    printed |= {"10xA6000": (61.4, 823.5, 13.41)}
    for system, (all_, less, up) in printed.items():
        row = rule.sel(system=system)
        assert round(row.baseline_throughput.item(), 1) == all_
        assert round(row.prophet_throughput.item(), 1) == less
        assert round(row.multi_gpu_speedup.item(), 2) == up


def test_every_claim_of_the_note_has_a_verdict(cubes):
    frame = tables.table5_claims(cubes)
    assert len(frame) == 35
    assert frame.verdict.str.contains("by its rule; physics").all()
    by_id = frame.set_index("claim")
    assert by_id.loc["C280", "by its rule"] == 0  # the speed-up of the rule knows no count
    assert by_id.loc["C281", "by its rule"] == -1


def test_prophet_never_needs_more_gpus_and_never_steps_faster(cubes):
    cube = cubes["scaling"]
    least = sweeps.fewest(cube).fillna(1e9)
    assert (least.sel(policy="prophet") <= least.sel(policy="baseline")).all()
    step = cube.step_time
    assert not (step.sel(policy="prophet") < step.sel(policy="baseline") * (1 - 1e-12)).any()


def test_the_best_plan_of_a_count_is_the_fastest_that_serves(cubes):
    cube = cubes["scaling"].sel(gpu="H100-80GB", batch=16, policy="baseline")
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


def test_the_report_tells_what_the_tables_hold(cubes):
    text = report.report(cubes)
    assert "of 8 models" in text
    for name in tables.TABLES:
        assert f"`{name}.csv`" in text


def test_weights_of_engine_logs(memory):
    ratio = memory.weights_ratio.dropna()
    middle, nine = engine_report.spread(ratio)
    assert len(ratio) >= 20
    assert abs(middle - 1) <= 0.005
    assert nine <= 3
    assert (abs(ratio - 1) <= 0.03).mean() >= 0.9


def test_kv_pools_of_engine_logs():
    frame = engine_logs.pools()
    assert len(frame) >= 20
    for rows in (frame, frame[frame.held]):  # held out: nothing is fitted to them
        middle, nine = engine_report.spread(rows.ratio)
        assert abs(middle - 1) <= 0.002
        assert nine <= 1.5


def test_room_for_the_kv_cache_in_fully_specified_logs(memory):
    rows = memory.dropna(subset=["kv"])
    assert {"r01", "r02", "r06", "r18", "r19", "r20"} <= set(rows.row)
    assert (abs(rows.kv_predicted - rows.kv) <= 1.5).all()


def test_every_part_of_a_logged_row_is_compared_or_has_a_reason(memory):
    out = engine_logs.left_out()
    weighed = set(memory.row[memory.weights.notna()])
    pooled = set(engine_logs.pools().row)
    for row in engine_logs.rows():
        why = set(out[out.row == row["id"]]["not compared"])
        assert (row["id"] in weighed) != bool(why & {"all", "weights"})
        assert (row["id"] in pooled) != bool(why & {"all", "KV cache"})
    assert out.why.str.len().min() > 4


def test_decode_steps_and_exchange_of_large_systems():
    frame = engine_logs.decode()
    assert (abs(frame.ratio - 1) <= 0.3).all()
    parts = frame["exchange, predicted"] + frame["all else, predicted"]
    assert (abs(parts - frame.predicted) < 1e-9).all()
    assert (abs(engine_logs.exchanges().ratio - 1) <= 0.15).all()
