"""Attacks on policy files: what cannot be read, understood and named is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic import resources
from forensic.errors import ExitCode, PolicyRefused
from forensic.hashes import sha256_file
from forensic.policy import builtin
from forensic.policy.decision import RuleRef
from forensic.policy.rules import read_rules, split_rules
from forensic.policy.store import Policy, load_policy, policy_names

RULE = '@id("all") @explain("Everything.") permit (principal, action, resource);'
SHIPPED = ["classical-only", "creative", "forensic"]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(PolicyRefused) as caught:
        call()
    assert caught.value.exit_code is ExitCode.REFUSED
    assert caught.value.remedy
    return caught.value.code


def test_the_shipped_policies_are_listed_and_every_rule_can_be_read_aloud() -> None:
    assert policy_names() == SHIPPED
    for name in SHIPPED:
        policy = load_policy(name)
        file = resources.policies_dir() / f"{name}.cedar"
        assert (policy.name, policy.origin, policy.sha256) == (name, "named", sha256_file(file))
        assert policy.schema_sha256 == sha256_file(file.with_name("schema.cedarschema"))
        assert policy.summary
        for rule in policy.rules:
            assert rule.effect in ("permit", "forbid")
            assert rule.explanation.endswith(".")
            assert rule.text in policy.text
            assert f'@id("{rule.id}")' in rule.text
            assert rule.effect == "permit" or rule.remedy


@pytest.mark.parametrize("name", SHIPPED)
def test_rules_common_to_the_shipped_policies_say_the_same_everywhere(name: str) -> None:
    default = {rule.id: rule.text for rule in load_policy("forensic").rules if rule.effect == "permit"}
    for rule in load_policy(name).rules:
        if rule.effect == "permit" and rule.id in default:
            assert rule.text == default[rule.id]


def test_a_file_given_by_path_cannot_pass_for_the_shipped_policy(tmp_path: Path) -> None:
    impostor = tmp_path / "forensic.cedar"
    impostor.write_text(RULE, "utf-8")
    policy = load_policy(impostor)
    assert (policy.name, policy.origin) == ("forensic.cedar", "file")
    assert load_policy(str(impostor)) == policy


@pytest.mark.parametrize(
    "name",
    [
        *("nonsense", "", ".", "..", "../forensic", "sub/forensic", "/etc/passwd", "forensic/", "Forensic"),
        "forensic\x00",
        "schema",
        "schema.cedarschema",
        "forensic\n",
        "..\\forensic",
        "~/forensic",
        "-forensic",
        "a" * 65,
        "bad\x1b.cedar",
    ],
)
def test_traversal_and_unknown_names_are_refused(name: str) -> None:
    assert refusal(lambda: load_policy(name)) == "policy.unknown"


def test_a_link_in_the_folder_that_leads_out_of_it_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.cedar"
    outside.write_text(RULE, "utf-8")
    (folder / "linked.cedar").symlink_to(outside)
    assert refusal(lambda: load_policy("linked", folder)) == "policy.unreadable"


def test_a_missing_file_a_folder_and_a_missing_schema_are_unreadable(folder: Path, tmp_path: Path) -> None:
    assert refusal(lambda: load_policy(tmp_path / "absent.cedar")) == "policy.unreadable"
    (tmp_path / "folder.cedar").mkdir()
    assert refusal(lambda: load_policy(tmp_path / "folder.cedar")) == "policy.unreadable"
    (folder / "schema.cedarschema").unlink()
    assert refusal(lambda: load_policy("forensic", folder)) == "policy.unreadable"
    assert refusal(lambda: policy_names(tmp_path / "nowhere")) == "policy.unreadable"


def test_a_policy_that_is_not_utf8_or_far_too_large_is_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "lab.cedar"
    file.write_bytes(RULE.encode("utf-16"))
    assert refusal(lambda: load_policy(file)) == "policy.unreadable"
    file.write_bytes(RULE.encode() + b"// \xff\xfe\n")
    assert refusal(lambda: load_policy(file)) == "policy.unreadable"
    file.write_bytes(RULE.encode() + b"\n// padding" * 30000)
    assert refusal(lambda: load_policy(file)) == "policy.unreadable"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty file"),
        pytest.param(" \n\t\n", id="blank file"),
        pytest.param("// nothing but a comment\n", id="only a comment"),
        pytest.param("permit (", id="cut off"),
        pytest.param(RULE + "\npermit (principal", id="cut off after a good rule"),
        pytest.param(RULE.replace("permit", "allow"), id="unknown effect"),
        pytest.param(RULE.removesuffix(";"), id="no semicolon"),
        pytest.param(RULE.replace('@id("all")', ""), id="no @id"),
        pytest.param(RULE.replace('"all"', '""'), id="empty @id"),
        pytest.param(RULE.replace('"all"', '"  "'), id="blank @id"),
        pytest.param(RULE.replace('("all")', ""), id="@id without value"),
        pytest.param(RULE.replace("all", "built-in:default-deny"), id="@id of a built-in rule"),
        pytest.param(RULE.replace("all", "a\\nb"), id="@id with a line end"),
        pytest.param(RULE.replace("Everything.", " "), id="no explanation"),
        pytest.param(RULE.replace("Everything.", "\\u{202e}.gnihtyrevE"), id="explanation that reads backwards"),
        pytest.param(RULE.replace("Everything.", "\\u{1b}[2J"), id="explanation that clears the screen"),
        pytest.param(RULE + RULE, id="duplicate @id"),
        pytest.param(RULE.replace("@explain", '@id("b") @explain'), id="two @id on one rule"),
        pytest.param(RULE.replace("principal,", "principal == ?principal,"), id="template"),
        pytest.param(RULE + " // \u202e ;)ecruoser", id="hidden direction mark"),
        pytest.param("\ufeff" + RULE, id="byte order mark"),
    ],
)
def test_a_policy_that_cannot_be_understood_is_invalid(lab_policy: Callable[[str], Policy], text: str) -> None:
    assert refusal(lambda: lab_policy(text)) == "policy.invalid"


@pytest.mark.parametrize(
    "condition",
    [
        pytest.param('resource.colour == "red"', id="unknown attribute"),
        pytest.param("context.secret", id="unknown circumstance"),
        pytest.param('resource.class == StageClass::"generativ"', id="misspelt class"),
        pytest.param('context.mode == Mode::"creativ"', id="misspelt mode"),
        pytest.param('context.purpose == Purpose::"fun"', id="unknown purpose"),
        pytest.param('resource.class == "generative"', id="class compared with text"),
        pytest.param("resource.model.digestVerified", id="model used without asking whether there is one"),
        pytest.param("resource.scale < 4", id="decimal compared as a whole number"),
        pytest.param('decimal("four") == resource.scale', id="unreadable decimal"),
        pytest.param('principal == User::"a"', id="unknown entity type"),
    ],
)
def test_a_prohibition_that_does_not_fit_the_schema_is_invalid(
    lab_policy: Callable[[str], Policy], condition: str
) -> None:
    prohibition = f'@id("no") @explain("No.") forbid (principal, action, resource) when {{ {condition} }};'
    assert refusal(lambda: lab_policy(RULE + prohibition)) == "policy.invalid"


def test_a_template_is_refused_for_what_it_is(lab_policy: Callable[[str], Policy]) -> None:
    with pytest.raises(PolicyRefused, match="template"):
        lab_policy(RULE + RULE.replace("principal,", "principal == ?principal,").replace("all", "slot"))


def test_an_unknown_action_is_invalid(lab_policy: Callable[[str], Policy]) -> None:
    assert refusal(lambda: lab_policy(RULE.replace("action,", 'action == Action::"aply",'))) == "policy.invalid"


def test_a_broken_schema_is_invalid(folder: Path) -> None:
    (folder / "schema.cedarschema").write_text("entity", "utf-8")
    assert refusal(lambda: load_policy("forensic", folder)) == "policy.invalid"


def test_every_byte_of_policy_and_schema_counts_for_the_digest(folder: Path) -> None:
    before = load_policy("forensic", folder)
    file, schema = folder / "forensic.cedar", folder / "schema.cedarschema"
    file.write_bytes(file.read_bytes() + b"\n")
    after = load_policy("forensic", folder)
    assert after.sha256 != before.sha256 and after.rules == before.rules
    schema.write_bytes(b"// \n" + schema.read_bytes())
    assert load_policy("forensic", folder).schema_sha256 != before.schema_sha256


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_refused_or_shows_in_the_digest(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    original = load_policy("creative")
    content = bytearray((resources.policies_dir() / "creative.cedar").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file = tmp_path_factory.mktemp("flip") / "creative.cedar"
    file.write_bytes(content)
    try:
        assert load_policy(file).sha256 != original.sha256
    except PolicyRefused as refused:
        assert refused.code in ("policy.invalid", "policy.unreadable")


def test_semicolons_and_brackets_in_strings_and_comments_do_not_cut_a_rule() -> None:
    tricky = '// a; comment ( {\n@id("a") @explain("One; \\"two\\"; // three ((") '
    tricky += "permit (principal, action, // x; }\nresource);"
    rules = read_rules(tricky + "\n// the end;\n")
    assert [rule.explanation for rule in rules] == ['One; "two"; // three ((']
    assert rules[0].text.startswith("@id") and rules[0].text.endswith("resource);")


def test_the_text_of_each_rule_stays_with_its_name_beyond_nine_rules() -> None:
    rules = read_rules("\n".join(RULE.replace("all", f"rule-{n}") for n in range(25)))
    assert [rule.id for rule in rules] == [f"rule-{n}" for n in range(25)]
    assert all(f'"{rule.id}"' in rule.text for rule in rules)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='permit()forbid{};"\\/@id &|!when\né', max_size=200))
def test_any_text_is_read_or_refused_and_no_character_of_a_rule_is_lost(text: str) -> None:
    pieces = split_rules(text)
    position = 0
    for piece in pieces:
        position = text.index(piece, position) + len(piece)
    try:
        read_rules(text)
    except PolicyRefused as refused:
        assert refused.code == "policy.invalid"


NESTED = {
    "brackets": "(" * 5000 + "true" + ")" * 5000,
    "brackets in a short rule": "(" * 2500 + "true" + ")" * 2500,
    "conditionals in a short rule": "if true then true else " * 300 + "true",
    "conditionals": "if true then true else " * 5000 + "true",
    "alternatives": "true" + " || true" * 20000,
    "sets": "[" * 5000 + "]" * 5000 + " == []",
    "negations": "!" * 5000 + "true",
    "longest chain that fits": "true" + " || true" * 1000,
    "longest member chain that fits": "resource" + ".model" * 1300,
    "most brackets that fit": "(" * 30 + "true" + ")" * 30,
    "most conditionals that fit": "if true then true else " * 31 + "true",
}


@pytest.mark.parametrize("shape", NESTED)
def test_nesting_that_would_crash_the_parser_ends_in_a_refusal(shape: str, tmp_path: Path) -> None:
    file = tmp_path / "deep.cedar"
    file.write_text(f"{RULE.removesuffix(';')} when {{ {NESTED[shape]} }};", "utf-8")
    # In a process of its own, because the failure to look for is the end of the process; on a
    # small stack, because threads and other systems have less than the main thread here.
    program = (
        "import sys, threading\n"
        "from forensic.errors import PolicyRefused\n"
        "from forensic.policy.store import load_policy\n"
        "from forensic.policy.engine import PolicyContext, StageRequest, evaluate\n"
        "def attempt():\n"
        "    try:\n"
        "        policy = load_policy(sys.argv[1])\n"
        "    except PolicyRefused as refused:\n"
        "        print(refused.code)\n"
        "    else:\n"
        "        crop = StageRequest('crop', 'geometric', False)\n"
        "        print('allowed', evaluate(policy, [crop], PolicyContext('A')).allowed)\n"
        "threading.stack_size(1 << 20)\n"
        "thread = threading.Thread(target=attempt)\n"
        "thread.start()\n"
        "thread.join()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() in ("policy.invalid", "allowed True")
    assert ended.stdout.strip() == "policy.invalid" or "fit" in shape


def test_the_example_in_the_documentation_is_a_valid_policy(lab_policy: Callable[[str], Policy]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text("utf-8")
    examples = re.findall(r"```cedar\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 1
    assert len(lab_policy(examples[0]).rules) == 4


def test_the_documentation_names_every_built_in_rule() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text("utf-8")
    rules = [value for value in vars(builtin).values() if isinstance(value, RuleRef)]
    assert len(rules) == 11
    assert all(f"`{rule.id}`" in page for rule in rules)
