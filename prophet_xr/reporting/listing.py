"""What a study is made of, each part listed where it is written: results, tables, figures, pages.

A part is a function, and the names of its arguments are the results that it reads, as the
arguments of a metric are what it reads.  Its name is the name of its file, and the first line of
its docstring the title under which a report shows it.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, TypeVar

Results = Mapping[str, Any]
Caption = Callable[..., str] | str
F = TypeVar("F", bound=Callable)


@dataclass(frozen=True)
class Part:
    """One function of a study, with the results that it reads.

    ``title``    the first line of its docstring
    ``caption``  of a figure: what a reader must know to read it, where the title is not enough
    """

    make: Callable
    title: str
    reads: tuple[str, ...]
    caption: Caption = ""

    def __call__(self, *values: Any) -> Any:
        """Make it from the results that it reads, in their order."""
        return self.make(*values)

    def words(self, *values: Any) -> str:
        """Caption, from the results that it reads."""
        return self.caption(*values) if callable(self.caption) else self.caption


class Listing(dict[str, Part]):
    """Parts by name, in the order in which they are declared.

    With ``each``, a part that reads ``cube`` is made of each of the results so named, in a folder
    of that name.
    """

    def __init__(self, each: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.each = each

    def part(self, function: F) -> F:
        """List a function under its own name; TypeError without a docstring, which is its title."""
        self.declare(function.__name__, function)
        return function

    def named(self, name: str) -> Callable[[Callable], Callable]:
        """List a function under the name of the file that it fills."""

        def register(function: Callable) -> Callable:
            self.declare(name, function)
            return function

        return register

    def declare(self, name: str, function: Callable, caption: Caption = "") -> None:
        """List a function under a name; TypeError without a docstring, which is its title."""
        title = (inspect.getdoc(function) or "").partition("\n")[0]
        if not title:
            raise TypeError(f"{name} has no docstring; expected its title in the first line")
        self[name] = Part(function, title, tuple(inspect.signature(function).parameters), caption)

    def bound(self, results: Results) -> Iterator[tuple[str, Part, list[Any]]]:
        """Name of the file, part and what it reads, for each part whose results are there.

        A result is lacking where the choice of the user has none: a trace has no capacity.
        """
        for name, part in self.items():
            for cube in self.each if self.each and "cube" in part.reads else ("",):
                reads = [cube if cube and n == "cube" else n for n in part.reads]
                if all(n in results for n in reads):
                    file = f"{cube}/{name}" if cube else name
                    yield file, part, [results[n] for n in reads]


class Sweeps(Listing):
    """Results by name; those of `saved` are cubes with a file of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, str] = {}

    def saved(self, function: Callable | None = None, *, file: str = "") -> Any:
        """List a cube that is saved, as ``{name}.nc`` or under the name given."""
        if function is None:
            return partial(self.saved, file=file)
        self.files[function.__name__] = file or f"{function.__name__}.nc"
        return self.part(function)


class Figures(Listing):
    """Figures by name, each drawn in the style of the project.

    ``check``  is called with what a figure reads, and raises where that cannot be drawn
    """

    def __init__(self, each: tuple[str, ...] = (), check: Callable[..., None] | None = None):
        super().__init__(each)
        self.check = check

    def figure(self, draw: Callable | None = None, *, caption: Caption = "") -> Any:
        """List a figure; its caption is text, or a function of what the figure reads.

        Raises TypeError for a figure without a docstring, whose first line is its title.
        """
        if draw is None:
            return partial(self.figure, caption=caption)

        @wraps(draw)
        def styled(*values: Any) -> Any:
            from prophet_xr.reporting.figure_style import style

            if self.check:
                self.check(*values)
            with style():
                return draw(*values)

        self.declare(draw.__name__, styled, caption)
        return styled
