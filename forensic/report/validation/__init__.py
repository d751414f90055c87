"""The report of a validation: requirements first, then results; signed as every report is."""
