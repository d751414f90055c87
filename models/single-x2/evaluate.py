"""Measure single-x2 as ``models/light-x4/evaluate.py`` measures light-x4; same options, scenes and settings.

python models/single-x2/evaluate.py --scenes DIR --weights FILE --out DIR [--most N]
"""

from __future__ import annotations

from plan import MODEL, PLAN

if __name__ == "__main__":
    from evaluate import main  # of light-x4: `plan` put it on the path

    main(MODEL, PLAN)
