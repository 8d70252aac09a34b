import pytest


@pytest.fixture(scope="session")
def results(results_of):
    """Results of the study."""
    return results_of("cluster")
