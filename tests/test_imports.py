"""The house: no circle among modules, what is imported late and why, and the walks of docs/architecture.md.

The walks are held against the graph of imports, and against what a run calls.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, ClassVar

import grimp
import networkx
import numpy as np
import pytest
from click.testing import CliRunner

from curation.models.encoders import ENCODERS
from curation.steps.chain import STAGES
from curation.workspace import Workspace
from jobs.cli import cli
from schemas.budget import Budget

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "scorers", "clustering", "curation", "jobs")
# Our own modules that do not come with the file that needs them.
LATE = {
    # Attributes of the package: importing it costs nothing, and finds out first whether `schemas` is ours.
    "curation/__init__.py": {"curation.workspace", "schemas.errors", "schemas.protocols", "schemas.stages"},
    # What `curate --help` must not wait for: all that computes, and pydantic, which reads the settings.
    "jobs/commands/chain.py": {"curation.commands.init", "curation.workspace"},
    "jobs/commands/writing.py": {"curation.commands.convert", "schemas.settings"},
    "jobs/commands/validate.py": {"curation.commands.validate", "schemas.settings"},
    "jobs/commands/doctor.py": {"curation.commands.doctor"},
    "jobs/commands/looking.py": {"curation.workspace"},
    "jobs/completing.py": {
        *("curation.catalog", "curation.models.spec", "curation.models.tags", "curation.readers"),
        *("curation.selectors", "curation.selectors.mixed", "curation.writers"),
    },
    "jobs/session.py": {"curation.storage.files", "curation.workspace", "jobs.spark"},
    "schemas/flags.py": {"schemas.config"},
    "jobs/submission.py": {"curation.storage.files", "curation.workspace", "schemas.config"},
}
SAMPLE, BUDGET = "A sample from reader to export", "`--budget` from the command line to the sampler"
WALKS = (SAMPLE, BUDGET)
MOST_FILES, MOST_ROOMS = 24, 12


@pytest.fixture(scope="module")
def arrows() -> networkx.DiGraph[str]:
    """Every import, those inside functions and under TYPE_CHECKING too."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    found: networkx.DiGraph[str] = networkx.DiGraph()
    found.add_nodes_from(graph.modules)
    for module in graph.modules:
        found.add_edges_from((module, other) for other in graph.find_modules_directly_imported_by(module))
    return found


@cache
def late() -> tuple[tuple[str, str], ...]:
    """(file, module) of each import that does not run with its file: in functions and under TYPE_CHECKING."""
    found = []
    for path in (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))):
        for node in delayed(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            found += [(path.relative_to(ROOT).as_posix(), name) for name in names]
    return tuple(found)


def delayed(node: ast.AST, *, inside: bool = False) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports below `node` that do not run with the module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom) and inside:
            yield child
        apart = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        unchecked = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from delayed(child, inside=inside or apart or unchecked)


def said_to_be_late() -> set[str]:
    """What CONTRIBUTING says is imported late."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"Imported late[^:]*: (.*?)\.\n", text, re.DOTALL)
    return set(re.findall(r"`([\w.]+)`", line))


def test_no_module_reaches_itself_by_its_imports(arrows: networkx.DiGraph[str]) -> None:
    assert [circle for circle in networkx.strongly_connected_components(arrows) if len(circle) > 1] == []
    assert list(networkx.selfloop_edges(arrows)) == []


def test_contributing_lists_the_packages_that_are_imported_late() -> None:
    packages = {module.split(".")[0] for _, module in late()} - {*PACKAGES, *sys.stdlib_module_names}
    assert packages == said_to_be_late()


def test_of_our_own_modules_only_these_are_imported_late() -> None:
    found: dict[str, set[str]] = {}
    for file, module in late():
        if module.split(".")[0] in PACKAGES:
            found.setdefault(file, set()).add(module)
    assert found == LATE


def test_no_module_is_imported_by_a_name_in_a_string() -> None:
    # But by curation/__init__.py, for the modules that LATE lists.
    found = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\b(import_module|__import__)\b", path.read_text(encoding="utf-8"))
    }
    assert found == {"curation/__init__.py"}


# --- the walks of docs/architecture.md ----------------------------------------------------------------------


def code_of(function: Any) -> CodeType:
    """What is run of a function, a method, or a command of click."""
    plain = getattr(function, "callback", None) or getattr(function, "__func__", function)
    code: CodeType = inspect.unwrap(plain).__code__
    return code


@dataclass(frozen=True)
class Stop:
    """A line of a walk: a module, and the function of it that the walk passes by."""

    module: str
    function: str

    @property
    def code(self) -> CodeType:
        found: Any = import_module(self.module)
        for name in self.function.split("."):
            found = inspect.getattr_static(found, name) if inspect.isclass(found) else getattr(found, name)
        return code_of(found)


def walk(title: str) -> list[Stop]:
    """The stops of a walk, in order."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition(f"### {title}\n")[2].partition("\n#")[0]
    lines = re.findall(r"^\d+\. .*", section, re.MULTILINE)
    found = [re.match(r"\d+\. `([\w/]+)\.py`: `([\w.]+)` ", line) for line in lines]
    assert all(found), f"a line of a walk is no 'N. `path.py`: `function` …': {lines}"
    return [Stop(match[1].replace("/", "."), match[2]) for match in found if match]


