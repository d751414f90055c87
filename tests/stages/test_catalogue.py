"""The catalogue is complete, visible, quick, and closed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import forensic.stages
from forensic.errors import BadInput, InternalError
from forensic.hashes import canonical_json
from forensic.stages import catalogue


def test_every_stage_has_a_card_and_every_parameter_its_unit_and_limits():
    for name in catalogue.stage_names():
        card = catalogue.stage_type(name).describe()
        assert card["name"] == name and len(card["explanation"]) > 60 and card["references"] and card["artefacts"]
        for parameter, facts in card["parameters"].items():
            assert facts["unit"] and facts["title"] and facts["description"], (name, parameter)
        canonical_json(card)


def test_every_number_is_bounded_on_both_sides():
    for name in catalogue.stage_names():
        for parameter, facts in catalogue.stage_type(name).describe()["parameters"].items():
            kind = str(catalogue.stage_type(name).parameter_model.model_fields[parameter].annotation)
            if kind in ("<class 'int'>", "<class 'float'>", "float | None", "int | None"):
                assert {"minimum", "maximum"} <= set(facts), (name, parameter)


def test_one_stage_one_file():
    files = {catalogue.stage_type(name).__module__ for name in catalogue.stage_names()}
    assert len(files) == len(catalogue.stage_names())


def test_unknown_stage_is_refused_by_name():
    with pytest.raises(BadInput) as refusal:
        catalogue.build("sharpen-everything", {})
    assert refusal.value.code == "stage.unknown" and "unsharp" in refusal.value.remedy


def test_listing_imports_neither_torch_nor_opencv_nor_av():
    program = (
        "import sys; from forensic.stages import catalogue; from forensic.stages.recipe import load_recipe\n"
        "[catalogue.stage_type(name).describe() for name in catalogue.stage_names()]\n"
        "load_recipe('classic').bind(scale=3, roi=(0, 0, 8, 8)).record()\n"
        "print(sorted({'torch', 'cv2', 'av'} & set(sys.modules)))"
    )
    root = Path(forensic.stages.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


def test_a_stage_is_registered_for_a_block_only(generative):
    assert "test-invent" not in catalogue.stage_names()
    with catalogue.registered(generative):
        assert catalogue.build("test-invent", {}).effective_class.label == "generative"
    with pytest.raises(BadInput):
        catalogue.build("test-invent", {})


def test_a_shipped_stage_cannot_be_replaced(generative):
    impostor = type("Impostor", (generative,), {"name": "crop"})
    with pytest.raises(InternalError), catalogue.registered(impostor):
        pass
    assert catalogue.stage_type("crop").__module__ == "forensic.stages.crop"


def test_determinism_facts_state_one_thread_and_no_ipp():
    facts = forensic.stages.determinism_facts()
    assert facts["opencv"]["threads"] == 1
    assert facts["opencv"]["ipp"] is False and facts["opencv"]["opencl"] is False
    assert facts["opencv"]["version"] and len(facts["opencv"]["build_sha256"]) == 64
    canonical_json(facts)


def test_the_documentation_lists_every_stage_with_every_parameter_and_default():
    page = (Path(__file__).parents[2] / "docs" / "stages.md").read_text("utf-8")
    sections = {part.split("`", 1)[0]: part for part in page.split("### `")[1:]}
    assert set(sections) == set(catalogue.stage_names())
    for name, section in sections.items():
        card = catalogue.stage_type(name).describe()
        assert f"({card['class']})" in section and card["explanation"] in section, name
        for parameter, facts in card["parameters"].items():
            default = "required" if facts["required"] else "none" if facts["default"] is None else str(facts["default"])
            row = next(line for line in section.splitlines() if line.startswith(f"| `{parameter}` |"))
            assert facts["unit"] in row and f"| {default} |" in row and facts["description"] in row, (name, parameter)
