"""A study as one value: its command, its report, and where its parts are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any


@dataclass(frozen=True)
class Option:
    """An option of a study's command: its flag, what kind of value it takes, and its help."""

    name: str
    help: str
    kind: str = "text"  # text, path, count or numbers


@dataclass(frozen=True)
class Study:
    """A folder of `prophet_xr.studies`, by what a command needs to know before it is imported.

    ``package``      its dotted name; the modules sweeps, tables, figures and report list its parts
    ``command``      what a user calls it; ``about`` is the help of the command
    ``report``       file that a reader begins with
    ``folder``       where its files are, below ``out``, the default of ``--out``
    ``borrows``      results that another study makes: their names, and its command
    ``axes``         axes that the command takes as options, next to ``options`` of its own
    ``draws_apart``  whether other processes draw its figures while it goes on: worth the start of
                     a process where figures take most of the time
    """

    package: str
    command: str
    about: str
    report: str
    folder: str = ""
    out: str = "outputs"
    borrows: Mapping[str, str] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    draws_apart: bool = False

    def part(self, module: str, name: str) -> Any:
        """What a module of the study calls ``name``; None where it has no such module or name."""
        full = f"{self.package}.{module}"
        return getattr(import_module(full), name, None) if find_spec(full) else None
