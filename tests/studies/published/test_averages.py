"""Averages of the extension, to the printed digit and by hand."""

import numpy as np
import pytest

from prophet_xr.studies.published.averages import by_expert_count

GROUPS = {  # experts: savings %, dedup, extension, as table 3 prints them
    8: (14.0, 1.52, 0.38),
    16: (14.0, 1.52, 0.00),
    60: (39.1, 4.07, 0.76),
    64: (28.9, 2.71, 1.61),
    128: (75.4, 24.1, 0.25),
    160: (52.0, 6.98, 0.00),
    256: (57.2, 8.35, 0.00),
}


def test_groups_by_expert_count_to_the_printed_digit(published):
    groups = by_expert_count(published.sel(policy="prophet"))
    assert groups.experts.values.tolist() == list(GROUPS)
    for count, (savings, dedup, extension) in GROUPS.items():
        row = groups.sel(experts=count)
        assert round(100 * row.savings.item(), 1) == savings
        assert f"{row.dedup.item():.3g}" == f"{dedup:g}"
        assert round(row["mean"].item(), 2) == extension


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
