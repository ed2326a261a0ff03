"""Lexical diversity: MTLD, how many words a text goes on before it repeats itself. Words in, a number out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# The type-token ratio at which a stretch is used up (McCarthy & Jarvis, MTLD, vocd-D, and HD-D,
# Behavior Research Methods 42, 2010).
FACTOR = 0.72
# Under this, the part of a factor that is left over decides.
LEAST_WORDS = 50


def mtld(words: Sequence[str]) -> float | None:
    """Mean length of stretches whose type-token ratio stays above 0.72, forwards and backwards; in words.

    Higher is more diverse; English prose has 60 to 120, a loop 2 to 10. None under 50 words.
    """
    if len(words) < LEAST_WORDS:
        return None
    return (_one_way(words, len(words)) + _one_way(reversed(words), len(words))) / 2


def _one_way(words: Iterable[str], n: int) -> float:
    factors, seen, length = 0.0, set(), 0  # type: float, set[str], int
    for word in words:
        length += 1
        seen.add(word)
        if len(seen) <= FACTOR * length:
            factors, seen, length = factors + 1, set(), 0
    if length:
        factors += (1 - len(seen) / length) / (1 - FACTOR)
    # Without a single repetition there is no factor; the text is then as long as it is.
    return n / factors if factors else float(n)
