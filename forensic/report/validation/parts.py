"""The sections of the report of a validation, in the order in which a laboratory files them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, bullets, commands, facts, notice, paragraph, table
from forensic.report.filed import short
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import bold, mono
from forensic.report.validation.record import ValidationRecord
from forensic.report.validation.saying import criterion, finding, method_of, number, percent_of, unit_of, verdict
from forensic.report.values import at, label, plural, spoken
from forensic.report.wording import validation as say

_FAMILIES = {
    "ES": "Decoding and estimation", "FI": "Fidelity", "TE": "Over time", "RM": "Risk map", "DE": "Determinism",
    "IN": "Integrity", "TA": "Tampering", "RE": "Refusals",
}  # fmt: skip


def _by_family(record: ValidationRecord) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Requirements in the suite's order, those with one prefix together under a title."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in record.listed("requirements"):
        groups.setdefault(str(one["id"]).partition("-")[0], []).append(one)
    return [(_FAMILIES.get(key, key), group) for key, group in groups.items()]


def _number_of(one: Mapping[str, Any]) -> Content:
    return one["id"] if one["mandatory"] else f"{one['id']} (optional)"


def requirements(record: ValidationRecord) -> list[Flowable]:
    """What is required, how it is measured, when it is met, and why so: before any result."""
    registered = record.get("validation", "registered")
    text = str(say("requirements", "intro")).format(
        seq=spoken(at(registered, "seq")), utc=spoken(at(registered, "utc")), hash=spoken(at(registered, "hash")),
        sha256=spoken(record.get("suite", "sha256")),
    )  # fmt: skip
    scope: Content = [bold(str(say("requirements", "scope")) + " "), spoken(record.get("suite", "scope"))]
    story: list[Flowable] = [paragraph(text), paragraph(scope)]
    confidence = record.get("suite", "confidence")
    for title, group in _by_family(record):
        rows: list[list[Content]] = [
            [_number_of(one), one["text"], method_of(one["method"]), criterion(one, confidence), one["why"]]
            for one in group
        ]
        grid = table(
            ["No.", "Requirement", "Method", "Acceptance criterion", "Why"], rows, (0.1, 0.23, 0.24, 0.19, 0.24)
        )
        story += [paragraph(title, SUBHEADING), grid]
    return story


def method(record: ValidationRecord) -> list[Flowable]:
    """How everything was measured and judged."""
    rule = str(say("method", "rule")).format(confidence=percent_of(record.get("suite", "confidence")))
    mapped = any(str(at(one, "method", "kind")).startswith("low-") for one in record.listed("requirements"))
    keys = ("unit", "control", *(("no_case", "few") if mapped else ()), "not_run")
    texts = (str(say("method", "intro")), rule, *(str(say("method", key)) for key in keys))
    return [paragraph(text) for text in texts]


def conditions(record: ValidationRecord) -> list[Flowable]:
    """Under which circumstances recordings were made, and the laboratory's pictures."""
    rows: list[list[Content]] = []
    for one in record.listed("conditions"):
        made = sum(at(each, "condition") == one["id"] for each in record.listed("recordings"))
        size = f"{one['size'][0]} × {one['size'][1]}"
        rows.append([one["id"], one["text"], f"{made} of {one['scenes']} {one['scene']}", str(one["frames"]), size])
    story: list[Flowable] = [
        table(["Condition", "What it is", "Scenes", "Frames", "Truth"], rows, (0.15, 0.45, 0.17, 0.08, 0.15))
    ]
    pictures: list[list[Content]] = [
        [one["file"], f"{one['size'][0]} × {one['size'][1]}", mono(one["sha256"])] for one in record.listed("pictures")
    ]
    if pictures:
        story += [paragraph("Pictures of the laboratory", SUBHEADING),
                  table(["File", "Size", "SHA-256"], pictures, (0.25, 0.13, 0.62))]  # fmt: skip
    return story


