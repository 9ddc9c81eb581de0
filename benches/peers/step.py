"""Sizes and timing that both counterparts share."""

import argparse
import json
import statistics
import time


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", choices=["softmax", "positive"], required=True)
    parser.add_argument("--mode", default="compiled")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--d", type=int, default=12)
    parser.add_argument("--d-r", type=int, default=100)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--runs", type=int, default=1, help="layers trained side by side")
    return parser.parse_args()


def measure(step, count):
    """Median milliseconds of `step` after a warm-up."""
    for _ in range(max(5, count // 10)):
        step()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    print(json.dumps({"ms_per_step": statistics.median(times)}))
