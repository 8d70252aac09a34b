"""Engines that offload experts, within the tolerances that the project states."""

import pytest

from prophet_xr.studies.validation import offloading, report


def test_bulk_copies_follow_the_bytes(fetched):
    bulk = fetched[fetched.kind == "bulk"]
    assert len(bulk) == 8
    assert (bulk.ratio - 1).abs().median() <= 0.1
    assert offloading.factor(bulk.ratio).max() <= 1.3


def test_every_engine_is_within_a_factor_once_its_class_is_known(fetched):
    assert len(fetched) == 20
    off = offloading.factor(fetched.ratio)
    assert off.median() <= 1.1
    assert off.groupby(fetched.kind).median().max() <= 1.15
    assert off.max() <= 1.5


def test_the_cache_law_stands_in_for_a_stated_hit_rate(fetched):
    law = offloading.factor((fetched.by_law / fetched.measured).dropna())
    assert len(law) == 10
    assert law.median() <= 1.15


def test_the_constants_of_a_class_are_felt(fetched):
    bare = offloading.factor(offloading.fetched(dict.fromkeys(report.CLASSES, "bulk")).ratio)
    unfused = fetched.kind == "unfused"
    assert bare[unfused].median() > 3
    assert offloading.factor(fetched.ratio)[unfused].median() <= 1.1


def test_misses_computed_on_the_host():
    frame = offloading.computed()
    assert len(frame) == 6
    assert (frame.ratio - 1).abs().median() <= 0.1


def test_a_bulk_row_by_hand(fetched):
    row = fetched.iloc[0]  # 32 layers of 8 experts over PCIe 4, and what the GPU reads
    copied, read = 32 * 8 * 63.7e6, 1e9 + 32 * 8 * 63.7e6
    assert row.predicted == pytest.approx(copied / 24.8e9 + read / 2.039e12, rel=1e-6)
