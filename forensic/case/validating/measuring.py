"""The methods of a suite that give numbers: fidelity, time, estimation, determinism."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.storage import write_file
from forensic.case.surveying import survey_exhibit
from forensic.case.validating.bench import Bench, Made, NotRunHere, several_workers
from forensic.estimation.estimate import Estimate
from forensic.registry.cards import load_card, verify_card
from forensic.stages.recipe import load_recipe
from forensic.validation.measures import differing_samples, moving_metric, registration_error, still_metric
from forensic.validation.perceptual import LPIPS
from forensic.validation.recordings import Simulated, known_width
from forensic.validation.suite import Determinism, Estimation, Fidelity, Temporal
from forensic.validation.verdicts import Case

_SMALL_TILE = 32


def fidelity(bench: Bench, method: Fidelity) -> list[Case]:
    """The metric of the middle frame, scene by scene; less that of ``against`` where there is one."""
    cases = []
    behind = _weights(bench, method.metric)
    for simulated in bench.recordings(method.condition):
        middle = simulated.recording.reference

        def value(recipe: str, one: Simulated = simulated, frame: int = middle) -> float:
            made = bench.made(one, recipe, (frame, frame + 1))
            return still_metric(method.metric, made.planes[0], one.recording, frame)

        case = _compared(simulated.scene, value(method.recipe), method.against and value(method.against))
        cases.append(replace(case, detail={**case.detail, **behind}))
    return cases


def _weights(bench: Bench, metric: str) -> dict[str, str]:
    """The weights that a metric rests on, for the record; looked at first, for without them nothing need be made.

    Raises ``PolicyRefused`` (``model.pack-not-fetched``).
    """
    if metric != "lpips":
        return {}
    card = load_card(LPIPS)
    verify_card(card)
    bench.models.add(card.id)
    return {"model": card.id, "weights_sha256": card.weights.sha256}


def temporal(bench: Bench, method: Temporal) -> list[Case]:
    """The metric of the whole clip, scene by scene; less that of ``against`` where there is one."""
    cases = []
    for simulated in bench.recordings(method.condition):

        def value(recipe: str, one: Simulated = simulated) -> float:
            made = bench.made(one, recipe, (0, len(one.recording.frames)))
            return moving_metric(method.metric, made.planes, one.recording)

        cases.append(_compared(simulated.scene, value(method.recipe), method.against and value(method.against)))
    return cases


def _compared(scene: str, value: float, other: float | str | None) -> Case:
    if not isinstance(other, float):
        return Case(scene, value)
    return Case(scene, value - other, {"value": value, "against": other})


def estimation(bench: Bench, method: Estimation) -> list[Case]:
    """What the program measures in each recording, against what the simulator did."""
    return [_estimated(bench, method.kind, simulated) for simulated in bench.recordings(method.condition)]


def _estimated(bench: Bench, kind: str, simulated: Simulated) -> Case:
    recording = simulated.recording
    if kind == "decoding":
        return Case(simulated.scene, float(differing_samples(bench.decoded(simulated), recording)))
    if kind == "registration":
        error, lost = registration_error(bench.decoded(simulated), recording)
        return Case(simulated.scene, error, {"frames_not_placed": lost})
    found = survey_exhibit(bench.workspace, bench.exhibit(simulated), (0, len(recording.frames)), Silent()).survey
    if kind == "quantiser":
        answer, known = found.quantiser.mean, [value for value in recording.qp if value is not None]
        if not isinstance(answer, Estimate) or not known:
            return Case(simulated.scene, float("nan"), {"answer": "undetermined"})
        truth = float(np.mean(known))
        return Case(simulated.scene, abs(answer.value - truth), {"known": truth, "found": answer.value})
    width, truth = found.point_spread.width, known_width(recording)
    if not isinstance(width, Estimate):
        return Case(simulated.scene, 0.0, {"known": truth, "answer": "undetermined"})
    covers = width.low <= truth <= width.high
    return Case(simulated.scene, float(covers), {"known": truth, "low": width.low, "high": width.high})


def determinism(bench: Bench, method: Determinism) -> list[Case]:
    """1 for every recording whose frames came out with equal hashes, both ways."""
    ways = {"repeat": _repeated, "workers": _with_workers, "tiles": _in_tiles, "reproduce": _reproduced}
    return [ways[method.variant](bench, simulated, method.recipe) for simulated in bench.recordings(method.condition)]


def _middle(simulated: Simulated) -> tuple[int, int]:
    """Two frames, so that there is something to share out, where the recording has them."""
    return 0, min(2, len(simulated.recording.frames))


def _same(simulated: Simulated, one: Made, other: Made, how: str) -> Case:
    detail = {"how": how, "merkle_roots": [one.merkle_root, other.merkle_root]}
    return Case(simulated.scene, float(one.merkle_root == other.merkle_root), detail)


def _repeated(bench: Bench, simulated: Simulated, recipe: str) -> Case:
    frames = _middle(simulated)
    first, again = (bench.made(simulated, recipe, frames, turn=turn) for turn in (0, 1))
    return _same(simulated, first, again, "the same run twice")


def _with_workers(bench: Bench, simulated: Simulated, recipe: str) -> Case:
    frames, several = _middle(simulated), several_workers()
    one, many = (bench.made(simulated, recipe, frames, workers=count) for count in (1, several))
    return _same(simulated, one, many, f"1 worker and {several}")


def _in_tiles(bench: Bench, simulated: Simulated, recipe: str) -> Case:
    """Pictures cut into many small pieces, which one worker does in order and several as they come."""
    text, cut = re.subn(r"\btile = \d+", f"tile = {_SMALL_TILE}", load_recipe(recipe).text)
    if not cut:
        raise NotRunHere(f"recipe {recipe} does not work in pieces")
    path, several = bench.root / f"{recipe}-small-tiles.toml", several_workers()
    write_file(path, text.encode("utf-8"))
    frames = _middle(simulated)
    one, many = (bench.made(simulated, str(path), frames, workers=count) for count in (1, several))
    return _same(simulated, one, many, f"pieces of {_SMALL_TILE} pixels, 1 worker and {several}")


def _reproduced(bench: Bench, simulated: Simulated, recipe: str) -> Case:
    made = bench.made(simulated, recipe, _middle(simulated))
    outcome = reproduce(bench.workspace, made.folder.root.name, Silent())
    return Case(simulated.scene, float(outcome.succeeded and outcome.exact), {"verdict": outcome.verdict})
