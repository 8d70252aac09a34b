"""The commands: what they print, and how they refuse."""

import subprocess
import sys

import pytest
import xarray as xr


def run(*arguments, cwd=None):
    command = [sys.executable, "-W", "error", "-m", "prophet_xr", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_help_lists_the_commands():
    shown = run("--help")
    assert shown.returncode == 0
    for command in (
        "study",
        "sweep",
        "fit",
        "specs",
        "claims",
        "offload",
        "simulate",
        "sensitivity",
        "validation",
    ):
        assert command in shown.stdout


def test_help_imports_nothing_heavy():
    heavy = ("xarray", "numba", "numpy")
    code = f"import sys, prophet_xr.cli; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_fit_answers_without_numba(tmp_path):
    code = (
        "import sys; sys.argv = ['x', 'fit', '--model', 'mixtral-8x7b', '--context', '8192']\n"
        "from prophet_xr.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('numba' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "weights exceed memory" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "False"


def test_sweep_writes_a_cube(tmp_path):
    shown = run(
        "sweep",
        "--model",
        "olmoe-1b-7b",
        "--gpu",
        "A100-80GB,H200",
        "--batch",
        "1,2",
        "--set",
        "software_floor=0,0.005",
        "--out",
        str(tmp_path),
    )
    assert shown.returncode == 0, shown.stderr
    with xr.open_dataset(tmp_path / "cube.nc") as cube:
        assert dict(cube.step_time.sizes) == {
            "policy": 2,
            "gpu": 2,
            "batch": 2,
            "software_floor": 2,
        }


def test_specs_list_and_show():
    assert "mixtral-8x7b" in run("specs").stdout
    shown = run("specs", "show", "mixtral-8x7b").stdout
    assert "32 layers x 8 experts x 3 x 4096 x 14336" in shown
    assert "45,097,156,608" in shown
    assert "46,702,792,704" in shown
    assert "datasheet" in run("specs", "show", "H200").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "--model", "mixtral"), "model='mixtral' is not in the catalogue; nearest"),
        (("fit",), "fit needs a MODEL"),
        (("fit", "--model", "olmoe-1b-7b", "--batch", "1,2"), "fit takes one value of batch"),
        (("sweep", "--batch", "0"), "batch=0 is outside"),
        (("sweep", "--batch", "x"), "'x' is no number"),
        (("sweep", "--batch", ","), "batch=[] is empty"),
        (("sweep", "--hit-rate", "nan"), "hit_rate=nan is outside"),
        (("sweep", "--metric", "speed"), "metric 'speed' is unknown"),
        (("sweep", "--set", "hit_rate"), "expected NAME=VALUE"),
        (
            ("specs", "show", "mixtral-8x7"),
            "is in no group of the catalogue; nearest: mixtral-8x7b",
        ),
        (("specs", "build", "--data", "nowhere"), "cannot be read"),
        (("simulate", "--trace", "nowhere.csv"), "trace nowhere.csv is no file; expected one of"),
        (("simulate", "--trace", "x.csv", "--seed", "1"), "--trace is a load itself"),
        (("simulate", "--preset", "azure"), "preset 'azure' is unknown; nearest: azure-co"),
        (("simulate", "--rate", "0", "--requests", "9"), "factor=0; expected a positive number"),
        (("simulate", "--plan", "tp1,tp2"), "inputs vary along plan; expected one plan"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, message, tmp_path):
    shown = run(*arguments, cwd=tmp_path)
    assert shown.returncode == 2
    assert message in shown.stderr
    assert shown.stderr.startswith("error: ")
    assert len(shown.stderr.strip().splitlines()) == 1
    assert not shown.stdout


def test_validation_writes_its_part_of_a_file(tmp_path):
    file = tmp_path / "validation.md"
    shown = run("validation", "--file", str(file))
    assert shown.returncode == 0, shown.stderr
    assert file.read_text().startswith("<!-- laws: generated")
    file.write_text("<!-- end of laws -->")
    assert run("validation", "--file", str(file)).returncode == 2


def test_simulate_replays_a_trace(tmp_path):
    trace = tmp_path / "one.csv"
    trace.write_text("arrival,prompt,output\n0,100,10\n1,200,20\n")
    shown = run(
        *("simulate", "--trace", str(trace), "--model", "olmoe-1b-7b", "--gpu", "H100-80GB"),
        *("--rate", "1,2", "--policy", "lru", "--out", str(tmp_path)),
    )
    assert shown.returncode == 0, shown.stderr
    assert f"start with {tmp_path}/simulate/one/UNDER_LOAD.md" in shown.stdout
    with xr.open_dataset(tmp_path / "simulate" / "one" / "served.nc") as served:
        assert served.rate.values.tolist() == [1, 2]
        assert served.policy.values.tolist() == ["baseline", "prophet", "lru"]
        assert (served.finished == 2).all()


def test_a_failing_disk_is_exit_1(tmp_path):
    (tmp_path / "file").write_text("")
    shown = run(
        "sweep",
        "--model",
        "olmoe-1b-7b",
        "--gpu",
        "H200",
        "--batch",
        "1",
        "--out",
        str(tmp_path / "file" / "below"),
    )
    assert shown.returncode == 1
    assert shown.stderr.startswith("error: ")
