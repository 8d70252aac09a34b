"""The commands; no arithmetic.  Heavy imports wait until a command runs, so that help is quick."""

import logging
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import click

from prophet_xr.errors import InputError, SpecError
from prophet_xr.reporting.study import Study
from prophet_xr.studies import STUDIES


def out_option(default: str) -> Callable[[Callable], Callable]:
    """Give a command the option --out: the folder that it writes to."""
    kind = click.Path(file_okay=False, path_type=Path)
    return click.option(
        "--out", type=kind, default=Path(default), show_default=True, help="Folder to write to."
    )


OUT = out_option("outputs")
LABEL_AXES = ("model", "gpu", "policy", "precision", "kv_precision", "runtime", "routing", "plan")
NUMBER_AXES = ("batch", "context", "hit_rate", "dedup_exponent")


def _axis(name: str) -> Callable:
    flag = "--" + name.replace("_", "-")
    kind = "Label" if name in LABEL_AXES else "Number"
    return click.option(flag, name, metavar="V[,V...]", help=f"{kind} or comma-separated list.")


def axes(*names: str) -> Callable[[Callable], Callable]:
    """Give a command one option per axis, and --set for every other input."""

    def give(function: Callable) -> Callable:
        for name in reversed(names):
            function = _axis(name)(function)
        return OTHER(function)

    return give


OTHER = click.option(
    "--set",
    "others",
    multiple=True,
    metavar="NAME=V[,V...]",
    help="Any other input; `prophet-xr inputs` lists them.",
)
STUDY = click.option(
    "--study",
    type=click.Choice(["verified", "published"]),
    default="verified",
    show_default=True,
    help="True architectures, or the study's own constants.",
)


def _value(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r} is no number") from None


def _chosen(options: dict[str, str | None], others: Iterable[str]) -> dict:
    """Options as keyword arguments of px.inputs: one value is a scalar, several a list."""
    texts = {name: text for name, text in options.items() if text is not None}
    for item in others:
        name, equals, text = item.partition("=")
        if not equals:
            raise InputError(f"--set {item!r} has no '='; expected NAME=VALUE[,VALUE...]")
        if name.strip() in texts:
            raise InputError(f"{name.strip()} is given twice, the second time as --set {item!r}")
        texts[name.strip()] = text
    found = {}
    for name, text in texts.items():
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if name == "model":
            values = [_model(part) for part in parts]
        else:
            values = parts if name in LABEL_AXES else [_value(part) for part in parts]
        found[name] = values[0] if len(values) == 1 else values
    return found


def _model(text: str) -> object:
    """Label of a model, or the row of a config.json."""
    if not text.endswith(".json"):
        return text
    import prophet_xr as px

    return px.spec_from_config(text)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="prophet_xr")
def cli() -> None:
    """What Mixture-of-Experts language models cost in GPU memory and time."""


@cli.command("sweep")
@STUDY
@axes(*LABEL_AXES, *NUMBER_AXES)
@click.option(
    "--metric", "metrics", multiple=True, help="Metric to keep, once for each; by default all."
)
@OUT
def sweep_command(
    study: str, others: tuple[str, ...], metrics: tuple[str, ...], out: Path, **options
) -> None:
    """Sweep any axes and save the cube as OUT/cube.nc."""
    import prophet_xr as px

    cube = px.sweep(px.inputs(study, **_chosen(options, others)), metrics=metrics or None)
    px.save(cube, out / "cube.nc")
    click.echo(cube[list(metrics)] if metrics else cube)
    click.echo(f"wrote {out / 'cube.nc'}")


@cli.command("fit")
@click.argument("name", metavar="[MODEL]", required=False)
@STUDY
@axes(*LABEL_AXES, *NUMBER_AXES)
def fit(name: str | None, study: str, others: tuple[str, ...], **options) -> None:
    """Answer for one configuration: does it fit, how many tokens, how fast.

    MODEL is a label of the catalogue or the path of a Hugging Face config.json.
    """
    from prophet_xr.terminal import fit_answer

    if name and options["model"]:
        raise InputError(f"model is given twice, as {name!r} and as --model {options['model']!r}")
    options["model"] = name or options["model"]
    chosen = {"batch": 1, "gpu": "A100-80GB", **_chosen(options, others)}
    if "model" not in chosen:
        raise InputError("fit needs a MODEL; see `prophet-xr specs` for labels")
    several = [n for n, v in chosen.items() if isinstance(v, list) and n != "policy"]
    if several:
        raise InputError(f"fit takes one value of {several[0]}; use `prophet-xr sweep` for more")
    click.echo(fit_answer.answer(study, chosen))


# --- Studies -------------------------------------------------------------------------------

_KINDS: dict[str, dict[str, Any]] = {
    "text": {},
    "path": {"type": click.Path(path_type=Path)},
    "count": {"type": int},
    "numbers": {"metavar": "V[,V...]"},
}  # how an option of a study is read


