"""The fidelity benchmark: what each method gains over bicubic on recordings whose truth is known.

``python -m tests.fidelity`` measures, ``docs/fidelity.md`` says what and shows the tables. Scenes are
held out: nothing in this program was trained or tuned on them.
"""
