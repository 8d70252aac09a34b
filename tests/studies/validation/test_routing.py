"""Laws of routing and caching against every measured row, within the tolerances stated."""

import numpy as np
import pandas as pd
import pytest

from prophet_xr.studies.validation import routing


def zipf(frame: pd.DataFrame, held_out: bool) -> pd.Series:
    return frame.zipf[frame.held_out == held_out].abs()


# --- Distinct experts ------------------------------------------------------------------------


def test_distinct_experts_of_consecutive_tokens():
    errors = routing.consecutive()
    chosen, held_out = zipf(errors, False), zipf(errors, True)
    assert (len(chosen), len(held_out)) == (36, 18)
    assert chosen.median() <= 4
    assert chosen.max() <= 12
    assert held_out.median() <= 5  # beyond the tolerance of the models the law was chosen on
    assert held_out.max() <= 15
    assert errors.zipf.abs().median() <= 4


def test_distinct_experts_of_mixed_tokens():
    errors = routing.mixed()
    chosen, held_out = zipf(errors, False), zipf(errors, True)
    assert (len(chosen), len(held_out)) == (10, 16)
    assert chosen.max() <= 2
    assert held_out.median() <= 2.5
    assert held_out.max() <= 6


@pytest.mark.parametrize("kind", ["consecutive", "mixed"])
def test_the_measured_law_is_several_times_closer_than_the_others(kind):
    size = getattr(routing, kind)()[routing.LAW_LABELS].abs().median()
    assert 4 * size.zipf < min(size.uniform, size.power)


def test_a_length_left_out_of_the_fit_is_still_predicted():
    errors = np.abs(routing.left_out_lengths())
    assert len(errors) == 36
    assert np.median(errors) <= 4
    assert errors.max() <= 18


# --- Caches ----------------------------------------------------------------------------------


def test_the_cache_law_meets_every_point_and_points_left_out():
    size = routing.caches()[["law", "left_out", "assumed"]].abs()
    assert len(size) == 27
    assert size.law.max() <= 0.5  # percentage points
    assert size.left_out.max() <= 2
    assert size.assumed.median() > 10 * size.law.median()  # a model nobody measured is a guess


def test_the_cache_law_is_above_other_caches_but_near():
    errors = routing.other_caches().law
    assert errors.min() > -1
    assert errors.median() <= 3
    assert errors.max() <= 15