def _command(study: Study) -> click.Command:
    """Make the command of a study: it runs the study, and says where to begin to read."""

    def command(out: Path, others: tuple[str, ...] = (), **given: Any) -> None:
        options = {o.name: given.pop(o.name) for o in study.options}
        for option in study.options:
            if option.kind == "numbers":
                options[option.name] = _numbers(options[option.name])
        if study.axes:
            options["axes"] = _chosen(given, others)
        page = _run(study, out, options)
        click.echo(f"wrote {page.parent}/; start with {page}")

    for option in reversed(study.options):
        command = click.option(f"--{option.name}", help=option.help, **_KINDS[option.kind])(command)
    if study.axes:
        command = axes(*study.axes)(command)
    return click.command(study.command, help=study.about)(out_option(study.out)(command))


def _numbers(text: str | None) -> list[float]:
    return [_value(part) for part in (text or "").split(",") if part.strip()]


def _run(study: Study, out: Path, options: Mapping[str, Any]) -> Path:
    """Run a study with a bar on stderr over the files that are left."""
    if study.draws_apart:
        from prophet_xr.reporting import drawing_processes

        drawing_processes.start(f"{study.package}.figures")  # before our own imports: both at once
    from tqdm import tqdm

    from prophet_xr.reporting.run_study import run

    with ExitStack() as shown:
        # Begun when the run first tells something: options that it refuses leave a line, and no bar
        begun = cache(lambda: shown.enter_context(tqdm(unit="file", file=sys.stderr)))

        def tell(title: str, left: int) -> None:
            bar = begun()
            bar.total = max(bar.total or 0, left)
            bar.n = bar.total - left
            bar.set_description_str(title)

        return run(study, STUDIES, out, tell, **options)


for _study in STUDIES.values():
    cli.add_command(_command(_study))


@cli.command("claims")
@OUT
def judge_claims(out: Path) -> None:
    """Judge every published claim; write OUT/claims.csv and OUT/claims.md."""
    from prophet_xr.files import write
    from prophet_xr.reporting.run_study import results_of
    from prophet_xr.studies.kv_extension import report, report_sections

    judged = results_of(STUDIES["study"], STUDIES, ["claims"])["claims"]
    write(out / "claims.csv", report.claims_csv(judged))
    write(out / "claims.md", report.claims_page(judged))
    click.echo(report_sections.verdict_counts(judged))
    click.echo(f"wrote {out / 'claims.md'}")


# --- Catalogue -----------------------------------------------------------------------------


@cli.group(invoke_without_command=True)
@click.pass_context
def specs(context: click.Context) -> None:
    """List the catalogue: models, GPUs, policies, precisions, runtimes, routing laws."""
    if context.invoked_subcommand is None:
        from prophet_xr.terminal import catalogue_text

        click.echo(catalogue_text.catalogue())


@specs.command()
@click.argument("name")
def show(name: str) -> None:
    """Print every number of one row, or of a model's config.json, with source and arithmetic."""
    from prophet_xr.terminal import catalogue_text

    click.echo(catalogue_text.row_text(name))


@specs.command("add")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the model; its slug is the label.")
@click.option("--like", help="Family to read it as, if its model_type is not known.")
@click.option("--replace", is_flag=True, help="Replace the model that is kept under this name.")
def add_model(config: Path, name: str | None, like: str | None, replace: bool) -> None:
    """Keep the model of a Hugging Face CONFIG (config.json) in your own catalogue."""
    from prophet_xr.catalogue import lookup
    from prophet_xr.terminal import catalogue_text

    row = lookup.add(config, name, like=like, replace=replace)
    click.echo(catalogue_text.breakdown(row))
    click.echo(f"kept as model {row.model.item()!r} in {lookup.folder()}")


@specs.command("build")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=Path("data"))
def build_specs(data: Path) -> None:
    """Build DATA/specs.nc from DATA/*.toml."""
    from prophet_xr.catalogue import build as builder

    builder.build(data, data / "specs.nc")
    click.echo(f"wrote {data / 'specs.nc'}")


@cli.command("metrics")
def list_metrics() -> None:
    """Print every metric as Markdown: unit, meaning, formula, what it reads and varies with."""
    from prophet_xr.terminal import catalogue_text

    click.echo(catalogue_text.metrics_page())


@cli.command("inputs")
def list_inputs() -> None:
    """Print every input as Markdown: unit, bounds, default, meaning, by label axis."""
    from prophet_xr.terminal import catalogue_text

    click.echo(catalogue_text.inputs_page())


def main() -> None:
    """Run a command: exit 0, 2 for bad input, 1 for a failure, one line and no traceback."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("prophet_xr").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # drafts are removed
    try:
        cli(prog_name="prophet-xr")
    except (InputError, SpecError) as problem:
        click.echo(f"error: {problem}", err=True)
        sys.exit(2)
    except OSError as problem:
        click.echo(f"error: {problem}", err=True)
        sys.exit(1)
