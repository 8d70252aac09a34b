"""Generated modules on disk: shared, found again, and made anew where they are damaged."""

import os
import subprocess
import sys

import numpy as np
import pytest

from prophet_xr.engine import compile as compile_file
from prophet_xr.engine.compile import compiled

FIRST = """
import logging, sys
logging.basicConfig(format="%(message)s", stream=sys.stderr)
import numpy as np, prophet_xr as px
from prophet_xr.engine.limits import Limits, using
data = px.inputs(model="mixtral-8x7b", gpu="H200", batch=np.arange(1, 9))
with using(Limits(interpreted_in_all=0, interpreted_below=0)):
    print(px.sweep(data, "unique_experts").unique_experts.values.tolist())
"""


def first_run(cache):
    environment = {**os.environ, "PROPHET_XR_CACHE": str(cache)}
    command = [sys.executable, "-W", "error", "-c", FIRST]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def test_two_first_runs_share_a_cache(tmp_path):
    both = [first_run(tmp_path) for _ in range(2)]
    shown = [run.communicate() for run in both]
    assert [run.returncode for run in both] == [0, 0], shown
    assert shown[0][0] == shown[1][0]
    assert not list(tmp_path.glob(".*"))  # no draft


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path):
    (tmp_path / "file").touch()
    run = first_run(tmp_path / "file")
    out, said = run.communicate()
    assert run.returncode == 0
    assert out.startswith("[2.0")
    assert said.count("cache directory") == 1


def test_a_full_cache_is_said_once(tmp_path, monkeypatch):
    for most in (0, 3_000):  # B of a file: neither module nor machine code, then no machine code
        cache = tmp_path / str(most)
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n"
        command = [sys.executable, "-W", "error", "-c", limit + FIRST]
        environment = {**os.environ, "PROPHET_XR_CACHE": str(cache)}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert run.stdout.startswith("[2.0")
        assert run.stderr.count("cache directory") == 1


def test_a_damaged_cache_is_made_anew(tmp_path):
    expected, _ = first_run(tmp_path).communicate()
    for damaged, message in (("*.nbc", True), ("*.nbi", True), ("*.py", False)):
        files = list(tmp_path.rglob(damaged))
        assert files
        for file in files:
            file.write_bytes(file.read_bytes()[:40])
        run = first_run(tmp_path)
        out, said = run.communicate()
        assert (run.returncode, out) == (0, expected), said
        assert ("compiling it anew" in said) is message
    assert not first_run(tmp_path).communicate()[1]


# --- One module ------------------------------------------------------------------------------

TEXT = """from numba import njit

@njit(cache=True)
def fill(first, array):
    for i in range(first, array.size):
        array[i] = {value}
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PROPHET_XR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_function_of_a_text_is_compiled_for_its_arguments(cache):
    array = np.zeros(4)
    fill = compiled(TEXT.format(value=7), (1, array))
    assert len(fill.signatures) == 1
    fill(1, array)
    assert array.tolist() == [0, 7, 7, 7]
    assert compiled(TEXT.format(value=7), (1, array)) is fill


def test_a_module_is_named_by_its_text(cache):
    for value in (8, 9):
        compiled(TEXT.format(value=value), (1, np.zeros(4)))
    modules = sorted(cache.glob("nest_*.py"))
    assert sorted(m.read_text() for m in modules) == [TEXT.format(value=v) for v in (8, 9)]
    assert len(list(cache.glob("__pycache__/nest_*.nbc"))) == 2


def test_a_module_that_was_changed_is_written_anew(cache):
    text = TEXT.format(value=3)
    cache.mkdir()
    path = compile_file._written("nest_x", text)
    path.write_text("what is left of a full disk")
    assert compile_file._written("nest_x", text).read_text() == text


def test_the_directory_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("PROPHET_XR_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compile_file.cache_dir() == tmp_path / "prophet_xr"
    monkeypatch.setenv("PROPHET_XR_CACHE", str(tmp_path / "mine"))
    assert compile_file.code_folder() == tmp_path / "mine"
    assert (tmp_path / "mine").is_dir()
