"""What somebody can do who writes the ledger anew with every key: both verifiers find what does not fit together."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensic.case.verification.bundleform import bag as names
from tests.bundle_vectors.agreement import both_refuse
from tests.bundle_vectors.forging import Forger
from tests.case.bundling import (
    Disclosure,
    entries_of,
    reseal,
)


def put(which: str, **fields: Any) -> Callable[[Forger], None]:
    """Change fields of an entry; those of its data as ``data={…}``."""

    def change(forger: Forger) -> None:
        entry = forger.of(which)
        for field, value in fields.items():
            entry[field] = entry[field] | value if isinstance(value, dict) else value

    return change


def run_of(event: str) -> Callable[[Forger], None]:
    """Give the refused run's entry the run of another."""
    return lambda forger: forger.of("run.refused").update(run=forger.of(event)["run"])


def decision(forger: Forger) -> dict[str, Any]:
    """The policy's decision about the finished run."""
    return forger.of("policy.decided")["data"]["decision"]


def frames(forger: Forger) -> dict[str, Any]:
    """What the ledger says of the exhibit's frames."""
    return forger.of("exhibit.acquired")["data"]["frames"]


NOBODY = "0" * 64
FORGERIES: dict[str, Callable[[Forger], None]] = {
    "link that skips the exhibit's entries": put("run.refused", thread={"exhibit": 1}),
    "link that skips the run's entries": put("run.refused", thread={"run": 0}),
    "link to nothing": put("run.refused", thread={"exhibit": None}),
    "link forward": put("run.refused", thread={"case": 99}),
    "refused run of another exhibit": put("run.refused", exhibit="OTHER", case="other"),
    "run that ended twice": run_of("run.finished"),
    "run that never started": put("run.started", event="run.progress"),
    "run on an exhibit never acquired": put("run.started", exhibit="OTHER-2"),
    "exhibit of another case": put("exhibit.acquired", case="other"),
    "entry of version 1 after version 2": lambda forger: [
        forger.of("run.started").pop(key) for key in ("tree", "thread", "tally")
    ] and forger.of("run.started").update(v=1),
    "unknown version": put("run.refused", v=3),
    "further key": put("run.refused", more=1),
    "bad time": put("run.refused", time={"utc": "yesterday"}),
    "further word about time": put("run.refused", time={"more": 1}),
    "bad event": put("run.refused", event="Run Refused"),
    "no tally": lambda forger: forger.of("run.refused").pop("tally"),
    "data that are none": lambda forger: forger.of("run.refused").update(data=None),
    "actor of another name": put("run.refused", actor={"subject": "CN=Another"}),
    "actor of another key": put("run.refused", actor={"key_id": NOBODY}),
    "retired key signs": put("run.refused", event="identity.retired", data={"reason": "gone"}),
    "key entries not listed": put("bundle.issued", data={"key_entries": [1]}),
    "related entry that is not there": put("bundle.issued", data={"related_entries": [7]}),
    "hash-only with originals": put("bundle.issued", data={"originals": "hash-only"}),
    "bundle of another run": lambda forger: forger.of("bundle.issued").update(run=forger.of("run.refused")["run"]),
    "bundle of no exhibit": put("bundle.issued", exhibit="OTHER-1"),
    "last entry is not bundle.issued": put("bundle.issued", event="bundle.written"),
    "log key for another purpose": put("log.key-introduced", data={"purpose": "witness"}),
    "decision refused": lambda forger: decision(forger).update(allowed=False),
    "decision of another policy": lambda forger: decision(forger)["policy"].update(sha256=NOBODY),
    "history before the record rewritten": put("exhibit.acquired", data={"note": "sealed, red"}),
    **{f"another {key} at the end": put("run.finished", data={key: value}) for key, value in {
        "attestation_sha256": NOBODY, "manifest_sha256": NOBODY, "output_merkle_root": NOBODY, "frames": 4,
        "output_sha256": NOBODY, "report_sha256": NOBODY, "stage_class": "presentation",
    }.items()},
    **{f"another {key} of the exhibit": put("exhibit.acquired", data={key: value}) for key, value in {
        "sha256": NOBODY, "acquisition_sha256": NOBODY, "size": 1, "stage_class": "fidelity", "suffix": "/../../x",
    }.items()},
    "another number of frames": lambda forger: frames(forger).update(count=1),
    "another root of the frames": lambda forger: frames(forger).update(merkle_root=NOBODY),
    "another manifest of the frames": lambda forger: frames(forger).update(manifest_sha256=NOBODY),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_with_all_keys(bag: Path, root: Path, forgery: str) -> None:
    forger = Forger(root, bag)
    FORGERIES[forgery](forger)
    forger.write()
    both_refuse(bag, forgery)


def test_checkpoints_are_exchanged(disclosure: Disclosure, bag: Path, root: Path) -> None:
    forger = Forger(root, bag)
    forger.write(lambda entry: entry["seq"] in {1, *(one["seq"] for one in entries_of(disclosure.folder))} | {7})
    both_refuse(bag, "an entry about another case")
    anchor = next((bag / names.ANCHORS).iterdir())
    for change in ("anchor moved", "consistency of another", "signed by nobody", "checkpoint too small"):
        shutil.rmtree(bag)
        disclosure.copy(bag)
        note = (anchor / "checkpoint").read_bytes()
        if change == "anchor moved":
            anchor.rename(anchor.with_name("0000000010"))
        elif change == "consistency of another":
            (anchor / "consistency").write_bytes((anchor / "consistency").read_bytes().replace(b"old 9", b"old 8"))
        elif change == "signed by nobody":
            (anchor / "checkpoint").write_bytes(note[:-10] + b"AAAAAAAA=\n")
        else:
            (bag / names.CHECKPOINT).write_bytes(note)
        reseal(bag, root)
        both_refuse(bag, change)
