"""Tables of the published study, under its own constants and the true architectures."""

import numpy as np
import pytest
import xarray as xr

from prophet_xr.reporting.markdown import markdown
from prophet_xr.studies.kv_extension.tables import TABLES
from prophet_xr.studies.published.averages import AVERAGES


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("qwen1.5-moe-a2.7b", 832), ("switch-base-128", 14_351), ("olmoe-1b-7b", -4)],
)
def test_tokens_gained_in_table_1(published, model, tokens):
    table = TABLES["table1_kv_extension_a100_80gb"](published).set_index(published.model.values)
    assert table.loc[model, "KV increase [token]"] == tokens


def test_every_table_reads_both_studies(published, verified):
    for name, make in TABLES.items():
        for cube in (published, verified):
            before = cube.copy()
            frame = make(cube)
            xr.testing.assert_identical(cube, before)
            groups = np.unique(cube.n_experts).size if "expert_count" in name else 16
            assert len(frame) == groups
            lines = markdown(frame).split("\n\n")[0].strip().splitlines()
            assert len(lines) == len(frame) + 2


def test_averages_have_the_same_heads_in_both_tables_and_studies(published, verified):
    for cube in (published, verified):
        for name in ("table2_average_extension", "table3_by_expert_count"):
            assert set(AVERAGES) <= set(TABLES[name](cube).columns)


def test_table_1_says_where_a_zero_stands_beside_tokens_gained(published, verified):
    table = TABLES["table1_kv_extension_a100_80gb"]
    odd = table(published)
    rows = int(((odd["KV extension"] == 0) & (odd["KV increase [token]"] > 0)).sum())
    assert rows > 0
    assert f"in {rows} of these 16 rows and in 32 of the 384 cells" in markdown(odd)
    assert markdown(table(verified)).count("\n\n") == 0
