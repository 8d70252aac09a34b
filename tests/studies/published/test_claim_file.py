"""The file of claims: what it holds, and what is refused of it."""

import pytest

from prophet_xr.catalogue import specs
from prophet_xr.errors import SpecError
from prophet_xr.studies.kv_extension import claim_verdicts
from prophet_xr.studies.published.claim_file import CLAIM_VERDICTS, RULES

HEAD = '[unanswerable]\nalpha = "given"\n'
CLAIM = """[[claim]]
id = "X1"
document = "d"
quote = "90.6%"
quantity = "expert_savings"
model = "deepseek-moe-16b"
batch = 1
unit = "%"
value = 90.6
tolerance = 0.05
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A claims.toml of the test's own, next to a specs.nc that is still the project's."""
    rows = {axis: specs.read(axis) for axis in ("model", "gpu")}
    monkeypatch.setattr(specs, "read", rows.__getitem__)
    monkeypatch.setattr(specs, "path", lambda: tmp_path / "specs.nc")
    return tmp_path / "claims.toml"


def test_every_published_claim_is_there_once():
    ids = [claim.id for claim in claim_verdicts.published_claims()]
    assert sorted(ids) == [f"C{n:03d}" for n in range(1, 282)]


def test_the_file_is_ascii_and_holds_no_result():
    text = specs.path().with_name("claims.toml").read_text()
    assert text.isascii()
    assert "recomputed" not in text
    assert "reproduced" not in text


def test_the_rules_name_every_verdict():
    assert all(verdict in RULES.replace("\n   ", " ") for verdict in CLAIM_VERDICTS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[claim", "cannot be read"),
        ("", "cannot be read"),
        (HEAD + "claim = 3", "cannot be read"),
        (HEAD + CLAIM + CLAIM, "holds 'X1' twice"),
        (HEAD + CLAIM.replace('unit = "%"\n', ""), "unit is missing"),
        (HEAD + CLAIM.replace("value = 90.6", 'value = "90.6"'), "value='90.6'; expected float"),
        (HEAD + CLAIM.replace("batch = 1", "batch = true"), "batch=True; expected"),
        (
            HEAD + CLAIM.replace("tolerance = 0.05", "tolerance = []"),
            "tolerance=.*; expected tuple",
        ),
        (HEAD + CLAIM.replace('"%"', '"percent"'), "unit 'percent' is unknown"),
        (HEAD + CLAIM.replace("deepseek-moe-16b", "deepseek-16b"), "nearest: deepseek-moe-16b"),
        (HEAD + CLAIM.replace("expert_savings", "savngs"), "quantity 'savngs' is unknown"),
        (HEAD + CLAIM + "colour = 1", "field 'colour' is unknown"),
        (HEAD + CLAIM.replace("90.6%", "90.6 \u2030"), "cannot be read"),
    ],
)
def test_a_broken_file_is_refused(file, text, said):
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=said):
        claim_verdicts.published_claims()


def test_a_missing_file_is_refused(file):
    with pytest.raises(SpecError, match="cannot be read"):
        claim_verdicts.published_claims()


def test_a_sound_file_is_read(file):
    file.write_text(HEAD + CLAIM)
    (claim,) = claim_verdicts.published_claims()
    assert (claim.model, claim.batch, claim.high) == (("deepseek-moe-16b",), (1,), 90.6)
