"""The custody page: who had the exhibit, and what was done with it, from its receipt to this run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.platypus import Flowable

from forensic.report.blocks import Cell, Content, Grid, facts, notice, paragraph, stacked_table, text_cell, titled
from forensic.report.happenings import Happening, ended, history, moment, parties, remarks
from forensic.report.record import RunRecord
from forensic.report.theme import CELL, SMALL, SUBHEADING
from forensic.report.typeset import Text, bold, mono
from forensic.report.values import at, items, spoken
from forensic.report.wording import words, words_of

_WIDTHS = (0.085, 0.19, 0.215, 0.2, 0.31)
_FAILED = "custody.failed"


def custody(record: RunRecord) -> list[Flowable]:
    """Every act and every automatic event, one row each, and the receipts for what was handed on."""
    if not isinstance(record.get("custody"), Mapping):
        return [paragraph(words("custody", "none"))]
    happened = history(record)
    story: list[Flowable] = [paragraph(words("custody", "intro"))]
    signers = {spoken(at(event, "actor", "subject")) for one in happened for event in one.events}
    if len(signers) == 1:
        story.append(paragraph([words("custody", "one_signer"), " ", bold(signers.pop()), "."]))
    rows = [_row(one, record, named=bool(signers)) for one in happened if not _is_refusal(one)]
    titles = [words("custody", key) for key in ("entry", "when", "event", "people", "remarks")]
    story.append(stacked_table(titles, rows, _WIDTHS))
    changed = [one for one in happened if one.kind == "exhibit.changed"]
    if changed:
        story.append(notice(words("custody", "changed_title"), [words("custody", "changed")], "warning"))
    story += _receipts(happened)
    story.append(paragraph(words("custody", "limits"), SMALL))
    return story


def _is_refusal(happening: Happening) -> bool:
    """Whether nothing came of it: such attempts stand in the appendix."""
    return happening.kind == _FAILED or all(
        at(event, "event") in ("policy.decided", "run.refused") for event in happening.events
    )


def _row(happening: Happening, record: RunRecord, *, named: bool) -> list[Cell]:
    """``named``: who signed differs from entry to entry, and is said."""
    first = happening.events[0]
    data = at(first, "data")
    when = [f"{words('custody', 'recorded')} {moment(at(first, 'utc'))}"]
    if at(data, "stated") not in (None, ""):
        when.insert(0, f"{words('custody', 'stated')} {moment(at(data, 'stated'))}")
    people = [f"{words('custody', 'signed')} {spoken(at(first, 'actor', 'subject'))}"] if named else []
    people += parties(data)
    if not happening.kind.startswith("custody."):
        people.append(words("custody", "automatic"))
    return [
        text_cell(happening.numbers),
        _stack(when),
        _stack([bold(_title(happening)), *_about(happening, record)]),
        _stack(people),
        _stack([*_outcome(happening, record), *(remarks(data) if happening.kind != "run" else ())]),
    ]


def _title(happening: Happening) -> str:
    titles = words_of("events")
    name = happening.kind
    if name == "acquisition" and happening.named("exhibit.acquired") is not None:
        name = "exhibit.acquired"
    elif name == "acquisition" and happening.named("exhibit.presented-again") is not None:
        name = "exhibit.presented-again"
    elif name == "run" and happening.named("run.finished") is not None:
        name = "run.finished"
    elif name == "reproduction" and happening.named("reproduction.finished") is None:
        name = "reproduction.attempted"
    return titles.get(name, name)


def _about(happening: Happening, record: RunRecord) -> list[Content]:
    """Run and, where it is another, exhibit."""
    about: list[Content] = [] if happening.run is None else [mono(happening.run)]
    exhibit = happening.exhibit
    if exhibit not in (None, record.get("exhibit", "id")):
        about.append(words("custody", "as_exhibit").format(exhibit=spoken(exhibit)))
    return about


def _outcome(happening: Happening, record: RunRecord) -> list[Content]:
    data = at(happening.events[0], "data")
    match happening.kind:
        case "run" | "reproduction" | "acquisition":
            asked = [] if happening.kind != "run" else [_asked(happening)]
            return [*asked, ended(happening, record)]
        case "custody.exported":
            return [words("custody", "exported").format(path=spoken(at(data, "path")))]
        case "custody.transferred":
            return [words("custody", "statement")]
        case "custody.acknowledged":
            return [receipt_words(data, "brief")]
        case "custody.destroyed":
            kept = ", ".join(spoken(at(one, "exhibit")) for one in items(at(data, "kept_for")))
            key = "destroyed" if at(data, "removed") is True else "given_up"
            return [words("custody", key).format(exhibits=kept or spoken(None))]
        case "exhibit.changed":
            return [words("custody", "found_changed").format(file=spoken(at(data, "file")))]
        case _:
            return []


def _asked(happening: Happening) -> str:
    recipe, frames = happening.fact("recipe"), items(happening.fact("frames"))
    if recipe is None:
        return ""
    span = f", frames {frames[0]} to {frames[1]}, the last not included" if len(frames) == 2 else ""
    return f"Recipe {spoken(recipe)}{span}."


def receipt_words(data: Any, length: str = "full") -> str:
    """What is known of a receipt: signed, refused, on paper, or our own. ``length`` is ``full`` or ``brief``."""
    if at(data, "role") == "recipient":
        key = "own_receipt" if at(data, "accepted") is True else "own_refusal"
    elif at(data, "on_paper") is not None:
        key = "paper"
    else:
        key = "acknowledged" if at(data, "accepted") is True else "refused"
    return words("receipts", length, key).format(
        signer=spoken(at(data, "signer", "subject")),
        certificate=spoken(at(data, "signer", "certificate_sha256")),
        reason=spoken(at(data, "refused")),
        paper=spoken(at(data, "on_paper")),
        sender=spoken(at(data, "sender", "subject")),
    )


def _receipts(happened: list[Happening]) -> list[Flowable]:
    """Every transfer with its answers."""
    sent = [one.events[0] for one in happened if one.kind == "custody.transferred"]
    if not sent:
        return [paragraph(words("receipts", "title"), SUBHEADING), paragraph(words("receipts", "none"))]
    answers = [one.events[0] for one in happened if one.kind == "custody.acknowledged"]
    rows = []
    for transfer in sent:
        data = at(transfer, "data")
        mine: list[Content] = [
            f"{words('custody', 'entry')} {spoken(at(one, 'seq'))}, {moment(at(one, 'utc'))}: "
            f"{receipt_words(at(one, 'data'))}"
            for one in answers
            if at(one, "data", "transfer") == at(data, "transfer") and at(one, "data", "role") != "recipient"
        ]
        rows.append(
            [
                text_cell(spoken(at(transfer, "seq"))),
                _stack([moment(at(transfer, "utc")), *parties(data)]),
                _stack(
                    [
                        *(mine or [bold(words("receipts", "missing"))]),
                        [words("receipts", "statement"), " ", mono(spoken(at(data, "statement_sha256")))],
                    ]
                ),
            ]
        )
    titles = [words("custody", "entry"), words("receipts", "transfer"), words("receipts", "receipt")]
    return titled(words("receipts", "title"), stacked_table(titles, rows, (0.075, 0.22, 0.705)))


def _stack(lines: list[Any]) -> Cell:
    return Cell(tuple(Text(line, CELL) for line in lines if line not in ("", []))) if lines else text_cell("")


def numbers(record: RunRecord) -> Grid:
    """How many entries the ledger had, and which were the last: what a reader with the ledger can count again."""
    custody_of = record.get("custody")
    shared = [
        f"{spoken(at(one, 'id'))} ({words('custody', 'case')} {spoken(at(one, 'case'))})"
        for one in items(at(custody_of, "exhibits"))
    ]
    head = record.get("workspace", "ledger_head")
    return facts(
        [
            (words("attempts", "entries_ledger"), spoken(at(custody_of, "entries", "ledger"))),
            (words("attempts", "entries_case"), _counted(custody_of, "case")),
            (words("attempts", "entries_exhibit"), _counted(custody_of, "exhibit")),
            (words("attempts", "listed"), spoken(len(items(at(custody_of, "events"))))),
            (words("attempts", "exhibits"), "; ".join(shared) or spoken(None)),
            (words("attempts", "head"), [f"{spoken(at(head, 'seq'))}, ", mono(spoken(at(head, "hash")))]),
        ],
        0.42,
    )


def _counted(custody_of: Any, what: str) -> str:
    count, last = at(custody_of, "entries", what), at(custody_of, "last", what)
    return words("attempts", "counted").format(count=spoken(count), last=spoken(last))
