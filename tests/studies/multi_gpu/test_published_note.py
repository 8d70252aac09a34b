"""The study's note on several GPUs, by its rule and by physics."""

from prophet_xr.studies.multi_gpu.tables import TABLES


def test_the_note_comes_out_to_the_printed_digit(results):
    rule, _ = results["note_numbers"]
    printed = {"4xH100": (105.9, 679.2, 6.42), "8xA100": (171.4, 1263.2, 7.37)}
    printed |= {"10xA6000": (61.4, 823.5, 13.41)}
    for system, (all_, less, up) in printed.items():
        row = rule.sel(system=system)
        assert round(row.baseline_throughput.item(), 1) == all_
        assert round(row.prophet_throughput.item(), 1) == less
        assert round(row.multi_gpu_speedup.item(), 2) == up


def test_every_claim_of_the_note_has_a_verdict(results):
    frame = TABLES["table5_claims"](results["note_numbers"])
    assert len(frame) == 35
    assert frame.verdict.str.contains("by its rule; physics").all()
    by_id = frame.set_index("claim")
    assert by_id.loc["C280", "by its rule"] == 0  # the speed-up of the rule knows no count
    assert by_id.loc["C281", "by its rule"] == -1
