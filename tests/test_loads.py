"""Loads: what is drawn has the moments asked for, presets fit what is published, files are read."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from prophet_xr.errors import InputError, SpecError
from prophet_xr.serving import distributions, loads, preset_loads, traces
from prophet_xr.serving.preset_loads import preset

MANY = 1_000_000
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
HEADS = {"azure": AZURE, "generic": "arrival,prompt,output\n"}


def shared(name: str) -> Path:
    """A real trace beside the checkout, where there is one."""
    for folder in Path(__file__).resolve().parents:
        if (found := folder / "shared" / "traces" / name).is_file():
            return found
    pytest.skip(f"the trace {name} is not in a folder shared/traces beside the checkout")


def cv(load: xr.Dataset) -> float:
    gaps = np.diff(load.arrival.values)
    return gaps.std() / gaps.mean()


# --- Drawn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 1.09, 2.28])
def test_gaps_have_the_rate_and_the_cv_asked_for(spread):
    load = loads.synthetic(MANY, 4.0, prompt=1, output=1, gaps=distributions.gamma(spread))
    assert loads.rate(load) == pytest.approx(4.0, rel=0.01)
    assert cv(load) == pytest.approx(spread, rel=0.01, abs=1e-9)


def test_a_poisson_process_has_exponential_gaps():
    gaps = np.sort(np.diff(loads.synthetic(MANY, 1.0, prompt=1, output=1).arrival.values))
    seen = (np.arange(gaps.size) + 0.5) / gaps.size
    assert abs(seen - (1 - np.exp(-gaps))).max() < 0.002  # Kolmogorov's distance


def test_gamma_gaps_at_a_cv_of_1_are_the_poisson_ones():
    shares = np.linspace(0, 0.999, 101)
    near = distributions.gamma(1 + 1e-9)(shares)
    assert distributions.gamma(1.0)(shares) == pytest.approx(near, rel=1e-6)


def test_a_lognormal_has_its_median_and_mean():
    load = loads.synthetic(
        MANY, 1.0, prompt=distributions.lognormal(1000, 0.8), output=distributions.fixed(7)
    )
    assert load.prompt.median() == pytest.approx(1000, rel=0.01)
    assert load.prompt.mean() == pytest.approx(1000 * math.exp(0.32), rel=0.01)
    assert (load.output == 7).all()


def test_quantiles_come_back():
    levels, values = [0, 0.5, 0.9, 1], [10, 100, 2000, 3000]
    load = loads.synthetic(
        MANY, 1.0, prompt=distributions.quantiles(levels, values), output=1, seed=3
    )
    assert load.prompt.quantile(levels[1:3]).values == pytest.approx(values[1:3], rel=0.01)
    assert load.prompt.mean() == pytest.approx(distributions.mean(levels, values), rel=0.01)
    assert load.prompt.min() >= 10
    assert load.prompt.max() <= 3000


def test_a_token_is_the_least():
    load = loads.synthetic(1000, 1.0, prompt=distributions.lognormal(1, 2), output=1)
    assert load.prompt.min() == 1


def test_same_seed_same_bytes_and_another_seed_other_requests():
    one, two, other = (preset("azure-conv", 1000, seed=s) for s in (5, 5, 6))
    for name in one:
        assert one[name].values.tobytes() == two[name].values.tobytes()
        assert (one[name] != other[name]).any()


def test_another_rate_only_stretches_time():
    slow, fast = (preset("azure-conv", 1000, rate=r) for r in (1.0, 4.0))
    assert (slow.prompt == fast.prompt).all()
    np.testing.assert_allclose(slow.arrival, 4 * fast.arrival, rtol=1e-12)
    np.testing.assert_allclose(loads.faster(slow, 4.0).arrival, fast.arrival, rtol=1e-12)
    assert loads.faster(slow, 4.0).arrival.attrs["units"] == "s"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: preset("azure"), "preset 'azure' is unknown; nearest: azure-co"),
        (lambda: preset("azure-conv", 0), "count=0; expected a whole number of requests, 1 to"),
        (lambda: preset("azure-conv", 2.5), "count=2.5; expected a whole number"),
        (lambda: preset("azure-conv", 10**9), "count=1000000000; expected"),
        (lambda: preset("azure-conv", rate=0.0), "rate=0.0; expected 1e-06 to"),
        (lambda: preset("azure-conv", rate=math.nan), "rate=nan; expected"),
        (lambda: preset("azure-conv", seed=-1), "seed=-1; expected a whole number from 0"),
        (lambda: preset("azure-conv", cv=-1), "CV of a gamma=-1; expected a number from 0 to 100"),
        (lambda: distributions.lognormal(0, 1), "median of a lognormal=0; expected"),
        (lambda: distributions.lognormal(1, math.inf), "spread of a lognormal=inf"),
        (lambda: distributions.fixed(math.nan), "fixed value=nan; expected"),
        (lambda: distributions.quantiles([0, 0.5], [1, 2]), "expected rising shares, 0 to 1"),
        (lambda: distributions.quantiles([0, 0, 1], [1, 2, 3]), "expected rising shares"),
        (lambda: distributions.quantiles([0, 1], [2, 1]), "at least 0 and never falling"),
        (lambda: distributions.quantiles([0, 1], [1, math.nan]), "at least 0 and never falling"),
        (lambda: distributions.quantiles([0, 1], [1]), "expected one for each of 2 levels"),
        (lambda: loads.faster(preset("reasoning", 2), 0), "factor=0; expected a positive number"),
        (lambda: loads.rate(loads.load([1.0], [1], [1])), "arrive at once"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


# --- Checked -------------------------------------------------------------------------------


def requests(**columns) -> xr.Dataset:
    plain = {"arrival": [0.0, 1.0], "prompt": [5, 6], "output": [1, 2], **columns}
    return xr.Dataset({n: ("request", v) for n, v in plain.items() if v is not None})


def test_a_load_gets_its_types_and_units():
    load = loads.checked(requests(arrival=[0, 1], prompt=np.array([5, 6], "i4"), priority=[2, -1]))
    assert {n: v.dtype.str for n, v in load.items()} == {
        "arrival": "<f8",
        "prompt": "<i8",
        "output": "<i8",
        "priority": "<i8",
    }
    assert load.prompt.attrs["units"] == "token"


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (requests(arrival=[1.0, 0.5]), "arrival=0.5 of request 1; expected sorted arrivals"),
        (requests(arrival=[-1.0, 0.5]), "arrival=-1.0 of request 0; expected 0 to 1e"),
        (requests(arrival=[0.0, math.nan]), "arrival=nan of request 1"),
        (requests(arrival=[0.0, math.inf]), "arrival=inf of request 1"),
        (requests(prompt=[0, 1]), "prompt=0 of request 0; expected 1 to 1,000,000,000"),
        (requests(output=[1, 0]), "output=0 of request 1"),
        (requests(output=[1, 2 * 10**9]), "output=2000000000 of request 1"),
        (requests(prompt=[1.5, 2.0]), "prompt of the load is of type float64; expected whole"),
        (requests(arrival=["a", "b"]), "arrival of the load is of type <U1; expected seconds"),
        (requests(output=None), "load has no 'output', only"),
        (requests().isel(request=slice(0)), "load holds 0 requests; expected 1 to"),
        (requests().rename(request="row"), "has dims \\('row',\\); expected \\('request',\\)"),
        ([1, 2], "load is a list; expected a Dataset over 'request'"),
    ],
)
def test_what_is_no_load_is_refused_in_one_line(load, message):
    with pytest.raises(InputError, match=message) as problem:
        loads.checked(load)
    assert "\n" not in str(problem.value)


# --- Presets -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_loads.presets())
def test_a_preset_fits_what_its_source_states(name):
    """Rate within 2 %, means within 3 %, medians and 99 % within 1 %, CV within 5 %."""
    load, stated = preset(name, MANY), preset_loads.presets()[name].published
    assert loads.rate(load) == pytest.approx(stated["rate"], rel=0.02)
    if "cv" in stated:
        assert cv(load) == pytest.approx(stated["cv"], rel=0.05)
    for length in ("prompt", "output"):
        have, want = load[length], stated[length]
        assert have.mean() == pytest.approx(want["mean"], rel=0.03)
        for level in (50, 99):
            if f"p{level}" in want:
                assert have.quantile(level / 100) == pytest.approx(want[f"p{level}"], rel=0.01)


def test_a_lognormal_would_miss_what_quantiles_keep():
    """Through the stated median and mean it has another 99 %, or does not exist."""
    missed = {}
    for name, row in preset_loads.presets().items():
        for length in ("prompt", "output"):
            stated = row.published[length]
            if "p50" not in stated:
                continue
            square = 2 * math.log(stated["mean"] / stated["p50"])
            if square < 0:
                missed[name, length] = None
                continue
            top = distributions.lognormal(stated["p50"], math.sqrt(square))(np.array(0.99))
            missed[name, length] = round(100 * (top.item() / stated["p99"] - 1))
    assert missed["azure-conv", "output"] == 116
    assert missed["azure-conv", "prompt"] == -21
    assert missed["mooncake-conv", "output"] is None


def test_every_number_of_a_preset_has_a_status():
    import tomllib

    rows = tomllib.loads(preset_loads.specs.path().with_name("loads.toml").read_text())
    for row in rows.values():
        for part in ("rate", "gaps", "prompt", "output"):
            assert row[part]["status"] in ("measured", "published", "assumed")


def test_a_broken_preset_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(preset_loads.specs, "path", lambda: tmp_path / "specs.nc")
    (tmp_path / "loads.toml").write_text("[one]\nrate = 3\n")
    preset_loads.presets.cache_clear()
    with pytest.raises(SpecError, match=r"loads.toml cannot be read"):
        preset("one")
    preset_loads.presets.cache_clear()


# --- Traces --------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("file", "name", "count"),
    [
        ("AzureLLMInferenceTrace_conv.csv", "azure-conv", 19_366),
        ("AzureLLMInferenceTrace_code.csv", "azure-code", 8_819),
        ("conversation_trace.jsonl", "mooncake-conv", 12_031),
    ],
)
def test_the_published_traces_have_what_is_stated_of_them(file, name, count):
    load, stated = traces.trace(shared(file)), preset_loads.presets()[name].published
    assert load.sizes["request"] == count
    assert loads.rate(load) == pytest.approx(stated["rate"], abs=0.005)
    for length in ("prompt", "output"):
        assert load[length].mean() == pytest.approx(stated[length]["mean"], abs=0.5)
        assert load[length].median() == stated[length]["p50"]
        assert load[length].quantile(0.99) == pytest.approx(stated[length]["p99"], abs=1)
    if "cv" in stated:
        assert cv(load) == pytest.approx(stated["cv"], rel=0.005)
