"""Cards of the learned models, whole, with what was measured as tables of condition by method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.platypus import Flowable

from forensic.report.blocks import Content, Heading, bullets, facts, keep_room, paragraph, table, titled
from forensic.report.record import RunRecord
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import bold
from forensic.report.values import at, flatten, items, label, spoken
from forensic.report.wording import words

_LONG = 60  # characters; a list with a longer text in it is set as a list
_PIVOTED = {"conditions", "method", "metric", "value"}
_BESIDE = {"n", "unit"}


def models(record: RunRecord) -> list[Flowable]:
    """The card of each learned model; the whole card, in its own order."""
    cards = record.listed("models")
    if not cards:
        return [paragraph(words("notes", "models_none"))]
    story: list[Flowable] = []
    for entry in cards:
        card = entry if isinstance(entry, Mapping) else {"card": entry}
        key = spoken(at(card, "id"))
        story += [keep_room(120), Heading(f"Model {key}", f"model-{key}", 1)]
        shown = set()
        for name in ("explanation", "training"):
            if isinstance(at(card, name), str):
                story.append(paragraph([bold(f"{label(name)}. "), at(card, name)]))
                shown.add(name)
        listed = [name for name, value in card.items() if name != "measured" and _is_list_of_sentences(value)]
        for name in sorted(listed, key=lambda name: name != "limitations"):
            story += [paragraph(label(str(name)), SUBHEADING), *bullets([spoken(one) for one in card[name]])]
            shown.add(name)
        measured = items(at(card, "measured"))
        if measured and all(isinstance(row, Mapping) for row in measured):
            story += _measurements(measured)
            shown.add("measured")
        rest = {name: value for name, value in card.items() if name not in shown}
        story += titled("Card", facts(list(flatten(rest)), 0.32))
    return story


def _is_list_of_sentences(value: Any) -> bool:
    texts = items(value)
    return all(isinstance(text, str) for text in texts) and any(len(text) > _LONG for text in texts)


def _measurements(rows: list[Any]) -> list[Flowable]:
    pivoted = _pivoted(rows)
    if pivoted is not None:
        return pivoted
    columns = list(dict.fromkeys(str(key) for row in rows for key in row))
    if len(columns) > 6:
        return titled("Measured", facts(list(flatten(rows)), 0.32))
    cells = [[spoken(row.get(column)) for column in columns] for row in rows]
    return titled("Measured", table([label(column) for column in columns], cells, [1.0] * len(columns)))


def _pivoted(rows: list[Any]) -> list[Flowable] | None:
    """One table for each metric, conditions down and methods across; None where the rows are of another form.

    Rows are told apart by condition, number of pictures and method; two rows of one place would hide
    one another, so then there is no such table.
    """
    if any(not set(row) >= _PIVOTED or set(row) - _PIVOTED - _BESIDE for row in rows):
        return None
    metrics: dict[tuple[str, str], dict[tuple[str, str], dict[str, str]]] = {}
    methods: list[str] = []
    for row in rows:
        metric = spoken(row["metric"]), spoken(row["unit"]) if row.get("unit") else ""
        place = spoken(row["conditions"]), spoken(row["n"]) if "n" in row else ""
        method = spoken(row["method"])
        line = metrics.setdefault(metric, {}).setdefault(place, {})
        if method in line:
            return None
        line[method] = spoken(row["value"])
        methods += [] if method in methods else [method]
    if len(methods) > 5:
        return None
    story: list[Flowable] = []
    widths = (0.36, 0.06, *([0.58 / len(methods)] * len(methods)))
    for (metric_name, unit), lines in metrics.items():
        cells: list[list[Content]] = [
            [condition, number, *(line.get(method, "–") for method in methods)]
            for (condition, number), line in lines.items()
        ]
        title = f"Measured: {metric_name}" + (f", {unit}" if unit else "")
        story += titled(title, table(["Conditions", "n", *methods], cells, widths))
    return [*story, paragraph(words("notes", "measured"), SMALL)]