def room(module: str) -> str:
    """The folder that a module lies in."""
    return module if (ROOT / module.replace(".", "/")).is_dir() else module.rpartition(".")[0]


def floors(arrows: networkx.DiGraph[str]) -> dict[str, int]:
    """How high each module stands: the longest way down from it."""
    height: dict[str, int] = {}
    for module in reversed(list(networkx.topological_sort(arrows))):
        height[module] = 1 + max((height[below] for below in arrows.successors(module)), default=0)
    return height


def lowest(arrows: networkx.DiGraph[str], stops: Sequence[Stop]) -> int:
    """The place of the stop where a walk turns."""
    height = floors(arrows)
    heights = [height[stop.module] for stop in stops]
    return heights.index(min(heights))


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_goes_down_once_and_comes_up_once(arrows: networkx.DiGraph[str], title: str) -> None:
    stops, height = walk(title), floors(arrows)
    assert 3 < len(stops) <= MOST_FILES
    rooms = {room(stop.module) for stop in stops}
    assert len(rooms) <= MOST_ROOMS, rooms
    passed = [(height[stop.module], stop.module) for stop in stops]
    turn = lowest(arrows, stops)
    assert [(here, there) for here, there in pairwise(passed[: turn + 1]) if here[0] < there[0]] == []
    assert [(here, there) for here, there in pairwise(passed[turn:]) if here[0] > there[0]] == []


