"""The README says what the code does."""

import doctest
from pathlib import Path

from prophet_xr.registry import metrics
from prophet_xr.terminal import catalogue_text

README = Path(__file__).parent.parent / "README.md"


def test_the_metric_table_is_current():
    text = README.read_text()
    start = text.index("-->", text.index("<!-- metrics:")) + 3
    assert text[start : text.index("<!-- end of metrics")].strip() == catalogue_text.metric_table()


def test_every_metric_has_a_formula_in_words():
    assert not [q.name for q in metrics() if not q.comment]


def test_the_examples_run():
    failed, tried = doctest.testfile(
        str(README), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert tried > 5
    assert not failed


def test_the_figure_and_links_exist():
    text = README.read_text()
    for target in ("outputs/claims.md", "outputs/verified/figure2_kv_extension_by_model.png"):
        assert target in text
        assert (README.parent / target).exists()
