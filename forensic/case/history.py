"""The custody history as people read it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Any

from forensic.case.acquired import parse_acquired
from forensic.case.disclosure import BEGUN, BY_DIGEST
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError
from forensic.ledger.entry import LedgerEntry


def history(
    workspace: Workspace, *, exhibit: str | None = None, run: str | None = None, case: str | None = None
) -> Iterator[dict[str, Any]]:
    """Entries in order: seq, utc, actor, event, class ``event``, case, exhibit, run, summary, people, data, entry_hash.

    ``exhibit`` and ``case`` are found in any Unicode normalisation: ids are recorded in NFC. With ``exhibit``
    come the entries that name no exhibit and are about its bytes: beginnings and failures of its
    acquisition, acknowledgements.
    """
    exhibit = None if exhibit is None else unicodedata.normalize("NFC", exhibit)
    case = None if case is None else unicodedata.normalize("NFC", case)
    entries: Iterable[LedgerEntry] = workspace.ledger.entries(exhibit=exhibit, run=run, case=case)
    if exhibit is not None and run is None and case is None:
        entries = merge(entries, _unnamed(workspace, exhibit), key=lambda entry: entry.seq)
    for entry in entries:
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
            "people": people(entry.data) if entry.event.startswith("custody.") else "",
            "data": entry.data,
            "entry_hash": entry.hash,
        }


def _unnamed(workspace: Workspace, exhibit: str) -> list[LedgerEntry]:
    """Entries without an exhibit id that are about the exhibit's bytes."""
    ledger = workspace.ledger
    acquired = next(iter(ledger.entries(event="exhibit.acquired", exhibit=exhibit)), None)
    if acquired is None:
        return []
    found = [
        entry
        for event in BY_DIGEST
        for entry in ledger.entries(event=event)
        if entry.exhibit is None and entry.data.get("sha256") == acquired.data.get("sha256")
    ]
    begun = {entry.data.get("started") for entry in (acquired, *found)}
    found += [entry for entry in ledger.entries(event=BEGUN) if entry.exhibit is None and entry.seq in begun]
    return sorted(found, key=lambda entry: entry.seq)


def people(data: dict[str, Any]) -> str:
    """Who is named in an act of custody, and the reason and time that were stated. Never raises."""
    told = [
        f"{word} {who}" for word, key in (("from", "from"), ("to", "to"), ("by", "by")) if (who := party(data.get(key)))
    ]
    told += [f"stated time {data['stated']}"] if data.get("stated") else []
    told += [f"reason: {data['reason']}"] if data.get("reason") and "code" not in data else []
    told += [f"{key}: {data[key]}" for key in ("seal", "location", "note") if data.get(key)]
    return "; ".join(told)


def party(value: Any) -> str:
    """A person and organisation in words; empty if nobody is named."""
    if not isinstance(value, dict):
        return ""
    return ", ".join(str(value[key]) for key in ("person", "organisation") if value.get(key))


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
        case "run.progress":
            return f"{data['frames']} frames so far"
        case "run.resumed":
            return f"resumed, {data['frames_under_root']} frames on record"
        case "run.finished":
            return f"{data['frames']} frames, {data['stage_class']} class, output {data['output_sha256']}"
        case "reproduction.started":
            return "the run is computed again from the exhibit"
        case "reproduction.finished":
            return str(data["verdict"])
        case "report.issued":
            return f"report issued again, {data['report_sha256']}"
        case "bundle.issued":
            return f"bundle issued, originals: {data['originals']}"
        case "bundle.written":
            return f"bundle {data['name']} written, {data['files']} files, {data['sha256']}"
        case "export.started" | "export.failed":
            return " ".join(str(data[key]) for key in ("file_name", "reason") if key in data)
        case "export.written":
            return f"{data['kind']} {data['file_name']}, {data['sha256']}"
        case "timestamp.received":
            return f"timestamp {data['utc']} on the {data['of']} by {data['tsa']}, token {data['token_sha256']}"
        case "timestamp.failed":
            return f"no timestamp on the {data['of']}: {data['reason']}"
        case "exhibit.surveyed":
            first, stop = data["frames"]
            return f"frames {first}:{stop} measured; recipe {data['proposal']['recipe']} proposed"
        case "exhibit.region-tracked":
            found, lost = data["track"]["points"], data["track"]["lost"]
            return f"region {data['region']} of frame {data['frame']} found in {len(found)} frames, lost in {len(lost)}"
        case "exhibit.lens-estimated":
            lens = data["lens"]
            return f"lens from {lens['method']}, {lens['marks']} marks, {lens['rms_pixels']:.2f} pixels off"
        case "exhibit.camera-followed":
            placed, lost = data["path"]["places"], data["path"]["lost"]
            return f"{len(placed)} frames placed against frame {data['reference']}, {len(lost)} not"
        case "exhibit.grain-estimated":
            return f"{data['grain']['kind']}: {data['grain']['why']}"
        case "validation.registered":
            suite, count = data["suite"], len(data["requirements"])
            return f"suite {suite['id']} {suite['version']}, {count} requirements, {suite['sha256']}"
        case "validation.completed":
            return f"{data['validation']}: {data['verdict']}, report {data['report_sha256']}"
        case "validation.master-kept":
            return f"master {data['validation']} kept as {data['file']}, {data['sha256']}"
        case "calibration.registered":
            count, refused = len(data["recordings"]), len(data["refused"])
            return f"{data['calibration']}: {count} recordings for {data['subject']['model']}, {refused} pairs refused"
        case "calibration.completed":
            low = "LOW exists" if data["low"] else "no LOW label exists"
            return f"{data['calibration']}: {low}, {data['calibration_sha256']}, report {data['report_sha256']}"
        case "model.fetched":
            origin = "found in the models store" if "found" in data["source"] else f"from {data['pack']['file']}"
            return f"weights of {data['model']} {origin}, {data['weights_sha256']}"
        case "model.added":
            return f"{data['model']} from {data['source']['name']}, {data['weights_sha256']}; {data['class_statement']}"
        case "model.removed" | "model.remove-started":
            done = "taken out of the models store" if event == "model.removed" else "about to be taken out of the store"
            return f"{data['model']}: {done}, {data.get('weights_sha256', 'of unknown digest')}"
        case _ if event.startswith("model.remove-"):
            there = "it is out of its place" if data.get("taken_out") else "it is where it was"
            return f"{data['model']}: {data['reason']}; {there}"
        case "model.add-started":
            return f"{data['model']} from {data['given']['name']}: about to be tried"
        case _ if event.startswith("model.add-"):
            removed = {"True": "; its folder was removed", "False": "; its folder could not be removed"}
            return f"{data['model']}: {data['reason']}{removed.get(str(data.get('folder_removed')), '')}"
        case _ if event.startswith("model.fetch-"):
            return f"weights of {data['model']}: {data['reason']}"
        case "exhibit.changed":
            return f"{data['file']} has changed since acquisition"
        case _ if event.startswith("custody."):
            return _act(event, data)
        case _ if event.startswith(("identity.", "authority.", "approval.")):
            return _people(event, data)
        case _ if event.startswith(("log.", "checkpoint.", "witness.")):
            return _anchoring(event, data)
        case _:
            return str(data.get("reason", ""))


