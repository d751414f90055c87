"""The sections of the report of a calibration about what was left out, tried before, stated otherwise, and filed."""

from __future__ import annotations

import re
from collections import Counter

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, bullets, commands, facts, paragraph, table
from forensic.report.calibration.record import CalibrationRecord
from forensic.report.theme import SMALL
from forensic.report.typeset import mono
from forensic.report.values import at, items, spoken
from forensic.report.wording import calibration as say

_NUMBER = re.compile(r"(?<![\w.])\d+(\.\d+)?(?!\w)|(?<=x)\d+|\d+(?=x)")
MOST_LISTED = 600
"""Rows of an appendix; what goes beyond is named as missing, and lies in registration.json."""


def refused(record: CalibrationRecord) -> list[Flowable]:
    """Strata without LOW, and refused pairs by reason."""
    found = items(at(record.plan, "refused"))
    counts = Counter(_reason(one) for one in found)
    story: list[Flowable] = []
    if counts:
        intro = str(say("refused", "intro")).format(pairs=spoken(at(record.plan, "given", "pairs")), refused=len(found))
        rows: list[list[Content]] = [[str(count), why] for why, count in counts.most_common(20)]
        if len(counts) > len(rows):
            rows.append(["", f"{len(counts) - len(rows)} more reasons: appendix A"])
        story += [
            paragraph(intro),
            table(["Pairs", "Reason"], rows, (0.1, 0.9)),
            paragraph(str(say("refused", "bias"))),
        ]
    else:
        story.append(paragraph(str(say("refused", "none"))))
    without = [one for one in record.calibration.strata if record.low_below(one) is None]
    if not without:
        return [*story, paragraph(str(say("refused", "all_low")))]
    told = [f"{one.name} (n = {one.n}): {record.why_no_low(one)}" for one in without]
    return [*story, paragraph(str(say("refused", "strata"))), *bullets(told)]


def _reason(one: object) -> str:
    """The reason without what differs from pair to pair: the names of its files, and numbers."""
    told = spoken(at(one, "reason"))
    for side in ("reference", "degraded"):
        name = at(one, "pair", side)
        told = told.replace(str(name), f"the {'recording' if side == 'degraded' else side}") if name else told
    return _NUMBER.sub("#", told)


def refused_pairs(record: CalibrationRecord) -> list[Flowable]:
    """Appendix: every refused pair with its reason."""
    found = items(at(record.plan, "refused"))
    if not found:
        return [paragraph(str(say("refused", "none")))]
    rows: list[list[Content]] = [
        [*(spoken(at(one, "pair", name)) for name in ("recording", "degraded", "reference")), spoken(at(one, "reason"))]
        for one in found[:MOST_LISTED]
    ]  # fmt: skip
    return [table(["Recording", "Degraded", "Reference", "Reason"], rows, (0.17, 0.21, 0.21, 0.41)), *_rest(found)]


def listed(record: CalibrationRecord) -> list[Flowable]:
    """Appendix: every independent recording and its list."""
    units = items(at(record.plan, "recordings"))
    rows: list[list[Content]] = [
        [mono(f"{spoken(at(one, 'recording'))[:24]}…"), spoken(at(one, "list")),
         ", ".join(map(str, items(at(one, "names")))), str(len(items(at(one, "pairs")))),
         ", ".join(sorted({spoken(at(each, "stratum")) for each in items(at(one, "pairs"))}))]
        for one in units[:MOST_LISTED]
    ]  # fmt: skip
    header = ["Recording, SHA-256 (beginning)", "List", "Names", "Frames", "Stratum"]
    return [paragraph(str(say("listed", "intro"))), table(header, rows, (0.3, 0.11, 0.29, 0.08, 0.22)), *_rest(units)]


def _rest(found: list[object]) -> list[Flowable]:
    left = len(found) - MOST_LISTED
    return [paragraph(str(say("refused", "rest")).format(count=left))] if left > 0 else []


def deviations(record: CalibrationRecord) -> list[Flowable]:
    """The examiner's word on what was done otherwise."""
    told = [spoken(one) for one in items(at(record.plan, "deviations"))]
    if not told:
        return [paragraph(str(say("deviations", "none")))]
    return [paragraph(str(say("deviations", "intro"))), *bullets(told)]


def earlier(record: CalibrationRecord) -> list[Flowable]:
    """Every attempt before this one."""
    rows: list[list[Content]] = [
        [mono(spoken(at(one, "calibration"))), spoken(at(one, "utc")), spoken(at(one, "end"))]
        for one in record.listed("earlier")
    ]
    if not rows:
        return [paragraph(str(say("earlier", "none")))]
    intro = str(say("earlier", "intro")).format(seen=record.laboratory.seen_before)
    return [paragraph(intro), table(["Calibration", "Registered", "End"], rows, (0.4, 0.3, 0.3))]


def check(record: CalibrationRecord) -> list[Flowable]:
    """Commands by which anybody can check the report."""
    names = {one.name: one.sha256 for one in record.statement.subjects}
    rows: list[tuple[str, Content]] = [("SHA-256 of attestation.json", mono(record.attestation_sha256))]
    rows += [(f"SHA-256 of {name}", mono(digest)) for name, digest in sorted(names.items())]
    rows.append(("Certificate SHA-256", mono(record.laboratory.certificate_sha256)))
    return [
        paragraph(str(say("check", "intro"))),
        commands(["forensic verify .", "pdfsig report.pdf", "sha256sum -c manifest.sha256"]),
        paragraph(str(say("check", "expect")), SMALL),
        paragraph(str(say("check", "openssl"))),
        facts(rows, 0.3),
    ]
