"""``python -m tests.fuzz N [--first M] [--kind KIND …] [--keep FOLDER]``: N inputs, spread over the kinds."""

from __future__ import annotations

import argparse
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.fuzz.campaign import counts, timed
from tests.fuzz.corpus import build
from tests.fuzz.kinds import KINDS
from tests.fuzz.outcome import Tally

_SHARD = 500


def main() -> int:
    """0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("inputs", type=int)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each kind")
    parser.add_argument("--kind", action="append", help="only these kinds")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for inputs with findings")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    chosen = [kind for kind in KINDS if not options.kind or kind.name in options.kind]
    wanted = counts(options.inputs)
    if options.kind:
        wanted = {kind.name: -(-options.inputs // len(chosen)) for kind in chosen}
    with tempfile.TemporaryDirectory(prefix="forensic-corpus-") as scratch:
        corpus = build(Path(scratch) / "corpus")
        totals = {kind.name: Tally(kind.name) for kind in chosen}
        seconds = dict.fromkeys(totals, 0.0)
        with ProcessPoolExecutor(options.workers) as pool:
            jobs = [
                pool.submit(
                    timed, kind.name, options.first + at, min(_SHARD, wanted[kind.name] - at), corpus, options.keep
                )
                for kind in chosen
                for at in range(0, wanted[kind.name], _SHARD)
            ]
            for job in as_completed(jobs):
                tally, took = job.result()
                total = totals[tally.kind]
                total.tried += tally.tried
                total.outcomes += tally.outcomes
                total.findings += tally.findings
                seconds[tally.kind] += took
    for total in totals.values():
        print(f"{total}, {seconds[total.kind]:.1f} s")
        for finding in total.findings:
            print("  " + finding.replace("\n", "\n    "))
    tried, found = sum(t.tried for t in totals.values()), sum(len(t.findings) for t in totals.values())
    print(f"{tried} inputs, {found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
