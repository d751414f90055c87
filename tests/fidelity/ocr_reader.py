"""Reads plates with PP-OCRv4, in a process of its own: an independent reader, not a part of this program.

Runs under an interpreter that has ``rapidocr-onnxruntime`` (which need not have this program). Standard
input holds one PNG path a line; for each, one line of JSON goes to standard output: ``{"text", "score"}``.
Only the recogniser is used: the plate has been cut out already, and no detector can lose it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> int:
    """Answer path by path; 3 where the reader is not installed."""
    try:
        import cv2
        import numpy as np
        from rapidocr_onnxruntime import RapidOCR
    except ImportError as error:
        print(f"no reader: {error}", file=sys.stderr)
        return 3
    reader = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)
    for line in sys.stdin:
        picture = cv2.imdecode(np.frombuffer(Path(line.rstrip("\n")).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        found, _ = reader(picture, use_det=False, use_cls=False, use_rec=True)
        text, score = (found[0][0], float(found[0][1])) if found else ("", 0.0)
        print(json.dumps({"text": text, "score": score}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
