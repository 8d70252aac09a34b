import pytest


@pytest.fixture(scope="session")
def results(results_of):
    """Results of the published study, and those that it borrows."""
    return results_of("study")
