"""mmSSR's 14 capabilities and 9 interaction styles, and the columns that every backend writes.

The names are the paper's. Its repository has no definitions (the released prompt carries the keyword alone),
so the glosses are ours.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import figure

CAPABILITIES: dict[str, str] = {
    "object spatial understanding": "relative position, size, depth or coordinates of objects",
    "attribute identification": "colour, shape, material, number or state of things",
    "logical deduction": "several steps of inference from premises",
    "scene understanding": "place, context and gist of the picture as a whole",
    "fine-grained recognition": "which species, brand, model, landmark, sign or finding it is",
    "language generation": "long, fluent text",
    "in-context learning": "following examples or a format given in the conversation",
    "comparative analysis": "what two or more things have in common and what sets them apart",
    "activity recognition": "actions, poses and interactions",
    "causal reasoning": "why something is so, and what would happen if",
    "humanities": "history, society, culture, art or law",
    "stem knowledge": "mathematics, natural science, engineering or medicine",
    "data understanding": "charts, tables, diagrams and forms",
    "optical character recognition": "reading text in the picture",
}
STYLES: dict[str, str] = {
    "multi-choice": "the answer is one of the options given",
    "coordinate": "the answer is a box or a point",
    "yes/no": "the answer is yes or no, true or false",
    "word/short-phrase": "the answer is a word, a number or a short phrase",
    "short description": "the answer is a sentence or two",
    "detailed description": "the answer is a paragraph or more",
    "comparison": "the answer compares two or more pictures or things",
    "chain-of-thought": "the answer reasons step by step",
    "specified style": "the question asks for a form, such as JSON, a list or a rewrite",
}
MOST = 5.0  # a capability's scores are 0 to 5


def column(kind: str, name: str) -> str:
    """Return the column of a capability ("cap") or style ("style"), e.g. `style_yes_no`."""
    return f"{kind}_" + "".join(letter if letter.isalnum() else "_" for letter in name)


CAPABILITY_COLUMNS = tuple(column("cap", name) for name in CAPABILITIES)
STYLE_COLUMNS = tuple(column("style", name) for name in STYLES)
WRITES = pa.schema(
    [
        *(figure(name, "points", "[0, 5]", "higher") for name in CAPABILITY_COLUMNS),
        *(figure(name, range_="[0, 1]") for name in STYLE_COLUMNS),
        figure("capability_reason", kind=pa.string()),
    ]
)
"""The table `capability` without `uid`: null scores where there are none, and then a reason why."""