class Lengths:
    """An encoder that goes by the length of a text."""

    name, dim, context_length, image_size = "lengths", 4, 8, (2, 2)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def split(self, text: str) -> list[str]:
        return [text]

    def tokenize(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.repeat([[len(text)] for text in texts], self.context_length, axis=1)

    def used_lengths(self, tokens: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.full(len(tokens), self.context_length)

    def encode_texts(self, tokens: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        angle = tokens[:, :1] / 10
        return np.concatenate([np.cos(angle), np.sin(angle), 0 * angle, 0 * angle], axis=1, dtype=np.float32)

    def encode_images(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.eye(1, self.dim, dtype=np.float32).repeat(len(pixels), axis=0)

    def preprocess(self, image: Any) -> np.ndarray[Any, Any]:
        return np.zeros((3, *self.image_size), np.uint8)


class LengthsKind:
    packages: ClassVar[tuple[str, ...]] = ()

    def identity(self, model: str) -> dict[str, str]:
        return {"model": model}

    def load(self, model: str, *, device: str, dtype: str) -> Lengths:
        return Lengths()


@dataclass
class Followed:
    """What a run called: for each function the files that stood above it, and when it came and first went."""

    codes: set[CodeType]
    workspace: Workspace
    above: dict[CodeType, list[str]] = field(default_factory=dict)
    came: dict[CodeType, int] = field(default_factory=dict)
    went: dict[CodeType, int] = field(default_factory=dict)
    clock: Iterator[int] = field(default_factory=itertools.count)

    def note(self, frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if code not in self.codes:
            return
        if event == "call" and code not in self.came:
            self.came[code] = next(self.clock)
            self.above[code] = list(dict.fromkeys(self._modules(frame.f_back)))[::-1]
        elif event == "return" and code not in self.went:  # a generator returns with each yield
            self.went[code] = next(self.clock)

    def _modules(self, frame: FrameType | None) -> Iterator[str]:
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            if module.split(".")[0] in PACKAGES:
                yield module
            frame = frame.f_back


@contextmanager
def profiled(note: Callable[[FrameType, str, Any], object]) -> Iterator[None]:
    """`note` is told of every call and return, in threads too."""
    held = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(held)
        threading.setprofile(None)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """A selection and its export, watched: a few LLaVA records, an encoder that costs nothing."""
    folder = tmp_path_factory.mktemp("followed")
    told = ["one", "two or three", "four, five, six and seven", "eight", "no more than nine or ten"]
    records = [
        {
            "id": f"{n}",
            "conversations": [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": text}],
        }
        for n, text in enumerate(told)
    ]
    (folder / "mix.json").write_text(json.dumps(records), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, "lengths", LengthsKind)
        workspace = Workspace.init(folder, {"mix": folder / "mix.json"}, model="lengths:any")
        found = Followed(
            {code_of(Budget.parse_all), *(stop.code for title in WALKS for stop in walk(title))}, workspace
        )
        with profiled(found.note):
            for command in ("select --budget 50% --capability none", f"export --out {folder / 'out'}"):
                done = CliRunner().invoke(cli, ["-C", str(folder), *command.split(), "--quiet"])
                assert done.exit_code == 0, done.output
        yield found


def between(above: Sequence[str], drivers: tuple[str, ...]) -> list[str]:
    """Who stands above a function, behind the last of `drivers`; `schemas` is spoken on every floor."""
    starts = [place for place, module in enumerate(above) if module.startswith(drivers)]
    return [module for module in above[max(starts, default=-1) + 1 :] if not module.startswith("schemas.")]


def test_the_walk_of_a_budget_is_the_stack_of_calls(followed: Followed) -> None:
    stops = walk(BUDGET)
    modules = [stop.module for stop in stops]
    for place, stop in enumerate(stops):
        above = between(followed.above[stop.code], ())
        assert [module for module in modules[: place + 1] if module in above] == above, stop
        assert above or not place, f"nothing of the walk calls {stop}"
    # Where `50%` becomes a budget.
    assert set(between(followed.above[code_of(Budget.parse_all)], ())) <= set(modules)
    # A flag is read before its command is run.
    when = [followed.came[stop.code] for stop in stops if stop.module != "jobs.flags"]
    assert when == sorted(when)


def test_the_walk_of_a_sample_is_the_order_of_calls_and_then_of_returns(
    arrows: networkx.DiGraph[str], followed: Followed
) -> None:
    stops = walk(SAMPLE)
    turn = lowest(arrows, stops)
    down, up = stops[: turn + 1], stops[turn + 1 :]
    when = [*(followed.came[stop.code] for stop in down), *(followed.went[stop.code] for stop in up)]
    assert when == sorted(when)
    modules = [stop.module for stop in stops]
    # The engine runs the stages (of all scores it is `Scored`), and the workspace the export.
    drivers = ("curation.executor.", "curation.steps.score.scored", "curation.workspace")
    for place, stop in enumerate(stops):
        above = set(between(followed.above[stop.code], drivers))
        assert above <= set(modules[: place + 1]) or above <= set(modules[place:]), stop


def test_the_walk_of_a_sample_passes_the_last_stage_of_every_step(followed: Followed) -> None:
    modules = [stop.module for stop in walk(SAMPLE)]
    assert {f"curation.steps.{step}" for step in STAGES} <= {room(module) for module in modules}
    context = followed.workspace.with_settings({"select.budget": "50%"}).context
    last = {step: make(context)[-1] for step, make in STAGES.items() if step != "score"}
    assert {
        step: type(stage).__module__ for step, stage in last.items() if type(stage).__module__ not in modules
    } == {}


# --- its picture --------------------------------------------------------------------------------------------


def test_the_picture_shows_the_floors_of_the_contracts() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = {
        contract["name"].partition(":")[0]: contract.get("layers") for contract in settings["contracts"]
    }
    packages, rooms = layers["imports point down"], layers["the floors of curation"]
    steps = ", ".join(layers["a step reads only earlier steps"])
    inside = packages.index("curation") + 1
    at = rooms.index("steps") + 1
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    # What begins a line: `readers`, `selectors | models | readers`, or `chain, select, …`.
    shown = re.findall(r"^[│├└─ ]*(\w+(?:(?: \||,) \w+)*)(?:  |$)", page.split("```")[1], re.MULTILINE)
    assert shown[shown.index("jobs") :] == [
        *packages[:inside],
        *rooms[:at],
        steps,
        *rooms[at:],
        *packages[inside:],
    ]
