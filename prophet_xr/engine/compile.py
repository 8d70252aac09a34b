"""Generated modules: written to the user's cache directory, imported and compiled once.

Comes in: the text of a module with a function ``fill``, and arguments whose types it is compiled
for.  Goes out: ``fill``, compiled (`compiled`).

A module is named by the hash of its own text, so what numba keeps of it on disk can never be stale,
and a second process compiles nothing.  The directory may be shared, full, read-only or damaged:
modules are written under another name and then renamed, what cannot be read is compiled anew, and
what cannot be written is kept in memory, each with one message.
"""

import hashlib
import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from prophet_xr.files import replacing

logger = logging.getLogger("prophet_xr")


def cache_dir() -> Path:
    """Directory of generated modules: PROPHET_XR_CACHE, or the user's cache directory."""
    chosen = os.environ.get("PROPHET_XR_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else base / "prophet_xr"


def compiled(text: str, arguments: Iterable[object]) -> Any:
    """Return ``fill`` of a generated module, compiled for the types of its arguments.

    What an earlier run left in the cache directory is used; what cannot be read is made anew, and
    where the directory is full it is kept in memory.
    """
    fill = _fill(text)
    if not fill.signatures:
        ensure_compiled(fill, arguments)
    return fill


def ensure_compiled(function: Any, arguments: Iterable[object]) -> None:
    """Compile a function that numba keeps on disk, if it can; anew if what it kept is damaged."""
    from numba import typeof

    types = tuple(map(typeof, arguments))
    try:
        function.compile(types)
    except OSError as problem:
        if not function.signatures:
            raise
        _unkept(str(problem))
    except Exception as problem:  # of damaged pickles anything may be raised
        name = Path(function.py_func.__code__.co_filename).stem
        path = function.stats.cache_path
        kept = list(Path(path).glob(f"{name}.*.nb[ci]")) if path else []
        if not kept:
            raise
        logger.warning("cache of %s: %r; compiling it anew", name, problem)
        for file in kept:
            file.unlink(missing_ok=True)
        function.compile(types)


@cache
def _fill(text: str) -> Any:
    """Import a generated module.

    It is named by the hash of its own text, so numba's disk cache of it can never be stale.
    """
    name = "nest_" + hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        path = _written(name, text)
    except OSError as problem:
        _unkept(str(problem))
        return _in_memory(text)
    if not list(code_folder().glob(f"__pycache__/{name}.*.nbi")):
        logger.info("compiling loop nest %s (once; kept in %s)", name[5:], path.parent)
    return _imported(name, path).fill


@cache
def _unkept(problem: str) -> None:
    """Say once that nothing can be written."""
    logger.warning(
        "cache directory %s: %s; compiled code is kept in memory", code_folder(), problem
    )


def _in_memory(text: str) -> Any:
    """Make a module without a file."""
    module = ModuleType("nest")
    exec(compile(text.replace("cache=True, ", ""), "nest", "exec"), module.__dict__)
    return module.fill


def _written(name: str, text: str) -> Path:
    """Write a module, unless it is there."""
    path = code_folder() / f"{name}.py"
    if not path.exists() or path.read_bytes() != text.encode():
        with replacing(path) as draft:  # a concurrent first run sees no half-written module
            draft.write_text(text)
    return path


def code_folder() -> Path:
    """Directory in which compiled code is kept."""
    return _folder(cache_dir())


@cache
def _folder(chosen: Path) -> Path:
    """Take the cache directory, or a temporary one if it cannot be written."""
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=chosen):
            return chosen
    except OSError as problem:
        folder = Path(tempfile.mkdtemp(prefix="prophet_xr_"))
        logger.warning("cache directory %s: %s; using %s", chosen, problem.strerror, folder)
        return folder


def _imported(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
