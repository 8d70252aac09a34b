"""What `prophet-xr simulate` writes: views of a simulation, tables, figures, sentences, files."""

import numpy as np
import pytest
import xarray as xr

from prophet_xr.errors import InputError
from prophet_xr.serving.loads import load
from prophet_xr.serving.preset_loads import preset
from prophet_xr.studies.serving_load import figures, report, run, sweeps, tables, views

CHOSEN = {"model": ["olmoe-1b-7b", "mixtral-8x7b"], "gpu": "H100-80GB", "policy": "on_demand"}


@pytest.fixture(scope="module")
def made() -> run.Cubes:
    """Two models, one of which fits with Prophet only."""
    return run.drawn(sweeps.server(**CHOSEN), "azure-conv", [0.5, 20.0], [0, 1], 300)()


def test_servers_have_the_defaults_of_their_card():
    data = sweeps.server(gpu=["A100-80GB", "H100-80GB", "L40S"], model="olmoe-1b-7b")
    assert data.max_sequences.values.tolist() == [256, 1024, 256]
    assert data.max_batched_tokens.values.tolist() == [2048, 8192, 2048]
    assert data.policy.values.tolist() == ["baseline", "prophet", "lru"]
    assert data.cache_slots.values.tolist() == [32]
    assert sweeps.server(policy="lru", max_sequences=8).max_sequences.item() == 8


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"plan": ["tp1", "tp2"]}, "inputs vary along plan; expected one plan"),
        ({"batch": 4}, "batch is what the load makes of it"),
        ({"model": "nope"}, "model='nope' is not in the catalogue"),
    ],
)
def test_servers_that_cannot_be_compared_are_refused(chosen, message):
    with pytest.raises(InputError, match=message):
        sweeps.server(**chosen)


def test_loads_at_several_rates_are_the_same_requests():
    drawn = sweeps.drawn("azure-conv", [1.0, 4.0], [0, 1], 50)
    assert drawn.arrival.dims == ("rate", "seed", "request")
    assert drawn.prompt.dims == ("seed", "request")
    same = preset("azure-conv", 50, rate=4.0, seed=1)
    np.testing.assert_allclose(drawn.arrival.sel(rate=4, seed=1), same.arrival)
    again = sweeps.replayed(load([0.0, 2.0, 4.0], [5, 6, 7], [1, 1, 1], file="x.csv"), [])
    assert again.rate.values.tolist() == [0.5]
    assert again.arrival.values.tolist() == [[0, 2, 4]]
    faster = sweeps.replayed(load([0.0, 2.0, 4.0], [5, 6, 7], [1, 1, 1], file="x.csv"), [1.0])
    assert faster.arrival.values.tolist() == [[0, 1, 2]]


def test_the_batch_that_is_not_exceeded():
    share = xr.DataArray([0.5, 0.2, 0.2, 0.1], {"batch": [0, 1, 2, 3]}, ["batch"])
    cube = xr.Dataset({"batch_share": share})
    np.testing.assert_allclose(views.busy(cube), [0.4, 0.4, 0.2])
    assert views.batch_below(cube, 0.8) == 2
    assert views.batch_below(cube, 0.81) == 3
    assert np.isnan(views.batch_below(0 * cube, 0.8))


def test_static_values_stand_beside_the_mean_under_the_load(made):
    """Each by hand from the distribution of the batch and the cube's own curve."""
    cube = made["served"].isel(seed=0)
    found = views.static_and_loaded(cube, "kv_extension").sel(model="olmoe-1b-7b", rate=20)
    row = cube.sel(model="olmoe-1b-7b", policy="prophet").isel(gpu=0)
    curve = row.kv_extension.sel(batch=slice(1, None))
    weights = views.busy(row.sel(rate=20))
    assert found.loaded.item() == pytest.approx((curve * weights).sum().item())
    assert found.alone.item() == curve.sel(batch=1).item()
    for view, policy in (("own", "prophet"), ("resident", "baseline")):
        batch = cube.batch_mean.sel(model="olmoe-1b-7b", policy=policy, rate=20).isel(gpu=0)
        assert found[view].item() == pytest.approx(curve.interp(batch=batch.item()).item())
    top = views.batch_below(row.sel(rate=20)).item()
    assert weights.sel(batch=slice(1, top)).sum() >= 0.99
    assert weights.sel(batch=slice(1, top - 1)).sum() < 0.99
    assert found.crowded.item() == pytest.approx(curve.sel(batch=top).item())


