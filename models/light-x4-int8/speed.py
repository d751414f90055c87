"""Time light-x4-int8 against light-x4, in turns, in one run.

    python models/light-x4-int8/speed.py [--workers 1] [--rounds 12] [--out FILE]

Methods: light-x4 through its card (PyTorch), the same network in float32 as ONNX graph (the one that was
quantised) and light-x4-int8 through its card, both in ONNX Runtime. All enlarge 320 x 180 luma planes of
noise on a ramp; every round goes through all methods, so that what else the machine does falls on all alike.
Printed are processor time of the process and wall time of a frame, the ratios of the rounds' processor times
(median, least and most), and a digest of what each method made, to be held against another processor's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from graph import build

from forensic.registry.architectures.nafnet.network import NafNet
from forensic.registry.cards import load_card
from forensic.registry.engines import onnx_file, onnx_runtime
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import LoadedModel, load_model

HEIGHT, WIDTH, FRAMES = 180, 320, 6
TORCH, FLOAT, INT8 = "light-x4, PyTorch", "light-x4, ONNX Runtime float32", "light-x4-int8, ONNX Runtime"


def upscaling(model: LoadedModel) -> Callable[[np.ndarray], np.ndarray]:
    """As the recipes' stage calls it."""
    return lambda plane: model.upscale_luma_tiled(plane, 512, model.radius)


def methods() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Every method, from float32 [180, 320]."""
    light = load_model(load_card("light-x4"))
    assert isinstance(light.engine, TorchEngine) and isinstance(light.engine.network, NafNet)
    data = build(light.engine.network).SerializeToString()
    runtime = onnx_runtime.require_runtime("This measurement")
    session = runtime.InferenceSession(data, onnx_runtime.session_options(runtime), providers=[onnx_runtime.PROVIDER])
    plain = LoadedModel(light.card, onnx_runtime.measured(session, onnx_file.read(data)))
    return {TORCH: upscaling(light), FLOAT: upscaling(plain), INT8: upscaling(load_model(load_card("light-x4-int8")))}


def planes() -> list[np.ndarray]:
    """Ramps with noise."""
    rng = np.random.default_rng(1)
    ramp = np.linspace(30, 220, WIDTH)
    return [(ramp + rng.normal(0, 12, (HEIGHT, WIDTH))).clip(0, 255).astype(np.float32) for _ in range(FRAMES)]


def measure(workers: int, rounds: int) -> dict[str, Any]:
    """Times of every round, milliseconds a frame, and digests."""
    tools, inputs = methods(), planes()
    found: dict[str, Any] = {name: {"cpu_ms": [], "wall_ms": []} for name in tools}
    with ThreadPoolExecutor(workers) as pool:
        for turn in range(rounds + 1):
            for name, upscale in tools.items():
                wall, cpu = time.perf_counter(), time.process_time()
                outputs = list(pool.map(upscale, inputs))
                times = (time.process_time() - cpu, time.perf_counter() - wall)
                found[name]["sha256"] = hashlib.sha256(b"".join(out.tobytes() for out in outputs)).hexdigest()
                if turn:  # the first round warms up
                    for key, seconds in zip(("cpu_ms", "wall_ms"), times, strict=True):
                        found[name][key].append(round(1000 * seconds / FRAMES, 2))
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path, help="file for all numbers (JSON)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    found = measure(arguments.workers, arguments.rounds)
    facts = onnx_runtime.determinism_facts()
    print(f"workers {arguments.workers}; ONNX Runtime {facts['onnxruntime']}; {' '.join(facts['instruction_sets'])}")
    for name, each in found.items():
        print(
            f"{name}: processor {statistics.median(each['cpu_ms']):.1f} ms (least {min(each['cpu_ms']):.1f}), "
            f"wall {statistics.median(each['wall_ms']):.1f} ms a frame; {each['sha256']}"
        )
    for name in (TORCH, FLOAT):
        for what in ("cpu_ms", "wall_ms"):
            ratios = [slow / fast for slow, fast in zip(found[name][what], found[INT8][what], strict=True)]
            print(
                f"{name} / int8, {what.partition('_')[0]}: median {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f})"
            )
    if arguments.out:
        arguments.out.write_text(json.dumps({"facts": facts, "methods": found}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
