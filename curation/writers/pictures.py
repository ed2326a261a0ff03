"""Where the images of an export lie, and how its records name them."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from curation.storage.files import is_url
from curation.writers.kept import image_bytes, split
from schemas.errors import ExportError
from schemas.protocols import Writer

# What `--images` may say: a second name of the file (a copy where that cannot be), a copy, the place where
# the image lies, the bytes inside the data itself.
LINK, COPY, PATHS, BYTES = "link", "copy", "paths", "bytes"
FOLDER = "images"
BY_HASH = "_by_hash"  # under FOLDER: images that no path names, or not one alone
_EXTENSIONS = (
    (b"\xff\xd8", "jpg"),
    (b"\x89PNG", "png"),
    (b"RIFF", "webp"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
)
# Not between these two places: of another disk, forbidden, too many names, a system without links.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class Pictures:
    """Names the images of rows, and puts them there. What is there already is not written again.

    An image keeps its name, below FOLDER, where it is a file in an image folder of its dataset; where other
    datasets have other folders, behind the name of the dataset. All others are named by their sha256. So a
    name leads to one picture, whatever the datasets are.

    Args:
        out: the folder of the export while it is written.
        how: LINK, COPY or PATHS (BYTES: no writer asks for names).
        roots: of each dataset the absolute folders in which names are looked up, in this order.
    """

    out: Path
    how: str
    roots: Mapping[str, tuple[str, ...]]

    @property
    def one_root(self) -> str | None:
        """The image folder of all datasets, if they have but one."""
        several = {root for roots in self.roots.values() for root in roots}
        return several.pop() if len(several) == 1 else None

    @property
    def shared(self) -> bool:
        """Whether a name leads to one file, whatever the dataset."""
        return len(set(self.roots.values())) == 1

    def names(self, rows: pa.RecordBatch, *, absolute: bool = False) -> list[list[str]]:
        """Of each row the names of its images: below FOLDER; for PATHS below `one_root`, or `absolute`.

        Raises:
            ExportError: an image is gone or has changed, or has no path and PATHS are asked for.
        """
        found: list[list[str]] = []
        for part in split(rows):
            of_rows = part["images"].to_pylist()
            datasets = part["dataset"].to_pylist()
            refs = [ref for of_row in of_rows for ref in of_row]
            owners = [name for name, of_row in zip(datasets, of_rows, strict=True) for _ in of_row]
            named = iter(self._paths(refs, absolute) if self.how == PATHS else self._placed(refs, owners))
            found += [[next(named) for _ in of_row] for of_row in of_rows]
        return found

    def _paths(self, refs: Sequence[dict[str, Any]], absolute: bool) -> list[str]:
        for ref in {ref["path"]: ref for ref in refs}.values():
            if is_inside(ref):
                raise ExportError(
                    f"an image of a kept sample lies inside {ref['path']}, where no path leads; "
                    "export with --images copy"
                )
            if not is_url(ref["path"]) and _size(ref["path"]) != ref["n_bytes"]:
                raise ExportError(f"{ref['path']} is gone or has changed since it was ingested; select again")
        root = None if absolute else self.one_root
        return [own_name(ref, root) or ref["path"] if root else ref["path"] for ref in refs]

    def _placed(self, refs: Sequence[dict[str, Any]], owners: Sequence[str]) -> list[str]:
        named = [self._name(ref, owner) for ref, owner in zip(refs, owners, strict=True)]
        new = {
            name or ref["sha256"]: (ref, name)
            for ref, name in zip(refs, named, strict=True)
            if name is None or not (self.out / FOLDER / name).exists()
        }
        data = image_bytes([ref for ref, _ in new.values()])
        placed = {
            key: self._place(ref, name or _by_hash(ref, content), content)
            for (key, (ref, name)), content in zip(new.items(), data, strict=True)
        }
        return [name or placed[ref["sha256"]] for ref, name in zip(refs, named, strict=True)]

    def _name(self, ref: dict[str, Any], dataset: str) -> str | None:
        """The image's name below FOLDER; None while it follows from bytes that were not read yet."""
        roots = self.roots.get(dataset, ())
        own = next((name for root in roots if (name := own_name(ref, root))), None)
        if own is not None:
            return own if self.shared else f"{dataset}/{own}"
        digest = ref["sha256"].hex()
        tried = (f"{BY_HASH}/{digest[:2]}/{digest}.{extension}" for extension in _SUFFIXES)
        return next((name for name in tried if (self.out / FOLDER / name).exists()), None)

    def _place(self, ref: dict[str, Any], name: str, data: bytes) -> str:
        path = self.out / FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.how == LINK and not is_inside(ref) and _linked(ref["path"], path):
            return name
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(data)
        partial.replace(path)
        return name


def way(writer: Writer, images: str | None) -> str:
    """What becomes of images: what is asked for, or what the format does first.

    Raises:
        ExportError: it cannot do that.
    """
    if images is None:
        return writer.images[0]
    if images not in writer.images:
        known = ", ".join(writer.images)
        raise ExportError(f"{writer.name} takes no --images {images}; it takes {known}")
    return images


_SUFFIXES = (*dict.fromkeys(extension for _, extension in _EXTENSIONS), "img")


def is_inside(ref: dict[str, Any]) -> bool:
    """Does the image lie in a tar, Parquet or Arrow file, or in a record?"""
    return ref["column"] is not None or ref["length"] >= 0


def own_name(ref: dict[str, Any], root: str) -> str | None:
    """The image's name as its record has it, if that leads below `root` to it and nowhere else."""
    name: str = ref["name"]
    parts = PurePosixPath(name).parts
    plain = bool(parts) and not is_inside(ref) and ".." not in parts and name == str(PurePosixPath(*parts))
    if not plain or name.startswith("/") or parts[0] == BY_HASH:
        return None
    there = os.path.join(root, name)  # noqa: PTH118  # a str, as paths of images are
    return name if ref["path"] in (there, os.path.realpath(there)) else None


def extension(data: bytes) -> str:
    """What files of such bytes are called: jpg, png, webp, ...; img where they are of no known format."""
    return next((name for magic, name in _EXTENSIONS if data.startswith(magic)), "img")


def _by_hash(ref: dict[str, Any], data: bytes) -> str:
    digest = ref["sha256"].hex()
    return f"{BY_HASH}/{digest[:2]}/{digest}.{extension(data)}"


def _linked(source: str, path: Path) -> bool:
    """Make `path` a second name of the file; False where that cannot be."""
    if is_url(source):
        return False
    try:
        os.link(source, path)  # of what a link leads to, so that the export holds no path
    except FileExistsError:
        return True
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return False
    return True


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1
