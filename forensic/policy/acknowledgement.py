"""The sentence that whoever asks for generative pixels types in full, and when it counts as typed.

It is compared word for word: letters, case and punctuation all count, only blanks and line ends may differ.
"""

from __future__ import annotations

SENTENCE = (
    "I understand that this result contains invented detail, is not evidence, "
    "and must not be used to identify or compare anyone or anything."
)

FIRST_SCHEMA_SHA256 = "059c73ff288c17df4f75b865177e8f7731e22f15c25e20e2017036dae551cac2"
"""Schema of release 0.1.0, whose runs are judged again by what it knew: no keys, no authority."""

SECOND_SCHEMA_SHA256 = "241b88a8376d64058c6d4a7cda9fd52be520853db9fb3ade972d1be68df02004"
"""Schema of release 0.2.0: it knew no acknowledgement either."""

WITHOUT_ACKNOWLEDGEMENT = frozenset({FIRST_SCHEMA_SHA256, SECOND_SCHEMA_SHA256})
"""Schemas under which runs were decided before an acknowledgement was asked for; no new run is judged by them."""


def is_acknowledged(text: object) -> bool:
    """Whether ``text`` is :data:`SENTENCE`, blanks and line ends aside. Nothing but a string can be."""
    return isinstance(text, str) and " ".join(text.split()) == SENTENCE


def is_unfinished(text: str) -> bool:
    """Whether ``text`` is the sentence's beginning, whole words, and not all of it, blanks and line ends aside."""
    words, sentence = text.split(), SENTENCE.split()
    return len(words) < len(sentence) and words == sentence[: len(words)]
