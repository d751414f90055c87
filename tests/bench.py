"""``make bench``: what evidence costs, as ratios of whole processes measured in turn in one run.

1. ``forensic enhance --recipe plain-lanczos`` (x2, acquisition, hashing, ledger, risk maps, report and
   all) against the ``ffmpeg`` command doing the same scaling, FFV1 and frame hashes. Bound: 1.2.
2. ``forensic verify RUN`` against ``sha256sum`` over the same bytes. Bound: 1.4.

``python -m tests.bench [--clip FILE] [--rounds N]``; exit code 1 if a median ratio is above its bound.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.footage import fetch, shared_data

ENHANCE_BOUND, VERIFY_BOUND = 1.2, 1.4


def _timed(command: Sequence[object], cwd: Path | None = None) -> float:
    start = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True, cwd=cwd, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _ratio(name: str, bound: float, rounds: int, ours: Callable[[], float], theirs: Callable[[], float]) -> bool:
    ours()
    theirs()  # warm the disk cache
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    ratios = [a / b for a, b in pairs]
    median = statistics.median(ratios)
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{name}: {a:.2f} s against {b:.2f} s; "
        f"ratio median {median:.2f} (from {min(ratios):.2f} to {max(ratios):.2f}, {rounds} pairs), bound {bound}"
    )
    return median <= bound


def main() -> int:
    """Measure both ratios; 0 if both are within their bounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    shared = shared_data()
    clip = options.clip or (shared / "cctv" / "traffic_camera.mp4" if shared else fetch() / "bigbuckbunny.mp4")
    scratch = Path(tempfile.mkdtemp(prefix="forensic-bench-"))
    python = sys.executable
    runs: list[Path] = []

    def enhance() -> float:
        for old in runs[:-1]:
            shutil.rmtree(old.parent.parent)
            runs.remove(old)
        root = scratch / f"ws-{time.monotonic_ns()}"
        start = time.perf_counter()
        done = subprocess.run(
            [python, "-m", "forensic", "enhance", str(clip), "-w", str(root), "--recipe", "plain-lanczos", "--quiet"],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        runs.append(Path(done.stdout.rstrip("\n").rpartition("\n")[2]))
        return time.perf_counter() - start

    def ffmpeg() -> float:
        graph = "[0:v:0]scale=iw*2:ih*2:flags=lanczos,split[a][b]"
        return _timed(
            ["ffmpeg", "-v", "error", "-y", "-i", clip, "-filter_complex", graph,
             "-map", "[a]", "-c:v", "ffv1", "-level", "3", "-slicecrc", "1", "-g", "1", scratch / "ffmpeg.mkv",
             "-map", "[b]", "-f", "framehash", "-hash", "sha256", scratch / "ffmpeg.framehash"]
        )  # fmt: skip

    try:
        print(f"clip {clip.name}, {os.cpu_count()} processors")
        good = _ratio("enhance plain-lanczos x2 / ffmpeg", ENHANCE_BOUND, options.rounds, enhance, ffmpeg)
        run = runs[-1]
        files = sorted(path for path in run.rglob("*") if path.is_file())
        size = sum(path.stat().st_size for path in files)
        print(f"run folder: {len(files)} files, {size / 1e6:.0f} MB")
        good &= _ratio(
            "verify run folder / sha256sum", VERIFY_BOUND, options.rounds,
            lambda: _timed([python, "-m", "forensic", "verify", run]),
            lambda: _timed(["sha256sum", *files]),
        )  # fmt: skip
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
