"""Counting tokens and splitting text to a context length, for every tokenizer that open_clip has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

REMEMBERED = 1 << 16  # words whose token count is kept
UNLIMITED = 10**30  # tokens; transformers' own figure for "no maximum"


class Tokens:
    """open_clip's tokenizer, made thread-safe and able to count."""

    def __init__(self, tokenizer: Any, context_length: int) -> None:
        self.context_length = context_length
        self._tokenizer = tokenizer
        self._lock = threading.Lock()  # a fast tokenizer may not be borrowed by two threads at once
        self._count = _counter(tokenizer)
        self.special = self.count("")  # tokens that every text has: start, end, class
        self._word = lru_cache(REMEMBERED)(self.count)

    def count(self, text: str) -> int:
        """Return the number of tokens with the special ones, not truncated."""
        with self._lock:
            return self._count(text)

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return (n, context_length) token ids, padded; what is too long is truncated by open_clip."""
        if not texts:
            return np.zeros((0, self.context_length), dtype=np.int64)
        with self._lock:
            found = self._tokenizer(list(texts), context_length=self.context_length)
        return np.ascontiguousarray(found.numpy(), dtype=np.int64)

    def split(self, text: str) -> list[str]:
        """Return pieces that each fit the context, cut at white space; no piece for blank text.

        Words are counted one by one, each once, and a piece is checked as a whole before it is cut off, so
        that the work grows with the length of the text. A word too long by itself is cut between characters.
        """
        if not text.strip():
            return []
        if len(text) <= 8 * self.context_length and self.count(text) <= self.context_length:
            return [text]
        words = [part for word in text.split() for part in self._parts(word)]
        pieces, start = [], 0
        while start < len(words):
            end = self._reach(words, start)
            while end > start + 1 and self.count(" ".join(words[start:end])) > self.context_length:
                end -= 1
            pieces.append(" ".join(words[start:end]))
            start = end
        return pieces

    def _reach(self, words: list[str], start: int) -> int:
        """Return the end of the longest run from `start` whose counts add up to the context length."""
        left, end = self.context_length - self.special, start
        while end < len(words):
            left -= self._word(words[end]) - self.special
            if left < 0:
                break
            end += 1
        return max(end, start + 1)

    def _parts(self, word: str) -> list[str]:
        """Return the word, or the parts of a word that is too long by itself."""
        most = 4 * self.context_length  # characters looked at together, however long the word
        if len(word) <= most and self._word(word) <= self.context_length:
            return [word]
        parts = []
        while word:
            low, high = 1, min(len(word), most)
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (
                    (middle, high) if self.count(word[:middle]) <= self.context_length else (low, middle - 1)
                )
            parts.append(word[:low])
            word = word[low:]
        return parts


def _counter(tokenizer: Any) -> Callable[[str], int]:
    """Return a function that counts as the tokenizer does, without its truncation."""
    from open_clip.tokenizer import SigLipTokenizer, SimpleTokenizer, basic_clean, canonicalize_text

    if isinstance(tokenizer, SimpleTokenizer):
        return lambda text: len(tokenizer.encode(text)) + 2
    inner = tokenizer.tokenizer
    inner.model_max_length = (
        UNLIMITED  # else transformers warns about every text that we count before splitting
    )
    if isinstance(tokenizer, SigLipTokenizer):
        return lambda text: len(inner(canonicalize_text(basic_clean(text))).input_ids)
    if tokenizer.tokenizer_mode == "clips":  # start, end and class token are added by open_clip itself
        return lambda text: len(inner(tokenizer.clean_fn(text), add_special_tokens=False).input_ids) + 3
    return lambda text: len(inner(tokenizer.clean_fn(text)).input_ids)
