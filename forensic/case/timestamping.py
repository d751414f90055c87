"""Timestamps over checkpoints and reports: what lacks one is fetched, checked, stored, recorded.

The queue is what can be derived: a checkpoint or report that the ledger knows and that has no token yet.
Nothing depends on the network: without it everything stays as it is, and the verdict is lower. What lies in a
token's place counts as little as an answer from the network: it must pass the same checks.
The format is docs/formats/timestamps.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.case.layout import CalibrationFolder, ValidationFolder
from forensic.case.regularfile import digest_regular, read_regular
from forensic.case.settings import timestamp_authority
from forensic.case.storage import make_folder, storage, sync_folder, write_file
from forensic.case.verification.timestamps import RECEIVED as RECEIVED
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError, StorageFailed
from forensic.hashes import sha256_bytes
from forensic.signing.tokenform import MAX_BYTES

if TYPE_CHECKING:
    from forensic.signing.timestamp import Timestamp
    from forensic.signing.tsa import TimestampAuthority

FAILED = "timestamp.failed"
CHECKPOINT, REPORT = "checkpoint", "report"
VALIDATED, CALIBRATED = "validation.completed", "calibration.completed"


@dataclass(frozen=True)
class Pending:
    """Something to be timestamped: its file, its SHA-256, where the token goes, and what the entry is about."""

    of: str
    name: str
    sha256: str
    file: Path
    token: Path
    about: dict[str, str | None]


@dataclass(frozen=True)
class FetchedTimestamp:
    """A token that was stored; or, with ``code``, why there is none."""

    of: str
    name: str
    sha256: str
    file: Path
    utc: str = ""
    tsa: str = ""
    code: str = ""
    reason: str = ""

    def to_record(self) -> dict[str, object]:
        """JSON-able."""
        facts: dict[str, object] = {"of": self.of, "name": self.name, "sha256": self.sha256}
        if self.code:
            return {**facts, "failed": {"code": self.code, "reason": self.reason}}
        return {**facts, "file": str(self.file), "utc": self.utc, "tsa": self.tsa}


def fetch_pending(
    workspace: Workspace, url: str | None = None, say: Callable[[str], None] = lambda _: None
) -> list[FetchedTimestamp]:
    """Ask the authority at ``url`` (else the configured one) about everything that lacks a token, newest first.

    The first failure ends it: an authority that is away is not asked again, what is left stays queued. Each outcome
    is a ledger entry. Raises ``UsageError`` (``timestamp.url``, ``settings.invalid``) and as writing does.
    """
    authority = timestamp_authority(workspace.layout, url)
    queue = list(pending(workspace))
    if authority is None:
        if queue:
            say(f"No timestamp authority is configured (settings.toml): {len(queue)} without a timestamp.")
        return []
    outcome: list[FetchedTimestamp] = []
    for place, item in enumerate(queue):
        fetched = _fetch(workspace, authority, item, say)
        outcome.append(fetched)
        if fetched.code:
            say(f"No timestamp for {item.name}: {fetched.reason} Still queued: {len(queue) - place}.")
            break
        say(f"Timestamp for {item.name}: {fetched.utc} by {fetched.tsa}")
    return outcome


def pending(workspace: Workspace) -> Iterator[Pending]:
    """Checkpoints and reports on record that have no token on record, newest first: of runs, validations, calibrations.

    A report whose signature carries a token needs no other. A file that is not the one on record is left alone: a
    token must not lend it age.
    """
    stamped, embedded = _recorded(workspace)
    for item in (*_checkpoints(workspace), *_reports(workspace), *_filed(workspace)):
        if item.sha256 in embedded or digest_regular(item.file) != item.sha256:
            continue
        if digest_regular(item.token) not in stamped.get(item.sha256, ()):
            yield item


def _recorded(workspace: Workspace) -> tuple[dict[str, set[str]], set[str]]:
    """Digests of the tokens received for each document; digests of the reports that carry one inside."""
    stamped: dict[str, set[str]] = {}
    embedded = set()
    for entry in workspace.ledger.entries(event=RECEIVED):
        if entry.data.get("of") in (CHECKPOINT, REPORT):
            stamped.setdefault(str(entry.data.get("sha256")), set()).add(str(entry.data.get("token_sha256")))
        else:
            embedded.add(str(entry.data.get("report_sha256")))
    return stamped, embedded


def _checkpoints(workspace: Workspace) -> list[Pending]:
    found = []
    for entry in workspace.ledger.entries(event="checkpoint.issued"):
        size, digest = entry.data.get("size"), entry.data.get("sha256")
        if isinstance(size, int) and isinstance(digest, str):
            folder = workspace.layout.anchor(size)
            about: dict[str, str | None] = {"case": None, "exhibit": None, "run": None}
            name = f"checkpoint of size {size}"
            found.append(Pending(CHECKPOINT, name, digest, folder.checkpoint, folder.timestamp, about))
    return found[::-1]


def _reports(workspace: Workspace) -> list[Pending]:
    """The reports of finished runs that are there, the present and the superseded ones, as the ledger knows them."""
    layout, found = workspace.layout, []
    issued: dict[str, set[str]] = {}
    for entry in workspace.ledger.entries(event="report.issued"):
        issued.setdefault(str(entry.run), set()).add(str(entry.data.get("report_sha256")))
    for entry in workspace.ledger.entries(event="run.finished"):
        folder = layout.run(str(entry.run))
        known = {str(entry.data.get("report_sha256"))} | issued.get(str(entry.run), set())
        about: dict[str, str | None] = {"case": entry.case, "exhibit": entry.exhibit, "run": entry.run}
        for file in (folder.report, *folder.superseded_reports()):
            digest = digest_regular(file)
            if digest in known:
                name = f"{file.name} of run {entry.run}"
                found.append(Pending(REPORT, name, digest, file, layout.document_timestamp(digest), about))
    return found[::-1]


def _filed(workspace: Workspace) -> list[Pending]:
    """The reports of completed validations and calibrations that are where the ledger says, in the workspace or not."""
    layout, found = workspace.layout, []
    completed = [entry for event in (CALIBRATED, VALIDATED) for entry in workspace.ledger.entries(event=event)]
    for entry in completed:
        what, place = entry.event.partition(".")[0], str(entry.data.get("folder"))
        file = (
            ValidationFolder(layout.validation_named(place)).report
            if entry.event == VALIDATED
            else CalibrationFolder(layout.root / place).report
        )
        digest = digest_regular(file)
        if digest == entry.data.get("report_sha256"):
            name = f"{file.name} of {what} {entry.data.get(what)}"
            about: dict[str, str | None] = {"case": None, "exhibit": None, "run": None}
            found.append(Pending(REPORT, name, digest, file, layout.document_timestamp(digest), about))
    return found[::-1]


def _fetch(
    workspace: Workspace, authority: TimestampAuthority, item: Pending, say: Callable[[str], None]
) -> FetchedTimestamp:
    before = None
    if os.path.lexists(item.token):  # stored, and then the process was killed before it could say so; or planted
        try:
            present = _stored(item, authority)
        except (OSError, ForensicError) as error:
            before = _set_aside(workspace, item, error, say)
        else:
            return _received(workspace, item, *present, {"url": None, "left_out": []})
    try:
        accepted = authority.stamp(bytes.fromhex(item.sha256))
    except ForensicError as error:
        if not error.code.startswith("timestamp."):
            raise
        data = {"of": item.of, "sha256": item.sha256, "url": authority.url, "code": error.code, "reason": error.message}
        workspace.ledger.append(FAILED, data, **item.about)
        return FetchedTimestamp(item.of, item.name, item.sha256, item.token, code=error.code, reason=error.message)
    make_folder(item.token.parent)
    write_file(item.token, accepted.response)
    try:
        stored = _stored(item, authority)
    except (OSError, ForensicError) as error:
        raise _not_as_written(item) from error
    more = {"url": authority.url, "left_out": list(accepted.left_out), "replaces": before}
    return _received(workspace, item, *stored, more)


def _stored(item: Pending, authority: TimestampAuthority) -> tuple[bytes, Timestamp]:
    """The token in its file, held to what an answer is held to.

    Raises ``OSError`` if it cannot be read, else as ``verify_response`` and ``require_roots`` do.
    """
    from forensic.signing.timestamp import NO_ROOTS, require_roots, verify_response

    data, roots = read_regular(item.token, MAX_BYTES), authority.roots or NO_ROOTS
    stamp = verify_response(data, bytes.fromhex(item.sha256), roots)
    require_roots(stamp, roots)
    return data, stamp


def _set_aside(workspace: Workspace, item: Pending, fault: OSError | ForensicError, say: Callable[[str], None]) -> str:
    """Make room for a genuine token: what lies in its place is named in the ledger, then kept under another name.

    Returns its digest.
    """
    number = 1
    while os.path.lexists(aside := workspace.layout.refused_timestamp(item.sha256, number)):
        number += 1
    told = fault.message if isinstance(fault, ForensicError) else f"It cannot be read: {fault.strerror}."
    digest = digest_regular(item.token)
    data = {
        "of": item.of, "sha256": item.sha256, "url": None,
        "code": fault.code if isinstance(fault, ForensicError) else "timestamp.unreadable",
        "reason": f"What lay in its place is refused. {told}", "token_sha256": digest, "kept_as": aside.name,
    }  # fmt: skip
    workspace.ledger.append(FAILED, data, **item.about)
    make_folder(aside.parent)
    with storage(aside, "keeping a refused timestamp as"):
        item.token.rename(aside)
        sync_folder(aside.parent)
    say(f"Refused as a timestamp for {item.name}, kept as {aside}: {told}")
    return digest


def _received(
    workspace: Workspace, item: Pending, token: bytes, stamp: Timestamp, more: dict[str, Any]
) -> FetchedTimestamp:
    data = {"of": item.of, "sha256": item.sha256, "token_sha256": sha256_bytes(token), **stamp.facts(), **more}
    workspace.ledger.append(RECEIVED, data, **item.about)
    return FetchedTimestamp(item.of, item.name, item.sha256, item.token, stamp.utc, stamp.tsa)


def _not_as_written(item: Pending) -> ForensicError:
    return StorageFailed("timestamp.storage", f"{item.token} does not hold what was just written.", "Check the disk.")
