"""word_count: a word is a run of letters, digits and underscores in Unicode's sense; case makes no difference."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbench.workloads.map_reduce import shuffle

__all__ = ["map_words", "merge", "reduce_words", "reference"]

_WORD = re.compile(r"\w+")


def map_words(text: NDArray[np.uint8], reducers: int, combiner: bool) -> list[tuple[int, Any]]:
    """Each reducer's rows: (how many, what is sent). Combined it is each word with its `count`, else every occurrence.

    A piece of text is whole lines, and no rule of Unicode's lower case looks beyond a line's end.
    """
    found = _WORD.findall(text.tobytes().decode().lower())
    if not combiner:
        parts: list[list[str]] = [[] for _ in range(reducers)]
        owner: dict[str, list[str]] = {}
        for word in found:
            part = owner.get(word)
            if part is None:
                part = owner[word] = parts[int(shuffle.owners([word], reducers)[0])]
            part.append(word)
        return [(len(part), {"words": part}) for part in parts]
    counts = Counter(found)
    words = list(counts)
    every = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
    return [
        (len(own), {"words": [words[at] for at in own], "count": every[own]})
        for own in shuffle.shares(shuffle.owners(words, reducers), reducers)
    ]


def reduce_words(shares: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A reducer's words and how often each is there."""
    total: Counter[str] = Counter()
    for share in shares:
        if "count" in share:
            for word, count in zip(share["words"], share["count"].tolist(), strict=True):
                total[word] += count
        else:
            total.update(share["words"])
    return {"words": list(total), "count": np.fromiter(total.values(), dtype=np.int64, count=len(total))}


def merge(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The answer out of the reducers' results: the words in order."""
    words = [word for part in parts for word in part["words"]]
    counts = np.concatenate([part["count"] for part in parts])
    order = sorted(range(len(words)), key=words.__getitem__)
    return {"words": [words[at] for at in order], "count": counts[order]}


def reference(text: NDArray[np.uint8]) -> dict[str, Any]:
    """The same by a plain loop over the lines."""
    total: dict[str, int] = {}
    for line in text.tobytes().decode().split("\n"):
        for match in _WORD.finditer(line.lower()):
            total[match[0]] = total.get(match[0], 0) + 1
    words = sorted(total)
    return {"words": words, "count": np.array([total[word] for word in words], dtype=np.int64)}