def results(record: ValidationRecord) -> list[Flowable]:
    """What was found, against the criterion, with the verdict."""
    confidence, found = record.get("suite", "confidence"), record.results
    stated = {at(one, "id") for one in record.listed("deviations")}
    story: list[Flowable] = [paragraph(str(say("results", "intro")))]
    for title, group in _by_family(record):
        rows: list[list[Content]] = [
            [_number_of(one), one["text"], criterion(one, confidence), finding(one, found[one["id"]]),
             verdict(found[one["id"]]["verdict"]), "yes" if one["id"] in stated else "–"]
            for one in group
        ]  # fmt: skip
        header = ["No.", "Requirement", "Criterion", "Result", "Verdict", "Deviation"]
        story += [paragraph(title, SUBHEADING), table(header, rows, (0.1, 0.28, 0.2, 0.22, 0.09, 0.11))]
    return story


def deviations(record: ValidationRecord) -> list[Flowable]:
    """The examiner's word on what was done otherwise."""
    rows: list[list[Content]] = [
        [spoken(at(one, "id")), spoken(at(one, "text"))] for one in record.listed("deviations")
    ]
    if not rows:
        return [paragraph(str(say("deviations", "none")))]
    return [paragraph(str(say("deviations", "intro"))), table(["Requirement", "Deviation"], rows, (0.17, 0.83))]


def master(record: ValidationRecord) -> list[Flowable]:
    """Comparison with an earlier result."""
    found = record.get("master")
    kept = [paragraph(str(say("master", "kept")))] if record.get("kept_as_master") else []
    if not isinstance(found, Mapping):
        return [paragraph(str(say("master", "none"))), *kept]
    agrees = found.get("agrees") is True
    lines: list[Content] = [str(say("master", "same" if found.get("same_platform") else "other"))]
    story: list[Flowable] = [
        notice(str(say("master", "agrees" if agrees else "differs")), lines, "note" if agrees else "warning"),
        facts(
            [
                ("Master", mono(spoken(found.get("validation")))),
                ("From", spoken(found.get("source"))),
                ("SHA-256 of its record", mono(spoken(found.get("sha256")))),
                ("Signed by", f"{spoken(at(found, 'signer', 'subject'))}"),
                ("Certificate SHA-256", mono(spoken(at(found, "signer", "certificate_sha256")))),
                ("Made with", f"forensic {spoken(found.get('tool'))}, {spoken(found.get('finished_utc'))}"),
                ("Pixel hashes", f"{found.get('hashes_equal')} of {found.get('hashes_compared')} equal"),
                ("Values compared", spoken(found.get("values_compared"))),
            ]
        ),
    ]
    for title, key in (("Differences against the rule", "differences"), ("Differences that are allowed", "notes")):
        rows = [[spoken(at(one, "what")), _compact(at(one, "then")), _compact(at(one, "now")), spoken(at(one, "why"))]
                for one in found.get(key, [])]  # fmt: skip
        if rows:
            grid = table(["What", "Master", "Now", "Why listed"], rows, (0.4, 0.22, 0.22, 0.16))
            story += [paragraph(title, SUBHEADING), grid]
    if not found.get("differences") and not found.get("notes"):
        story.append(paragraph(str(say("master", "no_differences"))))
    return [*story, *_platform(found.get("platform_changes")), *kept]


def _compact(value: Any) -> str:
    text = number(value) if isinstance(value, float) else spoken(value)
    return f"{text[:16]}…" if len(text) > 40 else text


def _platform(changes: Any) -> list[Flowable]:
    if not isinstance(changes, Mapping) or not changes:
        return []
    rows = [[label(str(key)), short(spoken(at(one, "then"))), short(spoken(at(one, "now")))]
            for key, one in changes.items()]  # fmt: skip
    return [paragraph("What is another platform", SUBHEADING), table(["", "Master", "Now"], rows, (0.16, 0.42, 0.42))]


