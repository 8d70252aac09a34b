from functools import cache

import pytest

from prophet_xr.studies.validation import engine_logs, offloading


@pytest.fixture(scope="session", autouse=True)
def predicted_once():
    """Predict every measured row once: the page and the tests read the same frames."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("memory_rows", "pools", "left_out", "exchange_rows", "decode_rows"):
            patch.setattr(engine_logs, name, cache(getattr(engine_logs, name)))
        yield


@pytest.fixture(scope="session")
def fetched():
    return offloading.fetched()
