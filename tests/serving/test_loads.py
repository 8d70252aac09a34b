"""Loads: what is drawn has the moments asked for, and presets those that are published."""

import math

import numpy as np
import pytest
import xarray as xr
from servers import gap_variation

from prophet_xr.errors import InputError, SpecError
from prophet_xr.serving import distributions, loads, preset_loads
from prophet_xr.serving.preset_loads import preset

MANY = 1_000_000


# --- Drawn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 1.09, 2.28])
def test_gaps_have_the_rate_and_the_cv_asked_for(spread):
    load = loads.synthetic(MANY, 4.0, prompt=1, output=1, gaps=distributions.gamma(spread))
    assert loads.rate(load) == pytest.approx(4.0, rel=0.01)
    assert gap_variation(load) == pytest.approx(spread, rel=0.01, abs=1e-9)


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
    load = loads.checked_load(
        requests(arrival=[0, 1], prompt=np.array([5, 6], "i4"), priority=[2, -1])
    )
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
        loads.checked_load(load)
    assert "\n" not in str(problem.value)


# --- Presets -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_loads.presets())
def test_a_preset_fits_what_its_source_states(name):
    """Rate within 2 %, means within 3 %, medians and 99 % within 1 %, CV within 5 %."""
    load, stated = preset(name, MANY), preset_loads.presets()[name].published
    assert loads.rate(load) == pytest.approx(stated["rate"], rel=0.02)
    if "cv" in stated:
        assert gap_variation(load) == pytest.approx(stated["cv"], rel=0.05)
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
