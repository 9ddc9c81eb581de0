"""Runs every counterpart in turn and writes results.json."""

import json
import pathlib
import statistics
import subprocess
import sys

ROUNDS = 3
THREADS = 2
SETTINGS = [
    ("softmax", 0, 400),
    ("positive", 100, 200),
    ("positive", 1200, 20),
]
here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent


def command(peer, variant, d_r, steps):
    sizes = ["--variant", variant, "--d-r", str(max(d_r, 1)), "--steps", str(steps)]
    sizes += ["--threads", str(THREADS)]
    if peer == "icl":
        return [str(root / "target/release/icl"), "bench", "step", *sizes, "--json"]
    script = "jax_step.py" if peer == "jax" else "torch_step.py"
    mode = "eager" if peer == "torch eager" else "compiled"
    return [sys.executable, str(here / script), *sizes, "--mode", mode]


def milliseconds(peer, variant, d_r, steps):
    # a counterpart needs fewer steps for the same time
    count = steps if peer != "icl" else 10 * steps
    done = subprocess.run(
        command(peer, variant, d_r, count), capture_output=True, text=True, check=True, cwd=here
    )
    return json.loads(done.stdout)["ms_per_step"]


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


rows = []
for variant, d_r, steps in SETTINGS:
    peers = ["icl", "torch eager", "torch compiled", "jax"]
    times = {peer: [] for peer in peers}
    for _ in range(ROUNDS):
        for peer in peers:
            times[peer].append(milliseconds(peer, variant, d_r, steps))
            print(variant, d_r, peer, f"{times[peer][-1]:.3f} ms", flush=True)
    rows.append(
        {
            "variant": variant,
            "d_r": d_r,
            "ms": {peer: statistics.median(times[peer]) for peer in peers},
            "range": {peer: [min(times[peer]), max(times[peer])] for peer in peers},
        }
    )
record = {"processor": processor(), "threads": THREADS, "rounds": ROUNDS, "rows": rows}
(here / "results.json").write_text(json.dumps(record, indent=2) + "\n")
