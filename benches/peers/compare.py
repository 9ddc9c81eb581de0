"""Runs every counterpart in turn and writes results.json, or results-cuda.json.

`compare.py cuda` runs them on a GPU, one run and a hundred and ten of one launch; ours must have been built with it.
"""

import itertools
import json
import pathlib
import statistics
import subprocess
import sys

ROUNDS = 3
THREADS = 2
DEVICE = sys.argv[1] if len(sys.argv) > 1 else "cpu"
RUNS = [1] if DEVICE == "cpu" else [1, 110]
SETTINGS = [
    ("softmax", 0, 400),
    ("positive", 100, 200),
    ("positive", 1200, 20),
]
here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent


def command(peer, variant, d_r, steps, runs):
    sizes = ["--variant", variant, "--d-r", str(max(d_r, 1)), "--steps", str(steps)]
    sizes += ["--threads", str(THREADS), "--device", DEVICE, "--runs", str(runs)]
    if peer == "icl":
        return [str(root / "target/release/icl"), "bench", "step", *sizes, "--json"]
    script = "jax_step.py" if peer == "jax" else "torch_step.py"
    mode = "eager" if peer == "torch eager" else "compiled"
    return [sys.executable, str(here / script), *sizes, "--mode", mode]


def milliseconds(peer, variant, d_r, steps, runs):
    # a counterpart needs fewer steps for the same time
    count = steps if peer != "icl" else 10 * steps
    done = subprocess.run(
        command(peer, variant, d_r, count, runs), capture_output=True, text=True, check=True, cwd=here
    )
    return json.loads(done.stdout)["ms_per_step"]


def processor():
    if DEVICE == "cuda":
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


rows = []
for (variant, d_r, steps), runs in itertools.product(SETTINGS, RUNS):
    peers = ["icl", "torch eager", "torch compiled", "jax"]
    times = {peer: [] for peer in peers}
    for _ in range(ROUNDS):
        for peer in peers:
            times[peer].append(milliseconds(peer, variant, d_r, steps, runs))
            print(variant, d_r, runs, peer, f"{times[peer][-1]:.3f} ms", flush=True)
    rows.append(
        {
            "variant": variant,
            "d_r": d_r,
            **({"runs": runs} if DEVICE == "cuda" else {}),
            "ms": {peer: statistics.median(times[peer]) for peer in peers},
            "range": {peer: [min(times[peer]), max(times[peer])] for peer in peers},
        }
    )
record = {"processor": processor(), "threads": THREADS, "rounds": ROUNDS, "rows": rows}
name = "results.json" if DEVICE == "cpu" else "results-cuda.json"
(here / name).write_text(json.dumps(record, indent=2) + "\n")
