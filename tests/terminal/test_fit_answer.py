"""What `prophet-xr fit` answers for one configuration."""

import pytest
from click.testing import CliRunner

import prophet_xr as px
from prophet_xr import cli, grid
from prophet_xr.catalogue.plans import USUAL
from prophet_xr.errors import InputError


def fit(text: str) -> str:
    return CliRunner().invoke(cli.cli, ["fit", *text.split()], catch_exceptions=False).output


def test_fit_draws_the_card_part_by_part():
    text = fit("mixtral-8x7b --gpu A100-80GB --plan tp2 --runtime vllm --context 32768")
    bars = [line.split() for line in text.splitlines() if "|" in line]
    assert [name for name, *_ in bars] == ["baseline", "prophet"]
    assert [end for _, _, *end in bars] == [["79.2", "GiB"]] * 2
    all_, less = (bar.rstrip("|") for _, bar, *_ in bars)
    assert len(all_) == len(less) == 60
    assert all_.count("E") == pytest.approx(60 * 42 / 79.25, abs=1)  # GiB: half of the experts
    assert less.count("E") == pytest.approx(all_.count("E") / 4, abs=1)  # two of eight
    assert all_.endswith("-" * 6)  # a tenth that the runtime leaves alone
    assert "What would serve it" not in text


def test_fit_takes_a_config_and_finds_the_largest_half_that_serves():
    text = fit("data/configs/olmoe-1b-7b.json --batch 4096 --context 4096")
    assert "olmoe on A100-80GB" in text
    assert "short by" in text
    line = next(line for line in text.splitlines() if "a batch of" in line)
    batch = int(line.split()[-1].replace(",", ""))
    chosen = {"model": "olmoe-1b-7b", "gpu": "A100-80GB", "policy": "prophet", "context": 4096}
    cube = grid.sweep(grid.inputs(**chosen, batch=[batch, 2 * batch]))
    assert cube.serves_context.values.tolist() == [True, False]


def test_what_fit_recommends_is_the_cheapest_that_serves():
    text = fit("deepseek-v3-671b --gpu H200 --precision fp8 --runtime vllm --context 8192")
    lines = {line[:15]: line.split() for line in text.splitlines()}
    data = {"model": "deepseek-v3-671b", "precision": "fp8", "runtime": "vllm", "batch": 1}
    data |= {"gpu": "H200", "context": 8192, "plan": list(USUAL), "policy": "baseline"}
    cube = grid.sweep(grid.inputs(**data))
    served = cube.plan[cube.serves_context].values.tolist()
    plan = lines["the fewest H200"][3]
    assert plan in served
    assert cube.n_gpus.sel(plan=plan) == cube.n_gpus.sel(plan=served).min() == 8
    for asked in (data, {k: v for k, v in data.items() if k != "plan"}):  # the usual ones then
        least = px.min_gpus(grid.inputs(**asked))
        assert (least["plan"].item(), least.min_gpus.item()) == (plan, 8)


def test_fit_refuses_two_models_and_none():
    for asked, problem in (("mixtral-8x7b --model x", "given twice"), ("", "needs a MODEL")):
        with pytest.raises(InputError, match=problem):
            fit(asked)
