"""What the study claims, and what the cubes say to it."""

import dataclasses
import re
from math import isnan

import pandas as pd
import pytest

from prophet_xr.errors import InputError
from prophet_xr.studies.kv_extension import claim_verdicts
from prophet_xr.studies.published.claim_file import CLAIM_VERDICTS

REFUTED, CONVENTION = "refuted by the true architecture", "depends on the memory convention"
HITS = ("reproduced", "reproduced with a fitted constant", REFUTED, CONVENTION)
EXACT = {  # FORMULAS.md: "hit exactly" and the fitted numbers of the summary
    "averages": ["C002", "C003", "C004", "C010", "C035", "C036", "C034"],
    "groups": ["C081", "C085", "C089", "C096", "C100", "C104"],
    "savings": ["C005", "C006", "C008", "C009"],
    "savings by expert count": ["C079", "C083", "C087", "C091", "C094", "C098", "C102"],
    "dedup by expert count": ["C080", "C084", "C088", "C092", "C095", "C099", "C103"],
    "tokens": ["C064", "C065", "C066"],
    "expert memory": ["C180", "C181", "C182", "C183", "C184", "C185", "C186", "C187", "C188"],
    "Prophet's expert memory": ["C189", "C190", "C191", "C192", "C193", "C194", "C195", "C196"],
    "cells": ["C007", "C048", "C049", "C050", "C051", "C059", "C060"],
}
UNSAID = "not answerable by this sweep"


@pytest.fixture(scope="module")
def frame(results) -> pd.DataFrame:
    return results["claims"].set_index("id")


@pytest.fixture(scope="module")
def cubes(results) -> dict:
    """What claims are judged by."""
    return {name: results[name] for name in results.parts["claims"].reads}


@pytest.fixture
def judged(cubes, monkeypatch):
    """Judge one claim of the file with some fields changed."""

    def judge(name: str, **changed) -> pd.Series:
        one = next(c for c in claim_verdicts.published_claims() if c.id == name)
        monkeypatch.setattr(
            claim_verdicts, "published_claims", lambda: [dataclasses.replace(one, **changed)]
        )
        row = claim_verdicts.judge(cubes).iloc[0]
        monkeypatch.undo()
        return row

    return judge


def test_most_claims_are_answered_and_the_rest_say_why(frame):
    assert set(frame.verdict) <= set(CLAIM_VERDICTS)
    unanswered = frame[frame.verdict == UNSAID]
    assert len(frame) - len(unanswered) >= 200
    assert unanswered.reproduced.isna().all()
    assert frame.reason.str.len().min() > 10
    assert not frame.reason.str.contains(r"\bnan\b").any()


def test_the_summary_is_evaluated(frame):
    rows = frame[frame.document == "summary"]
    assert len(rows) == 33
    assert sorted(rows.index[rows.verdict == UNSAID]) == ["C028", "C032"]


@pytest.mark.parametrize("group", EXACT)
def test_numbers_that_the_formulas_give_are_hit(frame, group):
    by_id = {claim.id: claim for claim in claim_verdicts.published_claims()}
    for name in EXACT[group]:
        row, claim = frame.loc[name], by_id[name]
        assert row.verdict in HITS, name
        assert row.reproduced == pytest.approx(claim.value, abs=claim.tolerance[0] + 1e-6), name


def test_the_ends_of_ranges_are_hit(frame):
    assert frame.loc["C026", ["published", "reproduced"]].tolist() == ["0..0.76", "0..0.7645"]
    assert frame.loc["C219", "verdict"] == "reproduced"


def test_mixtral_needs_a_model_smaller_than_it_is(frame):
    row = frame.loc["C007"]
    assert row.verdict == REFUTED
    assert row.reproduced == pytest.approx(10.2, abs=0.05)
    assert isnan(row.verified)
    assert "does not fit A100-80GB in bf16" in row.reason


def test_a_zero_of_the_study_agrees_with_a_model_that_does_not_fit(frame):
    row = frame.loc["C038"]  # DeepSeek-V2: the study's 0.00x
    assert row.verdict == "reproduced"
    assert (row.reproduced, row.architecture, row.verified) == (0, 0, 0)


def test_the_best_expert_count_is_another_one_in_truth_and_depends_on_the_average(frame):
    row = frame.loc["C011"]
    found = (row.reproduced, row.architecture, row.verified, row.verdict)
    assert found == (64, 60, 60, REFUTED)
    said = row.reason.partition("Verified: ")[2]
    for count, average in ((60, "mean with no fit as 0"), (64, "mean"), (128, "median")):
        assert f"{count} by the {average}" in said


def test_an_average_is_the_claims_own_in_every_study(frame, verified):
    extension = verified.kv_extension.sel(policy="prophet")
    assert frame.loc["C034", "verified"] == pytest.approx(
        extension.fillna(0).mean().item(), rel=1e-5
    )
    large = extension.sel(model="switch-large-128").fillna(0).mean().item()
    assert frame.loc["C043", "verified"] == pytest.approx(large, rel=1e-5)


