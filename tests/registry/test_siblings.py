"""Siblings: which model a recipe takes for another scale is what the cards say, never a guess."""

from __future__ import annotations

import pytest

from forensic.errors import PolicyRefused, UsageError
from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card
from forensic.registry.siblings import siblings
from forensic.stages import catalogue
from forensic.stages.recipe import parse_recipe
from tests.registry.conftest import ModelMaker

RECIPE = b"""
name = "tiny"
title = "Tiny"
why = "For tests."

[[stage]]
name = "learned-upscale"
why = "For tests."
parameters = { model = "tiny-x2", overlap = 20 }
"""


def relation(root: str = "tiny-x2") -> str:
    return f'sibling_of = "{root}"'


@pytest.fixture
def family(models: ModelMaker) -> ModelMaker:
    models.make()
    models.make("tiny-x1", scale=1, extra=relation())
    models.make("tiny-x4", scale=4, extra=relation())
    models.make("other-x3", scale=3)
    return models


@pytest.mark.parametrize("of", ["tiny-x1", "tiny-x2", "tiny-x4"])
def test_every_member_knows_all_of_them_and_no_other(family: ModelMaker, of: str) -> None:
    found = siblings(load_card(of, family.root), family.root)
    assert found == {1: "tiny-x1", 2: "tiny-x2", 4: "tiny-x4"} and list(found) == [1, 2, 4]


def test_a_model_without_siblings_has_only_itself(family: ModelMaker) -> None:
    assert siblings(load_card("other-x3", family.root), family.root) == {3: "other-x3"}


def test_two_for_one_scale_are_refused(family: ModelMaker) -> None:
    family.make("tiny-x4-too", scale=4, extra=relation())
    with pytest.raises(PolicyRefused) as refusal:
        siblings(load_card("tiny-x2", family.root), family.root)
    assert refusal.value.code == "model.siblings-ambiguous"
    assert "tiny-x4-too" in refusal.value.message and "tiny-x4 " in refusal.value.message


def test_a_card_that_cannot_be_used_is_not_offered(family: ModelMaker) -> None:
    (family.root / "tiny-x4" / "card.toml").write_text("nonsense", encoding="utf-8")
    assert siblings(load_card("tiny-x2", family.root), family.root) == {1: "tiny-x1", 2: "tiny-x2"}


def test_a_card_that_is_its_own_sibling_is_refused(models: ModelMaker) -> None:
    models.make(extra=relation())
    with pytest.raises(PolicyRefused) as refusal:
        load_card("tiny-x2", models.root)
    assert refusal.value.code == "model.card-invalid"


@pytest.mark.parametrize(("scale", "model"), [(1, "tiny-x1"), (2, "tiny-x2"), (4, "tiny-x4")])
def test_a_recipe_takes_the_sibling_and_records_which(family: ModelMaker, scale: int, model: str) -> None:
    bound = parse_recipe(RECIPE, "tiny.toml").bind(scale=scale, models_dir=family.root)
    (stage,) = bound.stages
    record = stage.record()
    assert stage.scale == float(scale) and record["model"]["id"] == model
    assert record["parameters"]["model"]["value"] == model
    assert record["parameters"]["overlap"] == {"value": 20, "unit": "pixels", "default": False}
    assert record["parameters"]["tile"]["default"] is True
    changes = [override.to_record() for override in bound.overrides]
    assert [(one["parameter"], one["value"]) for one in changes] == ([] if scale == 2 else [("model", model)])


def test_a_scale_that_no_sibling_has_is_refused_with_those_there_are(family: ModelMaker) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_recipe(RECIPE, "tiny.toml").bind(scale=3, models_dir=family.root)
    assert refusal.value.code == "recipe.scale" and "1, 2, 4" in refusal.value.remedy


def test_a_generative_sibling_makes_the_stage_generative(family: ModelMaker) -> None:
    family.make("tiny-x8", scale=8, extra=relation(), class_line='class = "generative"')
    stage = catalogue.build("learned-upscale", {"model": "tiny-x2"}, models_dir=family.root)
    assert stage.effective_class is StageClass.FIDELITY
    assert stage.with_scale(8).effective_class is StageClass.GENERATIVE
