"""Parts are listed where they are written, and read the results that their arguments name."""

import pytest
from matplotlib import rcParams

from prophet_xr.reporting.figure_style import STYLE
from prophet_xr.reporting.listing import Figures, Listing, Sweeps
from prophet_xr.studies import STUDIES


@pytest.fixture
def tables() -> Listing:
    listing = Listing()

    @listing.part
    def table2_costs(costs, models):
        """What each model costs.

        Reads costs.
        """
        return costs * models

    @listing.named("table1.md")
    def page(costs):
        """The costs."""
        return f"costs {costs}"

    return listing


def test_a_part_has_a_name_a_title_and_what_it_reads(tables):
    part = tables["table2_costs"]
    assert (part.title, part.reads) == ("What each model costs.", ("costs", "models"))
    assert part(2, 3) == part.make(2, 3) == 6


def test_parts_keep_the_order_of_their_declaration(tables):
    assert list(tables) == ["table2_costs", "table1.md"]


def test_a_part_is_bound_to_the_results_that_its_arguments_name(tables):
    results = {"models": 3, "other": 0, "costs": 2}
    bound = list(tables.bound(results))
    assert [(name, values) for name, _, values in bound] == [
        ("table2_costs", [2, 3]),
        ("table1.md", [2]),
    ]
    assert [part(*values) for _, part, values in bound] == [6, "costs 2"]


def test_a_part_of_which_a_result_is_missing_is_skipped(tables):
    assert [name for name, *_ in tables.bound({"costs": 2})] == ["table1.md"]
    assert not list(tables.bound({"models": 3}))


def test_without_each_a_cube_is_a_result_like_any_other():
    tables = Listing()

    @tables.part
    def table1_costs(cube):
        """What each model costs."""

    ((name, _, values),) = tables.bound({"cube": 4})
    assert (name, values) == ("table1_costs", [4])


def test_with_each_a_part_is_made_of_every_result_so_named():
    tables = Listing(each=("published", "verified", "absent"))

    @tables.part
    def table1_costs(cube, models):
        """What each model costs."""

    @tables.part
    def table2_models(models):
        """Models, whatever the study."""

    results = {"published": 1, "verified": 2, "models": 3, "cube": 4}
    bound = [(name, values) for name, _, values in tables.bound(results)]
    assert bound == [
        ("published/table1_costs", [1, 3]),
        ("verified/table1_costs", [2, 3]),
        ("table2_models", [3]),
    ]


@pytest.mark.parametrize("listed", [Listing().part, Sweeps().saved, Figures().figure])
def test_a_part_without_a_docstring_is_refused(listed):
    def untold(costs):
        pass

    with pytest.raises(TypeError, match="untold has no docstring; expected its title"):
        listed(untold)


def test_a_caption_is_no_title():
    def untold(costs):
        pass

    with pytest.raises(TypeError, match="untold has no docstring"):
        Figures().figure(caption="A mark is a model.")(untold)


# --- Sweeps ----------------------------------------------------------------------------------


def test_cubes_have_a_file_and_other_results_have_none():
    sweeps = Sweeps()

    @sweeps.saved
    def costs():
        """Costs."""
        return 2

    @sweeps.saved(file="moments/fit.nc")
    def fit(costs):
        """Moments."""
        return costs + 1

    @sweeps.part
    def verdict(fit):
        """A verdict."""

    assert sweeps.files == {"costs": "costs.nc", "fit": "moments/fit.nc"}
    assert list(sweeps) == ["costs", "fit", "verdict"]
    assert fit(costs()) == sweeps["fit"](2) == 3


# --- Figures ---------------------------------------------------------------------------------


def test_a_figure_is_drawn_in_the_style_of_the_project():
    figures = Figures()

    @figures.figure
    def figure1_costs(costs):
        """Costs."""
        return costs, rcParams["font.size"], rcParams["font.family"]

    before = rcParams["font.size"]
    styled = (2, STYLE["font"]["size"], [STYLE["font"]["family"]])
    assert figures["figure1_costs"](2) == figure1_costs(2) == styled
    assert figures["figure1_costs"].reads == ("costs",)
    assert rcParams["font.size"] == before != styled[1]


def test_what_cannot_be_drawn_is_refused_before_it_is():
    def refuse(costs):
        raise ValueError(f"no {costs}")

    figures = Figures(check=refuse)

    @figures.figure
    def figure1_costs(costs):
        """Costs."""
        pytest.fail("it is drawn")

    with pytest.raises(ValueError, match="no costs"):
        figures["figure1_costs"]("costs")


def test_a_caption_is_text_or_a_function_of_what_the_figure_reads():
    figures = Figures()

    @figures.figure
    def figure1(costs):
        """Costs."""

    @figures.figure(caption="A mark is a model.")
    def figure2(costs):
        """Costs."""

    @figures.figure(caption=lambda costs: f"Of {costs} models.")
    def figure3(costs):
        """Costs."""

    assert [part.words(4) for part in figures.values()] == [
        "",
        "A mark is a model.",
        "Of 4 models.",
    ]


# --- Studies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.command)
def test_every_part_of_a_study_reads_what_the_study_has(study):
    """A misspelt argument would be a part that nothing ever makes."""

    def listing(module, name):
        return study.part(module, name) or Listing()

    sweeps, paragraphs = listing("sweeps", "SWEEPS"), listing("report", "PARAGRAPHS")
    given = {"simulate": {"server", "load", "loads"}, "validation": {"present"}}
    known = {*sweeps, *paragraphs, *study.borrows, *given.get(study.command, ())}
    shown = {"tables", "figures", "results"}
    for kind in ("tables", "figures"):
        for name, part in listing(kind, kind.upper()).items():
            assert {n for n in part.reads if n != "cube"} <= known, name
    for name, part in {**sweeps, **paragraphs}.items():
        assert set(part.reads) <= known, name
    for name, part in listing("report", "PAGES").items():
        assert {n for n in part.reads if n != "cube"} <= known | shown, name
    assert study.report in listing("report", "PAGES")
    for name, command in study.borrows.items():
        lender = STUDIES[command]
        lent = {**(lender.part("sweeps", "SWEEPS") or {})}
        lent |= lender.part("report", "PARAGRAPHS") or {}
        assert name in lent, name
