"""The commands: what they print, and how they refuse."""

import logging
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import xarray as xr
from click.testing import CliRunner

from prophet_xr import cli
from prophet_xr.errors import InputError
from prophet_xr.studies import STUDIES


def run(*arguments, cwd=None):
    """Run a command in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "prophet_xr", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run a command in this process, and in an empty folder."""
    monkeypatch.chdir(tmp_path)
    level, handler = logging.getLogger("prophet_xr").level, signal.getsignal(signal.SIGTERM)

    def main(*arguments):
        monkeypatch.setattr(sys, "argv", ["prophet-xr", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        shown = capsys.readouterr()
        return SimpleNamespace(returncode=end.value.code, stdout=shown.out, stderr=shown.err)

    yield main
    logging.getLogger("prophet_xr").setLevel(level)
    signal.signal(signal.SIGTERM, handler)


# --- Help ------------------------------------------------------------------------------------


def test_help_lists_the_commands():
    shown = run("--help")
    assert shown.returncode == 0
    for command in ("sweep", "fit", "specs", "claims", "metrics", "inputs", *STUDIES):
        assert f"\n  {command} " in shown.stdout


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.command)
def test_a_study_has_a_command_with_its_help(study):
    shown = CliRunner().invoke(cli.cli, [study.command, "--help"])
    assert shown.exit_code == 0
    text = " ".join(shown.output.split())
    assert study.about in text
    assert f"[default: {study.out}]" in text
    for option in study.options:
        assert f"--{option.name} " in text
        assert option.help in text
    for axis in study.axes:
        assert f"--{axis.replace('_', '-')} V[,V...]" in text


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("cli", ("xarray", "numba", "numpy", "matplotlib")),
        ("studies", ("xarray", "numba", "numpy", "matplotlib", "seaborn", "pandas")),
    ],
)
def test_help_imports_nothing_heavy(module, heavy):
    code = f"import sys, prophet_xr.{module}; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


# --- Answers ---------------------------------------------------------------------------------


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
        *("sweep", "--model", "olmoe-1b-7b", "--gpu", "A100-80GB,H200", "--batch", "1,2"),
        *("--set", "software_floor=0,0.005", "--out", str(tmp_path)),
    )
    assert shown.returncode == 0, shown.stderr
    with xr.open_dataset(tmp_path / "cube.nc") as cube:
        sizes = {"policy": 2, "gpu": 2, "batch": 2, "software_floor": 2}
        assert dict(cube.step_time.sizes) == sizes


def test_specs_list_and_show(call):
    assert "mixtral-8x7b" in call("specs").stdout
    shown = call("specs", "show", "mixtral-8x7b").stdout
    assert "32 layers x 8 experts x 3 x 4096 x 14336" in shown
    assert "45,097,156,608" in shown
    assert "46,702,792,704" in shown
    assert "datasheet" in call("specs", "show", "H200").stdout


# --- Studies ---------------------------------------------------------------------------------


def test_validation_writes_its_part_of_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr("prophet_xr.studies.validation.report.laws_part", lambda: "the part")
    shown = CliRunner().invoke(cli.cli, ["validation", "--out", str(tmp_path)])
    assert shown.exit_code == 0
    page = tmp_path / "validation.md"
    assert shown.stdout == f"wrote {tmp_path}/; start with {page}\n"
    assert "done" in shown.stderr
    assert page.read_text() == "the part\n"
    page.write_text("<!-- end of laws -->")
    with pytest.raises(InputError, match="has one of"):
        CliRunner().invoke(cli.cli, ["validation", "--out", str(tmp_path)], catch_exceptions=False)


def test_simulate_replays_a_trace(tmp_path):
    trace = tmp_path / "one.csv"
    trace.write_text("arrival,prompt,output\n0,100,10\n1,200,20\n")
    shown = run(
        *("simulate", "--trace", str(trace), "--format", "generic", "--model", "olmoe-1b-7b"),
        *("--gpu", "H100-80GB", "--rate", "1,2", "--policy", "lru", "--out", str(tmp_path)),
    )
    assert shown.returncode == 0, shown.stderr
    assert f"start with {tmp_path}/simulate/one/UNDER_LOAD.md" in shown.stdout
    with xr.open_dataset(tmp_path / "simulate" / "one" / "served.nc") as served:
        assert served.rate.values.tolist() == [1, 2]
        assert served.policy.values.tolist() == ["baseline", "prophet", "lru"]
        assert (served.finished == 2).all()


# --- Refusals --------------------------------------------------------------------------------


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
        (("simulate", "--trace", "x.csv", "--format", "x"), "trace x.csv is no file"),
        (("simulate", "--preset", "azure"), "preset 'azure' is unknown; nearest: azure-co"),
        (("simulate", "--rate", "0", "--requests", "9"), "factor=0; expected a positive number"),
        (("simulate", "--plan", "tp1,tp2"), "inputs vary along plan; expected one plan"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(call, arguments, message):
    shown = call(*arguments)
    assert shown.returncode == 2
    assert message in shown.stderr
    assert shown.stderr.startswith("error: ")
    assert len(shown.stderr.strip().splitlines()) == 1
    assert not shown.stdout


def test_bad_input_ends_the_process_without_a_traceback(tmp_path):
    shown = run("sweep", "--batch", "0", cwd=tmp_path)
    assert shown.returncode == 2
    assert shown.stderr.startswith("error: batch=0 is outside")
    assert len(shown.stderr.strip().splitlines()) == 1


def test_a_failing_disk_is_exit_1(call, tmp_path):
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "below")
    shown = call("sweep", "--model", "olmoe-1b-7b", "--gpu", "H200", "--batch", "1", "--out", out)
    assert shown.returncode == 1
    assert shown.stderr.startswith("error: ")
