"""The label of a plan says its degrees; what is no plan is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prophet_xr import grid
from prophet_xr.catalogue import plans
from prophet_xr.catalogue.plans import parse
from prophet_xr.errors import InputError


@pytest.mark.parametrize(
    ("label", "degrees"),
    [("tp8", (8, 1, 1, 1)), ("tp8-pp2", (8, 2, 1, 1)), ("dp32-ep32", (1, 1, 32, 32))],
)
def test_a_label_says_the_degrees(label, degrees):
    assert tuple(parse(label).values()) == degrees
    assert tuple(parse(label.upper()).values()) == degrees


@pytest.mark.parametrize("label", ["", "tp0", "tp", "tp8-tp2", "xx3", "tp8pp2", "tp9999999"])
def test_a_label_that_is_no_plan_is_refused(label):
    with pytest.raises(InputError, match="is no plan; expected tp, pp, dp and ep"):
        grid.inputs(plan=label)


def test_expert_ranks_are_all_ranks_or_none():
    with pytest.raises(InputError, match=r"has ep4; expected 1 .* or tp x dp = 8"):
        grid.inputs(plan="dp8-ep4")


@given(t=st.integers(1, 64), p=st.integers(1, 16), d=st.integers(1, 64), experts=st.booleans())
def test_any_plan_that_is_written_is_read(t, p, d, experts):
    label = f"tp{t}-pp{p}-dp{d}" + (f"-ep{t * d}" if experts else "")
    expected = [t, p, d, t * d if experts else 1]
    assert list(parse(label).values()) == expected


@pytest.mark.parametrize(("label", "taken"), [("tp100000", True), ("tp100001", False)])
def test_a_degree_has_a_largest_value(label, taken):
    if taken:
        assert parse(label)["tensor_degree"] == plans.LARGEST_DEGREE
    else:
        with pytest.raises(InputError, match=f"plan={label!r} is no plan"):
            parse(label)


def test_usual_plans_are_plans_of_1_to_64_gpus():
    degrees = [parse(label) for label in plans.USUAL]
    gpus = [d["tensor_degree"] * d["pipeline_degree"] * d["data_degree"] for d in degrees]
    assert min(gpus) == 1
    assert max(gpus) == 64
    assert all(d["expert_degree"] in (1, d["data_degree"]) for d in degrees)
