"""Timestamps over the reports in a bundle."""

from __future__ import annotations

from collections.abc import Mapping

from forensic.case.layout import REPORT
from forensic.case.verification.bundle_anchors import untrusted
from forensic.case.verification.bundle_container import OpenedBag
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform.description import Disclosed, run_folder
from forensic.case.verification.checks import Verdict, Verification
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError
from forensic.signing.timestamp import read_roots, verify_response

_LIMIT = 1 << 20


def check_report_timestamps(
    verification: Verification, bag: OpenedBag, disclosed: Disclosed, inside: Mapping[str, str], trust: Trust
) -> None:
    """T2: each timestamp is about the report that it is named after and holds.

    TIMESTAMPED is reached if every run's present report has one by an authority that the verifier named, here or
    ``inside`` it (by run, what it shows).
    """
    roots = read_roots(trust.tsa_roots)
    shown: dict[str, str] = {}
    title = "timestamp is about this report and holds"
    for name in bag.below(names.TIMESTAMPS):
        digest = name.removeprefix(names.TIMESTAMPS).removesuffix(".tsr")
        try:
            stamp = verify_response(bag.read(name, _LIMIT), bytes.fromhex(digest), roots)
        except (OSError, ForensicError, ValueError, KeyError) as error:
            verification.record("T2", title, False, getattr(error, "message", str(error)))
            continue
        verification.record("T2", title, True, f"{digest[:12]}…, {stamp.utc} by {stamp.tsa}")
        if stamp.trusted:
            shown[digest] = f"report {digest[:12]}… existed at {stamp.utc}, {stamp.tsa}"
        else:
            verification.not_checked.append(untrusted(f"report {digest[:12]}…", stamp))
    told = []
    for run_id, _ in disclosed.runs:
        digest = bag.digests.get(f"{run_folder(run_id)}{REPORT}", "")
        told.append(inside.get(run_id) or shown.get(digest))
    if told and all(told):
        verification.reach(Verdict.TIMESTAMPED, "; ".join(filter(None, told)))
