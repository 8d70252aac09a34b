"""The commands; no arithmetic.  Heavy imports wait until a command runs, so that help is quick."""

import logging
import signal
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import click

from prophet_xr.errors import InputError, SpecError

OUT = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("outputs"),
    show_default=True,
    help="Folder to write to.",
)
LABELS = ("model", "gpu", "policy", "precision", "kv_precision", "runtime", "routing", "plan")
NUMBERS = ("batch", "context", "hit_rate", "dedup_exponent")


def _axis(name: str) -> Callable:
    flag = "--" + name.replace("_", "-")
    kind = "Label" if name in LABELS else "Number"
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
            values = parts if name in LABELS else [_value(part) for part in parts]
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


def _with_bar(job: Callable[[Path, Callable[[str, int], None]], None], out: Path) -> None:
    """Run a job that writes files, with a bar on stderr."""
    from tqdm import tqdm

    with tqdm(desc="sweeping", unit="file", file=sys.stderr) as bar:

        def tell(title: str, left: int) -> None:
            bar.total = max(bar.total or 0, left)
            bar.n = bar.total - left
            bar.set_description(title)

        job(out, tell)


@cli.command()
@OUT
def study(out: Path) -> None:
    """Regenerate the published study, under its own constants and the true architectures."""
    from prophet_xr.reporting import drawing_processes

    drawing_processes.start()  # before our own imports, so that both import at once
    from prophet_xr.studies.kv_extension import study as main_job

    _with_bar(main_job.run, out)
    click.echo(f"wrote {out}/; start with {out}/PROPHET_KV_EXTENSION_COMPREHENSIVE_REPORT.md")


@cli.command()
@STUDY
@axes(*LABELS, *NUMBERS)
@click.option(
    "--metric", "metrics", multiple=True, help="Metric to keep, once for each; by default all."
)
@OUT
def sweep(
    study: str, others: tuple[str, ...], metrics: tuple[str, ...], out: Path, **options
) -> None:
    """Sweep any axes and save the cube as OUT/cube.nc."""
    import prophet_xr as px

    cube = px.sweep(px.inputs(study, **_chosen(options, others)), metrics=metrics or None)
    px.save(cube, out / "cube.nc")
    click.echo(cube[list(metrics)] if metrics else cube)
    click.echo(f"wrote {out / 'cube.nc'}")


@cli.command()
@click.argument("name", metavar="[MODEL]", required=False)
@STUDY
@axes(*LABELS, *NUMBERS)
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


@cli.command()
@OUT
def claims(out: Path) -> None:
    """Judge every published claim; write OUT/claims.csv and OUT/claims.md."""
    from prophet_xr.studies.kv_extension import claim_verdicts as judged
    from prophet_xr.studies.kv_extension import report
    from prophet_xr.studies.kv_extension import study as main_job

    frame = judged.judge(main_job.cubes())
    main_job.write_claims(frame, out)
    click.echo(report.verdicts(frame))
    click.echo(f"wrote {out / 'claims.md'}")


@cli.command()
@OUT
def offload(out: Path) -> None:
    """Write what offloading experts costs, and where the claims of the study on it hold."""
    from prophet_xr.studies.offloading import run

    _with_bar(run.run, out / "offload")
    click.echo(f"wrote {out}/offload/; start with {out}/offload/{run.REPORT}")


@cli.command()
@OUT
def cluster(out: Path) -> None:
    """Write how models scale over GPUs, and judge the note of the study on several GPUs."""
    from prophet_xr.studies.multi_gpu import run

    _with_bar(run.run, out / "cluster")
    click.echo(f"wrote {out}/cluster/; start with {out}/cluster/{run.REPORT}")


@cli.command()
@axes(*LABELS, "context", "hit_rate", "dedup_exponent")
@click.option("--trace", type=click.Path(path_type=Path), help="File of requests to serve.")
@click.option(
    "--format",
    "kind",
    help="azure, mooncake or generic; by default found from the first line of the file.",
)
@click.option(
    "--preset", help="Load to draw; by default azure-conv, with the capacity under all presets."
)
@click.option(
    "--rate",
    metavar="V[,V...]",
    help="Requests per second; by default the rate of the trace, or several for a preset.",
)
@click.option("--seed", metavar="V[,V...]", help="Seeds to draw a preset with.")
@click.option("--requests", type=int, help="How many requests of a preset to draw.")
@OUT
def simulate(
    others: tuple[str, ...],
    trace: Path | None,
    kind: str | None,
    preset: str | None,
    rate: str | None,
    seed: str | None,
    requests: int | None,
    out: Path,
    **options,
) -> None:
    """Serve a load by continuous batching: latencies, capacity, memory over time."""
    from prophet_xr.studies.serving_load import run, sweeps

    if trace is not None and (preset or seed or requests is not None):
        raise InputError("--trace is a load itself; --preset, --seed and --requests draw another")
    data = sweeps.server(**_chosen(options, others))
    asked = {"rates": _list(rate), "seeds": _list(seed), "count": requests}
    given = {name: value for name, value in asked.items() if value not in (None, [])}
    if trace is not None:
        name = trace.stem
        make = run.replayed(data, trace, kind, **given)
    else:
        name = preset or run.FIRST
        make = run.drawn(data, preset, **given)
    folder = out / "simulate" / run.folder(name)
    _with_bar(partial(run.run, make), folder)
    click.echo(f"wrote {folder}/; start with {folder}/{run.REPORT}")


def _list(text: str | None) -> list[float]:
    return [_value(part) for part in (text or "").split(",") if part.strip()]


@cli.command()
@OUT
def sensitivity(out: Path) -> None:
    """Write what the results depend on, and which conclusions survive other assumptions."""
    from prophet_xr.studies.sensitivity import run

    _with_bar(run.run, out / "sensitivity")
    click.echo(f"wrote {out}/sensitivity/; start with {out}/sensitivity/{run.REPORT}")


@cli.command()
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("docs/validation.md"),
    show_default=True,
    help="File to update: only its part about the laws is rewritten.",
)
def validation(file: Path) -> None:
    """Compare the laws of routing, caching and offloading with every measured row."""
    from prophet_xr.studies.validation import report as document

    document.update(file)
    click.echo(f"wrote {file}")


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

    click.echo(catalogue_text.row(name))


@specs.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the model; its slug is the label.")
@click.option("--like", help="Family to read it as, if its model_type is not known.")
@click.option("--replace", is_flag=True, help="Replace the model that is kept under this name.")
def add(config: Path, name: str | None, like: str | None, replace: bool) -> None:
    """Keep the model of a Hugging Face CONFIG (config.json) in your own catalogue."""
    from prophet_xr.catalogue import lookup
    from prophet_xr.terminal import catalogue_text

    row = lookup.add(config, name, like=like, replace=replace)
    click.echo(catalogue_text.breakdown(row))
    click.echo(f"kept as model {row.model.item()!r} in {lookup.folder()}")


@specs.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=Path("data"))
def build(data: Path) -> None:
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
