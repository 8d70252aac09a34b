from pathlib import Path

import pytest

from prophet_xr.studies.serving_load import sweeps


@pytest.fixture(scope="session")
def options() -> dict:
    """Two models, one of which fits with Prophet only."""
    models = ["olmoe-1b-7b", "mixtral-8x7b"]
    axes = {"model": models, "gpu": "H100-80GB", "policy": "on_demand"}
    load = {"preset": "azure-conv", "rate": [0.5, 20.0], "seed": [0, 1], "requests": 300}
    return {"axes": axes, **load}


@pytest.fixture(scope="session")
def results(results_of, options):
    """Results of these."""
    _, given = sweeps.prepare(Path(), **options)
    return results_of("simulate", given).complete()