def test_what_only_the_memory_convention_decides_is_not_laid_to_the_architecture(frame, cubes):
    at = {"model": "qwen1.5-moe-a2.7b", "gpu": "V100-32GB", "batch": 64, "policy": "baseline"}
    fits = cubes["ladder"].fits.sel(at)
    assert [bool(fits.sel(step=s)) for s in ("published", "exact_kv", "bare")] == [0, 0, 1]
    assert frame.loc["C059", "verdict"] == CONVENTION
    assert "the study's charge for activations" in frame.loc["C059", "reason"]
    other_way = frame.loc["C054"]  # off at exact_kv, back within a tenth with usable memory
    assert abs(other_way.architecture - 1.1) > 0.11 > abs(other_way.verified - 1.1)
    assert other_way.verdict == CONVENTION
    assert "usable instead of nominal memory" in other_way.reason


def test_a_fit_says_which_models_fit_without_prophet_too(frame):
    assert "verified, all but Qwen2-57B-A14B" in frame.loc["C013", "reason"]


def test_offloading_is_judged_with_the_cells_in_which_it_holds(frame):
    pair, ratio = frame.loc["C030"], frame.loc["C029"]
    assert pair.verdict == ratio.verdict == "not reproduced"
    for study in ("reproduced", "verified"):
        prophet, fetched = map(float, pair[study].split(".."))
        assert 10 < prophet < fetched < 50
        assert 1 < ratio[study] < 2  # overlap can at most halve a step
    assert "1.2x holds with only a step's experts resident, in 0 of" in pair.reason
    assert "GB/s" in pair.reason
    assert re.search(r"in the same memory the ratio is 1\.\d\d at most", ratio.reason)


def test_the_studys_own_slowdowns_by_its_link_and_no_locality(cubes):
    """Published inputs: reuse is k / E, so (1 - k / E) of the experts read cross 10 GB/s."""
    cell = {"model": "mixtral-8x7b", "gpu": "A100-80GB", "batch": 1}
    own = cubes["offload"].sel({**cell, "study": "published"})
    moved = 0.75 * 32 * 2 * 234.88 / 1024 * 1e9
    base = own.step_time.sel(policy="baseline").item()
    assert own.reuse.sel(policy="on_demand").item() == pytest.approx(0.25)
    step = own.step_time.sel(policy="on_demand").item()
    assert step == pytest.approx(base + moved / 10e9, rel=1e-9)


def test_fitted_constants_are_named(frame):
    assert frame.loc["C070", "verdict"] == "reproduced with a fitted constant"
    assert "without those that were fitted" in frame.loc["C070", "reason"]


def test_an_average_says_how_many_cells_it_has(frame):
    said = "the baseline fits in 12 of 24 cells, where the mean is 2.385 and the median"
    assert said in frame.loc["C043", "reason"]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("C002", {"value": 2.2, "high": 2.2}),
        ("C005", {"value": 91.0, "high": 91.0}),
        ("C066", {"value": 4, "high": 4}),
        ("C011", {"value": 128, "high": 128}),
        ("C013", {"value": 0, "high": 0}),
        ("C031", {"batch": (32, 64)}),
    ],
)
def test_a_wrong_number_is_not_reproduced(frame, judged, name, changed):
    assert frame.loc[name, "verdict"] in HITS
    assert judged(name, **changed).verdict == "not reproduced"


def test_one_end_of_two_is_a_part(frame, judged):
    assert frame.loc["C219", "verdict"] == "reproduced"
    assert judged("C219", high=70.0).verdict == "reproduced in part"


def test_the_verdict_follows_the_cubes(cubes, frame):
    published = cubes["published"]
    steps = published.expand_dims(step=cubes["ladder"].step.values)
    swapped = claim_verdicts.judge({**cubes, "verified": published, "ladder": steps}).set_index(
        "id"
    )
    assert frame.loc["C007", "verdict"] == REFUTED
    assert swapped.loc["C007", "verdict"] == "reproduced with a fitted constant"
    assert not swapped.verdict.isin([REFUTED, CONVENTION]).any()


def test_the_summary_counts_every_claim(frame):
    counts = claim_verdicts.summary(frame)
    assert counts.to_numpy().sum() == len(frame)
    assert list(counts.columns) == list(CLAIM_VERDICTS)
    assert counts.loc["multi_gpu", UNSAID] == counts.loc["multi_gpu"].sum()


@pytest.mark.parametrize("name", ["unfitted", "ladder", "offload", "slowdowns_region"])
def test_a_missing_cube_is_refused(cubes, name):
    with pytest.raises(InputError, match=f"cubes lack '{name}'"):
        claim_verdicts.judge({n: cube for n, cube in cubes.items() if n != name})
