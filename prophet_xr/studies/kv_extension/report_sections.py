"""Results -> Markdown: the sections of the comprehensive report.

No number in it is typed; each is selected from a cube.
"""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.reporting.listing import Listing, Results
from prophet_xr.reporting.markdown import markdown
from prophet_xr.reporting.numbers import listed, names, number_text, shown
from prophet_xr.reporting.report import Tables
from prophet_xr.studies.kv_extension import STUDIES_SHOWN
from prophet_xr.studies.kv_extension.figures import FIGURES
from prophet_xr.studies.kv_extension.tables import TABLES
from prophet_xr.studies.kv_extension.wording import (
    bandwidth,
    edge,
    extension_spread,
    mixtral_headline,
    moves,
    optimal,
    origin,
    where_it_fits,
)
from prophet_xr.studies.published.averages import AVERAGES, BOTH, extension
from prophet_xr.studies.published.claim_file import CONVENTION, MISSED, REFUTED, RULES, UNANSWERED
from prophet_xr.terminal.catalogue_text import metric_table

SEVERAL = (
    "Claims on several GPUs are judged in [Many GPUs](cluster/MANY_GPUS.md), which "
    "`prophet-xr cluster` writes."
)
STORY = [
    *("n_experts", "top_k", "expert_memory", "fixed_memory", "kv_per_token", "max_context"),
    *("fits", "expert_savings_fraction"),
]
HEADLINES = ("C002", "C003", "C004", "C007", "C010", "C011", "C012", "C035", "C036")

SECTIONS = Listing()
section = SECTIONS.named  # by its heading, in the order of this file


def verdict_counts(claims: pd.DataFrame) -> str:
    """Count the verdicts, as a Markdown table."""
    counts = claims.verdict.value_counts()
    return markdown(pd.DataFrame({"verdict": counts.index, "claims": counts.to_numpy()}))


# --- Sections ------------------------------------------------------------------------------


@section("What holds and what does not")
def first_page(claims: pd.DataFrame, published: xr.Dataset, verified: xr.Dataset) -> str:
    """Headlines with their verdicts, and why, in a page."""
    heads = claims.set_index("id").loc[list(HEADLINES)].reset_index()
    columns = ["claim", "unit", "published", "reproduced", "architecture", "verified", "verdict"]
    bullets = [
        say(published, verified)
        for say in (edge, mixtral_headline, optimal, extension_spread, bandwidth)
    ]
    return "\n\n".join(
        [
            origin(published),
            "It is computed here twice: `published`, under its own constants and conventions "
            "(nominal gigabytes, an extension of 0 where the baseline does not fit), and "
            "`verified`, under exact parameter counts and KV bytes, the memory a process can "
            "really allocate and no charge for activations. *KV extension* is the KV budget, what "
            "weights leave for the KV cache, with Prophet over the budget without.",
            markdown(heads[columns]),
            "\n".join(f"- {b}" for b in bullets),
            f"Of {len(claims)} published statements:",
            verdict_counts(claims),
            RULES,
        ]
    )


@section("From the published numbers to the true ones, one change a step")
def ladder_section(ladder: xr.Dataset) -> str:
    """Show which step moves which number."""
    cube = ladder.sel(policy="prophet")
    ever = cube.fits.any(["step", "gpu", "batch"]).values
    extended = (cube.regime == BOTH).any(["step", "gpu", "batch"]).values
    out = [name for name, fits in zip(names(cube), ever, strict=True) if not fits]
    held = cube.isel(model=extended)
    each, gained = extension(held), cube.kv_increase.sel(gpu="A100-80GB", batch=16)
    parts = [
        f"The ladder is one cube with the dimension `step`: {cube.step.attrs['comment']} Law and "
        f"hit rate stay the study's. Models without an extension at any step are left out: they "
        f"fit only with Prophet, or not even so ({listed(out)}).",
    ]
    for title, name in AVERAGES.items():
        parts += [f"KV extension, {title}:", markdown(_by_step(held, each[name]))]
    parts += [
        f"Cells where both fit, of {int(each.cells.max())}:",
        markdown(_by_step(held, each.cells_fitting)),
        "Tokens gained on A100-80GB at batch 16, for models that fit there; below 0 the predictor "
        "costs more than it frees, and over a baseline that does not fit the whole context counts:",
        markdown(_by_step(cube.isel(model=(gained != 0).any("step").values), gained)),
        moves(held, each["mean"]),
    ]
    return "\n\n".join(parts)


def _by_step(cube: xr.Dataset, values: xr.DataArray) -> pd.DataFrame:
    frame = pd.DataFrame({"model": names(cube)})
    for step in cube.step.values:
        frame[step.replace("_", " ")] = values.sel(step=step, model=cube.model).values
    return frame