def _anchoring(event: str, data: dict[str, Any]) -> str:
    """What was done to anchor this ledger, or another one as its witness."""
    match event:
        case "log.key-introduced":
            replaced = " (replaces another)" if "replaces" in data else ""
            return f"key of the {data['purpose']}: {data['vkey']}{replaced}"
        case "checkpoint.issued":
            return f"{data['size']} entries, root {data['root']}"
        case "checkpoint.exported":
            return f"request to {data['witness'] or 'a witness'}, from {data['old_size']} to {data['size']} entries"
        case "checkpoint.cosigned":
            return f"{data['size']} entries, by {data['witness']} at {data['utc']} (its clock)"
        case "witness.log-accepted":
            return f"log {data['origin']} is believed by its key {data['vkey']}"
        case "witness.cosigned":
            return f"{data['origin']}: {data['size']} entries, root {data['root']}"
        case _:
            return str(data["reason"])


def _people(event: str, data: dict[str, Any]) -> str:
    """Who may sign from now on or no more, who vouches for them, and what was approved."""
    match event:
        case "identity.introduced":
            replaced = f", in place of key {data['replaces']}" if data.get("replaces") else ""
            return f"{data.get('name') or 'somebody'}, {data.get('role') or 'no role'}, key {data['key_id']}{replaced}"
        case "identity.revoked":
            since = f", not trusted since {data['since_utc']}" if data["since_utc"] else ""
            return f"key {data['key_id']} is revoked{since}: {data['reason']}"
        case "identity.retired":
            return f"key {data['key_id']} is retired: {data['reason']}"
        case "authority.pinned":
            return f"the laboratory's authority is {data['subject']}, certificate {data['certificate_sha256']}"
        case "authority.list-received":
            return f"revocation list {data['number']} of {data['issuer']}, {len(data['revoked'])} revoked"
        case "approval.given":
            terms = data["terms"]
            return f"recipe {terms['recipe']['name']}, mode {terms['mode']}, purpose {terms['purpose']}: {data['note']}"
        case "approval.used":
            return f"approval {data['approval']['seq']} by {data['by']} is used by this run"
        case "approval.withdrawn":
            return f"approval {data['approval']['seq']} is withdrawn: {data['reason']}"
        case _:
            return str(data.get("reason", ""))


def _act(event: str, data: dict[str, Any]) -> str:
    """An act of custody; who and why are told apart from it, by :func:`people`."""
    match event:
        case "custody.received":
            return "the exhibit came in"
        case "custody.accessed":
            return f"somebody had access to the exhibit; working copy: {data['copy']}"
        case "custody.exported":
            return f"copied to {data['path']} and read back, {data['sha256']}"
        case "custody.transferred":
            return f"handed on, transfer {data['transfer']}, statement {data['statement_sha256']}"
        case "custody.acknowledged" if data["role"] == "recipient":
            sender = data["sender"]
            taken = "receipt acknowledged" if data["accepted"] else f"receipt refused ({data['refused']})"
            return f"{taken}: exhibit {sender['exhibit']} of case {sender['case']} from {party(sender)}"
        case "custody.acknowledged" if data["on_paper"] is not None:
            return f"a receipt on paper is claimed (not seen by this program): {data['on_paper']}"
        case "custody.acknowledged":
            how = f"signed by {data['signer']['subject']}, certificate {data['signer']['certificate_sha256']}"
            return f"receipt acknowledged, {how}" if data["accepted"] else f"receipt REFUSED ({data['refused']}), {how}"
        case "custody.returned":
            return "the exhibit was given back"
        case "custody.destruction-started":
            return "the destruction of the working copy was begun"
        case "custody.destroyed":
            kept = ", ".join(str(other["exhibit"]) for other in data["kept_for"])
            return str(data["method"]) if data["removed"] else f"given up; the copy is kept for exhibit {kept}"
        case "custody.failed" if "recorded_seq" in data:
            done = f"{data['act'].partition('.')[2]} was on record (entry {data['recorded_seq']}, which stands)"
            return f"stopped after {done}: {data['reason']}"
        case "custody.failed":
            return f"{data['act'].partition('.')[2]} was not done: {data['reason']}"
        case _:
            return str(data.get("reason", ""))
