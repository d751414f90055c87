"""A campaign of kills by hand; exit code 1 if anything was lost."""

from __future__ import annotations

import argparse
import random
import time

from tests.footage import fetch
from tests.kills import campaign


def main() -> int:
    """Run a campaign and print its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kills", type=int, nargs="?", default=50)
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xFFFFFF)
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    moment = random.Random(options.seed)
    begun = time.monotonic()
    clip = fetch() / "carphone_pristine.mp4"
    with campaign(clip, options.frames) as (work, scratch):
        print(f"an uninterrupted run takes {work.seconds:.2f} s; seed {options.seed}", flush=True)
        while work.kills < options.kills:
            if work.trials % 8 == 7:
                work.acquisition(scratch, moment, clip)
            else:
                work.trial(scratch, moment)
            print(f"  {work.summary()}", flush=True)
    print(f"{work.summary()}; {time.monotonic() - begun:.0f} s")
    for finding in work.lost:
        print(finding)
    return 1 if work.lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
