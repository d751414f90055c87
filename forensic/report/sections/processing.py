"""Every step with all its parameters, and the policy's decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.platypus import Flowable

from forensic.estimation.wording import in_words
from forensic.hashes import sha256_bytes
from forensic.report.blocks import (
    Content,
    Heading,
    commands,
    facts,
    keep_room,
    notice,
    paragraph,
    table,
    titled,
)
from forensic.report.record import RunRecord
from forensic.report.theme import SMALL, SUBHEADING
from forensic.report.typeset import bold, mono
from forensic.report.values import at, flatten, in_one_line, items, label, spoken
from forensic.report.wording import words

_LONGEST = 500  # characters of a parameter


def _parameters(parameters: Any) -> list[list[Content]]:
    rows: list[list[Content]] = []
    for name, entry in parameters.items() if isinstance(parameters, Mapping) else []:
        value, unit, default = at(entry, "value"), at(entry, "unit"), at(entry, "default")
        origin = (
            {True: "default", False: "set"}.get(default, spoken(None)) if isinstance(default, bool) else spoken(None)
        )
        rows.append(
            [
                label(str(name)),
                words("notes", "not_set") if value is None else _shortened(spoken(value), value),
                spoken(unit) if unit else "",
                origin if default else bold(origin),
            ]
        )
    return rows


def _shortened(text: str, value: Any) -> str:
    """A value that is a file in letters is told by its beginning, length and digest: whole, it fills pages."""
    if not isinstance(value, str) or len(text) <= _LONGEST:
        return text
    digest = sha256_bytes(value.encode("utf-8"))
    return f"{text[:32]}… ({len(text)} characters, their SHA-256 {digest}; whole in recipe.toml)"


def _step(stage: Any) -> list[Flowable]:
    title = f"Step {spoken(at(stage, 'position'))}: {spoken(at(stage, 'title'))}"
    story: list[Flowable] = [
        keep_room(110),
        Heading(title, f"step-{spoken(at(stage, 'position'))}", 1),
        facts(
            [
                ("Stage and class", [mono(spoken(at(stage, "name"))), f", class {spoken(at(stage, 'class'))}"]),
                ("Why in this recipe", spoken(at(stage, "why"))),
                ("What it does", spoken(at(stage, "explanation"))),
                ("Known artefacts", " ".join(spoken(one) for one in items(at(stage, "artefacts"))) or spoken(None)),
                ("Reference", " ".join(spoken(one) for one in items(at(stage, "references"))) or spoken(None)),
            ]
        ),
    ]
    if at(stage, "measured"):
        agree = {True: "agree", False: "do not agree: the interval is that of the Monte Carlo calculation"}
        story.append(
            facts(
                [
                    ("Measured", bold(spoken(at(stage, "measured", "shown")))),
                    (
                        "First order and Monte Carlo",
                        agree.get(at(stage, "measured", "first_order_agrees"), spoken(None)),
                    ),
                    ("Assumed", " ".join(spoken(one) for one in items(at(stage, "measured", "assumptions")))),
                ]
            )
        )
    parameters = _parameters(at(stage, "parameters"))
    if parameters:
        story.append(table(["Parameter", "Value", "Unit", "Origin"], parameters, (0.34, 0.3, 0.22, 0.14)))
    else:
        story.append(paragraph("This step has no parameters.", SMALL))
    if at(stage, "model"):
        model = f"Learned model {spoken(at(stage, 'model', 'id'))}; see the section “{words('headings', 'models')}”."
        story.append(paragraph(model, SMALL))
    return story


def processing(record: RunRecord) -> list[Flowable]:
    """The recipe and its steps."""
    recipe, selection = record.get("recipe"), record.get("selection")
    chosen = items(at(selection, "frames"))
    story: list[Flowable] = [
        facts(
            [
                ("Recipe", f"{spoken(at(recipe, 'title'))} ({spoken(at(recipe, 'name'))})"),
                ("Why", spoken(at(recipe, "why"))),
                ("Source", spoken(at(recipe, "source"))),
                ("SHA-256 of the recipe", mono(spoken(at(recipe, "sha256")))),
                (
                    "Overrides by the examiner",
                    ". ".join(in_one_line(one) for one in items(at(recipe, "overrides"))) or "none",
                ),
                (
                    "Frames",
                    f"from {chosen[0]} up to but not including {chosen[1]}" if len(chosen) == 2 else spoken(chosen),
                ),
                ("Region of interest", _region(at(selection, "roi"))),
                ("Frames for pictures and risk maps", spoken(at(selection, "mapped"))),
                ("Rule of that choice", spoken(at(selection, "rule"))),
            ]
        ),
        paragraph(words("notes", "parameters"), SMALL),
    ]
    story += _estimation(record)
    story += _grain(record)
    for stage in record.listed("recipe", "stages"):
        story += _step(stage)
    story += _stabilisation(record)
    for found in record.listed("damage"):
        story += _damage(found)
    argv = record.listed("run", "command")
    if argv:
        story += [paragraph("Command as given", SUBHEADING), commands([" ".join(_quoted(str(part)) for part in argv)])]
    return story


def _estimation(record: RunRecord) -> list[Flowable]:
    """What was measured of the recording and chose the recipe; nothing where the examiner chose it."""
    estimation = record.get("estimation")
    if not isinstance(estimation, Mapping):
        return []
    proposal = at(estimation, "proposal")
    answers: list[list[Content]] = [[name, answer] for name, answer in in_words(at(estimation, "survey") or {})]
    sentences = [spoken(one) for key in ("reasons", "cautions") for one in items(at(proposal, key))]
    return [
        keep_room(110),
        Heading(words("estimation", "title"), "estimation", 1),
        paragraph(words("estimation", "intro")),
        table(["Measured", "Answer"], answers, (0.34, 0.66)),
        paragraph([bold(words("estimation", "follows")), " ", " ".join(sentences)]),
    ]


def _grain(record: RunRecord) -> list[Flowable]:
    """What the noise of the recording was found to be; nothing where no stage took its model from it."""
    found = record.get("grain")
    if not isinstance(found, Mapping):
        return []
    measured = at(found, "grain", "evidence")
    numbers = measured.items() if isinstance(measured, Mapping) else []
    return [
        paragraph("Grain of the recording", SUBHEADING),
        facts(
            [
                ("Found", f"{spoken(at(found, 'grain', 'kind'))}: {spoken(at(found, 'grain', 'why'))}"),
                ("Ledger entry", spoken(at(found, "entry", "seq"))),
                ("Frames looked at", spoken(at(found, "grain", "frames"))),
                ("Measured", "; ".join(f"{label(str(name))}: {spoken(value)}" for name, value in numbers)),
                ("Interval", spoken(at(found, "grain", "interval"))),
            ]
        ),
    ]


def _damage(found: Any) -> list[Flowable]:
    """What was masked as damaged over all frames, by whom, and how much of it was filled from other frames."""
    share = at(found, "largest_share")
    pictures = ", ".join(map(str, items(at(found, "mask_pictures"))))
    rows: list[tuple[str, Content]] = [
        ("Stage", mono(spoken(at(found, "stage", "name")))),
        ("Frames with damage", f"{spoken(at(found, 'frames_damaged'))} of {spoken(at(found, 'frames'))}"),
        ("Largest part of a frame", f"{share:.2%}" if isinstance(share, float | int) else spoken(None)),
        ("Masked picture elements", spoken(at(found, "pixels"))),
        ("Of these marked by the user", spoken(at(found, "pixels_marked_by_user"))),
        ("Mask pictures (SHA-256)", mono(pictures) if pictures else "none"),
        ("Found by the detector", spoken(at(found, "pixels_found_by_detector"))),
        ("Frames that it could not judge", spoken(at(found, "frames_without_detection"))),
        ("Frames whose finds were too many", spoken(at(found, "frames_detection_not_used"))),
        ("Filled from other frames", spoken(at(found, "pixels_filled"))),
        ("Not filled from other frames", spoken(at(found, "pixels_left"))),
    ]
    return [paragraph("Damage, over all frames", SUBHEADING), facts(rows)]


def _stabilisation(record: RunRecord) -> list[Flowable]:
    """What stabilisation left of the recording in all frames; nothing without that stage."""
    found = record.get("stabilisation")
    if not isinstance(found, Mapping):
        return []
    path, box = record.get("camera_path"), items(at(found, "common_rectangle"))
    held = "none: the camera's path was made smooth"
    if isinstance(path, Mapping):
        held = f"frame {spoken(at(path, 'reference'))}, path of ledger entry {spoken(at(path, 'entry', 'seq'))}"
    elif at(found, "reference") is not None:
        held = f"frame {spoken(at(found, 'reference'))}, path given by the recipe, not measured for this run"
    share = at(found, "largest_share_outside")
    return [
        paragraph("Stabilisation, over all frames", SUBHEADING),
        facts(
            [
                ("Held to", held),
                ("Recorded in every frame", _box(box) if len(box) == 4 else "no rectangle"),
                ("Largest part without recording", f"{share:.1%}" if isinstance(share, float | int) else spoken(None)),
                ("Frames whose correction was limited", spoken(at(found, "limited"))),
                ("Frames not followed on every side", spoken(at(found, "not_followed"))),
            ]
        ),
    ]


def _box(values: list[Any]) -> str:
    left, top, width, height = values
    return f"left {left}, top {top}, width {width}, height {height} pixels of the stabilised picture"


def _quoted(argument: str) -> str:
    plain = argument and all(char.isalnum() or char in "_-./:=,@%+" for char in argument)
    return argument if plain else "'" + argument.replace("'", "'\\''") + "'"


def _region(roi: Any) -> str:
    values = items(roi)
    if len(values) != 4:
        return "none: whole picture"
    return f"left {values[0]}, top {values[1]}, width {values[2]}, height {values[3]} pixels of the exhibit"


def policy(record: RunRecord) -> list[Flowable]:
    """The decision, stage by stage, with the rules that made it."""
    decision = record.get("policy")
    named = at(decision, "policy")
    details = named if isinstance(named, Mapping) else decision
    story: list[Flowable] = [paragraph(words("notes", "policy"))]
    if at(decision, "allowed") is not True:
        story.append(notice("Denied", [words("notes", "policy_denied")], "warning"))
    story.append(
        facts(
            [
                ("Decision", bold("permitted" if at(decision, "allowed") is True else "denied")),
                ("Policy", f"{spoken(at(details, 'name'))} ({spoken(at(details, 'origin'))})"),
                ("SHA-256 of the policy", mono(spoken(at(details, "sha256")))),
                ("SHA-256 of its schema", mono(spoken(at(details, "schema_sha256")))),
                ("Engine", spoken(at(decision, "engine"))),
            ]
        )
    )
    verdicts = items(at(decision, "stages")) or items(at(decision, "verdicts"))
    rows: list[list[Content]] = []
    explained: dict[str, str] = {}
    for verdict in verdicts:
        rules = items(at(verdict, "rules"))
        for rule in rules:
            explained[f"{spoken(at(rule, 'id'))} ({spoken(at(rule, 'effect'))})"] = spoken(at(rule, "explanation"))
        rows.append(
            [
                mono(spoken(at(verdict, "stage"))),
                "permitted" if at(verdict, "allowed") is True else bold("denied"),
                mono(", ".join(spoken(at(rule, "id")) for rule in rules) or spoken(None)),
                spoken(at(verdict, "reason")),
            ]
        )
    if rows:
        story.append(table(["Stage", "Verdict", "Deciding rule", "Reason"], rows, (0.17, 0.12, 0.26, 0.45)))
    if explained:
        story += titled("The rules in plain words", facts(list(explained.items()), 0.32))
    if at(decision, "context"):
        story += titled("Circumstances put to the policy", facts(list(flatten(at(decision, "context"))), 0.32))
    return story
