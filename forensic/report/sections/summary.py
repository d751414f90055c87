"""The first page: what was done, what came out, what is not proved, who signs."""

from __future__ import annotations

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, facts, notice, numbered, paragraph, table
from forensic.report.pictures import level_shares
from forensic.report.record import RunRecord
from forensic.report.sections.calibration import status_of
from forensic.report.theme import SUBHEADING, SUBTITLE, TITLE
from forensic.report.typeset import bold, mono
from forensic.report.values import at, percent, plural, spoken
from forensic.report.wording import word_list, words

_QUESTION_SHOWN = 320  # characters; the first page is one page


def title_of(record: RunRecord) -> str:
    """The document's title."""
    return words("title", "generative" if record.generative else "forensic")


def _subtitle(record: RunRecord) -> str:
    if record.generative:
        return words("title", "subtitle_creative")
    return words("title", "subtitle_creative_fidelity" if record.creative else "subtitle_forensic")


PROTECTED = ("passphrase", "token")


def identity_sentences(record: RunRecord) -> list[str]:
    """Plain words on what the signature is worth."""
    return sentences_on(record.get("examiner", "identity"))


def sentences_on(identity: object) -> list[str]:
    """Plain words on what a signature of this ``identity`` (facts as recorded) is worth."""
    issued = at(identity, "kind") != "self-issued"
    protection = at(identity, "protection")
    return [
        words("identity", "issued" if issued else "self_issued"),
        words("identity", protection if protection in PROTECTED else "none"),
        words("identity", "time"),
    ]


def frames_text(record: RunRecord) -> str:
    """How many frames, and which."""
    frames = record.get("output", "frames")
    count, total = at(frames, "count"), record.get("exhibit", "frames", "count")
    span = f"frames {spoken(at(frames, 'first'))} to {spoken(at(frames, 'last'))}"
    return f"{spoken(count)} of {spoken(total)} frames ({span})"


def geometry_text(geometry: object) -> str:
    """Width, height and pixel format in one line."""
    return (
        f"{spoken(at(geometry, 'width'))} × {spoken(at(geometry, 'height'))} ({spoken(at(geometry, 'pixel_format'))})"
    )


def _opening(text: str) -> str:
    """``text``, or its beginning and where the rest stands."""
    if len(text) <= _QUESTION_SHOWN:
        return text
    return f"{text[:_QUESTION_SHOWN]}… (in full in the section “{words('headings', 'case')}”)"


def _risk_sentence(record: RunRecord) -> str | None:
    names = [name for frame in record.listed("risk", "frames") if isinstance(name := at(frame, "files", "level"), str)]
    if not names:
        return None
    shares = [level_shares(record, name) for name in names]
    mean = {level: sum(share[level] for share in shares) / len(shares) for level in shares[0]}
    parts = ", ".join(f"{level} {percent(value)}" for level, value in mean.items() if value or level != "NOT ASSESSED")
    status = status_of(record.get("risk"))
    return f"{parts} of the area of {plural(len(names), 'mapped frame')}. {status}; LOW does not mean true."


def summary(record: RunRecord) -> list[Flowable]:
    """Flowables of the first page."""
    output, identity = record.get("output"), record.get("examiner", "identity")
    story: list[Flowable] = [paragraph(title_of(record), TITLE), paragraph(_subtitle(record), SUBTITLE)]
    if record.generative:
        story.append(notice(words("title", "generative_mark"), word_list("summary", "generative_notice"), "warning"))
    question = record.get("run", "question")
    story.append(
        facts(
            [
                (
                    "Case and exhibit",
                    [bold(spoken(record.get("case", "id"))), " · ", bold(spoken(record.get("exhibit", "id")))],
                ),
                ("Original file", spoken(record.get("exhibit", "file_name"))),
                ("SHA-256 of the original", mono(spoken(record.get("exhibit", "sha256")))),
                ("Question", _opening(spoken(question)) if question else words("summary", "no_question")),
                ("Examiner", f"{spoken(record.get('examiner', 'name'))}, {spoken(record.get('examiner', 'lab'))}"),
                ("Run", [mono(record.run_id), f", {spoken(record.get('run', 'started_utc'))}"]),
            ]
        )
    )
    story.append(paragraph(words("summary", "done"), SUBHEADING))
    stages = [
        [
            spoken(at(stage, "position")),
            spoken(at(stage, "title")),
            spoken(at(stage, "class")),
            spoken(at(stage, "why")),
        ]
        for stage in record.listed("recipe", "stages")
    ]
    recipe = f"Recipe “{spoken(record.get('recipe', 'name'))}” applied to {frames_text(record)}, in this order:"
    story.append(paragraph(recipe))
    if len(stages) <= 7:
        story.append(table(["Step", "What", "Class", "Why"], stages, (0.07, 0.25, 0.14, 0.54)))
    else:
        shown = ", ".join(f"{row[0]}. {row[1]}" for row in stages)
        story.append(paragraph(f"{shown}. Each step is explained in the section “{words('headings', 'processing')}”."))
    story.append(paragraph(words("summary", "result"), SUBHEADING))
    result: list[tuple[str, Content]] = [
        (
            "Output",
            f"{spoken(at(output, 'file'))}, {geometry_text(at(output, 'geometry'))}, class {record.stage_class.label}",
        ),
        ("SHA-256 of the output", mono(spoken(at(output, "sha256")))),
    ]
    sentence = _risk_sentence(record)
    if sentence:
        result.append(("Risk map", sentence))
    attempts = len(record.listed("failed_attempts"))
    if attempts:
        result.append(
            (
                "Other attempts",
                f"{plural(attempts, 'other run or failed attempt', 'other runs and failed attempts')} on this exhibit; "
                f"all are listed in {words('headings', 'appendix')} A.",
            )
        )
    story.append(facts(result))
    story.append(paragraph(words("summary", "not_proved"), SUBHEADING))
    story.extend(numbered(word_list("limitations", "not_proved_short")))
    signer: list[Content] = [
        [
            "Certificate of ",
            bold(spoken(at(identity, "subject"))),
            ", SHA-256 ",
            mono(spoken(at(identity, "certificate_sha256"))),
        ],
        *identity_sentences(record),
    ]
    story.append(
        notice(words("summary", "signature"), signer, "note" if at(identity, "protection") in PROTECTED else "caution")
    )
    return story
