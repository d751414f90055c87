"""Use cases: acquire, enhance, report, verify, reproduce. They orchestrate; the packages below do."""
