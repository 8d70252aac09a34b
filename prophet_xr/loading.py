"""Generated modules: written to the user's cache directory, imported and compiled once."""

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

log = logging.getLogger("prophet_xr")


def cache_dir() -> Path:
    """Directory of generated modules: PROPHET_XR_CACHE, or the user's cache directory."""
    chosen = os.environ.get("PROPHET_XR_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else base / "prophet_xr"


def compiled(text: str, arguments: Iterable[object]) -> Any:
    """Return ``fill`` of a generated module, compiled for the types of its arguments.

    What an earlier run left in the cache directory is used; what cannot be read is made anew.
    """
    fill = _fill(text)
    if not fill.signatures:
        from numba import typeof

        types = tuple(map(typeof, arguments))
        try:
            fill.compile(types)
        except Exception as problem:  # a damaged file: of pickles anything may be raised
            if not _kept(fill.__module__):
                raise
            log.warning("cache of loop nest %s: %r; compiling it anew", fill.__module__, problem)
            _forget(fill.__module__)
            fill = _fill(text)
            fill.compile(types)
    return fill


@cache
def _fill(text: str) -> Any:
    """Import a generated module.

    It is named by the hash of its own text, so numba's disk cache of it can never be stale.
    """
    name = "nest_" + hashlib.sha256(text.encode()).hexdigest()[:16]
    path = _written(name, text)
    if not _kept(name):
        log.info("compiling loop nest %s (once; kept in %s)", name[5:], path.parent)
    return _imported(name, path).fill


def _written(name: str, text: str) -> Path:
    """Write a module, unless it is there."""
    path = _folder(cache_dir()) / f"{name}.py"
    if not path.exists() or path.read_text() != text:
        with replacing(path) as draft:  # a concurrent first run sees no half-written module
            draft.write_text(text)
    return path


def _kept(name: str) -> list[Path]:
    """Files that numba keeps of a module."""
    return list(_folder(cache_dir()).glob(f"__pycache__/{name}.*.nb[ci]"))


def _forget(name: str) -> None:
    for file in _kept(name):
        file.unlink(missing_ok=True)
    _fill.cache_clear()


@cache
def _folder(chosen: Path) -> Path:
    """Take the cache directory, or a temporary one if it cannot be written."""
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=chosen):
            return chosen
    except OSError as problem:
        folder = Path(tempfile.mkdtemp(prefix="prophet_xr_"))
        log.warning("cache directory %s: %s; using %s", chosen, problem.strerror, folder)
        return folder


def _imported(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
