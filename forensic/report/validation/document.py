"""The report of a validation as one unsigned PDF: equal inputs give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.platypus import Flowable, PageBreak

from forensic.report.binding import Properties, typeset_pdf
from forensic.report.blocks import Content, Heading, facts, keep_room, notice, paragraph, table
from forensic.report.canvas import Contents, Furniture
from forensic.report.filed import defaults, environment, who_signs
from forensic.report.theme import HEADING, SUBTITLE
from forensic.report.theme import TITLE as TITLE_STYLE
from forensic.report.typeset import mono
from forensic.report.validation import parts
from forensic.report.validation.record import ValidationRecord
from forensic.report.validation.saying import finding, verdict
from forensic.report.values import at, spoken
from forensic.report.wording import validation as say

_SECTIONS = (
    ("requirements", parts.requirements, False),
    ("environment", environment, False),
    ("method", parts.method, False),
    ("conditions", parts.conditions, False),
    ("results", parts.results, False),
    ("deviations", parts.deviations, False),
    ("master", parts.master, False),
    ("earlier", parts.earlier, False),
    ("not_shown", parts.not_shown, False),
    ("defaults", defaults, False),
    ("check", parts.check, False),
)
_APPENDICES = (("values", parts.values), ("pixels", parts.pixels))
_TONES = {"PASS": "note", "FAIL": "warning"}
_MOST_SHOWN = 12
_DESCRIPTION = "Signed record of the validation (DSSE envelope, in-toto statement)"


def _summary(record: ValidationRecord) -> list[Flowable]:
    suite = record.get("suite")
    lab, name = (spoken(record.get("examiner", key)) for key in ("lab", "name"))
    processor, system = (spoken(record.get("environment", key)) for key in ("processor", "platform"))
    overall = spoken(record.get("verdict"))
    rows: list[tuple[str, Content]] = [
        ("Validation", mono(spoken(record.get("validation", "id")))),
        ("Laboratory and examiner", f"{lab}, {name}"),
        ("Program", f"{spoken(record.get('tool', 'name'))} {spoken(record.get('tool', 'version'))}"),
        ("Machine", f"{processor}, {system}"),
        ("Suite", f"{spoken(at(suite, 'id'))}, version {spoken(at(suite, 'version'))}: {spoken(at(suite, 'title'))}"),
        ("SHA-256 of the suite", mono(spoken(at(suite, "sha256")))),
        ("Registered", f"{spoken(record.get('validation', 'registered', 'utc'))}, before the first measurement"),
        ("Finished", f"{spoken(record.get('validation', 'finished_utc'))}, after "
                     f"{spoken(record.get('validation', 'duration_s'))} s"),
    ]  # fmt: skip
    lines: list[Content] = [str(say("verdict", "meaning")), str(say("verdict", "optional"))]
    counts = record.get("counts")
    story: list[Flowable] = [
        paragraph(str(say("title", "report")), TITLE_STYLE),
        paragraph(spoken(at(suite, "title")), SUBTITLE),
        notice(str(say("verdict", overall)), lines, _TONES.get(overall, "caution")),
        facts(rows),
    ]
    cells: list[list[Content]] = []
    for kind in ("PASS", "FAIL", "NOT RUN"):
        of_kind = [one for one in record.listed("requirements") if record.results[one["id"]]["verdict"] == kind]
        optional = sum(not one["mandatory"] for one in of_kind)
        cells.append([verdict(kind), spoken(at(counts, kind)), str(len(of_kind) - optional), str(optional)])
    story.append(table(["Verdict", "Requirements", "of them mandatory", "of them optional"], cells, (0.25,) * 4))
    story += _not_passed(record)
    story.append(who_signs(record))
    return story


def _not_passed(record: ValidationRecord) -> list[Flowable]:
    """What did not pass, on the first page, as far as it fits there."""
    missed = [one for one in record.listed("requirements") if record.results[one["id"]]["verdict"] != "PASS"]
    rows: list[list[Content]] = [
        [one["id"], one["text"] + ("" if one["mandatory"] else " (optional)"), finding(one, record.results[one["id"]]),
         verdict(record.results[one["id"]]["verdict"])]
        for one in missed[:_MOST_SHOWN]
    ]  # fmt: skip
    if len(missed) > _MOST_SHOWN:
        rows.append(["", f"{len(missed) - _MOST_SHOWN} more: see the results", "", ""])
    return [table(["No.", "Did not pass", "Found", "Verdict"], rows, (0.1, 0.4, 0.37, 0.13))] if rows else []


def _story(record: ValidationRecord) -> list[Flowable]:
    contents = Contents(len(_SECTIONS) + len(_APPENDICES))
    story = [*_summary(record), PageBreak(), paragraph(str(say("headings", "contents")), HEADING), contents]
    for number, (key, build, new_page) in enumerate(_SECTIONS, 1):
        story.append(PageBreak() if new_page else keep_room(150))
        story.append(Heading(f"{number}   {say('headings', key)}", key, 0))
        story += build(record)
    for letter, (key, append) in zip("AB", _APPENDICES, strict=True):
        story += [PageBreak(), Heading(f"Appendix {letter}   {say('headings', key)}", key, 0), *append(record)]
    return story


def build_validation_pdf(predicate: Mapping[str, Any], attestation: bytes) -> bytes:
    """Typeset the report of a validation; returns the PDF, unsigned.

    ``predicate`` is its record (``docs/formats/validation.md``), ``attestation`` the bytes of its signed envelope,
    which are attached unchanged. All dates come from the record. Raises as :class:`ValidationRecord`.
    """
    record = ValidationRecord(predicate, attestation)
    identifier = spoken(record.get("validation", "id"))
    suite = f"Suite {spoken(record.get('suite', 'id'))} {spoken(record.get('suite', 'version'))}"
    title = str(say("title", "report"))
    furniture = Furniture(
        header=f"{spoken(record.get('examiner', 'lab'))} · {suite}", title=title, run=identifier, noun="Validation"
    )
    finished = spoken(record.get("validation", "finished_utc"))
    properties = Properties(
        title=f"{title}: {suite}, {spoken(record.get('verdict'))}",
        author=spoken(record.get("examiner", "name")),
        subject=f"Validation {identifier}, finished {finished}",
        creator=f"{spoken(record.get('tool', 'name'))} {spoken(record.get('tool', 'version'))}",
        finished=finished,
    )
    return typeset_pdf(_story(record), furniture, properties, attestation, _DESCRIPTION)
