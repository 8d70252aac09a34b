"""The README and the pages under docs/ say what the code does."""

import doctest
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import prophet_xr as px
from prophet_xr import cli, grid
from prophet_xr.engine import codegen, nests
from prophet_xr.engine.limits import Limits
from prophet_xr.registry import QUANTITIES, required
from prophet_xr.terminal import catalogue_text

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
GENERATED = {"metrics": catalogue_text.metrics_page, "inputs": catalogue_text.inputs_page}
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#]+)(#[^)]*)?\)")
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def named(pages):
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder that looks like a checkout, where examples may write."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", GENERATED)
def test_the_generated_pages_are_current(name):
    printed = CliRunner().invoke(cli.cli, [name])
    assert printed.output == GENERATED[name]() + "\n"
    assert (DOCS / f"{name}.md").read_text() == printed.output, f"run `make docs`: {name}"


def test_every_quantity_is_on_its_page():
    text = {name: (DOCS / f"{name}.md").read_text() for name in GENERATED}
    for q in QUANTITIES.values():
        assert f"\n| `{q.name}` |" in text["metrics" if q.formula else "inputs"], q.name


@named([page for page in PAGES if ">>> " in page.read_text()])
def test_the_python_examples_run(page, checkout):
    failed, _ = doctest.testfile(str(page), module_relative=False, optionflags=FLAGS)
    assert not failed


@named([page for page in PAGES if CONSOLE.search(page.read_text())])
def test_the_commands_print_what_the_page_shows(page, checkout):
    for block in CONSOLE.findall(page.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, expected = part.replace("\\\n", " ").split("\n", 1)
            program, *arguments = shlex.split(command, comments=True)
            assert program == "prophet-xr"
            shown = CliRunner().invoke(cli.cli, arguments)
            assert shown.exit_code == 0, (command, shown.exception)
            checker = doctest.OutputChecker()
            assert checker.check_output(expected, shown.output, FLAGS), shown.output


@named(PAGES)
def test_no_python_is_shown_that_is_not_run(page):
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        assert block.startswith(">>> "), block


@named(PAGES)
def test_the_links_lead_somewhere(page):
    for target, _ in LINK.findall(page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_page_is_linked_from_the_readme():
    linked = {target for target, _ in LINK.findall((ROOT / "README.md").read_text())}
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= linked


def test_the_readme_is_short_and_its_commands_are_targets():
    text = (ROOT / "README.md").read_text()
    assert len(text.encode()) <= 10_000
    targets = re.findall(r"^make (\w+)", text, re.MULTILINE)
    assert targets == ["study", "test"]
    for target in targets:
        assert f"\n{target}: .venv\n" in (ROOT / "Makefile").read_text()


def test_every_command_has_a_row():
    text = (DOCS / "commands.md").read_text()
    for name in cli.cli.commands:
        assert f"| `prophet-xr {name}" in text, name


def test_the_generated_code_is_what_the_page_shows():
    wanted = ["fits", "kv_extension"]
    data = px.inputs(model=["mixtral-8x7b", "olmoe-1b-7b"], gpu=["A100-80GB", "H200"], batch=1)
    need = required(wanted)
    full = grid.complete(data, need)
    plan = nests.nests(full, need, wanted, nests.dim_order(full), "float64", Limits())
    text = (DOCS / "architecture.md").read_text()
    shown = text.split("<!-- nest: fits, kv_extension -->\n\n```text\n")[1].split("```")[0]
    assert shown == codegen.source(plan[-1])


def test_the_tree_names_every_module():
    tree = (DOCS / "architecture.md").read_text().split("## Tree")[1].split("## How")[0]
    words = set(re.findall(r"\w+", tree))
    package = ROOT / "prophet_xr"
    files = [f for f in package.rglob("*.py") if package / "studies" not in f.parents]
    studies = [f for f in (package / "studies").iterdir() if f.is_dir() and f.name[0] != "_"]
    names = {f.stem for f in [*files, *studies]} | {f.parent.name for f in files}
    assert not names - words - {"__init__", "prophet_xr"}