@section("How the study counts")
def accounting(published: xr.Dataset) -> str:
    """State the study's formulas and constants, and how each constant is known."""
    study = specs.read("published/model")
    fields = (
        *("moe_layers", "n_experts", "top_k", "expert_parameters", "dense_parameters"),
        *("kv_full", "study_activation"),
    )
    frame = pd.DataFrame({"model": study["name"].values})
    for field in fields:
        status = study[f"{field}_status"].values
        title = str(study[field].attrs["long_name"])
        frame[title] = [
            f"{number_text(round(v))} ({s})"
            for v, s in zip(study[field].values, status, strict=True)
        ]
    hit, exponent = published.hit_rate.item(), published.dedup_exponent.item()
    return "\n\n".join(
        [
            f"- Distinct experts per layer: min(E, k B^a) of E experts, k per token, at batch B "
            f"with the exponent a = {exponent:g}. The stated hit rate of {hit:.1%} enters no "
            f"memory metric.\n"
            f"- KV budget: {published.kv_budget.attrs['comment']}\n"
            f"- Extension: {published.kv_extension.attrs['comment']}\n"
            f"- An expert's stated megabytes / 1024 x 1e9 are its bytes: neither SI nor MiB, but "
            f"what every published size follows. Half of that stands as its parameters.\n"
            f"- An average is over all cells, those with an extension of 0 among them.",
            "Constants, and how each is known: *exact* from several published numbers, *published* "
            "as stated, *bounded* by them, or a *stand-in* that reproduces the averages and was "
            "fitted after the fact.",
            markdown(frame),
        ]
    )


def _tables(tables: Tables, study: str) -> str:
    parts = []
    for name, part in TABLES.items():
        parts += [f"### {part.title}", markdown(tables[f"{study}/{name}"])]
    return "\n\n".join(parts)


@section("Tables under the study's own constants")
def published_tables(tables: Tables) -> str:
    """Show the four tables, published."""
    return _tables(tables, "published")


@section("Tables under the true architectures")
def verified_tables(tables: Tables) -> str:
    """Show the four tables, verified."""
    return "A dash is a ratio over a baseline that does not fit.\n\n" + _tables(tables, "verified")


@section("Figures")
def pictures(results: Results) -> str:
    """Show the figures of both studies."""
    parts = []
    for name, part in FIGURES.items():
        parts += [f"### {part.title}"]
        for study in STUDIES_SHOWN:
            caption = part.words(results[study])
            parts += [f"![{part.title}]({study}/{name}.png)", f"*{study.capitalize()}.* {caption}"]
    return "\n\n".join(parts)


@section("Batch size")
def batches(published: xr.Dataset, verified: xr.Dataset) -> str:
    """Say how savings, deduplication and extension fall with the batch."""
    parts = []
    for title, cube in (("published", published), ("verified", verified)):
        p = cube.sel(policy="prophet")
        fitting = p.kv_extension.where(p.regime == BOTH)
        over = ["model", "gpu"]
        frame = pd.DataFrame({"batch": p.batch.values})
        savings = shown(p.expert_savings_fraction, "%")
        frame["savings, least [%]"] = savings.min("model").values
        frame["savings, median [%]"] = savings.median("model").values
        frame["savings, most [%]"] = savings.max("model").values
        frame["dedup, least"] = p.dedup_factor.min("model").values
        frame["dedup, most"] = p.dedup_factor.max("model").values
        frame["extension, median"] = fitting.median(over).values
        frame["extension, largest"] = fitting.max(over).values
        frame["cells where both fit"] = (p.regime == BOTH).sum(over).values
        parts += [f"### {title.capitalize()}", markdown(frame)]
    return "\n\n".join(parts)


@section("GPUs")
def gpus(verified: xr.Dataset) -> str:
    """Say per GPU what fits, with and without Prophet."""
    rows = []
    for gpu in verified.gpu.values:
        cell = verified.sel(gpu=gpu, batch=1)
        fit = {
            p: [n for n, f in zip(names(cell), cell.fits.sel(policy=p).values, strict=True) if f]
            for p in ("baseline", "prophet")
        }
        only = [n for n in fit["prophet"] if n not in fit["baseline"]]
        budget = shown(cell.memory_budget, "GiB").item()
        rows.append([gpu, budget, listed(fit["baseline"]), listed(only)])
    heads = ["GPU", "usable [GiB]", "fits without Prophet", "fits only with Prophet, at batch 1"]
    return markdown(pd.DataFrame(rows, columns=heads))


@section("The decode step")
def decode_section(verified: xr.Dataset) -> str:
    """Say what prediction costs and hides on the host link."""
    parts = [
        "Bounds at datasheet rates on A100-80GB at native context, batch 1. Experts repeat from "
        "one step to the next as measured, or as the median of the measured models does. Rows "
        "whose policy does not fit are what-ifs and are left out."
    ]
    for policy in ("baseline", "prophet"):
        cell = verified.sel(gpu="A100-80GB", batch=1, policy=policy)
        frame = pd.DataFrame({"model": names(cell)})
        frame["weights and KV read [GB]"] = shown(cell.step_read, "GB").values
        frame["over the host link [GB]"] = shown(cell.link_traffic, "GB").values
        frame["GPU time [ms]"] = shown(cell.gpu_time, "ms").values
        frame["exposed transfer [ms]"] = shown(cell.exposed_time, "ms").values
        frame["time per output token [ms]"] = shown(cell.step_time, "ms").values
        frame["tokens/s"] = cell.throughput.values
        frame["slowdown"] = cell.slowdown.values
        parts += [f"### {policy.capitalize()}", markdown(frame[cell.fits.values])]
    return "\n\n".join(parts)


