"""Check on what a run's record says of damage: it is the sum of what the run says of every frame."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

from forensic.case.damage import STAGES, damage_record
from forensic.case.layout import RunFolder
from forensic.case.regularfile import open_regular
from forensic.case.verification.checks import Verification
from forensic.case.verification.records import at

_LONGEST = 64 << 20  # bytes of one frame's notes


def check_damage(verification: Verification, folder: RunFolder, predicate: dict[str, Any]) -> None:
    """A9, where a stage of the recipe replaces damaged pixels, or the record says that one did."""
    stages = at(predicate, "recipe", "stages")
    names = [str(at(stage, "name")) for stage in stages] if isinstance(stages, list) else []
    told = predicate.get("damage")
    if told is None and not STAGES.intersection(names):
        return
    try:
        found: Any = damage_record(names, _notes(folder))
        wrong = "" if found == told else "the record says something else than the notes of its frames"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        wrong = f"notes.jsonl: {' '.join(str(error).split())[:200] or type(error).__name__}"
    verification.record("A9", "what the record says of damage is what it says of the frames", not wrong, wrong)


def _notes(folder: RunFolder) -> Iterator[dict[str, Any]]:
    with open_regular(folder.notes) as raw, io.BufferedReader(raw) as stream:  # type: ignore[type-var]
        while line := stream.readline(_LONGEST):
            yield json.loads(line)
