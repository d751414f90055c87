"""The ``forensic`` command. Names, options and exit codes are a contract (docs/cli.md)."""
