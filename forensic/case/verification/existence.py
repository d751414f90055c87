"""Since when a run's report exists, as timestamps by authorities show that the verifier trusts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from forensic.case.layout import REPORT, WorkspaceLayout, is_anchor_name
from forensic.case.regularfile import digest_regular, read_regular
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError
from forensic.hashes import sha256_bytes
from forensic.report.verification import check_report
from forensic.signing.timestamp import Timestamp, read_roots, verify_response

_LIMIT = 1 << 20


def existed_at(folder: Path, trust: Trust) -> datetime | None:
    """The earliest time at which a report in run folder ``folder`` (the present or a superseded one) existed.

    From the timestamp inside its signature, or from the workspace's ``timestamps`` beside it. None if no timestamp
    leads to an authority that the verifier named. The report carries the record, which then existed too.
    """
    reports = [folder / REPORT, *sorted(folder.glob("report-superseded-*.pdf"))]
    times = [moment for report in reports for moment in _times(report, trust)]
    return min(times, default=None)


def report_existed_at(report: Path, trust: Trust) -> datetime | None:
    """The same for one report alone, wherever it lies."""
    return min(_times(report, trust), default=None)


def checkpoints_existed_at(checkpoints: Iterable[tuple[bytes, bytes]], trust: Trust) -> datetime | None:
    """The same for the earliest of checkpoints, each with its timestamp; what does not hold counts for nothing."""
    times = []
    for note, response in checkpoints:
        try:
            stamp = verify_response(response, bytes.fromhex(sha256_bytes(note)), read_roots(trust.tsa_roots))
        except (ForensicError, ValueError):
            continue
        if stamp.trusted:
            times.append(_latest(stamp))
    return min(times, default=None)


def anchored_since(anchors: Path, seq: int) -> Iterable[tuple[bytes, bytes]]:
    """The checkpoints with timestamps in folder ``anchors`` that contain entry ``seq``."""
    for folder in sorted(anchors.iterdir()) if anchors.is_dir() else ():
        if not is_anchor_name(folder.name) or int(folder.name) < seq:
            continue
        try:
            yield read_regular(folder / "checkpoint", _LIMIT), read_regular(folder / "checkpoint.tsr", _LIMIT)
        except OSError:
            continue


def _times(report: Path, trust: Trust) -> list[datetime]:
    try:
        roots = read_roots(trust.tsa_roots)
        if not roots.certificates:
            return []
        check = check_report(report, roots)
    except (OSError, ForensicError):
        return []
    stamps: list[Timestamp | None] = [check.signature_timestamp] if check.sound else []
    stamps.append(_detached(report, trust))
    return [_latest(stamp) for stamp in stamps if stamp is not None and stamp.trusted]


def _detached(report: Path, trust: Trust) -> Timestamp | None:
    digest = digest_regular(report)
    if digest is None:
        return None
    layout = WorkspaceLayout(report.absolute().parents[2])
    try:
        data = read_regular(layout.document_timestamp(digest), _LIMIT)
        return verify_response(data, bytes.fromhex(digest), read_roots(trust.tsa_roots))
    except (OSError, ForensicError, ValueError):
        return None


def _latest(stamp: Timestamp) -> datetime:
    """The latest time that the authority's stated accuracy allows."""
    return stamp.time + timedelta(seconds=stamp.accuracy_s or 0)
