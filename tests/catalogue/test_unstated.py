"""Data that no config states comes from unstated.toml; a broken file is refused."""

from pathlib import Path

import pytest
from model_configs import GRANITE, LLAMA

from prophet_xr.catalogue import build, specs, unstated
from prophet_xr.catalogue.config import reader
from prophet_xr.errors import SpecError
from prophet_xr.registry import fields

FILE = Path(__file__).parents[2] / "data" / "unstated.toml"


def test_stated_and_unstated_fields_are_a_whole_row():
    row = reader.read_config(GRANITE)
    entries = unstated.entries(row)
    assert set(entries) == {q.name for q in fields("model")}
    for name, entry in entries.items():
        assert entry["status"] in specs.STATUSES
        assert (entry["status"] == "exact") == (name in row.fields)
        assert entry["source"]
        assert build.arithmetic(entry["value"]) == entry["number"], name


def test_each_rule_by_hand():
    entries = unstated.entries(reader.read_config(LLAMA))
    assert entries["study_activation"]["value"] == "0.01077 * 8030261248"
    assert entries["study_activation"]["number"] == 0.01077 * 8_030_261_248
    assert entries["cache_slots"]["number"] == 0  # a dense model
    assert entries["gamma"]["number"] == 1
    for experts, top_k, slots in ((40, 8, 10), (41, 8, 11), (40, 12, 12)):
        changed = {**GRANITE, "num_local_experts": experts, "num_experts_per_tok": top_k}
        assert unstated.entries(reader.read_config(changed))["cache_slots"]["value"] == str(slots)


def test_another_file_gives_other_numbers(tmp_path):
    file = tmp_path / "unstated.toml"
    file.write_text(FILE.read_text().replace("0.01077", "0.02"))
    entries = unstated.entries(reader.read_config(LLAMA), file)
    assert entries["study_activation"]["number"] == 0.02 * 8_030_261_248
    assert entries["study_activation"]["source"].startswith("0.02 B per parameter")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("per_parameter = 0.01077", "per_paramter = 0.01077"),
        ("per_parameter = 0.01077", ""),
        ("per_parameter = 0.01077", "per_parameter = 0.01077\nvalue = 1"),
        ('status = "stand-in"', 'status = "guessed"'),
        ('status = "stand-in"', ""),
        ("[study_activation]", "[[study_activation]"),
        ("value = 1.994", 'value = "two"'),
    ],
)
def test_a_broken_file_is_refused(old, new, tmp_path):
    text = FILE.read_text()
    assert old in text
    file = tmp_path / "unstated.toml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(SpecError, match=r"specs: .*unstated.toml cannot be read"):
        unstated.entries(reader.read_config(LLAMA), file)


def test_a_missing_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(specs, "path", lambda: tmp_path / "specs.nc")
    with pytest.raises(SpecError, match="cannot be read"):
        unstated.entries(reader.read_config(LLAMA))
