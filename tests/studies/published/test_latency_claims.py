"""What the study says of latency."""

from prophet_xr.studies.published.latency_claims import latency_targets


def test_the_studys_numbers_come_from_its_claims():
    targets = latency_targets()
    assert (targets.free, targets.slow, targets.lower) == (1.25, 47.5, 37.5)
    assert targets.stated == ((0.875, 1.2), (0.95, 50))
