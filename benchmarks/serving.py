"""Continuous batching: steps per second, a million requests, and a trace over a grid.

``python benchmarks/serving.py [TRACE]``; without a file, a load like the published trace.
"""

import re
import sys
import time
from pathlib import Path

import numpy as np

import prophet_xr as px
from prophet_xr import serving
from prophet_xr.serving.scheduler import serve
from prophet_xr.serving.server_tables import server_cubes
from prophet_xr.serving.state import ordered_requests, rejections

MODELS = ["olmoe-1b-7b", "qwen3-30b-a3b", "gpt-oss-20b"]


def peak() -> str:
    return re.findall("VmHWM.*", Path("/proc/self/status").read_text())[0]


def steps(model: str, count: int, output: int) -> None:
    """One core, a thousand sequences in flight all the time."""
    data = px.inputs(model=model, gpu="H200", policy="prophet", runtime="vllm", max_sequences=1000)
    tables = server_cubes(data, 4096).at(())
    random = np.random.default_rng(0)
    prompt = random.integers(1, 200, count)
    outputs = random.integers(output // 2, output * 3 // 2, count)
    requests = ordered_requests(np.zeros(count), prompt, outputs)
    requests = requests._replace(rejection=rejections(tables, prompt, outputs))
    serve(tables, requests)
    start = time.perf_counter()
    state, arrays = serve(tables, requests)
    seconds = time.perf_counter() - start
    batch = arrays.batch_time @ np.arange(arrays.batch_time.size) / arrays.batch_time.sum()
    print(
        f"{model}: {count:.0e} requests of {output} tokens: {state.step:.2e} steps of "
        f"{batch:.0f} sequences in {seconds:.2f} s, {state.step / seconds:.2e} steps/s, "
        f"{state.generated / seconds:.1e} tokens/s; {state.preemptions} preemptions"
    )


def main() -> None:
    steps("deepseek-v2-lite", 20_000, 2_000)
    steps("olmoe-1b-7b", 20_000, 2_000)  # short of memory
    steps("olmoe-1b-7b", 1_000_000, 200)
    print(f"a million requests and all before: {peak()}")
    data = px.inputs(
        model=MODELS,
        gpu=["A100-80GB", "H100-80GB"],
        policy=["baseline", "prophet", "on_demand"],
        runtime="vllm",
        routing="zipf",
    )
    load = serving.trace(sys.argv[1]) if sys.argv[1:] else serving.preset("azure-conv", 19_366)
    for name, ask in (("simulate", px.simulate), ("capacity", px.capacity)):
        for _ in range(2):  # the first may compile
            start = time.perf_counter()
            ask(data, load)
            cells = f"{len(MODELS)} models x 2 GPUs x 3 policies"
            print(
                f"{name}: {load.attrs['source'][:40]}, {cells}: {time.perf_counter() - start:.1f} s"
            )


if __name__ == "__main__":
    main()
