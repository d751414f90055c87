"""Sections of the report, one module per group; each function returns flowables for one section."""
