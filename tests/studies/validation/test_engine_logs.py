"""Logs of engines and measured large systems, within the tolerances that the project states."""

import pandas as pd
import pytest

from prophet_xr.studies.validation import engine_logs, engine_report


@pytest.fixture(scope="module")
def memory() -> pd.DataFrame:
    return engine_logs.memory_rows()


def test_weights_of_engine_logs(memory):
    ratio = memory.weights_ratio.dropna()
    middle, nine = engine_report.ratio_spread(ratio)
    assert len(ratio) >= 20
    assert abs(middle - 1) <= 0.005
    assert nine <= 3
    assert (abs(ratio - 1) <= 0.03).mean() >= 0.9


def test_kv_pools_of_engine_logs():
    frame = engine_logs.pools()
    assert len(frame) >= 20
    for rows in (frame, frame[frame.held]):  # held out: nothing is fitted to them
        middle, nine = engine_report.ratio_spread(rows.ratio)
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
    for row in engine_logs.log_rows():
        why = set(out[out.row == row["id"]]["not compared"])
        assert (row["id"] in weighed) != bool(why & {"all", "weights"})
        assert (row["id"] in pooled) != bool(why & {"all", "KV cache"})
    assert out.why.str.len().min() > 4


def test_decode_steps_and_exchange_of_large_systems():
    frame = engine_logs.decode_rows()
    assert (abs(frame.ratio - 1) <= 0.3).all()
    parts = frame["exchange, predicted"] + frame["all else, predicted"]
    assert (abs(parts - frame.predicted) < 1e-9).all()
    assert (abs(engine_logs.exchange_rows().ratio - 1) <= 0.15).all()
