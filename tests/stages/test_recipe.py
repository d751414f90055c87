"""Recipes: strict reading, overrides on the record, nothing but clean refusals for bad files."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import BadInput, ForensicError, UsageError
from forensic.hashes import canonical_json
from forensic.resources import recipes_dir
from forensic.stages import catalogue
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import LARGEST_FILE, load_recipe, parse_recipe, recipe_names, recipes_for_scale

GOOD = """
name = "mine"
title = "Mine"
why = "A test."
[[stage]]
name = "deblock"
why = "Blocks."
[[stage]]
name = "resize"
why = "Size."
[stage.parameters]
scale = 2
[[stage]]
name = "levels"
why = "Dark."
parameters = { gamma = 1.5 }
"""


def test_the_built_in_recipes_are_there_and_say_why():
    assert set(recipe_names()) >= {"classic", "learned", "plain-lanczos"}
    for name in recipe_names():
        recipe = load_recipe(name)
        data = (recipes_dir() / f"{name}.toml").read_bytes()
        assert recipe.name == name and recipe.source == "built-in"
        assert recipe.sha256 == hashlib.sha256(data).hexdigest() and recipe.text.encode() == data
        assert all(step.why for step in recipe.steps)


@pytest.mark.parametrize("name", ["classic", "plain-lanczos"])
def test_classical_recipes_hold_no_learned_and_no_generative_stage(name):
    bound = load_recipe(name).bind()
    assert not any(stage.learned for stage in bound.stages)
    assert bound.pipeline.effective_class.label in ("geometric", "fidelity")


def test_the_record_holds_every_effective_parameter(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, "utf-8")
    record = load_recipe(path).bind().record()
    canonical_json(record)
    assert record["source"] == "mine.toml" and record["overrides"] == []
    assert [stage["position"] for stage in record["stages"]] == [1, 2, 3]
    assert record["stages"][0]["parameters"]["luma_strength"]["default"] is True
    assert record["stages"][2]["parameters"]["gamma"] == {"value": 1.5, "unit": "exponent", "default": False}
    assert [stage["why"] for stage in record["stages"]] == ["Blocks.", "Size.", "Dark."]


def test_a_scale_on_the_command_line_is_recorded_as_an_override():
    bound = load_recipe("classic").bind(scale=3)
    record = bound.record()
    assert {"stage": "resize", "parameter": "scale", "value": 3.0, "was": 2.0, "by": "--scale"} in record["overrides"]
    resize = next(stage for stage in record["stages"] if stage["name"] == "resize")
    assert resize["parameters"]["scale"] == {"value": 3.0, "unit": "times", "default": False}
    assert resize["parameters"]["kernel"] == {"value": "lanczos", "unit": "name", "default": False}


def test_a_region_becomes_a_first_crop_and_the_block_grid_follows():
    bound = load_recipe("classic").bind(roi=(10, 6, 64, 48))
    assert bound.stages[0].name == "crop" and bound.stages[0].parameters.x == 10
    deblock = next(stage for stage in bound.stages if stage.name == "deblock")
    assert deblock.parameters.grid_x % 8 == 6 and deblock.parameters.grid_y % 8 == 2
    record = bound.record()
    assert {override["by"] for override in record["overrides"]} == {"--roi"}
    assert record["stages"][0]["why"] and record["overrides"][0]["value"] == [10, 6, 64, 48]


def test_a_region_is_cut_after_deinterlacing_so_that_no_field_is_mistaken():
    text = 'name = "x"\ntitle = "X"\nwhy = "Test."\n' + "".join(
        f'[[stage]]\nname = "{name}"\nwhy = "Test."\nparameters = {{ {values} }}\n'
        for name, values in (("deinterlace", 'field_order = "top"'), ("deblock", ""))
    )
    bound = parse_recipe(text.encode(), "x.toml").bind(roi=(2, 2, 32, 32))
    assert [stage.name for stage in bound.stages] == ["deinterlace", "crop", "deblock"]
    assert bound.stages[2].parameters.grid_y % 8 == 6
    assert bound.whys[1].startswith("Region of interest")


def _recipe(*stages: str):
    text = 'name = "x"\ntitle = "X"\nwhy = "Test."\n'
    text += "".join(f'[[stage]]\nname = "{name}"\nwhy = "Test."\nparameters = {{ {values} }}\n'
                    for name, values in (stage.split(":", 1) for stage in stages))  # fmt: skip
    return parse_recipe(text.encode(), "x.toml")


NEUTRAL_WALL = 'white-balance:method = "neutral-region", region = [4, 4, 8, 8]'


def test_places_after_the_recipes_own_crop_stay_when_a_region_is_cut():
    bound = _recipe("crop:x = 20, y = 10, width = 40, height = 30", NEUTRAL_WALL).bind(roi=(10, 6, 60, 50))
    assert bound.stages[1].parameters.x == 10 and bound.stages[1].parameters.y == 4
    assert bound.stages[2].parameters.region == (4, 4, 8, 8), "the recipe's crop shows the same as before"


@pytest.mark.parametrize("turn", ["rotate-flip:rotate = 180", 'aspect:sample_aspect = "16:11"'])
def test_places_in_a_turned_or_stretched_picture_are_not_moved_wrongly_but_refused(turn):
    with pytest.raises(UsageError) as refusal:
        _recipe(turn, NEUTRAL_WALL).bind(roi=(10, 6, 60, 50))
    assert refusal.value.code == "recipe.roi"
    _recipe("rotate-flip:rotate = 0", NEUTRAL_WALL).bind(roi=(2, 2, 60, 50))
    _recipe(turn, NEUTRAL_WALL).bind()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("crop", {"x": 0, "y": 2, "width": 8, "height": 8}),
        ("rotate-flip", {"rotate": 180}),
        ("resize", {"scale": 2.0}),
    ],
)
def test_fields_cannot_be_told_after_lines_have_moved(name, values):
    stages = [catalogue.build(name, values), catalogue.build("deinterlace", {"field_order": "top"})]
    with pytest.raises(BadInput) as refusal:
        Pipeline(stages)
    assert refusal.value.code == "recipe.order"
    Pipeline(reversed(stages))


@pytest.mark.parametrize("scale", [0, -2, 17])
def test_an_impossible_scale_is_refused(scale):
    with pytest.raises(UsageError) as refusal:
        load_recipe("classic").bind(scale=scale)
    assert refusal.value.code == "recipe.scale"


@pytest.mark.parametrize("count", [0, 2])
def test_a_scale_needs_exactly_one_resampling_stage(count):
    stage = '[[stage]]\nname = "resize"\nwhy = "Size."\nparameters = { scale = 2.0 }\n'
    text = 'name = "x"\ntitle = "X"\nwhy = "Test."\n[[stage]]\nname = "levels"\nwhy = "None."\n' + stage * count
    with pytest.raises(UsageError) as refusal:
        parse_recipe(text.encode(), "x.toml").bind(scale=2)
    assert refusal.value.code == "recipe.scale"


@pytest.mark.parametrize("roi", [(-1, 0, 8, 8), (0, 0, 0, 8), (0, 0, 10**9, 8)])
def test_an_impossible_region_is_refused(roi):
    with pytest.raises(UsageError) as refusal:
        load_recipe("classic").bind(roi=roi)
    assert refusal.value.code == "recipe.roi"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name = ",
        GOOD.replace('"mine"', '"Mine Own"'),
        GOOD.replace('why = "A test."', ""),
        GOOD.replace('title = "Mine"', "title = 3"),
        GOOD.replace('title = "Mine"', 'title = "\\u001b[31mred"'),
        GOOD + "\n[extra]\nx = 1\n",
        GOOD.replace("scale = 2", "scale = 2\nspeed = 9"),
        GOOD.replace("scale = 2", 'scale = "2"'),
        GOOD.replace("scale = 2", "scale = nan"),
        GOOD.replace("scale = 2", "scale = 1" + "0" * 400),
        GOOD.replace("scale = 2", "scale = true"),
        GOOD.replace('"deblock"', '"dream"'),
        GOOD.replace("[[stage]]", "[stage]", 1),
        'name = "x"\ntitle = "X"\nwhy = "None."\n',
        'name = "x"\ntitle = "X"\nwhy = "None."\nstage = []\n',
        'name = "x"\ntitle = "X"\nwhy = "None."\nstage = 1979-05-27\n',
        GOOD + '[[stage]]\nname = "levels"\nwhy = "Many."\n' * 40,
        "x = " + "[" * 3000 + "]" * 3000,
    ],
)
def test_a_bad_recipe_is_refused_in_words(text):
    with pytest.raises(BadInput) as refusal:
        parse_recipe(text.encode(), "bad.toml")
    assert refusal.value.code == "recipe.invalid"
    assert all(character.isprintable() for character in str(refusal.value))


def test_a_huge_or_binary_recipe_is_refused(tmp_path):
    for data in (b"#" * (LARGEST_FILE + 1), b"\xff\xfe\x00", b"name = '\x00'"):
        path = tmp_path / "bad.toml"
        path.write_bytes(data)
        with pytest.raises(BadInput) as refusal:
            load_recipe(path)
        assert refusal.value.code == "recipe.invalid"


@pytest.mark.parametrize("name", ["nothing", "../recipes/classic", "a\x00b", "x" * 5000, "", "."])
def test_a_recipe_that_is_not_there_is_refused(name):
    with pytest.raises(BadInput) as refusal:
        load_recipe(name)
    assert refusal.value.code == "recipe.unknown" and "classic" in refusal.value.remedy


def test_a_built_in_recipe_under_another_name_is_refused(tmp_path):
    (tmp_path / "other.toml").write_text(GOOD, "utf-8")
    with pytest.raises(BadInput) as refusal:
        load_recipe("other", tmp_path)
    assert refusal.value.code == "recipe.invalid"


TOKENS = ["[[stage]]", "[stage]", "=", '"', "'''", "{", "}", "[", "]", "\n", "nan", "-1", "1e400", "true", "1979-05-27",
          "0x", "resize", "scale", "parameters", "\u202e", "\x1b", "99999999999999999999", ".", ","]  # fmt: skip


@settings(max_examples=250)
@given(seed=st.integers(0, 2**32), edits=st.integers(1, 6))
def test_no_mutated_recipe_causes_anything_but_a_clean_refusal(seed, edits):
    generator = random.Random(seed)
    text = generator.choice(
        [GOOD, *((recipes_dir() / f"{name}.toml").read_text("utf-8") for name in ("classic", "learned"))]
    )
    for _ in range(edits):
        place = generator.randrange(len(text) + 1)
        cut = generator.randrange(12)
        text = text[:place] + generator.choice([*TOKENS, "", chr(generator.randrange(0x3000))]) + text[place + cut :]
    try:
        recipe = parse_recipe(text.encode("utf-8", "surrogatepass"), "mutated.toml")
        if not any(step.name == "learned-upscale" for step in recipe.steps):
            recipe.bind(scale=2, roi=(0, 0, 8, 8)).record()
    except ForensicError as refusal:
        assert refusal.code.split(".")[0] in ("recipe", "stage")
        assert all(character.isprintable() for character in str(refusal))


@settings(max_examples=80)
@given(st.binary(max_size=200))
def test_no_bytes_cause_anything_but_a_clean_refusal(data):
    with pytest.raises(BadInput) as refusal:
        parse_recipe(data, "random.toml")
    assert refusal.value.code == "recipe.invalid"


def test_recipes_are_offered_for_the_scales_that_they_can_do():
    for scale in (1, 2, 4):
        able = set(recipes_for_scale(scale))
        assert {"classic", "plain-lanczos", "fuse", "light", "light-steady", "single", "multi"} <= able
    assert {"light", "single", "multi"}.isdisjoint(recipes_for_scale(3)) and "fuse" in recipes_for_scale(3)
    assert "fuse" not in recipes_for_scale(5) and "plain-lanczos" in recipes_for_scale(5)


def test_the_documentation_lists_every_recipe_that_is_built_in():
    page = (Path(__file__).parents[2] / "docs" / "stages.md").read_text("utf-8")
    listed = page.split("Built in: ", 1)[1].split(";", 1)[0]
    assert sorted(re.findall(r"`([a-z0-9-]+)`", listed)) == sorted(recipe_names())
