"""Defaults and attempts, limits, how to check, environment, glossary."""

from __future__ import annotations

from collections.abc import Mapping

from reportlab.platypus import Flowable

from forensic.report.blocks import (
    Content,
    bullets,
    commands,
    facts,
    keep_room,
    notice,
    numbered,
    paragraph,
    titled,
)
from forensic.report.record import RunRecord
from forensic.report.sections.attempts import listed_attempts
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import bold, mono
from forensic.report.values import flatten, label, spoken
from forensic.report.wording import glossary as terms
from forensic.report.wording import verification as check
from forensic.report.wording import word_list, wording_digests, words

_EVERYWHERE = 2  # output.label_form since 0.3.0; older records have none, and the label at the edges alone


def defaults(record: RunRecord) -> list[Flowable]:
    """What was defaulted, warned of, and tried before."""
    story: list[Flowable] = [paragraph("Defaults", SUBHEADING)]
    stated = [spoken(one) for one in record.listed("defaults")]
    story += bullets(stated) if stated else [paragraph(words("notes", "defaults_none"))]
    story.append(paragraph("Warnings", SUBHEADING))
    warnings = [spoken(one) for one in record.listed("warnings")]
    story += [notice("Warning", warnings, "caution")] if warnings else [paragraph(words("notes", "warnings_none"))]
    story.append(paragraph("Other runs and failed attempts on this exhibit", SUBHEADING))
    if isinstance(record.get("custody"), Mapping):
        count = len(record.listed("failed_attempts"))
        return [*story, paragraph(words("notes", "attempts_count" if count else "attempts_none").format(count=count))]
    return [*story, *listed_attempts(record)]


def limitations(record: RunRecord) -> list[Flowable]:
    """What no part of this report proves."""
    story: list[Flowable] = []
    if record.generative:
        form = "label_everywhere" if record.get("output", "label_form") == _EVERYWHERE else "label_edges"
        told = [*word_list("limitations", "generative"), words("limitations", form)]
        story.append(notice(words("title", "generative_mark"), told, "warning"))
    story += [paragraph("Not proved", SUBHEADING), *numbered(word_list("limitations", "not_proved"))]
    return [*story, paragraph("Limitations", SUBHEADING), *bullets(word_list("limitations", "limitations"))]


def verification(record: RunRecord) -> list[Flowable]:
    """Commands by which anybody can check the report, and the one that repeats the run."""
    story: list[Flowable] = [
        paragraph(check("intro")),
        paragraph(check("with_software"), SUBHEADING),
        paragraph(check("with_software_text")),
        commands(["forensic verify report.pdf", "forensic verify ."]),
        paragraph(check("without_software"), SUBHEADING),
    ]
    for number, step in enumerate(check("steps"), 1):
        story += [
            keep_room(30 + 13 * (3 + len(step["commands"]))),
            paragraph([bold(f"{number}. {step['title']}. "), step["text"]]),
            commands(step["commands"]),
            paragraph([bold("Expected: "), step["expect"]], SMALL),
        ]
    story += [
        paragraph(check("windows"), SMALL),
        keep_room(80),
        paragraph(check("reproduce"), SUBHEADING),
        paragraph(check("reproduce_text")),
        commands([spoken(record.get("run", "reproduce_command"))]),
        facts(
            [
                ("SHA-256 of the original", mono(spoken(record.get("exhibit", "sha256")))),
                ("SHA-256 of the output", mono(spoken(record.get("output", "sha256")))),
                ("Merkle root of the output", mono(spoken(record.get("output", "frames", "merkle_root")))),
                ("SHA-256 of attestation.json", mono(record.attestation_sha256)),
                ("Certificate SHA-256", mono(spoken(record.get("examiner", "identity", "certificate_sha256")))),
            ]
        ),
    ]
    return story


def environment(record: RunRecord) -> list[Flowable]:
    """Software and machine on which the result depends."""
    story: list[Flowable] = []
    facts_of = record.get("environment")
    flat: list[tuple[str, Content]] = [
        ("Program", f"{spoken(record.get('tool', 'name'))} {spoken(record.get('tool', 'version'))}")
    ]
    groups = []
    for key, value in facts_of.items() if isinstance(facts_of, dict) else []:
        if isinstance(value, dict) and value:
            groups.append((label(str(key)), list(flatten(value, name=str))))
        else:
            flat += list(flatten(value, label(str(key))))
    flat += [(f"Wording, {name}, SHA-256", mono(digest)) for name, digest in wording_digests().items()]
    story.append(facts(flat, 0.32))
    for title, rows in groups:
        story += titled(title, facts(rows, 0.32))
    return story


def glossary(record: RunRecord) -> list[Flowable]:
    """Terms, in plain words."""
    return [facts([(term, text) for term, text in terms().items()], 0.22)]
