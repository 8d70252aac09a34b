"""Cubes -> Markdown: what many GPUs change, and what becomes of the study's multi-GPU note."""

import xarray as xr

from prophet_xr.reporting.listing import Listing
from prophet_xr.reporting.numbers import ends, shown
from prophet_xr.reporting.report import Captions, Tables, document, tables_and_figures
from prophet_xr.studies.multi_gpu import published_note, sweeps
from prophet_xr.studies.multi_gpu.figures import FIGURES
from prophet_xr.studies.multi_gpu.tables import TABLES

_Notes = tuple[xr.Dataset, xr.Dataset]  # by the rule of the note, by physics
PAGES = Listing()
_CARD = "H100-80GB"
_SCALED = 16  # sequences


@PAGES.named("MANY_GPUS.md")
def report(
    scaling: xr.Dataset,
    systems: xr.Dataset,
    note_numbers: _Notes,
    tables: Tables,
    figures: Captions,
) -> str:
    """Write the report on many GPUs: what holds, tables and figures."""
    title = "# Mixture-of-experts models on many GPUs"
    parts = [title, _fewest(scaling), _cost(scaling), _note(systems, note_numbers), _limits()]
    return document([*parts, *tables_and_figures(TABLES, tables, FIGURES, figures)])


def _fewest(cube: xr.Dataset) -> str:
    found = sweeps.fewest(cube).sel(gpu=_CARD)
    fewer = (found.sel(policy="prophet") < found.sel(policy="baseline")).sum("model")
    parts = [f"{int(n)} at batch {b:,.0f}" for n, b in zip(fewer, fewer.batch, strict=True)]
    return (
        f"**Fewer GPUs, at small batches.** On {_CARD}, 8,192 tokens a sequence, of plans of 1 to "
        f"64 GPUs, Prophet needs fewer GPUs for {', '.join(parts)}, of {found.sizes['model']} "
        f"models. As the batch grows its experts are all that there are, and Prophet keeps what "
        f"the baseline keeps."
    )


def _cost(cube: xr.Dataset) -> str:
    least = sweeps.fewest(cube)
    rate = cube.throughput_per_gpu.where(cube.serves_context)
    own = rate.where(cube.n_gpus == least).max("plan").sel(gpu=_CARD, batch=1)
    ratio = (own.sel(policy="prophet") / own.sel(policy="baseline")).dropna("model")
    scaled = sweeps.best(cube.sel(gpu=_CARD, batch=_SCALED)).scaling_efficiency.sel(gpus=64)
    low, high = ends(scaled.sel(policy="baseline"))
    return (
        f"**What they cost.** At batch 1, each on its fewest {_CARD}, Prophet gives "
        f"{ratio.min().item():.2g} to {ratio.max().item():.2g} times the tokens per second and GPU "
        f"of all experts resident (median {ratio.median().item():.2g}, {ratio.size} models): "
        f"the experts that a step lacks cross each GPU's host link.\n\n"
        f"**More GPUs give room rather than speed.** A batch of {_SCALED} on 64 {_CARD} has "
        f"{low:.2f} to {high:.2f} of the tokens per second and GPU that it has on the fewest that "
        f"serve, all experts resident and by the best plan: fewer bytes a GPU, as many floors of "
        f"exchange."
    )


def _note(cube: xr.Dataset, note_numbers: _Notes) -> str:
    rule, true = note_numbers
    frame = published_note.verdicts(rule, true)
    hit = int(frame.verdict.str.startswith("reproduced").sum())
    agrees = int(frame.verdict.str.endswith("agrees").sum())
    up, real = rule.multi_gpu_speedup, true.multi_gpu_speedup.dropna("system")
    fits = cube.serves_context.sel(policy="baseline")
    moved = shown(cube.link_traffic.sel(policy="prophet"), "GB")
    sent = shown(cube.exchange_traffic, "MB").max().item()
    source = published_note.note_rows()
    weights = source.experts * source.expert_size / 1e9
    ahead = source.prophet_rate * source.prophet_share / (source.pair_rate / 2)
    return (
        f"**The note's speed-ups.** Of {len(frame)} claims, its own rule reproduces {hit}; physics "
        f"agrees with {agrees}. The rule ships expert weights between GPUs, "
        f"{source.moved.item() / source.pair_rate.item():g} GB a token; expert parallelism ships "
        f"activations, {sent:.1f} MB a token, and weights stay where they are. It also gives a "
        f"GPU under Prophet {ahead.item():g} times the tokens per second before any "
        f"exchange. By physics the {weights.item():g} GB of experts fit {int(fits.sum())} of "
        f"{fits.size} systems without "
        f"Prophet, which then runs at {real.min().item():.2f} to {real.max().item():.2f} times the "
        f"speed (published {up.min().item():.2f} to {up.max().item():.2f}), because "
        f"{moved.min().item():.1f} to {moved.max().item():.1f} GB a step cross each host link. "
        f"{_prices(true)} Where all experts do not fit, Prophet is what makes the system serve at "
        f"all."
    )


def _prices(true: xr.Dataset) -> str:
    """Say what a million tokens cost at the study's four prices."""
    own, less = (true[f"{p}_cost"].dropna("system") for p in ("baseline", "prophet"))
    return (
        f"At the study's prices a million tokens cost ${own.min().item():.2f} to "
        f"${own.max().item():.2f} with all experts resident and ${less.min().item():,.0f} to "
        f"${less.max().item():,.0f} with Prophet."
    )


def _limits() -> str:
    return (
        "Exchange is in series with the step, as measured systems have it; a busiest rank beyond "
        "the mean is the input `imbalance` (1 here, the optimistic end). Prices are the study's "
        "own; any other is the input `gpu_price`. How far predictions are from logs and measured "
        "steps is in `docs/validation.md`."
    )
