"""Keys are introduced, retired and revoked by entries; from the next entry on they may or may not sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forensic.errors import BadInput, InternalError, UsageError
from forensic.ledger.audit import audit
from forensic.ledger.keys import RETIRED, REVOKED
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity
from tests.ledger.conftest import refused


def about(identity: Identity, event: str, **data: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"key_id": identity.key_id, "reason": "left the laboratory", **data}
    return told if event == RETIRED else {"since_utc": None, **told}


@pytest.fixture
def two(path: Path, identity: Identity, stranger: Identity) -> Path:
    """A ledger in which two keys may sign."""
    with Ledger.create(path, identity) as ledger:
        ledger.introduce(stranger.certificate_pem, role="reviewer", name="bob", replaces=identity.key_id)
    with Ledger.open(path, stranger) as ledger:
        ledger.append("note.made", {})
    return path


def test_facts_of_an_introduction_are_on_record(two: Path, identity: Identity, stranger: Identity) -> None:
    with Ledger.open(two) as ledger:
        assert ledger.entry(2).data == {
            "certificate": stranger.certificate_pem,
            "key_id": stranger.key_id,
            "role": "reviewer",
            "name": "bob",
            "replaces": identity.key_id,
        }
    with Ledger.open(two, identity) as ledger, refused(UsageError, "ledger.data"):
        ledger.introduce(stranger.certificate_pem, key_id="another")
    first, second = audit(two).signers
    assert (first["introduced_at_seq"], first.get("role")) == (1, None)
    assert (second["introduced_at_seq"], second["role"], second["key_id"]) == (2, "reviewer", stranger.key_id)


@pytest.mark.parametrize("event", [RETIRED, REVOKED])
def test_a_closed_key_signs_nothing_more(two: Path, identity: Identity, stranger: Identity, event: str) -> None:
    with Ledger.open(two, stranger) as still_open, Ledger.open(two, identity) as ledger:
        ledger.append(event, about(stranger, event))
        with refused(UsageError, "ledger.closed-identity"):
            still_open.append("note.made", {})
        with refused(UsageError, "ledger.closed-identity"):
            Ledger.open(two, stranger)
        with refused(InternalError, "ledger.order"):
            ledger.introduce(stranger.certificate_pem)
        ledger.append("note.made", {})
    result = audit(two)
    assert result.ok  # what it signed before stands
    assert result.signers[1]["retired_at_seq" if event == RETIRED else "revoked_at_seq"] == 4
    with Ledger.open(two) as reader:
        assert reader.envelope(3)  # its signature is still one of an introduced key


def test_a_key_may_close_itself(two: Path, identity: Identity, stranger: Identity) -> None:
    with Ledger.open(two, stranger) as ledger:
        ledger.append(RETIRED, about(stranger, RETIRED))
        with refused(UsageError, "ledger.closed-identity"):
            ledger.append("note.made", {})
    with Ledger.open(two, identity) as ledger:
        ledger.append(REVOKED, about(stranger, REVOKED, since_utc="2026-03-01T12:00:00Z"))  # it was worse than thought
    assert audit(two).ok


def test_a_new_certificate_for_an_open_key_is_no_new_key(two: Path, identity: Identity) -> None:
    with Ledger.open(two, identity) as ledger:
        ledger.introduce(identity.certificate_pem, role="examiner")
        ledger.append("note.made", {})
    result = audit(two)
    assert result.ok
    assert [facts["key_id"] == identity.key_id for facts in result.signers] == [True, False, True]


@pytest.mark.parametrize(
    ("event", "change"),
    [
        (RETIRED, {"key_id": "0" * 64}),
        (REVOKED, {"key_id": None}),
        (RETIRED, {"reason": " "}),
        (REVOKED, {"reason": None}),
        (REVOKED, {"since_utc": "yesterday"}),
        (REVOKED, {"since_utc": 7}),
    ],
)
def test_a_closing_that_says_too_little_is_refused(
    two: Path, identity: Identity, stranger: Identity, event: str, change: dict[str, Any]
) -> None:
    with Ledger.open(two, identity) as ledger, refused(InternalError, "ledger.order"):
        ledger.append(event, {**about(stranger, event), **change})
    assert audit(two).ok


def test_the_last_key_cannot_be_closed_and_none_twice(two: Path, identity: Identity, stranger: Identity) -> None:
    with Ledger.open(two, identity) as ledger:
        ledger.append(REVOKED, about(stranger, REVOKED))
        for event, whose in ((REVOKED, stranger), (RETIRED, stranger), (RETIRED, identity), (REVOKED, identity)):
            with refused(InternalError, "ledger.order"):
                ledger.append(event, about(whose, event))
    assert audit(two).ok


def test_an_introduction_under_another_key_id_is_refused(path: Path, identity: Identity, stranger: Identity) -> None:
    from forensic.ledger.keys import KeyRules

    with refused(BadInput, "ledger.entry"):
        KeyRules().admit(2, "identity.introduced", {"certificate": stranger.certificate_pem, "key_id": "0" * 64})
