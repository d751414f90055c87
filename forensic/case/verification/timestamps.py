"""Checks on timestamps, T1 to T5: over checkpoints, over reports, inside reports, and as the ledger has them.

A timestamp that is there and does not hold fails. One that holds counts only if it leads to an authority that the
verifier named (``Trust.tsa_roots``); otherwise it is said who made it, so that he can find out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from forensic.case.layout import REFUSED, AnchorFolder, WorkspaceLayout, is_anchor_name, timestamp_beside
from forensic.case.regularfile import digest_regular, read_regular
from forensic.case.storage import is_folder
from forensic.case.verification.checks import Verdict, Verification
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError
from forensic.ledger.entry import LedgerEntry
from forensic.signing.tokenform import MAX_BYTES

if TYPE_CHECKING:
    from forensic.report.verification import ReportCheck
    from forensic.signing.timestamp import Timestamp

RECEIVED = "timestamp.received"
TITLES = {
    "T1": "timestamp over the checkpoint holds",
    "T2": "timestamp over the report holds",
    "T3": "timestamp on the report's signature holds",
    "T4": "validation data and document timestamp in the report hold",
    "T5": "timestamps are those that the ledger received",
}
_SUFFIX = ".tsr"
_DOUBT = "whether to trust the authority that timestamped "


def check_inside(verification: Verification, report: ReportCheck) -> None:
    """T3 and T4: what the report itself carries."""
    faults = "; ".join(report.timestamp_findings)
    stamp = report.signature_timestamp
    if report.level != "B-B":
        detail = f"{_told(stamp)}; {_against_clock(stamp, report)}" if stamp is not None else ""
        if verification.record("T3", TITLES["T3"], stamp is not None and not faults, faults or detail) and stamp:
            _count(verification, "the report's signature", stamp, sound=report.sound)
    if report.level in ("B-LT", "B-LTA"):
        later = report.document_timestamp
        detail = f"PAdES {report.level}" + (f", {_told(later)}" if later is not None else "")
        verification.record("T4", TITLES["T4"], not faults, faults or detail)
        if later is not None and not later.trusted:
            verification.not_checked.append(_untrusted("the whole report", later))


def check_beside(verification: Verification, report: Path, trust: Trust, *, sound: bool) -> None:
    """T2: a token over the report in ``REPORT.pdf.tsr`` beside it, or in the workspace around its folder."""
    places = [timestamp_beside(report)]
    workspace = WorkspaceLayout(report.absolute().parent.parent.parent)
    digest = ""
    among = (workspace.runs, workspace.validations, workspace.calibrations)
    if workspace.ledger.is_file() and report.absolute().parent.parent in among:
        digest = digest_regular(report)
        places.append(workspace.document_timestamp(digest))
    for place in places:
        if place.exists() or place.is_symlink():
            stamp = _checked(verification, "T2", place, digest or digest_regular(report), trust, report.name)
            if stamp is not None:
                _count(verification, f"{report.name}", stamp, sound=sound)


def check_timestamps(verification: Verification, layout: WorkspaceLayout, *, trust: Trust, covering: int) -> None:
    """T1 on every checkpoint among the anchors. ``covering``: the entry that a trusted one must include to count.

    What the checkpoints themselves are worth is checked by N1 to N4.
    """
    names = sorted(path.name for path in layout.anchors.iterdir()) if is_folder(layout.anchors) else []
    best: tuple[int, str] | None = None
    for name in filter(is_anchor_name, names):
        folder = AnchorFolder(layout.anchors / name)
        if not folder.timestamp.exists() and not folder.timestamp.is_symlink():
            continue
        size = int(name)
        stamp = _checked(verification, "T1", folder.timestamp, digest_regular(folder.checkpoint), trust, f"size {size}")
        if stamp is None:
            continue
        if stamp.trusted:
            best = (size, f"{size} entries of the ledger existed at {_told(stamp)}")
        else:
            verification.not_checked.append(_untrusted(f"the checkpoint of size {size}", stamp))
    if best is not None and best[0] >= covering:
        verification.reach(Verdict.TIMESTAMPED, best[1])
    elif best is not None:
        verification.not_checked.append(
            f"how old entries {best[0] + 1} to {covering} are: the newest trusted timestamp is over fewer entries"
        )


def check_received(
    verification: Verification, layout: WorkspaceLayout, received: list[LedgerEntry], *, run: str | None = None
) -> None:
    """T5: each token in the workspace is one that the ledger received; those that are gone are named.

    ``received``: the ledger's entries about tokens; with ``run`` those of that run alone are looked at.
    """
    known: dict[str, set[str]] = {}
    places: dict[str, tuple[Path, str]] = {}
    for entry in received:
        digest = str(entry.data.get("sha256"))
        if entry.data.get("of") in ("checkpoint", "report") and (run is None or entry.run == run):
            known.setdefault(digest, set()).add(str(entry.data.get("token_sha256")))
            about = f"entry {entry.seq}: {entry.data.get('utc')} by {entry.data.get('tsa')}"
            places[digest] = (layout.document_timestamp(digest), about)
    for size, folder in _anchors(layout):
        digest = digest_regular(folder.checkpoint)
        if digest in places:
            places[digest] = (folder.timestamp, f"checkpoint of size {size}, {places[digest][1]}")
    exchanged = []
    for digest, (place, about) in sorted(places.items()):
        found = digest_regular(place)
        if found not in known[digest] and (place.exists() or place.is_symlink()):
            exchanged.append(place.name)
        elif found not in known[digest]:
            verification.not_checked.append(f"a timestamp that the ledger received is gone ({about})")
    if places:
        verification.record("T5", TITLES["T5"], not exchanged, ", ".join(exchanged[:5]))


def check_strays(verification: Verification, layout: WorkspaceLayout, reports: set[str]) -> None:
    """Name what lies among the timestamps and is about none of ``reports`` (digests of those that the ledger knows)."""
    folder = layout.document_timestamp("").parent
    for path in sorted(folder.iterdir()) if is_folder(folder) else []:
        if path.name.endswith(REFUSED):
            verification.not_checked.append(f"timestamps/{path.name}: kept aside as refused, counts for nothing")
        elif path.name.removesuffix(_SUFFIX) not in reports and not path.name.startswith("."):
            verification.not_checked.append(f"timestamps/{path.name}: the ledger knows no such report")


def doubts(part: Verification) -> list[str]:
    """What ``part`` says about authorities that the verifier did not name."""
    return [note for note in part.not_checked if note.startswith(_DOUBT)]


def _anchors(layout: WorkspaceLayout) -> Iterator[tuple[int, AnchorFolder]]:
    for path in sorted(layout.anchors.iterdir()) if is_folder(layout.anchors) else []:
        if is_anchor_name(path.name):
            yield int(path.name), AnchorFolder(path)


def _checked(
    verification: Verification, number: str, token: Path, digest: str, trust: Trust, what: str
) -> Timestamp | None:
    from forensic.signing.timestamp import read_roots, verify_response

    roots = read_roots(trust.tsa_roots)
    try:
        stamp = verify_response(read_regular(token, MAX_BYTES), bytes.fromhex(digest), roots)
    except OSError as error:
        verification.record(number, TITLES[number], False, f"{what}: {error.strerror}")
    except ForensicError as error:
        verification.record(number, TITLES[number], False, f"{what}: {error.message}")
    except ValueError:
        verification.record(number, TITLES[number], False, f"{what}: it is not there or {digest}")
    else:
        verification.record(number, TITLES[number], True, f"{what}: {_told(stamp)}")
        return stamp
    return None


def _count(verification: Verification, what: str, stamp: Timestamp, *, sound: bool) -> None:
    if stamp.trusted and sound:
        verification.reach(Verdict.TIMESTAMPED, f"{what} existed at {_told(stamp)}")
    elif not stamp.trusted:
        verification.not_checked.append(_untrusted(what, stamp))


def _told(stamp: Timestamp) -> str:
    accuracy = "" if stamp.accuracy_s is None else f" ± {stamp.accuracy_s:g} s"
    return f"{stamp.utc}{accuracy}, {stamp.tsa}, certificate SHA-256 {stamp.tsa_sha256}"


def _untrusted(what: str, stamp: Timestamp) -> str:
    return (
        f"{_DOUBT}{what} ({stamp.utc}, {stamp.tsa}, issued by {stamp.issuer}): "
        f"{stamp.distrust}; name its root with --tsa-root"
    )


def _against_clock(stamp: Timestamp, report: ReportCheck) -> str:
    """The signer's own clock beside the authority's: a report cannot be older than it claims by much."""
    if report.signing_time is None:
        return "the signer claims no time"
    seconds = round((stamp.time - report.signing_time).total_seconds())
    away = str(dt.timedelta(seconds=abs(seconds)))
    return f"the signer's clock claimed {away} {'earlier' if seconds >= 0 else 'LATER'}"
