"""A value of a config is typed and bounded and noted with its key, or refused."""

from types import SimpleNamespace

import pytest

from prophet_xr.catalogue.config.keys import ABSENT, Config, peek
from prophet_xr.errors import SpecError

FAMILY = SimpleNamespace(
    name="toy",
    keys={"num_experts": ("experts", "moe.experts"), "hidden_size": "width"},
    absent={"bias": False, "window": None},
)


def config(**data):
    return Config(data, FAMILY, " toy.json")


def test_a_dotted_path_leads_into_a_config_or_to_nothing():
    data = {"a": {"b": None}, "c": 3}
    assert peek(data, "a.b") is None
    assert peek(data, "a.x") is peek(data, "c.d") is peek([1], "0") is ABSENT


def test_a_value_is_noted_under_the_key_that_the_config_has():
    c = config(width=64, moe={"experts": 8}, unread=1)
    assert (c.whole("hidden_size"), c.whole("num_experts")) == (64, 8)
    assert c.seen == {"width": "64", "moe.experts": "8"}
    assert c.flag("bias") is False
    assert c.seen["no bias"] == ""
    assert c.read == {"width": 64, "moe.experts": 8}


def test_two_names_of_one_value_must_agree():
    assert config(experts=8, moe={"experts": 8}).whole("num_experts") == 8
    with pytest.raises(SpecError, match=r"experts and moe.experts contradict: \[8, 9\]"):
        config(experts=8, moe={"experts": 9}).whole("num_experts")


def test_a_missing_key_without_a_rule_is_refused():
    with pytest.raises(SpecError, match=r"config toy.json: key 'experts' or 'moe.experts' is miss"):
        config().whole("num_experts")
    with pytest.raises(SpecError, match="key 'width' is missing; family 'toy' needs it"):
        config().whole("hidden_size")


@pytest.mark.parametrize("value", [0, 11, True, 3.0, "3", None, [3], 10**400])
def test_what_is_no_whole_number_between_the_bounds_is_refused(value):
    assert config(n=10).whole("n", 1, 10) == 10
    with pytest.raises(SpecError, match=r"expected a whole number in \[1, 10\]") as caught:
        config(n=value).whole("n", 1, 10)
    assert len(str(caught.value)) < 200


def test_a_flag_is_true_or_false():
    assert config(bias=True).flag("bias") is True
    for value in (1, 0, None, "true"):
        with pytest.raises(SpecError, match="expected true or false"):
            config(bias=value).flag("bias")


def test_one_value_for_all_layers():
    assert config(n=[4, 4]).uniform("n") == config(n=4).uniform("n") == 4
    for value in ([4, 5], [], [1, True]):
        with pytest.raises(SpecError, match="differs between layers"):
            config(n=value).uniform("n")
