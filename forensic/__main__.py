"""``python -m forensic``."""

from forensic.cli.main import main

main()
