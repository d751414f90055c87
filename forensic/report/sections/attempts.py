"""Appendix: every run and every failed attempt on the exhibit's bytes, whether it speaks for the result or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.platypus import Flowable

from forensic.report.blocks import Cell, Content, paragraph, stacked_table, table, text_cell, titled
from forensic.report.happenings import ENDS, Happening, history, moment
from forensic.report.record import RunRecord
from forensic.report.sections.custody import numbers
from forensic.report.theme import CELL, SMALL, SUBHEADING
from forensic.report.typeset import Span, Text, mono
from forensic.report.values import at, items, spoken
from forensic.report.wording import words, words_of


def attempts(record: RunRecord) -> list[Flowable]:
    """Runs with everything the ledger has about each, other attempts, and the numbers by which to count again."""
    if not isinstance(record.get("custody"), Mapping):
        return [paragraph(words("attempts", "older")), *listed_attempts(record)]
    happened = history(record)
    runs = [one for one in happened if one.kind == "run"]
    repeats = _repetitions(runs, record)
    rows = [_run_row(one, record, repeats) for one in runs]
    story: list[Flowable] = [paragraph(words("attempts", "intro"))]
    titles = [words("attempts", key) for key in ("run", "asked", "happened")]
    story += titled(words("attempts", "runs"), stacked_table(titles, rows, (0.27, 0.23, 0.5)))
    others = [row for one in happened if one.kind != "run" for row in _other_rows(one, record)]
    if others:
        titles = [
            words("custody", "entry"),
            words("custody", "when"),
            words("custody", "event"),
            words("attempts", "reason"),
        ]
        story += titled(words("attempts", "others"), table(titles, others, (0.085, 0.2, 0.235, 0.48)))
    else:
        story += [paragraph(words("attempts", "others"), SUBHEADING), paragraph(words("attempts", "others_none"))]
    story += titled(words("attempts", "numbers"), numbers(record))
    return [*story, paragraph(words("attempts", "check"), SMALL)]


def listed_attempts(record: RunRecord) -> list[Flowable]:
    """The plain list of attempts, which older records have too."""
    listed = record.listed("failed_attempts")
    if not listed:
        return [paragraph(words("notes", "attempts_none"))]
    rows: list[list[str | Span]] = [
        [mono(spoken(at(one, "run"))), spoken(at(one, "event")), spoken(at(one, "utc")), spoken(at(one, "reason"))]
        for one in listed
    ]
    return [
        paragraph(words("notes", "attempts")),
        table(["Run", "Event", "Time", "Reason"], rows, (0.24, 0.15, 0.2, 0.41)),
    ]


def _run_row(run: Happening, record: RunRecord, repeats: dict[str | None, list[str]]) -> list[Cell]:
    named: list[Content] = [mono(spoken(run.run))]
    if run.run == record.run_id:
        named.append(words("attempts", "this"))
    if run.exhibit not in (None, record.get("exhibit", "id")):
        named.append(words("custody", "as_exhibit").format(exhibit=spoken(run.exhibit)))
    frames = items(run.fact("frames"))
    asked = [
        f"{words('attempts', key)} {spoken(value)}"
        for key, value in (
            ("recipe", run.fact("recipe")),
            ("frames", f"{frames[0]}:{frames[1]}" if len(frames) == 2 else None),
            ("mode", run.fact("mode")),
            ("purpose", run.fact("purpose")),
        )
        if value is not None
    ]
    lines = [_line(event) for event in run.events]
    if run.named(*ENDS) is None and run.run != record.run_id:
        lines.append(words("attempts", "no_end"))
    lines += repeats.get(run.run, [])
    return [_cell(named), _cell(asked or [spoken(None)]), _cell(lines)]


def _line(event: Mapping[str, Any]) -> str:
    """One entry of a run: number, time, what, and why where that was said."""
    data, name = at(event, "data"), str(at(event, "event"))
    told = ("reason",) if name == "run.started" else ("code", "reason", "stage_class", "verdict")
    said = [spoken(one) for key in told if (one := at(data, key)) not in (None, "")]
    if name == "policy.decided":
        said = ["allowed" if at(data, "allowed") is True else "denied", f"policy {spoken(at(data, 'policy'))}"]
    title = words_of("steps").get(name) or words_of("events").get(name, name)
    text = f"{spoken(at(event, 'seq'))}  {moment(at(event, 'utc'))}  {title}"
    return f"{text}: {', '.join(said)}" if said else text


def _repetitions(runs: list[Happening], record: RunRecord) -> dict[str | None, list[str]]:
    """For each run that finished: which later one did the same again, and whether the output is the same."""
    finished = [one for one in runs if one.named("run.finished") is not None or one.run == record.run_id]
    found: dict[str | None, list[str]] = {}
    for place, run in enumerate(finished):
        plan = run.fact("plan_sha256")
        later = next(
            (one for one in finished[place + 1 :] if plan is not None and one.fact("plan_sha256") == plan), None
        )
        if later is not None:
            same = _output(run, record) == _output(later, record) is not None
            key = "repeated_same" if same else "repeated_other"
            found.setdefault(run.run, []).append(words("attempts", key).format(run=spoken(later.run)))
    return found


def _output(run: Happening, record: RunRecord) -> Any:
    return record.get("output", "sha256") if run.run == record.run_id else run.fact("output_sha256")


def _other_rows(happening: Happening, record: RunRecord) -> list[list[Content]]:
    """What went wrong outside of runs: acquisitions, reproductions, acts of custody, changes found."""
    troubles = words_of("troubles")
    rows: list[list[Content]] = []
    for event in happening.events:
        name = str(at(event, "event"))
        open_end = name.endswith(".started") and happening.events[-1] is event
        if name == "reproduction.finished" and str(at(event, "data", "verdict")).startswith("REPRODUCED"):
            continue
        if name not in troubles and not open_end:
            continue
        data = at(event, "data")
        title = troubles.get(name, words_of("events").get(name, name))
        reason = [
            spoken(one)
            for key in ("path", "act", "code", "reason", "verdict", "file", "refused")
            if (one := at(data, key)) not in (None, "")
        ]
        other = happening.exhibit not in (None, record.get("exhibit", "id"))
        shown = [f"{words('custody', 'as_exhibit').format(exhibit=spoken(happening.exhibit))}"] if other else []
        shown += [words("attempts", "no_end")] if open_end else []
        if happening.run is not None:
            shown.append(f"{words('attempts', 'run')} {happening.run}")
        rows.append([spoken(at(event, "seq")), moment(at(event, "utc")), title, "; ".join([*shown, *reason])])
    return rows


def _cell(lines: list[Any]) -> Cell:
    return Cell(tuple(Text(line, CELL) for line in lines)) if lines else text_cell("")
