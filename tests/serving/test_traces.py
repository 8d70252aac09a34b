"""Traces: files in three formats are read, and what is no trace is refused in one line."""

import json
from pathlib import Path

import pytest
from servers import gap_variation

from prophet_xr.errors import InputError
from prophet_xr.serving import loads, preset_loads, traces

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "trace.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_an_azure_file(tmp_path):
    load = traces.trace(
        written(
            tmp_path,
            "\ufeff" + AZURE.strip() + "\r\n2023-11-16 18:15:46.6805900,374,44\r\n\r\n"
            "2023-11-16 18:15:50.9951690,396,109\r\n",
        )
    )
    assert load.arrival.values == pytest.approx([0, 4.314579], abs=1e-6)
    assert load.prompt.values.tolist() == [374, 396]
    assert load.output.values.tolist() == [44, 109]
    assert load.attrs["format"] == "azure"
    assert load.attrs["file"] == "trace.csv"
    assert "github.com/Azure/AzurePublicDataset" in load.attrs["source"]


def test_an_azure_file_with_a_zone_and_columns_in_another_order(tmp_path):
    text = (
        "GeneratedTokens,TIMESTAMP,ContextTokens\n9,2024-05-10 00:00:00.5+00:00,4\n"
        "8,2024-05-10 02:00:01+02:00,3\n"
    )
    load = traces.trace(written(tmp_path, text))
    assert load.arrival.values == pytest.approx([0, 0.5], abs=1e-6)
    assert load.prompt.values.tolist() == [4, 3]


def test_a_mooncake_file(tmp_path):
    rows = [{"timestamp": t, "input_length": 9, "output_length": 2} for t in (3000, 3000, 6001.5)]
    text = "\n".join(json.dumps({**row, "hash_ids": [1, 2]}) for row in rows)
    load = traces.trace(written(tmp_path, text))
    assert load.arrival.values == pytest.approx([0, 0, 3.0015])
    assert load.attrs["format"] == "mooncake"


def test_a_generic_file_with_priorities(tmp_path):
    text = 'id,arrival,prompt,output,priority\na,5,10,3,0\n"b", 5.25 ,11,4,-1\n'
    load = traces.trace(written(tmp_path, text))
    assert load.arrival.values.tolist() == [0, 0.25]
    assert load.priority.values.tolist() == [0, -1]


