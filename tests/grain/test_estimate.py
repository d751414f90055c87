"""Planted grain is found again, and what is no grain is said to be none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forensic.grain.estimate import GrainEstimate, estimate_grain
from forensic.grain.fitting import impulse_energy, response, stable, template_sigmas
from forensic.grain.kind import Evidence, Kind, judge
from forensic.grain.parameters import GrainParameters, neighbours
from forensic.grain.removal import degrained
from forensic.grain.sampling import MOST_PLACES, SPAN, places
from forensic.grain.synthesis import scaling_table
from tests.grain.planting import FINE, grainy, noisy, pairs, scene


@pytest.fixture(scope="module")
def found() -> GrainEstimate:
    return estimate_grain(pairs(list(grainy(9))))


def _sigma(parameters: GrainParameters, plane: int) -> np.ndarray:
    gain = template_sigmas(parameters, (1, 1))[plane]
    return scaling_table(parameters.points_of(plane), 8) * gain / 2**parameters.scaling_shift


def _power(parameters: GrainParameters) -> np.ndarray:
    weights = np.array(parameters.luma_coefficients) / 2**parameters.ar_shift
    power = response(weights, parameters.lag)
    return power / power.mean()


def test_planted_grain_is_found(found: GrainEstimate) -> None:
    assert found.kind is Kind.GRAIN, found.why
    assert found.evidence is not None and found.evidence.temporal and found.evidence.still_share > 0.0
    held = slice(64, 176)
    wrong = np.abs(_sigma(found.parameters, 0)[held] / _sigma(FINE, 0)[held] - 1)
    assert wrong.max() < 0.15 and wrong.mean() < 0.08
    apart = 10 * np.log10(_power(found.parameters) / _power(FINE))
    assert np.sqrt(np.mean(apart**2)) < 1.5, "decibels between the spectra"


def test_colour_is_found_with_its_part_of_luma(found: GrainEstimate) -> None:
    model = found.parameters
    for plane in (1, 2):
        assert abs(_sigma(model, plane)[128] / _sigma(FINE, plane)[128] - 1) < 0.2
    of_luma = [model.coefficients_of(plane)[-1] / 2**model.ar_shift for plane in (1, 2)]
    assert of_luma[0] > 0.02 and of_luma[1] < -0.02, "planted: 0.07 and -0.07"


def test_the_record_holds_every_number(found: GrainEstimate) -> None:
    record = found.to_record()
    assert record["interval"] == "uncalibrated" and record["kind"] == "grain"
    assert record["frames"] == list(range(9)) or len(record["frames"]) == 2 * len(places(9))
    assert GrainParameters(**{k: _tuples(v) for k, v in record["parameters"].items()}) == found.parameters


def _tuples(value: object) -> object:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("changing", "fixed", "kind"),
    [(3.0, 0.0, Kind.WHITE), (0.0, 4.0, Kind.STILL), (0.0, 0.0, Kind.STILL), (0.3, 4.0, Kind.STILL)],
)
def test_other_noise_is_called_what_it_is(changing: float, fixed: float, kind: Kind) -> None:
    found = estimate_grain(pairs(list(noisy(6, changing, fixed))))
    assert found.kind is kind, (found.kind, found.why)


def test_grain_on_a_fixed_pattern_is_measured_without_it() -> None:
    pattern = np.random.default_rng(3).normal(0, 3, scene()[0].shape)
    frames = [(np.clip(np.rint(luma + pattern), 0, 255).astype(np.int32), cb, cr) for luma, cb, cr in grainy(9)]
    found = estimate_grain(pairs(frames))
    assert found.kind is Kind.GRAIN and found.evidence is not None and found.evidence.still_share > 0.3
    held = slice(80, 170)
    assert np.abs(_sigma(found.parameters, 0)[held] / _sigma(FINE, 0)[held] - 1).max() < 0.2


def test_repeated_blocks_are_a_coders() -> None:
    frames = list(grainy(6))
    skipped = []
    for index, (luma, cb, cr) in enumerate(frames):
        mixed = luma.copy()
        if index:
            mixed[64:160, 32:224] = skipped[-1][0][64:160, 32:224]
        skipped.append((mixed, cb, cr))
    found = estimate_grain(pairs(skipped))
    assert found.kind is Kind.CODING and "repeated" in found.why


GRAIN = Evidence(blocks=400, strength=3.0, still_share=0.5, alike=0.6, uneven=0.1, grid_contrast=0.05, grid_score=6.0,
                 dead_share=0.0, repeated_share=0.0, moved_share=0.0, temporal=True)  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ({}, Kind.GRAIN),
        ({"grid_contrast": 0.5}, Kind.CODED_GRAIN),
        ({"grid_contrast": 0.5, "grid_score": 4.0}, Kind.GRAIN),
        ({"grid_contrast": 0.5, "uneven": 0.4}, Kind.CODING),
        ({"grid_contrast": 0.5, "alike": 0.1}, Kind.CODING),
        ({"grid_contrast": 0.5, "strength": 1.0}, Kind.CODING),
        ({"uneven": 0.6}, Kind.CODING),
        ({"repeated_share": 0.1}, Kind.CODING),
        ({"dead_share": 0.1}, Kind.CODING),
        ({"alike": 0.1}, Kind.WHITE),
        ({"strength": 0.3}, Kind.NONE),
        ({"strength": 0.3, "still_share": 0.95}, Kind.STILL),
        ({"moved_share": 0.5}, Kind.UNDETERMINED),
        ({"blocks": 39}, Kind.UNDETERMINED),
        ({"temporal": False}, Kind.UNDETERMINED),
    ],
)
def test_what_the_numbers_mean(numbers: dict[str, float], kind: Kind) -> None:
    found, why = judge(replace(GRAIN, **numbers))  # type: ignore[arg-type]
    assert found is kind and why
    assert found.is_grain is (kind in (Kind.GRAIN, Kind.CODED_GRAIN))


def test_a_single_picture_does_not_say_whether_it_is_grain() -> None:
    found = estimate_grain(pairs(list(grainy(1))))
    assert found.kind is Kind.UNDETERMINED and found.evidence is not None and not found.evidence.temporal


def test_levels_without_grain_are_no_repeats_of_a_coder() -> None:
    """Film may have next to no grain in its highlights: there neighbouring frames are the same."""
    none_above = replace(FINE, luma_points=((0, 110), (120, 110), (128, 0), (255, 0)), cb_points=(), cr_points=())
    found = estimate_grain(pairs(list(grainy(5, none_above))))
    assert found.kind is Kind.GRAIN, found.why
    assert _sigma(found.parameters, 0)[170] < 0.3 * _sigma(found.parameters, 0)[90]


def test_a_picture_too_small_is_undetermined() -> None:
    small = [tuple(plane[:40, :40] for plane in one) for one in grainy(4)]
    found = estimate_grain(pairs(small))
    assert found.kind is Kind.UNDETERMINED and found.parameters.empty and "flat blocks" in found.why


def test_the_frames_follow_from_their_number_alone() -> None:
    assert places(0) == [] and places(1) == [0] and places(2) == [0] and places(3) == [0, 1]
    assert len(places(10_000)) == MOST_PLACES and places(10_000) == places(SPAN + 1) and max(places(10_000)) < SPAN
    assert all(first + 1 < 40 for first in places(40))


def test_an_unstable_filter_is_drawn_in_until_it_dies_out() -> None:
    lag = 2
    wild = np.full(len(neighbours(lag)), 0.4)
    assert impulse_energy(wild, lag) == float("inf")
    tame = stable(wild, 0.5, lag)
    assert 0 < np.abs(tame).max() < 0.4 and impulse_energy(tame, lag) * 0.25 <= 2.5


def test_removal_brings_the_picture_nearer_to_what_it_was() -> None:
    clean, frames = scene(), [tuple(p.astype(np.float32) for p in one) for one in grainy(3)]
    lumas = [one[0] for one in frames]
    for plane in range(3):
        made = degrained([one[plane] for one in frames], lumas, 1, plane, FINE, (1, 1))
        before = np.mean((frames[1][plane] - clean[plane]) ** 2)
        assert made.dtype == np.float32 and np.mean((made - clean[plane]) ** 2) < 0.4 * before
