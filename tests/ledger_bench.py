"""Measure the ledger: ``python -m tests.ledger_bench 1000 100000 1000000``, by hand (the last takes long).

One ledger grows through the sizes given. Every entry is signed for real; only the bulk is written
many at a time and without waiting for the disk, which gives the same file, as the audit shows. What is measured is
not: appends are whole ``Ledger.append`` calls, each on the disk when it returns. The audit runs in a
process of its own.
With ``--folder`` the ledger is kept there and found again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count, islice
from pathlib import Path
from typing import Any

from forensic.hashes import MerkleTree, canonical_json, leaf_hash, sha256_bytes
from forensic.ledger.entry import CLOCK_SOURCE, PAYLOAD_TYPE, VERSION, format_utc
from forensic.ledger.store import Ledger
from forensic.ledger.tally import Tally, content_hash, names, tally_key
from forensic.signing.dsse import sign_envelope
from forensic.signing.identity import Identity, create_identity, load_identity

_BATCH = 5000
_RUN = ("policy.decided", "run.started", "run.progress", "run.finished", "report.issued")
_RUNS_PER_EXHIBIT = 8
_EXHIBITS_PER_CASE = 10

_AUDIT = """
import json, re, sys, time
from pathlib import Path
from forensic.ledger.audit import audit
start = time.perf_counter(); cpu = time.process_time()
result = audit(Path(sys.argv[1]))
print(json.dumps({
    "ok": result.ok, "entries": result.entries, "wall_s": time.perf_counter() - start,
    "cpu_s": time.process_time() - cpu,
    # Not getrusage: that remembers what the process was before it became this one.
    "peak_rss_mib": int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024,
}))
"""


Event = tuple[str, dict[str, Any], dict[str, str]]


def history() -> Iterator[Event]:
    """Events of a busy laboratory: exhibits in cases, runs on exhibits."""
    for number in count():
        case, exhibit = f"C-{number // _EXHIBITS_PER_CASE:06}", f"E-{number:07}"
        digest = f"{number:064x}"
        yield "acquisition.started", {"path": f"/media/card/{exhibit}.mp4"}, {"case": case, "exhibit": exhibit}
        yield "exhibit.acquired", {"sha256": digest, "size": 10**7, "note": None}, {"case": case, "exhibit": exhibit}
        for attempt in range(_RUNS_PER_EXHIBIT):
            run = f"R-{number:07}-{attempt}"
            for event in _RUN:
                data = {"output_sha256": digest, "frames": 250, "note": "x" * 100}
                yield event, data, {"case": case, "exhibit": exhibit, "run": run}


def grow(path: Path, identity: Identity, events: Iterator[Event], size: int) -> None:
    """Write entries until the ledger has ``size``, as ``Ledger.append`` does, but without its care and many at once."""
    with Ledger.open(path, identity) as ledger:
        head, tree = ledger.head(), MerkleTree(ledger.size, ledger._tail.tree.tree.roots)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("synchronous=OFF", "cache_size=-400000"):
            connection.execute(f"PRAGMA {pragma}")
        tally = Tally(dict(connection.execute("SELECT path, content FROM tally")), checked=False)
        tally.root = content_hash(tally.contents[""])
        session, prev = str(uuid.uuid4()), head.hash
        for first in range(head.seq + 1, size + 1, _BATCH):
            rows: dict[str, list[tuple[Any, ...]]] = {"entries": [], "nodes": [], "mentions": []}
            for seq in range(first, min(first + _BATCH, size + 1)):
                event, data, ids = next(events)
                counted = list(names(event, ids.get("case"), ids.get("exhibit"), ids.get("run")))
                before = {kind: tally.add(tally_key(kind, name), seq).last for kind, name in counted}
                canonical = canonical_json(
                    {
                        "v": VERSION,
                        "seq": seq,
                        "prev": prev,
                        "time": {
                            "utc": format_utc(dt.datetime.now(dt.UTC)),
                            "source": CLOCK_SOURCE,
                            "monotonic_ns_since_previous": None,
                            "session": session,
                            "clock_regression": False,
                        },
                        "actor": {"subject": identity.subject, "key_id": identity.key_id},
                        "event": event,
                        **{kind: ids.get(kind) for kind in ("case", "exhibit", "run")},
                        "data": data,
                        "tree": {"size": seq - 1, "root": tree.root().hex()},
                        "thread": {kind: before.get(kind) for kind in ("case", "exhibit", "run")},
                        "tally": tally.root.hex(),
                    }
                )
                prev = sha256_bytes(canonical)
                envelope = canonical_json(sign_envelope(PAYLOAD_TYPE, canonical, identity, include_certificate=False))
                rows["entries"].append((seq, canonical.decode(), prev, envelope.decode()))
                rows["nodes"] += [(*node, hashed) for node, hashed in tree.append_leaf(leaf_hash(canonical))]
                rows["mentions"] += [(kind, name, seq) for kind, name in counted]
            connection.execute("BEGIN IMMEDIATE")
            for table, values in rows.items():
                marks = ",".join("?" * len(values[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608
            changed = [(path, tally.contents[path]) for path in sorted(tally.changed)]
            connection.executemany(
                "INSERT INTO tally VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET content = excluded.content", changed
            )
            tally.changed.clear()
            connection.execute("COMMIT")


def timed(repeat: int, work: Callable[[], Any]) -> dict[str, float]:
    """Of one call: the median wall-clock time, and the processor time (which a busy machine blurs less), in µs."""
    durations = []
    processor = time.process_time()
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return {
        "wall_us": round(1e6 * statistics.median(durations)),
        "cpu_us": round(1e6 * (time.process_time() - processor) / repeat),
    }


def measure(path: Path, identity: Identity) -> dict[str, Any]:
    """Figures for the ledger as it stands; it is some hundred entries longer afterwards."""
    rng = random.Random(1)
    figures: dict[str, Any] = {"open": timed(15, lambda: Ledger.open(path, identity).close())}
    with Ledger.open(path, identity) as ledger:
        size = ledger.size
        run, exhibit = "R-0000001-3", "E-0000001"
        figures |= {
            "entries": size,
            "append": timed(200, lambda: ledger.append("note.made", {"n": 1}, case="C-000000")),
            "append two of a run": timed(50, lambda: _one_run(ledger, exhibit)),
            "inclusion proof": timed(200, lambda: ledger.inclusion_proof(rng.randint(1, size))),
            "consistency proof": timed(200, lambda: ledger.consistency_proof(rng.randint(1, size))),
            "read one entry": timed(200, lambda: ledger.entry(rng.randint(1, size))),
            "thread of a run": timed(50, lambda: list(ledger.thread(run=run))),
            "entries of a run": timed(50, lambda: list(ledger.entries(run=run))),
            "entries of no run": timed(50, lambda: list(ledger.entries(run="R-none"))),
        }
    figures["file_mib"] = round(path.stat().st_size / 2**20, 1)
    done = subprocess.run([sys.executable, "-c", _AUDIT, path], capture_output=True, text=True, check=True)
    figures["audit"] = json.loads(done.stdout)
    return figures


def _one_run(ledger: Ledger, exhibit: str) -> None:
    run = f"R-{ledger.size}"
    ledger.append("run.started", {}, case="C-000000", exhibit=exhibit, run=run)
    ledger.append("run.failed", {}, case="C-000000", exhibit=exhibit, run=run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--grow-only", action="store_true")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forensic-ledger-bench-")))
        path = folder / "ledger.sqlite"
        if path.is_file():
            identity = load_identity(folder / "identity")
        else:
            now = dt.datetime.now(dt.UTC)
            identity = create_identity(folder / "identity", examiner="Bench", lab="Lab", passphrase=None, now=now)
            Ledger.create(path, identity).close()
        events = history()
        with Ledger.open(path, identity) as ledger:
            for _ in ledger.entries(event="exhibit.acquired"):  # go on with exhibits that are not there yet
                list(islice(events, 2 + _RUNS_PER_EXHIBIT * len(_RUN)))
        for size in asked.sizes:
            start = time.perf_counter()
            grow(path, identity, events, size)
            print(json.dumps({"grown_to": size, "s": round(time.perf_counter() - start, 1)}), flush=True)
            if not asked.grow_only:
                print(json.dumps(measure(path, identity)), flush=True)


if __name__ == "__main__":
    main()
