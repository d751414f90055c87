"""What a tokenizer makes of the empty text, told from its settings alone: it is neither built nor asked.

CLIP's tokenizer puts a token before a text and one behind it, and fills up with a third one to a fixed length. Of the
empty text nothing else is left, so that the numbers of these three tokens and the length are all that is looked up.
Settings by which the tokenizer of transformers (Apache-2.0) would come to another result are refused.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

from forensic.errors import BadInput
from forensic.registry.external.pipeline_kinds import VOCABULARY, WORD_SETTINGS, WORDS, refused

LARGEST_VOCABULARY = 32 << 20
_LONGEST = 1024
_END = "<|endoftext|>"
_DEFAULTS = {"bos_token": "<|startoftext|>", "eos_token": _END, "pad_token": _END}
_CLASSES = (None, "CLIPTokenizer", "CLIPTokenizerFast")
#: Settings that put something else in the place of the files, of the special tokens or of the tokenizer itself.
_OTHERWISE = (
    "init_inputs", "gguf_file", "vocab", "merges", "tokenizer_object", "post_processor", "tokenizer_padding",
    "tokenizer_truncation", "_json_padding", "_json_truncation", "model_specific_special_tokens", "pad_to_multiple_of",
)  # fmt: skip


def empty_text(settings: dict[str, Any], special: dict[str, Any] | None, words: list[dict[str, Any]]) -> list[int]:
    """Token numbers of the empty text, filled up: first token, last token, filling.

    ``settings`` and ``special`` are the contents of ``tokenizer_config.json`` and ``special_tokens_map.json``;
    ``words`` those of ``vocab.json`` and ``tokenizer.json`` (:func:`vocabulary`), which have to agree. Raises
    ``BadInput`` (``model.external-pipeline``).
    """
    if settings.get("tokenizer_class") not in _CLASSES:
        raise _refused(f"{WORD_SETTINGS} is of another class, {str(settings['tokenizer_class'])[:100]!r}")
    if odd := [name for name in _OTHERWISE if settings.get(name)]:
        raise _refused(f"{WORD_SETTINGS} sets {odd[0]!r}, which is not followed here")
    if not all(settings.get(name, True) is True for name in ("add_bos_token", "add_eos_token")):
        raise _refused(f"{WORD_SETTINGS} leaves out the first or the last token")
    if settings.get("padding_side", "right") != "right":
        raise _refused(f"{WORD_SETTINGS} fills up from the left")
    length = settings.get("model_max_length")
    if not isinstance(length, int) or isinstance(length, bool) or not 2 <= length <= _LONGEST:
        raise _refused(f"{WORD_SETTINGS} states no length (model_max_length) from 2 to {_LONGEST}")
    texts = {name: settings.get(name, text) for name, text in _DEFAULTS.items()}
    if special is not None and "added_tokens_decoder" not in settings:  # as transformers has it
        texts = {name: special.get(name, text) for name, text in texts.items()}
    if not words:
        raise _refused(f"it has neither {VOCABULARY} nor {WORDS}")
    first, last, filling = (_number(_text(value, name), settings, words) for name, value in texts.items())
    return [first, last] + [filling] * (length - 2)


def vocabulary(data: bytes, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Numbers by word from ``vocab.json`` or ``tokenizer.json``; what else the latter says, to be checked as settings.

    Raises ``BadInput``: ``model.external-size``, ``model.external-pipeline``.
    """
    if len(data) > LARGEST_VOCABULARY:
        raise refused("size", f"{name} exceeds 32 MiB")
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refused(f"{name} is not JSON") from error
    rest: dict[str, Any] = {}
    if name.endswith(WORDS):
        rest = dict(table) if isinstance(table, dict) else {}
        model = rest.pop("model", None)
        table = model.pop("vocab", None) if isinstance(model, dict) else None
        if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or not _pairs(model.pop("merges", [])):
            raise _refused(f"{name} describes no tokenizer of pairs of bytes")
        rest["model"] = model
        _require_filled_right(rest.get("padding"), name)
    if not isinstance(table, dict) or not all(_is_number(number) for number in table.values()):
        raise _refused(f"{name} is no list of words with their numbers")
    _require_same(rest.get("added_tokens"), table, name)
    return table, rest


def in_short(tokens: list[int]) -> str:
    """Token numbers as a card tells them: ``49406, 49407, 0 (75 times)``."""
    counted = ((token, len(list(same))) for token, same in groupby(tokens))
    return ", ".join(str(token) if count == 1 else f"{token} ({count} times)" for token, count in counted)


def _text(value: Any, name: str) -> str:
    """A token as text: as such, or as the content of a description."""
    text = value.get("content") if isinstance(value, dict) else value
    if not isinstance(text, str) or not text:
        raise _refused(f"the tokenizer's {name} is no text")
    return text


def _number(text: str, settings: dict[str, Any], words: list[dict[str, Any]]) -> int:
    """The number of the token ``text``, on which everything that names it agrees."""
    found = {table.get(text) for table in words}
    added = settings.get("added_tokens_decoder", {})
    if not isinstance(added, dict):
        raise _refused(f"{WORD_SETTINGS} lists no added tokens (added_tokens_decoder)")
    found |= {
        _whole(number) for number, token in added.items() if isinstance(token, dict) and token.get("content") == text
    }
    number = found.pop()
    if found or number is None:
        raise _refused(f"the tokenizer's files do not agree on the number of the token {text[:100]!r}")
    return int(number)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def _pairs(merges: Any) -> bool:
    """Whether ``merges`` are pairs of texts, each as one text or as two."""
    return isinstance(merges, list) and all(
        isinstance(pair, str)
        or (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair))
        for pair in merges
    )


def _require_same(added: Any, table: dict[str, Any], name: str) -> None:
    """Added tokens that stand among the words have the same numbers there."""
    if not isinstance(added, list | None):
        raise _refused(f"{name} has no list of added tokens")
    for token in added or []:
        text, number = (token.get("content"), token.get("id")) if isinstance(token, dict) else (None, None)
        if not isinstance(text, str) or table.get(text, number) != number:
            raise _refused(f"{name} lists an added token that has another number among the words")


def _require_filled_right(padding: Any, name: str) -> None:
    if padding is None:
        return
    if (
        not isinstance(padding, dict)
        or padding.get("direction", "Right") != "Right"
        or padding.get("pad_to_multiple_of")
    ):
        raise _refused(f"{name} fills up otherwise than from the right to the stated length")


def _refused(why: str) -> BadInput:
    return refused("pipeline", why, "Take tokenizer/ from where the model was published.")
