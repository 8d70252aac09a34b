"""Limits: in one place, in force for a while, and without a say in any number."""

import ast
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest
import xarray as xr

from prophet_xr import engine, grid
from prophet_xr.engine.limits import Limits, in_force, using

ENGINE = sorted(Path(engine.__file__).parent.glob("*.py"))
FACTS = {("memory.py", "CACHE_LINE"), ("limits.py", "MIB")}


def test_others_are_in_force_until_the_context_is_left():
    others = Limits(row_cells=7)
    with using(others):
        assert in_force() is others
        with using(Limits(row_cells=8)):
            assert in_force().row_cells == 8
        assert in_force() is others
    assert in_force() == Limits()


def test_an_error_puts_the_former_ones_back():
    with pytest.raises(KeyError), using(Limits(row_cells=7)):
        raise KeyError
    assert in_force() == Limits()


def test_they_hold_for_one_thread():
    with using(Limits(row_cells=7)), ThreadPoolExecutor(1) as pool:
        assert pool.submit(in_force).result() == Limits()


def test_they_cannot_be_changed_and_tell_caches_apart():
    with pytest.raises(FrozenInstanceError):
        Limits().row_cells = 1  # pyright: ignore[reportAttributeAccessIssue]
    assert hash(Limits()) == hash(Limits())
    for field in fields(Limits):
        other = replace(Limits(), **{field.name: field.default + 1})
        assert other != Limits(), field.name
        assert len({other, Limits()}) == 2, field.name


def _numbers(path):
    """Names of the constants of a module that are numbers, or are computed from such."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            constants = [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)]
            if any(type(c) in (int, float) for c in constants):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                yield path.name, getattr(target, "id", "")


def test_no_other_file_of_the_engine_has_a_tuning_number():
    assert {number for path in ENGINE for number in _numbers(path)} == FACTS


def test_the_engine_is_given_its_limits_and_looks_none_up():
    users = [path.name for path in ENGINE if "in_force" in path.read_text()]
    assert users == ["limits.py"]


@pytest.mark.parametrize(
    "change",
    [
        {"arrays_per_loop": 1},
        {"row_cells": 20, "row_start_cost": 0},
        {"row_start_cost": 10**6, "threaded_above": 1},
        {"kept_memory": 0},
    ],
    ids=str,
)
def test_no_limit_changes_a_number(long_axes, change):
    wanted = ["kv_extension", "fits", "unique_experts", "max_context"]
    never = {"interpreted_in_all": 0, "interpreted_below": 0}
    with using(Limits(interpreted_in_all=10**9)):
        expected = grid.sweep(long_axes, wanted)
    with using(Limits(**never, **change)):
        xr.testing.assert_identical(grid.sweep(long_axes, wanted), expected)
