"""Train multi-x2: the recipe of multi-x4 by another plan (``plan.py``).

    python models/multi-x2/train.py --photos DIR --out DIR

Options, outputs and photographs are those of ``models/multi-x4``.
"""

from __future__ import annotations

from plan import PLAN

if __name__ == "__main__":
    from train import main  # of multi-x4: `plan` put it on the path

    main(PLAN)
