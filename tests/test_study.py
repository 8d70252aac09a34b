"""The published study comes out to the printed digit; the ladder leads to the true one."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import reference as by_hand
import xarray as xr

from prophet_xr.reporting.markdown import markdown
from prophet_xr.studies.kv_extension import study, tables
from prophet_xr.studies.published import averages
from prophet_xr.studies.published.averages import by_expert_count

OUTPUTS = Path(__file__).parent.parent / "outputs"
AVERAGES = {
    "deepseek-moe-16b": 2.16,
    "qwen1.5-moe-a2.7b": 1.53,
    "switch-base-128": 1.24,
    "mixtral-8x7b": 1.15,
    "olmoe-1b-7b": 1.06,
}
GROUPS = {  # experts: savings %, dedup, extension, as table 3 prints them
    8: (14.0, 1.52, 0.38),
    16: (14.0, 1.52, 0.00),
    60: (39.1, 4.07, 0.76),
    64: (28.9, 2.71, 1.61),
    128: (75.4, 24.1, 0.25),
    160: (52.0, 6.98, 0.00),
    256: (57.2, 8.35, 0.00),
}


def test_average_extensions_to_the_printed_digit(published):
    mean = published.kv_extension.sel(policy="prophet").mean(["gpu", "batch"])
    for model in mean.model.values:
        assert round(mean.sel(model=model).item(), 2) == AVERAGES.get(model, 0.0)


def test_groups_by_expert_count_to_the_printed_digit(published):
    groups = by_expert_count(published.sel(policy="prophet"))
    assert groups.experts.values.tolist() == list(GROUPS)
    for count, (savings, dedup, extension) in GROUPS.items():
        row = groups.sel(experts=count)
        assert round(100 * row.savings.item(), 1) == savings
        assert f"{row.dedup.item():.3g}" == f"{dedup:g}"
        assert round(row["mean"].item(), 2) == extension


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


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("qwen1.5-moe-a2.7b", 832), ("switch-base-128", 14_351), ("olmoe-1b-7b", -4)],
)
def test_tokens_gained_in_table_1(published, model, tokens):
    table = tables.table1_kv_extension_a100_80gb(published).set_index(published.model.values)
    assert table.loc[model, "KV increase [token]"] == tokens


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


def test_the_ladder_starts_published_and_ends_verified(cubes):
    ladder, published, verified = (cubes[n] for n in ("ladder", "published", "verified"))
    first = ladder.isel(step=0).kv_extension.fillna(0.0)
    last = ladder.isel(step=-1)
    np.testing.assert_array_equal(first, published.kv_extension)
    for name in ("kv_extension", "max_context", "total_memory", "step_time", "usable_context"):
        expected = verified[name].broadcast_like(last[name])
        np.testing.assert_array_equal(last[name], expected.transpose(*last[name].dims))


def test_each_step_of_the_ladder_moves_what_it_says(cubes):
    ladder = cubes["ladder"]
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


def test_unfitted_constants_still_give_what_needs_no_fit(cubes):
    cube = cubes["unfitted"].sel(policy="prophet")
    assert cube.kv_increase.sel(model="qwen1.5-moe-a2.7b", gpu="A100-80GB", batch=16) == 832
    assert cube.kv_extension.sel(model="mixtral-8x7b", gpu="A100-80GB", batch=1) < 5


def test_data_files_hold_384_rows_of_24_metrics(published, tmp_path):
    study._data(published, tmp_path)
    frame = pd.read_csv(tmp_path / "prophet_kv_extension_data.csv")
    assert len(frame) == 384
    assert list(frame.columns[-24:]) == study.ORDER
    assert len(set(study.ORDER)) == 24
    assert not frame.isna().any().any()
    records = json.loads((tmp_path / "prophet_kv_extension_data.json").read_text())
    assert len(records) == 384
    again = pd.DataFrame(records)
    for name in study.ORDER:
        if frame[name].dtype.kind == "f":
            np.testing.assert_allclose(again[name].astype(float), frame[name], rtol=1e-8)


def test_every_table_reads_both_studies(published, verified):
    for name, make in tables.TABLES.items():
        for cube in (published, verified):
            before = cube.copy()
            frame = make(cube)
            xr.testing.assert_identical(cube, before)
            groups = np.unique(cube.n_experts).size if "expert_count" in name else 16
            assert len(frame) == groups
            lines = markdown(frame).split("\n\n")[0].strip().splitlines()
            assert len(lines) == len(frame) + 2


def test_three_averages_of_an_expert_count_by_hand(verified):
    row = verified.sel(policy="prophet")
    groups = by_expert_count(row)
    for count in (64, 128):
        own = row.isel(model=np.flatnonzero(row.n_experts == count))
        cells = own.kv_extension.values.ravel()
        held = cells[~np.isnan(cells)]
        found = groups.sel(experts=count)
        assert 0 < held.size < cells.size
        assert found["mean"].item() == pytest.approx(held.sum() / cells.size)
        assert found.mean_fitting.item() == pytest.approx(held.mean())
        assert found.median_fitting.item() == pytest.approx(np.median(held))
        assert (found.cells_fitting, found.cells) == (held.size, cells.size)


def test_averages_have_the_same_heads_in_both_tables_and_studies(published, verified):
    for cube in (published, verified):
        for name in ("table2_average_extension", "table3_by_expert_count"):
            assert set(averages.AVERAGES) <= set(tables.TABLES[name](cube).columns)


def test_table_1_says_where_a_zero_stands_beside_tokens_gained(published, verified):
    table = tables.TABLES["table1_kv_extension_a100_80gb"]
    odd = table(published)
    rows = int(((odd["KV extension"] == 0) & (odd["KV increase [token]"] > 0)).sum())
    assert rows > 0
    assert f"in {rows} of these 16 rows and in 32 of the 384 cells" in markdown(odd)
    assert markdown(table(verified)).count("\n\n") == 0


def test_the_step_of_the_ladder_is_described(cubes):
    attrs = cubes["ladder"].step.attrs
    assert attrs["units"] == "1"
    assert attrs["long_name"]
    assert all(step in attrs["comment"] for step in cubes["ladder"].step.values)


def test_files_are_the_same_twice_and_hold_no_draft(cubes, tmp_path):
    for folder in ("a", "b"):
        for _, job in study.texts(tmp_path / folder, cubes):
            job()
    first = {p.relative_to(tmp_path / "a"): p for p in (tmp_path / "a").rglob("*") if p.is_file()}
    for name, path in first.items():
        assert ".draft" not in name.name
        if path.suffix != ".nc":
            assert path.read_bytes() == (tmp_path / "b" / name).read_bytes(), name
            assert path.read_text() == (OUTPUTS / name).read_text(), f"run make study: {name}"
    report = tmp_path / "a" / "PROPHET_KV_EXTENSION_COMPREHENSIVE_REPORT.md"
    assert len(report.read_text().splitlines()) >= 350


def test_workers_leave_when_their_parent_is_killed():
    code = (
        "import os, signal\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from prophet_xr.reporting.drawing_processes import leave_with_parent, start\n"
        "pool = ProcessPoolExecutor(1, start(), leave_with_parent)\n"
        "print(pool.submit(os.getpid).result(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
    for _ in range(300):
        if not psutil.pid_exists(worker):
            return
        time.sleep(0.1)
    pytest.fail(f"worker {worker} is still there")