@section("What offloading experts costs")
def offloading(offloading_summary: str) -> str:
    """Say where the study's 1.2x, 50x and 40x hold."""
    link = "Tables and figures are in [outputs/offload](offload/WHAT_OFFLOADING_COSTS.md)."
    figure = "![Where the claims hold](offload/figure4_where_the_claims_hold.png)"
    return "\n\n".join([offloading_summary, link, figure])


@section("Which conclusions survive other assumptions")
def sensitivity(sensitivity_summary: str) -> str:
    """Say which of the study's conclusions are robust, depend on an assumption, or are wrong."""
    link = "Tables and figures: [outputs/sensitivity](sensitivity/WHICH_CONCLUSIONS_SURVIVE.md)."
    figure = "![Where each holds](sensitivity/figure4_conclusions.png)"
    return "\n\n".join([sensitivity_summary, link, figure])


@section("When the batch is not a constant")
def load_section() -> str:
    """Say where the batch follows from the load."""
    return (
        "The study fixes the batch. On a server it follows from the load, and with it the experts "
        "that Prophet keeps resident and the KV cache that is left. What a static batch "
        "understates and overstates, and which rates meet an objective, is in "
        "[outputs/simulate](simulate/azure-conv/UNDER_LOAD.md).\n\n"
        "![Batches under load](simulate/azure-conv/figure2_batch_distribution.png)"
    )


@section("Model by model")
def models_section(results: Results, verified: xr.Dataset) -> str:
    """Tell each model's story in both studies."""
    told = {}
    for study in ("published", "verified"):
        cube = results[study]  # of which few variables, since each is selected from per model
        told[study] = cube[STORY].merge(extension(cube.sel(policy="prophet")), compat="override")
    return "\n\n".join(_model(told, str(label)) for label in verified.model.values)


def _model(told: Mapping[str, xr.Dataset], label: str) -> str:
    cubes = {study: cube.sel(model=label) for study, cube in told.items()}
    gpu = {"gpu": "A100-80GB", "batch": 1}
    rows = []
    for title, cube in cubes.items():
        base = cube.sel(policy="baseline")
        rows.append(
            [
                title,
                f"{int(cube.n_experts)}, top-{int(cube.top_k)}",
                shown(base.expert_memory.isel(batch=0), "GB").item(),
                shown(base.fixed_memory, "GB").item(),
                int(cube.kv_per_token),
                *(cube[name].item() for name in AVERAGES.values()),
                int(cube.cells_fitting),
                int(base.max_context.sel(**gpu)),
                int(cube.max_context.sel(**gpu, policy="prophet")),
            ]
        )
    heads = [
        *("study", "experts", "expert memory [GB]", "fixed weights [GB]", "KV [B/token]"),
        *(*AVERAGES, "cells where both fit"),
        *("A100-80GB, batch 1 [token]", "with Prophet [token]"),
    ]
    v = cubes["verified"]
    lines = [
        f"### {v.model_name.item()}",
        markdown(pd.DataFrame(rows, columns=heads)),
        where_it_fits(v),
    ]
    return "\n\n".join(lines)


@section("Claims that do not hold")
def refuted(claims: pd.DataFrame) -> str:
    """List what is not reproduced or refuted, with the reason."""
    bad = claims[claims.verdict.isin([MISSED, REFUTED, CONVENTION])]
    keep = ["id", "claim", "unit", "published", "reproduced", "architecture", "verified"]
    head = "All claims, and the rules of the verdicts, are in [claims.md](claims.md)."
    return f"{head}\n\n{markdown(bad[[*keep, 'verdict', 'reason']])}"


@section("Many GPUs")
def several_gpus() -> str:
    """Point to what several GPUs change."""
    figure = "![Scaling over GPUs](cluster/figure1_scaling.png)"
    return f"Every cell above is one GPU. {SEVERAL}\n\n{figure}"


@section("What this does not answer")
def limits(claims: pd.DataFrame) -> str:
    """State the limits of the model."""
    open_claims = int((claims.verdict == UNANSWERED).sum())
    return "\n".join(
        [
            f"- {open_claims} claims need multi-GPU plans, measurements or workloads that these "
            f"sweeps do not hold. {SEVERAL}",
            "- `verified` uses the `bare` runtime: all usable memory, no activations, no "
            "fragmentation. It is an upper bound; a serving engine leaves less.",
            "- The power law of distinct experts is the study's; measured routing of unrelated "
            "requests needs fewer experts than it says at mid-size batches.",
            "- Step times are bounds from datasheet rates, without kernel efficiency.",
            "- The study's constants are known as the table under *How the study counts* says; a "
            "number that rests on a fitted one is marked so in the claims.",
        ]
    )


@section("Metrics")
def metric_list(verified: xr.Dataset) -> str:
    """List every metric with its formula."""
    made = verified.attrs
    return (
        f"Made by prophet_xr {made['prophet_xr_version']} from specs {made['specs_digest']}.\n\n"
        + metric_table()
    )
