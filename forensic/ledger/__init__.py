"""The custody ledger: signed, hash-chained entries in one SQLite file, and its independent audit."""