GOOD = "2023-11-16 18:15:46.68,374,44\n"
OBJECT = '{"timestamp": 0, "input_length": %s, "output_length": 1}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected one of azure \\(TIMESTAMP"),
        ("\n \n", "is empty"),
        ("a,b\n1,2\n", "starts with 'a,b'; expected one of azure"),
        (b"\x89PNG\r\n\x1a\n", "line 1: is no text in UTF-8"),
        (AZURE, "holds a header only; expected requests below it"),
        (AZURE + GOOD + "2023-11-16 18:15:46.68,374\n", "line 3: has 2 columns; expected 3"),
        (AZURE + "yesterday,1,1\n", "line 2: TIMESTAMP='yesterday'; expected a date and time"),
        (AZURE + GOOD + "2023-11-16 18:15:46,1,1\n", "line 3: TIMESTAMP is 0.68 s before the last"),
        (AZURE + GOOD + "2123-11-16 18:15:46,1,1\n", "line 3: TIMESTAMP is over 1e\\+09 s after"),
        (AZURE + "2023-11-16,0,1\n", "line 2: ContextTokens='0'; expected a whole number, 1 to"),
        (AZURE + "2023-11-16,1,\n", "line 2: GeneratedTokens=''; expected a whole number"),
        (AZURE + "2023-11-16,1_0,1\n", "ContextTokens='1_0'"),
        (AZURE + "2023-11-16,\u0661,1\n", "ContextTokens='\u0661'"),
        (AZURE + f"2023-11-16,{'9' * 5000},1\n", "ContextTokens='999.*\\.\\.\\.; expected"),
        ("arrival,prompt,output\n0,1,1\nnan,1,1\n", "line 3: arrival='nan'; expected a time from"),
        ("arrival,prompt,output\n0,1,1\ninf,1,1\n", "line 3: arrival='inf'"),
        ("arrival,prompt,output\n-1,1,1\n", "line 2: arrival='-1'"),
        ("arrival,prompt,output\n0,nan,1\n", "line 2: prompt='nan'"),
        ("arrival,prompt,output\n0,2000000000,1\n", "line 2: prompt='2000000000'"),
        ("arrival,prompt,output\n1,1,1\n0.5,1,1\n", "line 3: arrival is 0.5 s before the last"),
        ("arrival,prompt,output\n0,1,1\n\x00\x00,1,1\n", r"line 3: arrival='\\x00\\x00'"),
        ("arrival,prompt,output\n0,1,1\n" + "1" * 10**6, "line 3: over 65,536 bytes"),
        ("arrival,prompt,output,priority\n0,1,1,high\n", "line 2: priority='high'"),
        (OBJECT % 1 + "{", "line 2: is no JSON: '{'"),
        (OBJECT % 1 + "[]", "line 2: '\\[\\]'; expected an object with timestamp, input_length"),
        (OBJECT % 1 + "[" * 60_000, "line 2: is no JSON"),
        (OBJECT % "true", "line 1: input_length=True"),
        (OBJECT % "1.5", "line 1: input_length=1.5"),
        (OBJECT % ("9" * 10_000), "line 1: is no JSON"),
        (OBJECT % "null", "line 1: input_length=None"),
        ('{"timestamp": NaN, "input_length": 1, "output_length": 1}', "timestamp=nan; expected"),
        ('{"timestamp": 1e999, "input_length": 1, "output_length": 1}', "timestamp=inf"),
        ('{"timestamp": true, "input_length": 1, "output_length": 1}', "timestamp=True"),
        ('{"timestamp": [0], "input_length": 1, "output_length": 1}', "timestamp=\\[0\\]"),
        ('{"timestamp": 0, "input_length": 1}', "expected an object with"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, text, message):
    file = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as problem:
        traces.trace(file)
    assert str(problem.value).startswith(f"trace {file}")
    assert "\n" not in str(problem.value)
    assert len(str(problem.value)) < 400


def test_a_format_may_be_forced(tmp_path):
    file = written(tmp_path, AZURE + GOOD)
    assert traces.trace(file, "azure").sizes["request"] == 1
    with pytest.raises(InputError, match="line 1: has no column 'arrival'"):
        traces.trace(file, "generic")
    with pytest.raises(InputError, match="line 1: is no JSON"):
        traces.trace(file, "mooncake")
    with pytest.raises(InputError, match="format 'azur' is unknown; nearest: azure"):
        traces.trace(file, "azur")


@pytest.mark.parametrize("path", ["nowhere.csv", "/dev/zero", "/"])
def test_what_is_no_file_is_refused(path):
    with pytest.raises(InputError, match=f"trace {path} is no file"):
        traces.trace(path)


def test_a_file_of_nothing_but_lines_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(traces, "MOST", 100)
    with pytest.raises(InputError, match="has over 100 lines"):
        traces.trace(written(tmp_path, "\n" * 1000))


def published_trace(name: str) -> Path:
    """A published trace in a folder next to the checkout, where there is one."""
    for folder in Path(__file__).resolve().parents:
        if (file := folder / "shared" / "traces" / name).is_file():
            return file
    pytest.skip(f"the trace {name} is not in a folder shared/traces next to the checkout")


@pytest.mark.parametrize(
    ("file", "name", "count"),
    [
        ("AzureLLMInferenceTrace_conv.csv", "azure-conv", 19_366),
        ("AzureLLMInferenceTrace_code.csv", "azure-code", 8_819),
        ("conversation_trace.jsonl", "mooncake-conv", 12_031),
    ],
)
def test_the_published_traces_have_what_is_stated_of_them(file, name, count):
    load, stated = traces.trace(published_trace(file)), preset_loads.presets()[name].published
    assert load.sizes["request"] == count
    assert loads.rate(load) == pytest.approx(stated["rate"], abs=0.005)
    for length in ("prompt", "output"):
        assert load[length].mean() == pytest.approx(stated[length]["mean"], abs=0.5)
        assert load[length].median() == stated[length]["p50"]
        assert load[length].quantile(0.99) == pytest.approx(stated[length]["p99"], abs=1)
    if "cv" in stated:
        assert gap_variation(load) == pytest.approx(stated["cv"], rel=0.005)
