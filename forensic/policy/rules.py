"""The rules of a policy file: each with its name, its plain-language explanation and its own text.

Cedar numbers the policies of a file by position and keeps no source text. A report has to quote
the rule that decided, so the source is cut at its semicolons here, and each piece is then parsed
by Cedar on its own and compared with what Cedar understood of the whole file.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import cedarpy

from forensic.errors import PolicyRefused

# Cedar 4 parses and evaluates recursively and overflows the C stack on deeply nested text, which
# ends the process without a record. These bounds lie far below that and far above readable rules.
_RULE_CHARACTERS = 8192
_NESTING = 32
_CONDITIONALS = 32

_ID = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_EXPLANATION_CHARACTERS = 600
# Joiners are part of ordinary Persian and Indic spelling; every other format character hides text.
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True)
class PolicyRule:
    """One rule of a policy: ``effect`` is ``permit`` or ``forbid``, ``text`` its Cedar source."""

    id: str
    effect: str
    explanation: str
    text: str
    remedy: str = ""


def invalid(message: str, remedy: str = "Correct the policy file; until then nothing is permitted.") -> PolicyRefused:
    """The refusal for a policy file whose content cannot be accepted (``policy.invalid``)."""
    return PolicyRefused("policy.invalid", message, remedy)


def hidden_character(text: str, allowed: str = "") -> str | None:
    """Name the first control, format or separator character in ``text``, or None.

    Such characters can make a policy read differently from what it does (CVE-2021-42574).
    """
    for character in text:
        if not character.isprintable() and character not in allowed:
            return f"U+{ord(character):04X} {unicodedata.name(character, 'unnamed control character')}"
    return None


def split_rules(source: str) -> list[str]:
    """Cut Cedar ``source`` into the text of each policy, annotations to semicolon, in file order.

    Knows string literals and ``//`` comments, the two places where a semicolon or a bracket does
    not count. Raises ``PolicyRefused`` (``policy.invalid``) for a rule that is too long or too
    deeply nested to be parsed safely. Text after the last semicolon is kept as a piece of its own,
    so that nothing of the file is left unread.
    """
    pieces: list[str] = []
    start: int | None = None
    depth = conditionals = 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|//[^\n]*|\bif\b|[()\[\]{};]|[^\s]', source, re.DOTALL):
        lexeme, position = match.group(), match.start()
        if lexeme.startswith("//"):
            continue
        if start is None:
            start, depth, conditionals = position, 0, 0
        depth += (lexeme in "([{") - (lexeme in ")]}")
        conditionals += lexeme == "if"
        if depth > _NESTING or conditionals > _CONDITIONALS or match.end() - start > _RULE_CHARACTERS:
            raise invalid(
                f"Rule {len(pieces) + 1} is longer than {_RULE_CHARACTERS} characters or nested deeper than {_NESTING}."
            )
        if lexeme == ";":
            pieces.append(source[start : match.end()])
            start = None
    if start is not None:
        pieces.append(source[start:].rstrip())
    return pieces


def _parsed(source: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(cedarpy.policies_to_json_str(source))
    except (ValueError, RecursionError) as error:
        raise invalid(f"Cedar cannot read the policy: {error}.") from error
    return document


def _annotation(number: int, annotations: dict[str, Any], name: str, required: bool) -> str:
    text = annotations.get(name)
    text = text.strip() if isinstance(text, str) else ""
    if required and not text:
        raise invalid(f'Rule {number} has no @{name}("…").', f"Give every rule a non-empty @{name} annotation.")
    if len(text) > _EXPLANATION_CHARACTERS:
        raise invalid(f"The @{name} of rule {number} is longer than {_EXPLANATION_CHARACTERS} characters.")
    if hidden := hidden_character(text, _JOINERS):
        raise invalid(f"The @{name} of rule {number} holds the hidden character {hidden}.")
    return text


def read_rules(source: str) -> tuple[PolicyRule, ...]:
    """Read the rules of Cedar ``source``, in file order.

    Every rule needs a unique ``@id`` (lower-case letters, digits, ``.``, ``_``, ``-``; at most 64
    characters) and an ``@explain``; ``@remedy`` is optional. Raises ``PolicyRefused``
    (``policy.invalid``) for a file without rules, for templates, and for anything unreadable.
    """
    pieces = split_rules(source)
    document = _parsed(source)
    if document.get("templates") or document.get("templateLinks"):
        raise invalid("The policy holds a template (?principal or ?resource), which decides nothing by itself.")
    policies = document.get("staticPolicies", {})
    if not policies:
        raise invalid("The policy holds no rule.", "A policy needs at least one permit rule to permit anything.")
    if len(pieces) != len(policies):
        raise invalid(f"Cedar reads {len(policies)} rules where the text shows {len(pieces)}.")
    rules: dict[str, PolicyRule] = {}
    for number, piece in enumerate(pieces, start=1):
        policy = policies.get(f"policy{number - 1}")
        if policy is None or _parsed(piece)["staticPolicies"] != {"policy0": policy}:
            raise invalid(f"Rule {number} reads differently on its own than within the file.")
        annotations = policy.get("annotations", {})
        name = _annotation(number, annotations, "id", required=True)
        if not _ID.fullmatch(name):
            raise invalid(f"Rule {number} has the unusable @id {name!r}.", "Use lower-case letters, digits, . _ and -.")
        if name in rules:
            raise invalid(f"Two rules have the @id {name!r}.", "Give every rule a name of its own.")
        rules[name] = PolicyRule(
            id=name,
            effect=policy["effect"],
            explanation=_annotation(number, annotations, "explain", required=True),
            text=piece,
            remedy=_annotation(number, annotations, "remedy", required=False),
        )
    return tuple(rules.values())
