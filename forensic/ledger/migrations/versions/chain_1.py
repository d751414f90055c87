"""Format version 1: a hash chain. Ledgers of release 0.1.0 have it; nothing creates it any more."""

from __future__ import annotations

revision = "1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing: such a ledger exists already."""
