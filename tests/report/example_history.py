"""A custody history as the record of a run tells it: everything that can happen, as often as wanted."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

BEGIN = dt.datetime(2026, 3, 1, 9, 0, tzinfo=dt.UTC)


def _party(person: str | None, organisation: str | None = None) -> dict[str, str | None] | None:
    return None if person is None else {"person": person, "organisation": organisation}


def _stated(**said: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("stated", "stated_utc", "reason", "from", "to", "by", "seal", "location", "note"))
    return {**nothing, **said}


def _run(run: str, *ends: tuple[str, dict[str, Any]], plan: str = "11", frames: int = 100) -> list[tuple[Any, ...]]:
    asked = {"recipe": "classic", "frames": [0, frames], "mode": "forensic", "purpose": "evidence", "reason": None,
             "plan_sha256": plan * 32}  # fmt: skip
    return [
        ("policy.decided", run, {"allowed": True, "policy": "forensic"}),
        ("run.started", run, asked),
        *((event, run, data) for event, data in ends),
    ]


def events(own_run: str, repeated: int = 1) -> list[tuple[Any, ...]]:
    """(event, run, data) in order; the block of runs and accesses comes ``repeated`` times."""
    to = {"person": "Dr. B. Second", "organisation": "Institute for Video Examination, Department 4"}
    sent = {"transfer": "3c0e7d1a-0000-4000-8000-000000000001", "statement_sha256": "77" * 32}
    told: list[tuple[Any, ...]] = [
        ("custody.received", None, _stated(**{
            "stated": "2026-02-27T16:30:00+01:00", "from": _party("PC 1123 J. Warden", "Northern Police, Station 2"),
            "seal": "evidence bag 00417, seal intact", "location": "Lab 7, counter",
            "note": "USB stick, 16 GB, with delivery note"})),
        ("acquisition.started", None, {"path": "/media/usb/export/traffic_camera.mp4"}),
        ("acquisition.failed", None, {"path": "/media/usb/export/traffic_camera.mp4", "code": "copy.mismatch",
         "reason": "The working copy does not have the digest of the original.", "started": 3}),
        ("acquisition.started", None, {"path": "/media/usb/export/traffic_camera.mp4"}),
        ("exhibit.acquired", None, {"file_name": "traffic_camera.mp4", "size": 2012084, "frames": 576, "started": 5}),
    ]  # fmt: skip
    for number in range(repeated):
        told += [
            *_run(f"20260301T10{number % 60:02d}00Z-aa{number:04x}",
                  ("run.failed", {"code": "storage.disk-full", "reason": "No space left while writing output.mkv."})),
            ("run.refused", f"20260301T11{number % 60:02d}00Z-bb{number:04x}",
             {"code": "policy.denied", "reason": "Stage test-generative is of generative class.", "by": "policy"}),
            *_run(f"20260301T12{number % 60:02d}00Z-cc{number:04x}",
                  ("run.interrupted", {"reason": "the process was killed"}), ("run.resumed", {"reason": None}),
                  ("run.finished", {"stage_class": "fidelity", "frames": 100, "output_sha256": "ab" * 32})),
            ("custody.accessed", None, _stated(by=_party("A. Counsel", "Chambers"), reason="Viewing with the defence",
                                               copy="unchanged")),
        ]  # fmt: skip
    told += [
        ("reproduction.started", "20260301T120000Z-cc0000", {}),
        ("reproduction.finished", "20260301T120000Z-cc0000",
         {"verdict": "REPRODUCED: all 100 frames and the file itself are identical to the bit", "started": -1}),
        ("custody.exported", None, _stated(reason="Copy for the defence", path="/media/stick/EX-1.mp4")),
        ("custody.transferred", None, _stated(**{"to": to, "reason": "Second opinion", **sent})),
        ("custody.acknowledged", None, _stated(role="sender", accepted=True, refused=None, on_paper=None, **sent,
         signer={"subject": "O=Institute,CN=B. Second", "certificate_sha256": "99" * 32})),
        ("custody.transferred", None, _stated(**{"to": _party("Court Registry"), "reason": "Order 4 of 1 March",
         "transfer": "3c0e7d1a-0000-4000-8000-000000000002", "statement_sha256": "78" * 32})),
        ("custody.failed", None, {"act": "custody.exported", "code": "export.exists",
                                  "reason": "/media/stick/EX-1.mp4 is there already."}),
        ("exhibit.changed", None, {"file": "original.mp4", "recorded": "5e" * 32, "found": "00" * 32}),
        *_run("20260301T115900Z-dd0001"),
        *_run(own_run),
    ]  # fmt: skip
    return told


def history(predicate: dict[str, Any], repeated: int = 1) -> dict[str, Any]:
    """``custody`` for the record ``predicate``."""
    items: list[dict[str, Any]] = []
    for number, (event, run, data) in enumerate(events(predicate["run"]["id"], repeated)):
        seq = number + 2
        if data.get("started") == -1:
            data = {**data, "started": seq - 1}
        items.append(
            {
                "seq": seq,
                "hash": hashlib.sha256(f"{seq}".encode()).hexdigest(),
                "utc": (BEGIN + dt.timedelta(minutes=3 * number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "event": event,
                "case": predicate["case"]["id"],
                "exhibit": predicate["exhibit"]["id"],
                "run": run,
                "actor": {"subject": "O=Lab 7,CN=Ada Examiner", "key_id": "12" * 32},
                "data": data,
            }
        )
    last = items[-1]["seq"]
    return {
        "custody": {
            "format": 1,
            "exhibits": [{"id": predicate["exhibit"]["id"], "case": predicate["case"]["id"]}],
            "entries": {"ledger": last, "case": len(items), "exhibit": len(items)},
            "last": {"case": last, "exhibit": last},
            "unended": [],
            "events": items,
        }
    }