def test_the_mean_under_the_load_is_above_the_value_at_the_mean_batch(made):
    """And below that at batch 1: the extension falls, ever more slowly."""
    found = views.static_and_loaded(views.over_seeds(made["served"]), "kv_extension")
    ratio = (found.own / found.loaded).sel(model="olmoe-1b-7b")
    assert (ratio <= 1 + 1e-12).all()
    assert (found.alone >= found.loaded * (1 - 1e-12)).sel(model="olmoe-1b-7b").all()


def test_the_tightest_model_that_fits_is_shown(made):
    assert views.tight(made["served"]) == "olmoe-1b-7b"
    loaded = views.loaded(made["served"])
    assert set(np.unique(loaded)) <= set(made["served"].rate.values)
    none = made["served"].assign(attainment=0 * made["served"].attainment)
    assert (views.loaded(none) == 0.5).all()


def test_tables_hold_what_was_simulated(made):
    frame = tables.table1_service(made).set_index(["model", "policy", "asked [1/s]"])
    cell = made["served"].sel(model="olmoe-1b-7b", policy="prophet", rate=20).isel(gpu=0)
    row = frame.loc[("olmoe-1b-7b", "prophet", 20.0)]
    assert row["tokens/s"] == pytest.approx(cell.throughput.mean().item())
    assert row["TPOT p99 [ms]"] == pytest.approx(1e3 * cell.tpot.sel(quantile=0.99).mean().item())
    assert frame.loc[("mixtral-8x7b", "baseline", 20.0), "rejected"] == 300
    rates = tables.table3_capacity(made)
    own = made["capacity"].capacity.sel(policy="prophet")
    np.testing.assert_array_equal(rates["prophet [1/s]"], own.values.ravel())
    assert len(tables.table4_loads(made)) == 8


def test_the_report_says_what_the_numbers_say(made):
    text = report.report(made)
    assert "understates in 2" in text  # at Prophet's own mean batch, both rates
    assert "batch 1, the study's headline: overstates in 2" in text
    assert "in 2 cells of server and rate" in text
    for name, (cube, _) in {**tables.TABLES, **figures.FIGURES}.items():
        assert cube in made
        assert f"{name}." in text
    assert "nan" not in text.split("## Tables")[0]


def test_the_report_of_a_model_that_never_fits(made):
    only = {n: c.sel(model=["mixtral-8x7b"]) if "model" in c.dims else c for n, c in made.items()}
    none = {n: c.drop_sel(policy="on_demand") if "policy" in c.dims else c for n, c in only.items()}
    text = report.summary(none)
    assert "no cell in which both policies fit" in text
    assert "nan" not in text


def test_same_seed_same_files(made, tmp_path):
    told = []
    for folder in ("one", "two"):
        run.run(lambda: made, tmp_path / folder, lambda title, left: told.append(title))
    assert told[-1] == "done"
    names = sorted(f.name for f in (tmp_path / "one").iterdir())
    assert run.REPORT in names
    assert {"figure1_memory_over_time.pdf", "figure4_slo_capacity.png"} <= set(names)
    for name in names:
        if not name.endswith(".nc"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_trace_has_files_of_its_own(tmp_path):
    file = tmp_path / "My Trace.csv"
    file.write_text("arrival,prompt,output\n" + "".join(f"{n},200,20\n" for n in range(40)))
    data = sweeps.server(model="olmoe-1b-7b", gpu="H100-80GB", policy="lru")
    made = run.replayed(data, file)()
    assert set(made) == {"served"}
    assert run.folder(file.stem) == "my-trace"
    text = report.report(made)
    assert text.startswith("# Prophet under load: My Trace.csv")
    assert "prophet-xr simulate --trace My Trace.csv" in text
    assert "figure4" not in text
    titles = [title for title, _ in run.jobs(tmp_path, made)]
    assert "table1_service" in titles
    assert "table3_capacity" not in titles
