"""The report of a laboratory's calibration as one unsigned PDF: equal inputs give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.platypus import Flowable, PageBreak

from forensic.report.binding import Properties, typeset_pdf
from forensic.report.blocks import Content, Heading, facts, keep_room, notice, paragraph, table
from forensic.report.calibration import filing, parts
from forensic.report.calibration.record import CalibrationRecord
from forensic.report.calibration.saying import NO_LOW, failed, level, share
from forensic.report.canvas import Contents, Furniture
from forensic.report.filed import defaults, environment, who_signs
from forensic.report.theme import HEADING, SUBTITLE
from forensic.report.theme import TITLE as TITLE_STYLE
from forensic.report.typeset import mono
from forensic.report.values import spoken
from forensic.report.wording import calibration as say

_SECTIONS = (
    ("claims", parts.claims),
    ("recordings", parts.recordings),
    ("method", parts.method),
    ("steps", parts.steps),
    ("held_out", parts.held_out),
    ("breakdown", parts.breakdown),
    ("domain", parts.domain),
    ("refused", filing.refused),
    ("deviations", filing.deviations),
    ("earlier", filing.earlier),
    ("environment", environment),
    ("not_shown", parts.not_shown),
    ("defaults", defaults),
    ("check", filing.check),
)
_APPENDICES = (("refused_pairs", filing.refused_pairs), ("listed", filing.listed))
_DESCRIPTION = "Signed record of the calibration (DSSE envelope, in-toto statement)"
_LONGEST_CLASS = 300  # characters of class S on the first page; section 1 has it whole


def _summary(record: CalibrationRecord) -> list[Flowable]:
    made, own = record.calibration, record.laboratory
    subject = made.subject
    with_low = sum(record.low_below(one) is not None for one in made.strata)
    verdict = str(say("verdict", "some" if with_low else "none")).format(count=with_low, strata=len(made.strata))
    lines: list[Content] = [str(say("verdict", "meaning"))] if with_low else []
    if with_low < len(made.strata):
        lines.append(str(say("verdict", "elsewhere")))
    text = made.class_ if len(made.class_) <= _LONGEST_CLASS else f"{made.class_[:_LONGEST_CLASS]}… (section 1)"
    processor, system = (spoken(record.get("environment", key)) for key in ("processor", "platform"))
    rows: list[tuple[str, Content]] = [
        ("Calibration", mono(own.id)),
        ("Laboratory and examiner", f"{own.name}, {own.examiner}"),
        ("Program", f"{spoken(record.get('tool', 'name'))} {spoken(record.get('tool', 'version'))}"),
        ("Machine", f"{processor}, {system}"),
        ("Model", f"{subject.model}, {subject.precision}, enlargement {subject.scale}"),
        ("SHA-256 of the calibration", mono(made.sha256)),
        ("Registered", f"{own.registered.utc}, before anything was scored"),
        ("Finished", f"{spoken(record.get('calibration', 'finished_utc'))}, after "
                     f"{spoken(record.get('calibration', 'duration_s'))} s"),
        ("Pairs refused", str(own.refused)),
        ("Earlier calibrations of this model here", str(own.earlier)),
    ]  # fmt: skip
    cells: list[list[Content]] = []
    for stratum in made.strata:
        tested, low = record.tested(stratum), record.low_below(stratum)
        cells.append([stratum.name, str(stratum.n), NO_LOW if low is None else level(low), share(stratum.low_area),
                      str(stratum.abstained), str(tested.inside), failed(tested.any_claim)])  # fmt: skip
    header = ["Stratum", "Recordings", "LOW below", "LOW area", "Of them without LOW", "Held out, in the domain",
              "Any claim failed, of the held-out with LOW (95 %)"]  # fmt: skip
    return [
        paragraph(str(say("title", "report")), TITLE_STYLE),
        paragraph(["Class S: ", text], SUBTITLE),
        notice(verdict, lines, "note" if with_low == len(made.strata) else "caution"),
        facts(rows, 0.3),
        table(header, cells, (0.18, 0.12, 0.1, 0.1, 0.13, 0.12, 0.25)),
        who_signs(record),
    ]


def _story(record: CalibrationRecord) -> list[Flowable]:
    contents = Contents(len(_SECTIONS) + len(_APPENDICES))
    story = [*_summary(record), PageBreak(), paragraph(str(say("headings", "contents")), HEADING), contents]
    for number, (key, build) in enumerate(_SECTIONS, 1):
        story += [keep_room(150), Heading(f"{number}   {say('headings', key)}", key, 0), *build(record)]
    for letter, (key, append) in zip("AB", _APPENDICES, strict=True):
        story += [PageBreak(), Heading(f"Appendix {letter}   {say('headings', key)}", key, 0), *append(record)]
    return story


def build_calibration_pdf(predicate: Mapping[str, Any], attestation: bytes, files: Mapping[str, bytes]) -> bytes:
    """Typeset the report of a calibration; returns the PDF, unsigned.

    ``predicate`` is its record (``docs/formats/calibration.md``), ``attestation`` the bytes of its signed envelope,
    which are attached unchanged; ``files``: ``calibration.json`` and ``registration.json``, which must be those that
    it names. All dates come from the record. Raises as :class:`CalibrationRecord`.
    """
    record = CalibrationRecord(predicate, attestation, files)
    own, title = record.laboratory, str(say("title", "report"))
    furniture = Furniture(
        header=f"{own.name} · {record.calibration.subject.model}", title=title, run=own.id, noun="Calibration"
    )
    finished = spoken(record.get("calibration", "finished_utc"))
    properties = Properties(
        title=f"{title}: {record.calibration.subject.model}, {'LOW' if record.calibration.has_low else 'no LOW'}",
        author=own.examiner,
        subject=f"Calibration {own.id}, finished {finished}",
        creator=f"{spoken(record.get('tool', 'name'))} {spoken(record.get('tool', 'version'))}",
        finished=finished,
    )
    return typeset_pdf(_story(record), furniture, properties, attestation, _DESCRIPTION)
