"""Appendix: draft of a certification under US Federal Rules of Evidence 902(13) and (14), for a person to complete."""

from __future__ import annotations

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, PageMark, facts, notice, numbered, paragraph
from forensic.report.happenings import history, moment
from forensic.report.record import RunRecord
from forensic.report.sections.calibration import standing
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import mono
from forensic.report.values import at, bytes_size, spoken
from forensic.report.wording import word_list, words


def certification(record: RunRecord) -> list[Flowable]:
    """What the record can fill in, and blanks for all that only a person can state."""
    values = _values(record)
    story: list[Flowable] = [
        PageMark(words("certification", "mark")),
        notice(words("certification", "mark"), word_list("certification", "notice"), "warning"),
        paragraph(words("certification", "signer"), SUBHEADING),
        *numbered([line.format_map(values) for line in word_list("certification", "who")]),
        paragraph(words("certification", "copied"), SUBHEADING),
        *numbered([line.format_map(values) for line in word_list("certification", "copy")]),
        facts(_copy(record)),
        paragraph(words("certification", "generated"), SUBHEADING),
        *numbered([line.format_map(values) for line in word_list("certification", "process")]),
        facts(_process(record)),
        paragraph(words("certification", "declaration"), SUBHEADING),
        *(paragraph(line.format_map(values)) for line in word_list("certification", "declare")),
        facts([(line, _BLANK) for line in word_list("certification", "lines")]),
        paragraph(words("certification", "sources"), SMALL),
    ]
    return [*story, PageMark("")]


_SHORT, _BLANK = "_" * 24, "_" * 56


def _values(record: RunRecord) -> dict[str, str]:
    return {
        "blank": _SHORT,
        "examiner": spoken(record.get("examiner", "name")),
        "lab": spoken(record.get("examiner", "lab")),
        "exhibit": spoken(record.get("exhibit", "id")),
        "case": spoken(record.get("case", "id")),
        "run": record.run_id,
        "reproduced": _reproduced(record),
        "map": standing(record.get("risk")),
    }


def _program(record: RunRecord) -> str:
    return f"{spoken(record.get('tool', 'name'))} {spoken(record.get('tool', 'version'))}"


def _reproduced(record: RunRecord) -> str:
    """What the ledger says of attempts to compute runs on these bytes again."""
    verdicts = [
        spoken(at(event, "data", "verdict"))
        for happening in history(record)
        if happening.kind == "reproduction"
        for event in happening.events
        if at(event, "event") == "reproduction.finished"
    ]
    if not verdicts:
        return words("certification", "not_reproduced").format(blank=_SHORT)
    return words("certification", "reproductions").format(verdicts="; ".join(verdicts))


def _copy(record: RunRecord) -> list[tuple[str, Content]]:
    exhibit = record.get("exhibit")
    return [
        (words("certification", "file"), spoken(at(exhibit, "file_name"))),
        (words("certification", "read_from"), spoken(at(exhibit, "source_path"))),
        (words("certification", "size"), bytes_size(at(exhibit, "size"))),
        (words("certification", "acquired"), moment(at(exhibit, "acquired_utc"))),
        (words("certification", "algorithm"), words("certification", "sha256")),
        (words("certification", "hash_original"), mono(spoken(at(exhibit, "sha256")))),
        (words("certification", "hash_copy"), words("certification", "same")),
        (words("certification", "medium"), _BLANK),
    ]


def _process(record: RunRecord) -> list[tuple[str, Content]]:
    environment = record.get("environment")
    return [
        (words("certification", "program"), _program(record)),
        (words("certification", "machine"), spoken(at(environment, "platform") or at(environment, "machine"))),
        (words("certification", "run"), mono(record.run_id)),
        (words("certification", "recipe"), [spoken(record.get("recipe", "name")), ", SHA-256 ",
                                            mono(spoken(record.get("recipe", "sha256")))]),
        (words("certification", "times"), f"{moment(record.get('run', 'started_utc'))}, "
                                          f"{moment(record.get('run', 'finished_utc'))}"),
        (words("certification", "hash_output"), mono(spoken(record.get("output", "sha256")))),
        (words("certification", "hash_record"), mono(record.attestation_sha256)),
        (words("certification", "signer_certificate"),
         mono(spoken(record.get("examiner", "identity", "certificate_sha256")))),
    ]  # fmt: skip
