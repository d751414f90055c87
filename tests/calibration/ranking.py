"""How well a score tells wrong pixels from right ones, summed over recordings: AUROC, AUPRC, AUSE, rank correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forensic.risk.tiles import tile_percentile

TOLERANCE = 16.0
BINS = 512
_EDGES = np.expm1(np.linspace(0.0, np.log(257.0), BINS + 1))[1:-1]  # of scores and errors, grey levels


@dataclass(frozen=True)
class Ranked:
    """Counts by bin of a score: pixels, wrong pixels (|error| > 16), sum of |error|; float64 (bins,) each."""

    pixels: np.ndarray
    wrong: np.ndarray
    error: np.ndarray

    @classmethod
    def of(cls, score: np.ndarray, error: np.ndarray) -> Ranked:
        """Of one recording: ``score`` and |error| of equal shape, grey levels."""
        place = np.digitize(score.ravel(), _EDGES)
        flat = error.ravel().astype(np.float64)

        def summed(weights: np.ndarray) -> np.ndarray:
            return np.bincount(place, weights=weights, minlength=BINS)

        return cls(summed(np.ones_like(flat)), summed((flat > TOLERANCE).astype(np.float64)), summed(flat))

    def __add__(self, other: Ranked) -> Ranked:
        return Ranked(self.pixels + other.pixels, self.wrong + other.wrong, self.error + other.error)

    def stacked(self) -> np.ndarray:
        """All three, float64 (3, bins)."""
        return np.stack([self.pixels, self.wrong, self.error])

    def auroc(self) -> float:
        """Probability that a wrong pixel has the higher score than a right one; ties (a bin) count half."""
        right = self.pixels - self.wrong
        below = np.cumsum(right) - right
        return float(np.sum(self.wrong * (below + right / 2.0)) / (self.wrong.sum() * right.sum()))

    def auprc(self) -> float:
        """Average precision, from the highest score down."""
        wrong, pixels = np.cumsum(self.wrong[::-1]), np.cumsum(self.pixels[::-1])
        precision = wrong / np.maximum(pixels, 1.0)
        return float(np.sum(self.wrong[::-1] * precision) / wrong[-1])

    def ause(self, best: Ranked) -> float:
        """Area between the curves of the mean |error| that is left when the pixels of highest score are taken away,
        and the same for the error itself (``best``); as part of the mean |error|."""
        return float(np.mean(self._sparsified() - best._sparsified()))

    def _sparsified(self) -> np.ndarray:
        kept = np.concatenate([[0.0], np.cumsum(self.pixels)])
        sums = np.concatenate([[0.0], np.cumsum(self.error)])
        left = kept[-1] * (1.0 - np.arange(100) / 100.0)
        return np.interp(left, kept, sums) / left / (sums[-1] / kept[-1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mean ranks of ``values``, ties alike."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2.0)[inverse]


def spearman(score: np.ndarray, error: np.ndarray) -> float:
    """Rank correlation over tiles of the 90th percentiles of ``score`` and |error|; 0 where one does not vary."""
    first, second = (_ranks(tile_percentile(np.ascontiguousarray(one, np.float32)).ravel()) for one in (score, error))
    if first.std() == 0.0 or second.std() == 0.0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
