"""A story of flowables set as one PDF: equal inputs give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate

from forensic.report.canvas import OF_A_RUN, Furniture, canvas_for
from forensic.report.theme import BOTTOM, MARGIN, PAGE_HEIGHT, PAGE_WIDTH, TEXT_HEIGHT, TEXT_WIDTH
from forensic.report.visible import visible


@dataclass(frozen=True)
class Properties:
    """The document's own properties, as PDF viewers list them. ``finished``: ISO 8601, the only date in the file."""

    title: str
    author: str
    subject: str
    creator: str
    finished: str


def typeset_pdf(
    story: Sequence[Flowable],
    furniture: Furniture,
    properties: Properties,
    attestation: bytes,
    description: str = OF_A_RUN,
) -> bytes:
    """The PDF, unsigned, with ``attestation`` attached unchanged and described as ``description``."""
    out = io.BytesIO()
    document = BaseDocTemplate(
        out,
        pagesize=(PAGE_WIDTH, PAGE_HEIGHT),
        title=visible(properties.title),
        author=visible(properties.author),
        subject=visible(properties.subject),
        creator=visible(properties.creator),
        lang="en",
        invariant=1,
        pageCompression=1,
        initialFontName="Helvetica",
    )
    frame = Frame(MARGIN, BOTTOM, TEXT_WIDTH, TEXT_HEIGHT, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)
    document.addPageTemplates([PageTemplate("page", [frame])])
    canvas = canvas_for(furniture, attestation, _pdf_date(properties.finished), description)
    document.build(list(story), canvasmaker=canvas)
    return out.getvalue()


def _pdf_date(moment: str) -> str:
    """An ISO 8601 UTC time as a PDF date (ISO 32000-2, 7.9.4); the epoch if there is none."""
    digits = "".join(char for char in moment[:19] if char.isdigit())
    return f"D:{digits if len(digits) == 14 else '19700101000000'}Z"
