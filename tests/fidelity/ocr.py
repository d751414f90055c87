"""The independent reader of plates, where it is installed: a process of another Python (``ocr_reader.py``).

``FORENSIC_OCR_PYTHON`` names an interpreter that has ``rapidocr-onnxruntime`` 1.4.4 (PP-OCRv4, Apache-2.0; its
models are in the package, nothing is fetched); without it this interpreter is tried.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


class NoReader(Exception):
    """The reader is not installed."""


def read(pictures: Sequence[np.ndarray]) -> list[str]:
    """Text of each uint8 luma picture, as the reader gives it. Raises ``NoReader``."""
    python = os.environ.get("FORENSIC_OCR_PYTHON") or sys.executable
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch) / f"{number}.png" for number in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        done = subprocess.run(
            [python, str(Path(__file__).with_name("ocr_reader.py"))],
            input="".join(f"{path}\n" for path in paths), capture_output=True, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
        )  # fmt: skip
    if done.returncode == 3:
        raise NoReader("rapidocr-onnxruntime is not installed; see docs/fidelity.md")
    if done.returncode:
        raise RuntimeError(f"the reader failed: {done.stderr[-500:]}")
    return [json.loads(line)["text"] for line in done.stdout.splitlines()]


def distance(read_text: str, true_text: str) -> int:
    """Levenshtein distance: characters to insert, delete or replace."""
    row = list(range(len(true_text) + 1))
    for count, letter in enumerate(read_text, start=1):
        previous, row[0] = row[0], count
        for place, wanted in enumerate(true_text, start=1):
            previous, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, previous + (letter != wanted))
    return row[-1]


def accuracy(read_text: str, true_text: str) -> float:
    """1 less the edit distance per true character, at least 0; letters and digits only, case does not count."""
    seen, wanted = ("".join(c for c in text.upper() if c.isalnum()) for text in (read_text, true_text))
    return max(0.0, 1.0 - distance(seen, wanted) / len(wanted))
