"""Format version 2: the nodes of the Merkle tree, the index and the tally of the entries that are there."""

from __future__ import annotations

from alembic import op

from forensic.hashes import MerkleTree, leaf_hash
from forensic.ledger.counting import write_mentions, write_tally
from forensic.ledger.entry import parse_entry
from forensic.ledger.nodes import write_nodes
from forensic.ledger.schema import ADDED_BY_MERKLE_LOG
from forensic.ledger.tally import Tally, names, tally_key

revision = "2"
down_revision = "1"
branch_labels = None
depends_on = None

_PAGE = 1000


def upgrade() -> None:
    """Add tables and triggers, and fill them. The entries stay as they are."""
    connection = op.get_bind()
    for (kind, name), statement in ADDED_BY_MERKLE_LOG.items():
        if (kind, name) != ("table", "alembic_version"):  # there already: this migration stands in it
            connection.exec_driver_sql(statement)
    tree, tally, last = MerkleTree(), Tally({}, checked=False), 0
    query = "SELECT seq, entry FROM entries WHERE seq > ? ORDER BY seq LIMIT ?"
    while page := connection.exec_driver_sql(query, (last, _PAGE)).all():
        completed, mentions = [], []
        for seq, text in page:
            entry = parse_entry(text.encode())
            completed += tree.append_leaf(leaf_hash(entry.canonical))
            for kind, name in names(entry.event, entry.case, entry.exhibit, entry.run):
                tally.add(tally_key(kind, name), seq)
                mentions.append((kind, name, seq))
            last = seq
        write_nodes(connection, completed)
        write_mentions(connection, mentions)
    write_tally(connection, tally)
