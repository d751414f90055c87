"""Token numbers of the empty text, told from settings alone; whatever would make others of it is refused.

Held against the tokenizer of transformers itself in ``with_engines.py``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from forensic.errors import BadInput
from forensic.registry.external.empty_text import empty_text, in_short, vocabulary
from tests.external.networks import FIRST, LAST

WORDS = {"!": 0, "a": 1, FIRST: 2, LAST: 3}
LENGTH = {"model_max_length": 5}


def one_file(**changes: Any) -> bytes:
    """A tokenizer.json; ``changes`` are its keys."""
    added = [{"id": 2, "content": FIRST}, {"id": 3, "content": LAST}]
    table = {"added_tokens": added, "model": {"type": "BPE", "vocab": WORDS, "merges": ["a b", ["a", "b"]]}}
    return json.dumps(table | changes).encode()


def test_first_token_last_token_and_filling() -> None:
    assert empty_text(LENGTH, None, [WORDS]) == [2, 3, 3, 3, 3]
    assert empty_text({**LENGTH, "pad_token": "!"}, None, [WORDS]) == [2, 3, 0, 0, 0]
    assert empty_text({"model_max_length": 2}, None, [WORDS]) == [2, 3]


def test_the_map_of_special_tokens_comes_last_unless_tokens_are_described_in_the_settings() -> None:
    described = {"added_tokens_decoder": {"2": {"content": FIRST}, "3": {"content": LAST}}}
    settings = {**LENGTH, "pad_token": {"content": LAST}}
    assert empty_text(settings, {"pad_token": "!"}, [WORDS]) == [2, 3, 0, 0, 0]
    assert empty_text(settings | described, {"pad_token": "!"}, [WORDS]) == [2, 3, 3, 3, 3]


def test_both_forms_of_the_vocabulary_are_read_and_have_to_agree() -> None:
    plain, rest = vocabulary(json.dumps(WORDS).encode(), "tokenizer/vocab.json")
    assert plain == WORDS and rest == {}
    table, rest = vocabulary(one_file(version="1.0"), "tokenizer/tokenizer.json")
    assert table == WORDS and rest["version"] == "1.0" and "vocab" not in rest["model"]
    assert empty_text(LENGTH, None, [plain, table]) == [2, 3, 3, 3, 3]
    with pytest.raises(BadInput, match="do not agree"):
        empty_text(LENGTH, None, [plain, {**table, FIRST: 7}])


@pytest.mark.parametrize(
    ("settings", "special", "words"),
    [
        ({}, None, [WORDS]),
        ({"model_max_length": 1000000000000000019884624838656}, None, [WORDS]),
        ({"model_max_length": 77.0}, None, [WORDS]),
        ({"model_max_length": True}, None, [WORDS]),
        ({"model_max_length": 1}, None, [WORDS]),
        (LENGTH, None, []),
        (LENGTH, None, [{"a": 1}]),
        (LENGTH, {"pad_token": "missing"}, [WORDS]),
        (LENGTH, {"pad_token": None}, [WORDS]),
        (LENGTH, {"pad_token": ["!"]}, [WORDS]),
        ({**LENGTH, "tokenizer_class": "T5Tokenizer"}, None, [WORDS]),
        ({**LENGTH, "padding_side": "left"}, None, [WORDS]),
        ({**LENGTH, "add_eos_token": False}, None, [WORDS]),
        ({**LENGTH, "add_bos_token": 1}, None, [WORDS]),
        ({**LENGTH, "init_inputs": [{"a": 0}]}, None, [WORDS]),
        ({**LENGTH, "gguf_file": "words.gguf"}, None, [WORDS]),
        ({**LENGTH, "added_tokens_decoder": {"1": {"content": LAST}}}, None, [WORDS]),
        ({**LENGTH, "added_tokens_decoder": [LAST]}, None, [WORDS]),
    ],
)
def test_settings_that_lead_elsewhere_are_refused(
    settings: dict[str, Any], special: dict[str, Any] | None, words: list[dict[str, Any]]
) -> None:
    with pytest.raises(BadInput, match=r"model\.external-pipeline"):
        empty_text(settings, special, words)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("vocab.json", b"[]"),
        ("vocab.json", b"\xff"),
        ("vocab.json", b'{"a": "1"}'),
        ("vocab.json", b'{"a": -1}'),
        ("vocab.json", b'{"a": true}'),
        ("vocab.json", b'{"a": ' + b"9" * 5000 + b"}"),
        ("tokenizer.json", b"[]"),
        ("tokenizer.json", one_file(model={"type": "Unigram", "vocab": WORDS})),
        ("tokenizer.json", one_file(model={"vocab": [["a", 1]]})),
        ("tokenizer.json", one_file(model={"vocab": WORDS, "merges": [["a"]]})),
        ("tokenizer.json", one_file(added_tokens=[{"id": 9, "content": LAST}])),
        ("tokenizer.json", one_file(added_tokens={})),
        ("tokenizer.json", one_file(padding={"direction": "Left"})),
        ("tokenizer.json", one_file(padding={"direction": "Right", "pad_to_multiple_of": 8})),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(BadInput, match=r"model\.external-pipeline"):
        vocabulary(data, f"tokenizer/{name}")


def test_a_vocabulary_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensic.registry.external.empty_text.LARGEST_VOCABULARY", 10)
    with pytest.raises(BadInput, match=r"model\.external-size"):
        vocabulary(json.dumps(WORDS).encode(), "tokenizer/vocab.json")


def test_tokens_are_told_in_short() -> None:
    assert in_short([49406, 49407, *[0] * 75]) == "49406, 49407, 0 (75 times)" and in_short([1]) == "1"
