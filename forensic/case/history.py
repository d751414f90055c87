"""The custody history as people read it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

from forensic.case.acquired import parse_acquired
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError


def history(workspace: Workspace, *, exhibit: str | None, run: str | None) -> Iterator[dict[str, Any]]:
    """Entries in order: seq, utc, actor, event, class ``event``, case, exhibit, run, summary, data, entry_hash.

    ``exhibit`` is found in any Unicode normalisation: ids are recorded in NFC.
    """
    exhibit = None if exhibit is None else unicodedata.normalize("NFC", exhibit)
    for entry in workspace.ledger.entries(exhibit=exhibit, run=run):
        yield {
            "seq": entry.seq,
            "name": entry.event,
            "class": entry.event.partition(".")[0],
            "utc": entry.utc,
            "actor": entry.actor["subject"],
            "case": entry.case,
            "exhibit": entry.exhibit,
            "run": entry.run,
            "summary": summary(entry.event, entry.data),
            "data": entry.data,
            "entry_hash": entry.hash,
        }


def summary(event: str, data: dict[str, Any]) -> str:
    """One line of plain words about an entry. Never raises: a signature does not vouch for the form of ``data``."""
    try:
        return _sentence(event, data)
    except (ForensicError, KeyError, TypeError, ValueError, AttributeError):
        return "this entry's data does not have the form of its event"


def _sentence(event: str, data: dict[str, Any]) -> str:
    match event:
        case "workspace.created":
            return f"workspace created for {data['examiner']}, {data['lab']} (by {data['origin']})"
        case "exhibit.acquired":
            acquired = parse_acquired(data)
            anomalies = sum(acquired.anomaly_counts.values())
            return f"{acquired.file_name}, {acquired.frame_count} frames, {anomalies} anomalies, {acquired.sha256}"
        case "acquisition.started":
            return str(data.get("path", ""))
        case "exhibit.presented-again":
            return "the same file was presented again under the same id"
        case "policy.decided":
            decision = data["decision"]
            return f"policy {decision['policy']['name']}: " + ("allowed" if decision["allowed"] else "denied")
        case "run.started":
            first, stop = data["frames"]
            return f"recipe {data['recipe']['name']}, frames {first}:{stop}"
        case "run.finished":
            return f"{data['frames']} frames, {data['stage_class']} class, output {data['output_sha256']}"
        case "reproduction.finished":
            return str(data["verdict"])
        case "report.issued":
            return f"report issued again, {data['report_sha256']}"
        case "export.written":
            return f"{data['kind']} {data['file_name']}, {data['sha256']}"
        case "exhibit.changed":
            return f"{data['file']} has changed since acquisition"
        case _:
            return str(data.get("reason", ""))
