"""A simulation that several test files of this room read."""

import pandas as pd
import pytest
import servers
import xarray as xr

import prophet_xr as px
from prophet_xr import serving


@pytest.fixture(scope="session")
def two_rates() -> xr.Dataset:
    """The same requests at a low and at a high rate."""
    rates = [2.0, 20.0]
    loads = [serving.preset("azure-conv", 600, rate=rate, seed=1) for rate in rates]
    return xr.concat(loads, pd.Index(rates, name="rate"))


@pytest.fixture(scope="session")
def simulation(two_rates) -> xr.Dataset:
    """Three policies and two models under both rates."""
    return px.simulate(px.inputs(**servers.TWO_MODELS, policy=servers.POLICIES), two_rates)
