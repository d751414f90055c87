"""Since when a record, report or ledger entry exists, as timestamps by authorities show that the verifier trusts.

What proves it is always bound to the very thing: a sound report to the record that it carries byte for byte, a
checkpoint to the entries that it contains. Other files prove nothing, wherever they lie and however old they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from forensic.case.layout import RunFolder, WorkspaceLayout, is_anchor_name, timestamp_beside
from forensic.case.regularfile import JSON_LIMIT, digest_regular, read_regular
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError
from forensic.hashes import sha256_bytes
from forensic.report.verification import check_report
from forensic.signing.chain import Authorities
from forensic.signing.note import MAX_NOTE_BYTES
from forensic.signing.timestamp import Timestamp, read_roots, verify_response
from forensic.signing.tokenform import MAX_BYTES


def record_existed_at(folder: RunFolder, trust: Trust) -> datetime | None:
    """The earliest time at which the record in a run folder existed: by a report, present or replaced, that carries it.

    None if no timestamp of a sound report with exactly these bytes leads to an authority that the verifier named.
    """
    try:
        record = read_regular(folder.attestation, JSON_LIMIT)
    except OSError:
        return None
    reports = (folder.report, *folder.superseded_reports())
    return min((moment for report in reports for moment in _times(report, trust, record)), default=None)


def report_existed_at(report: Path, trust: Trust) -> datetime | None:
    """The same for one report alone, wherever it lies, and the record inside."""
    return min(_times(report, trust), default=None)


def checkpoints_existed_at(checkpoints: Iterable[tuple[bytes, bytes]], trust: Trust) -> datetime | None:
    """The same for the earliest of checkpoints, each with its timestamp; what does not hold counts for nothing."""
    roots = read_roots(trust.tsa_roots)
    stamps = (_holding(response, sha256_bytes(note), roots) for note, response in checkpoints)
    return min((_latest(stamp) for stamp in stamps if stamp is not None and stamp.trusted), default=None)


def anchored_since(anchors: Path, seq: int) -> Iterator[tuple[bytes, bytes]]:
    """The checkpoints with timestamps in folder ``anchors`` that contain entry ``seq``."""
    for folder in sorted(anchors.iterdir()) if anchors.is_dir() else ():
        if not is_anchor_name(folder.name) or int(folder.name) < seq:
            continue
        try:
            note = read_regular(folder / "checkpoint", MAX_NOTE_BYTES)
            yield note, read_regular(folder / "checkpoint.tsr", MAX_BYTES)
        except OSError:
            continue


def _times(report: Path, trust: Trust, record: bytes | None = None) -> list[datetime]:
    roots = read_roots(trust.tsa_roots)
    check = check_report(report, roots) if roots.certificates else None
    if check is None or not check.sound or record not in (None, check.attestation):
        return []
    stamps = (check.signature_timestamp, *_detached(report, roots))
    return [_latest(stamp) for stamp in stamps if stamp is not None and stamp.trusted]


def _detached(report: Path, roots: Authorities) -> Iterator[Timestamp | None]:
    """By the tokens over the whole file: beside it, and in the workspace or bundle around its run folder."""
    digest = digest_regular(report)
    around = WorkspaceLayout(report.absolute().parent.parent.parent)
    for place in (timestamp_beside(report), around.document_timestamp(digest)):
        try:
            yield _holding(read_regular(place, MAX_BYTES), digest, roots)
        except OSError:
            continue


def _holding(response: bytes, digest: str, roots: Authorities) -> Timestamp | None:
    try:
        return verify_response(response, bytes.fromhex(digest), roots)
    except (ForensicError, ValueError):
        return None


def _latest(stamp: Timestamp) -> datetime:
    """The latest time that the authority's stated accuracy allows."""
    return stamp.time + timedelta(seconds=stamp.accuracy_s or 0)
