"""The public Python API: `Workspace`, and the Protocols that plug-ins implement. Cheap to import.

Example:
    from curation import Workspace
    ws = Workspace.init("work", {"mix": "mixture.json"}, images=["."], model="builtin")
    ws.select(budget="30%")["n_selected"]
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curation.workspace import Workspace
    from schemas.errors import CurateError
    from schemas.protocols import (
        ColumnScorer,
        Encoder,
        EncoderKind,
        ImageAt,
        Reader,
        Record,
        Scorer,
        Selector,
        Span,
        Writer,
    )
    from schemas.stages import Engine, MapStage, Source

__all__ = [
    "ColumnScorer",
    "CurateError",
    "Encoder",
    "EncoderKind",
    "Engine",
    "ImageAt",
    "MapStage",
    "Reader",
    "Record",
    "Scorer",
    "Selector",
    "Source",
    "Span",
    "Workspace",
    "Writer",
]

_SIBLINGS = ("schemas", "scorers", "clustering", "jobs")
_HOMES = {
    "Workspace": "curation.workspace",
    "CurateError": "schemas.errors",
    **dict.fromkeys(("Engine", "MapStage", "Source"), "schemas.stages"),
}


def _demand_siblings(home: Path) -> None:
    """Check that the packages beside this one are those that `import` finds. Imports none of them.

    Raises:
        ImportError: another package has the name of one of ours, or one of ours is gone.
    """
    for name in _SIBLINGS:
        spec = find_spec(name)
        found = Path(spec.origin).parent if spec and spec.origin else None
        if found is None or found.resolve() != (home / name).resolve():
            raise ImportError(
                f"curate needs its own package {name!r} from {home}, but `import {name}` finds "
                f"{found or 'nothing'}; rename that one, or give curate an environment of its own"
            )


_demand_siblings(Path(__file__).parent.parent)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'curation' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "schemas.protocols")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
