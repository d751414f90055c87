"""The whole report as one unsigned PDF: equal inputs give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reportlab.platypus import Flowable, PageBreak

from forensic.report.binding import Properties, typeset_pdf
from forensic.report.blocks import Heading, keep_room, paragraph
from forensic.report.canvas import Contents, Furniture
from forensic.report.record import RunRecord
from forensic.report.sections import closing, exhibit, models, processing, results, risk
from forensic.report.sections.attempts import attempts
from forensic.report.sections.calibration import is_uncalibrated
from forensic.report.sections.certification import certification
from forensic.report.sections.custody import custody
from forensic.report.sections.summary import summary, title_of
from forensic.report.theme import HEADING
from forensic.report.values import spoken
from forensic.report.wording import words

_SECTIONS = (
    ("case", exhibit.case, False),
    ("acquisition", exhibit.acquisition, False),
    ("custody", custody, False),
    ("container", exhibit.container, False),
    ("processing", processing.processing, False),
    ("policy", processing.policy, False),
    ("models", models.models, False),
    ("output", results.output, False),
    ("pictures", results.pictures, True),
    ("risk", risk.risk, True),
    ("record", closing.defaults, True),
    ("limitations", closing.limitations, False),
    ("verification", closing.verification, False),
    ("environment", closing.environment, False),
    ("glossary", closing.glossary, False),
)


# The second is left out of a report on generated pictures: nobody is to certify those.
_APPENDICES = (("attempts", attempts), ("certification", certification))


def _story(record: RunRecord) -> list[Flowable]:
    appendices = _APPENDICES[:1] if record.generative else _APPENDICES
    contents = Contents(len(_SECTIONS) + len(appendices))
    story = [*summary(record), PageBreak(), paragraph(words("headings", "contents"), HEADING), contents]
    for number, (key, build, new_page) in enumerate(_SECTIONS, 1):
        story.append(PageBreak() if new_page else keep_room(150))
        calibrated = key == "risk" and not is_uncalibrated(record.get("risk"))
        heading = words("headings", "risk_calibrated" if calibrated else key)
        story.append(Heading(f"{number}   {heading}", key, 0))
        story += build(record)
    for letter, (key, append) in zip("AB", appendices, strict=False):
        story += [PageBreak(), Heading(f"{words('headings', 'appendix')} {letter}   {words('headings', key)}", key, 0)]
        story += append(record)
    return story


def build_pdf(predicate: Mapping[str, Any], run_folder: Path, attestation: bytes) -> bytes:
    """Typeset the report of a run; returns the PDF, unsigned, which touches no disk before it is signed.

    ``predicate`` is the run's record (``docs/formats/report.md``), ``attestation`` the bytes of
    its signed envelope, which are attached unchanged; pictures are read from ``run_folder``, each
    checked against its recorded digest. All dates come from the record, none from the clock.

    Raises ``BadInput`` (``report.schema``, ``report.picture``), ``VerificationFailed``
    (``report.record-changed``, ``report.picture-changed``, ``report.unlabelled``), ``PolicyRefused``
    (``class.unknown``) and what reading the attestation raises.
    """
    record = RunRecord(predicate, run_folder, attestation)
    title = title_of(record)
    furniture = Furniture(
        header=f"Case {spoken(record.get('case', 'id'))} · Exhibit {spoken(record.get('exhibit', 'id'))}",
        title=title,
        run=record.run_id,
        watermark=words("title", "generative_mark") if record.generative else "",
    )
    finished = spoken(record.get("run", "finished_utc"))
    properties = Properties(
        title=f"{title}: {furniture.header}",
        author=spoken(record.get("examiner", "name")),
        subject=f"Run {record.run_id}, finished {finished}",
        creator=f"{spoken(record.get('tool', 'name'))} {spoken(record.get('tool', 'version'))}",
        finished=finished,
    )
    return typeset_pdf(_story(record), furniture, properties, attestation)
