"""The report on many GPUs."""

from prophet_xr.studies.multi_gpu import report


def test_the_report_counts_the_models_of_the_sweep(results):
    cubes = [results[name] for name in ("scaling", "systems", "note_numbers")]
    assert "of 8 models" in report.report(*cubes, {}, {})
