"""Run a study: make its results, then write every cube, table, figure and page of them.

A result is made once, when something first reads it; a study that borrows one of another study
makes no more of that study than the result depends on.  Every file is written next to its place
and renamed; nothing holds a time, so the same inputs give the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prophet_xr.engine.run import cores
from prophet_xr.files import write
from prophet_xr.reporting import figure_style
from prophet_xr.reporting.drawing_processes import leave_with_parent, start
from prophet_xr.reporting.listing import Listing, Part
from prophet_xr.reporting.markdown import markdown
from prophet_xr.reporting.study import Study
from prophet_xr.store import save

Tell = Callable[[str, int], None]
Studies = Mapping[str, Study]  # by command
FileTask = tuple[str, Callable[[], object]]  # a title, and what to call


def run(study: Study, studies: Studies, out: Path, tell: Tell, **options: Any) -> Path:
    """Make and write everything; ``tell(title, left)`` hears of each file.

    Returns the file that a reader begins with.
    """
    prepare = study.part("sweeps", "prepare")
    folder, given = prepare(out, **options) if prepare else (out / study.folder, {})
    results: dict[str, Any] = dict(given)
    drawn: dict[str, Future] = {}
    tell("sweeping", 0)
    with _drawing(study) as pool:
        for name in _made(study, studies, results):
            tell(f"made {name}", 0)
            drawn |= _begun(pool, study, results, folder, drawn) if pool else {}
        todo = _files(study, results, folder, drawn)
        left = len(todo) + len(drawn)
        for title, task in todo:
            tell(title, left)
            task()
            left -= 1
        for future in as_completed(drawn.values()):
            tell("figures", left)
            future.result()
            left -= 1
    tell("done", 0)
    return folder / study.report


def results_of(
    study: Study, studies: Studies, names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Make the results of a study that are named, or all, and what they depend on."""
    results: dict[str, Any] = {}
    for name in _names(study) if names is None else names:
        _make(name, study, studies, results)
    return results


# --- Results ---------------------------------------------------------------------------------


def _made(study: Study, studies: Studies, results: dict[str, Any]) -> Iterator[str]:
    """Make the results of a study in order, and name each once it is there."""
    for name in _names(study):
        if _make(name, study, studies, results):
            yield name


def _names(study: Study) -> list[str]:
    """Results that a study makes: its sweeps, what it borrows, and the paragraphs of its pages."""
    pages = _listing(study, "report", "PAGES").values()
    read = {name for page in pages for name in page.reads}
    paragraphs = [name for name in _listing(study, "report", "PARAGRAPHS") if name in read]
    return [*_sweeps(study), *study.borrows, *paragraphs]


def _make(name: str, study: Study, studies: Studies, results: dict[str, Any]) -> bool:
    """Make one result after those that it reads; False if there is nothing to make it of."""
    if name in results:
        return True
    owner = studies[study.borrows[name]] if name in study.borrows else study
    part = _sweeps(owner).get(name) or _listing(owner, "report", "PARAGRAPHS").get(name)
    if part is None or not all(_make(n, owner, studies, results) for n in part.reads):
        return False
    results[name] = part(*(results[n] for n in part.reads))
    return True


def _sweeps(study: Study) -> Listing:
    return _listing(study, "sweeps", "SWEEPS")


def _listing(study: Study, module: str, name: str) -> Listing:
    return study.part(module, name) or Listing()


# --- Files -----------------------------------------------------------------------------------


def _files(
    study: Study, results: dict[str, Any], folder: Path, drawn: Mapping[str, Future]
) -> list[FileTask]:
    """List what is to be written here, in order; pages are last, as they show the rest."""
    files = getattr(_sweeps(study), "files", {})
    todo: list[FileTask] = [
        (file, partial(save, results[name], folder / file))
        for name, file in files.items()
        if name in results
    ]
    figures = list(_listing(study, "figures", "FIGURES").bound(results))
    captions = {name: part.words(*values) for name, part, values in figures}
    results |= {"tables": {}, "figures": captions, "results": results}
    for name, part, values in _listing(study, "tables", "TABLES").bound(results):
        todo.append((name, partial(_table, part, values, folder / name, results["tables"], name)))
    for name, part, values in figures:
        if name not in drawn:
            todo.append((name, partial(_figure, part, values, folder / name)))
    for name, part, values in _listing(study, "report", "PAGES").bound(results):
        todo.append((name, partial(_page, part, values, folder / name)))
    return todo


def _table(part: Part, values: list[Any], path: Path, tables: dict[str, Any], name: str) -> None:
    """Write a table as CSV and Markdown, and keep it for the pages that show it."""
    frame = tables[name] = part(*values)
    write(path.with_suffix(".csv"), frame.to_csv(index=False, float_format="%.6g"))
    write(path.with_suffix(".md"), markdown(frame))


def _figure(part: Part, values: list[Any], path: Path) -> None:
    figure_style.save_figure(part(*values), path.parent, path.name)


def _page(part: Part, values: list[Any], path: Path) -> None:
    write(path, part(*values))


@contextmanager
def _drawing(study: Study) -> Iterator[Executor | None]:
    """Processes that draw, for a study whose figures are drawn apart."""
    if not study.draws_apart:
        yield None
        return
    with ProcessPoolExecutor(cores(), start(f"{study.package}.figures"), leave_with_parent) as pool:
        yield pool


def _begun(
    pool: Executor, study: Study, results: dict[str, Any], folder: Path, drawn: Mapping[str, Future]
) -> dict[str, Future]:
    """Begin to draw the figures whose results are there by now."""
    return {
        name: pool.submit(_figure, part, values, folder / name)
        for name, part, values in _listing(study, "figures", "FIGURES").bound(results)
        if name not in drawn
    }