def earlier(record: ValidationRecord) -> list[Flowable]:
    """Every attempt before this one."""
    rows: list[list[Content]] = [
        [mono(spoken(at(one, "validation"))), spoken(at(one, "utc")), f"{spoken(at(one, 'suite_sha256'))[:12]}…",
         spoken(at(one, "end")), spoken(at(one, "verdict") or at(one, "reason") or "–")]
        for one in record.listed("earlier")
    ]  # fmt: skip
    if not rows:
        return [paragraph(str(say("earlier", "none")))]
    grid = table(["Validation", "Begun", "Suite", "End", "Verdict or reason"], rows, (0.27, 0.2, 0.15, 0.16, 0.22))
    return [paragraph(str(say("earlier", "intro"))), grid]


def not_shown(record: ValidationRecord) -> list[Flowable]:
    """The limits of what was measured."""
    return [paragraph(str(say("not_shown", "intro"))), *bullets([spoken(one) for one in record.listed("not_shown")])]


def check(record: ValidationRecord) -> list[Flowable]:
    """Commands by which anybody can check the report."""
    return [
        paragraph(str(say("check", "intro"))),
        commands(["forensic verify .", "pdfsig report.pdf", "sha256sum -c manifest.sha256"]),
        paragraph(str(say("check", "expect")), SMALL),
        paragraph(str(say("check", "openssl"))),
        facts(
            [
                ("SHA-256 of attestation.json", mono(record.attestation_sha256)),
                ("SHA-256 of suite.toml", mono(spoken(record.get("suite", "sha256")))),
                ("Certificate SHA-256", mono(spoken(record.get("examiner", "identity", "certificate_sha256")))),
            ]
        ),
    ]


def values(record: ValidationRecord) -> list[Flowable]:
    """Every case of every requirement."""
    rows: list[list[Content]] = []
    for one in record.listed("requirements"):
        result = record.results[one["id"]]
        rows.extend(
            [one["id"], spoken(at(case, "name")), _value(one, at(case, "value")), _detail(at(case, "detail"))]
            for case in result["cases"]
        )
        none = result.get("no_case") or []
        rows.extend([one["id"], spoken(at(case, "name")), "no case", spoken(at(case, "why"))] for case in none)
        if not result["cases"] and not none:
            rows.append([one["id"], "–", "–", spoken(result.get("reason"))])
    return [table(["No.", "Case", "Value", "Beside it"], rows, (0.08, 0.22, 0.17, 0.53))]


def _value(requirement: Mapping[str, Any], value: Any) -> str:
    unit = unit_of(requirement["method"])
    if not unit and value in (0.0, 1.0):
        return "held" if value else "did not hold"
    return f"{number(value)} {unit}".strip()


def _detail(detail: Any) -> str:
    if not isinstance(detail, Mapping) or not detail:
        return "–"
    return "; ".join(f"{label(str(key))}: {_told(value)}" for key, value in detail.items())


def _told(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_compact(one) for one in value)
    return spoken(value) if isinstance(value, str | int) else json.dumps(value, sort_keys=True)


def pixels(record: ValidationRecord) -> list[Flowable]:
    """What another machine is compared with: recordings, and the hashes of every result's frames."""
    made: list[list[Content]] = [
        [spoken(at(one, "condition")), spoken(at(one, "scene")), mono(spoken(at(one, "decoded_sha256")))]
        for one in record.listed("recordings")
    ]
    out: list[list[Content]] = [
        [f"{spoken(at(one, 'condition'))}, {spoken(at(one, 'scene'))}", spoken(at(one, "recipe")),
         ":".join(str(each) for each in at(one, "frames") or []), mono(spoken(at(one, "merkle_root")))]
        for one in record.listed("outputs")
    ]  # fmt: skip
    return [
        paragraph(plural(len(made), "recording") + ", SHA-256 over all decoded samples", SUBHEADING),
        table(["Condition", "Scene", "SHA-256"], made, (0.17, 0.21, 0.62)),
        paragraph(plural(len(out), "result") + ", Merkle root over the hashes of the frames", SUBHEADING),
        table(["Recording", "Recipe", "Frames", "Merkle root"], out, (0.24, 0.16, 0.08, 0.52)),
    ]
