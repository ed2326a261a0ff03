"""open_clip's list of weights, read from its source: importing it takes torch, and that some seconds."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

QUICK = "-quickgelu"  # an architecture of its own for weights that say so


class Place(NamedTuple):
    """Where weights lie: at a URL, or in a repository of the hub as ORG/NAME/FILE."""

    url: str
    hub: str


@cache
def places() -> dict[str, dict[str, Place]]:
    """Where the weights of each tag of each architecture lie; empty if open_clip's source reads otherwise."""
    found = find_spec("open_clip")
    folders = [] if found is None else found.submodule_search_locations or []
    paths = [path for folder in folders if (path := Path(folder) / "pretrained.py").is_file()]
    if not paths:
        return {}
    values = {
        statement.targets[0].id: statement.value
        for statement in ast.parse(paths[0].read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }
    listed: dict[str, dict[str, Place]] = {}
    for arch, tags in _items(values.get("_PRETRAINED"), values):
        for tag, call in _items(tags, values):
            place, quick = _place(call)
            listed.setdefault(arch, {})[tag] = place
            if quick:
                listed.setdefault(arch + QUICK, {})[tag] = place
    return listed


def _items(value: ast.expr | None, values: dict[str, ast.expr]) -> list[tuple[str, ast.expr]]:
    """Of `{"a": …}`, `dict(a=…)` or the name of one."""
    if isinstance(value, ast.Name):
        return _items(values.get(value.id), values)
    if isinstance(value, ast.Dict):
        pairs = zip(value.keys, value.values, strict=True)
        return [(str(key.value), each) for key, each in pairs if isinstance(key, ast.Constant)]
    if isinstance(value, ast.Call):
        return [(word.arg, word.value) for word in value.keywords if word.arg is not None]
    return []


def _place(call: ast.expr) -> tuple[Place, bool]:
    """Of `_pcfg(url=…, hf_hub=…, quick_gelu=…)`."""
    words = dict(_items(call, {}))
    given = call.args if isinstance(call, ast.Call) else []
    words |= dict(zip(("url", "hf_hub"), given, strict=False))
    plain = {name: value.value for name, value in words.items() if isinstance(value, ast.Constant)}
    return Place(str(plain.get("url", "")), str(plain.get("hf_hub", ""))), bool(plain.get("quick_gelu"))
