"""Files packed with gzip, zstd or bzip2, read as they are. Positions are those of the text inside.

A packed file cannot be entered in its middle, so what unpacks one is kept, and the next reader goes on where
the last one stopped: reading span after span costs what unpacking once does.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from curation.readers.kept import Kept
from curation.readers.row_groups import identity

SUFFIXES = (".gz", ".zst", ".bz2")
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bz2"))
# Read at once, from the beginning on: what is lost before damage does not depend on who reads.
_BLOCK = 1 << 16


def packed(*suffixes: str) -> tuple[str, ...]:
    """`suffixes`, plain and behind each the suffixes of packed files."""
    return tuple(suffix + more for suffix in suffixes for more in ("", *SUFFIXES))


def plain_suffix(file: Path) -> str:
    """The last suffix of the name of what is inside, in lower case: `.jsonl` of `a.jsonl.gz`."""
    name = Path(file.name.lower())
    return Path(name.stem).suffix if name.suffix in SUFFIXES else name.suffix


def codec_of(head: bytes) -> str | None:
    """What packed a file that begins with `head`; None if nothing did."""
    return next((codec for magic, codec in _MAGIC if head.startswith(magic)), None)


def opened(file: Path) -> IO[bytes]:
    """`file` for reading; a packed one as the text inside, which ends where damage begins (`damage`)."""
    handle = file.open("rb")
    codec = codec_of(handle.read(4))
    handle.seek(0)
    if codec is None:
        return handle
    handle.close()
    return io.BufferedReader(_Unpacked(file, codec), _BLOCK)


def is_packed(handle: IO[bytes]) -> bool:
    """Is `handle`, which `opened` gave, one of a packed file?"""
    return isinstance(getattr(handle, "raw", None), _Unpacked)


def damage(handle: IO[bytes]) -> str | None:
    """Why the text of `handle` ends, if it was read to where a packed file is damaged."""
    raw = getattr(handle, "raw", None)
    return raw.damage if isinstance(raw, _Unpacked) else None


class _Unpacked(io.RawIOBase):
    """The text inside a packed file. Seeking costs nothing; reading unpacks up to the position."""

    def __init__(self, file: Path, codec: str) -> None:
        self._file, self._codec = file, codec
        self._position = 0
        self._stream: _Stream | None = None

    @property
    def damage(self) -> str | None:
        return self._stream.damage if self._stream else None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        self._position = offset + (self._at(None).position if base is None else base)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = self._at(self._position).read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if self._stream is not None:
            _streams.put(self._stream)
            self._stream = None
        super().close()

    def _at(self, position: int | None) -> _Stream:
        """What unpacks, at `position` or at the end."""
        if self._stream is None or (position is not None and position < self._stream.position):
            key = (identity(self._file), self._codec)
            if self._stream is not None:
                _streams.put(self._stream)
            self._stream = _streams.take(key, position) or _Stream(key, self._file)
        self._stream.skip_to(position)
        return self._stream


class _Stream:
    """A packed file, unpacked up to `position`."""

    def __init__(self, key: tuple[Any, ...], file: Path) -> None:
        self.key = key
        self.position = 0
        self.damage: str | None = None
        self._file = file
        self._source = pa.CompressedInputStream(pa.OSFile(str(file)), key[1])
        self._block = b""  # unpacked, from `position` on
        self._unpacked = 0

    def skip_to(self, position: int | None) -> None:
        """Unpack up to `position`, or to the end."""
        while position is None or self.position < position:
            if not self.read(_BLOCK if position is None else min(_BLOCK, position - self.position)):
                return

    def read(self, n: int) -> bytes:
        """Up to `n` bytes; none at the end, and where damage begins."""
        if not self._block and self.damage is None:
            self._block = self._next()
            self._unpacked += len(self._block)
        data, self._block = self._block[:n], self._block[n:]
        self.position += len(data)
        return data

    def close(self) -> None:
        self._source.close()

    def _next(self) -> bytes:
        parts, missing = [], _BLOCK
        try:
            while missing and (part := self._source.read(missing)):
                parts.append(part)
                missing -= len(part)
        except (OSError, ValueError) as error:  # pyarrow: ArrowInvalid is a ValueError
            self.damage = f"{self._file.name} cannot be unpacked beyond byte {self._unpacked}: {error}"
            return b""
        return b"".join(parts)


_streams: Kept[_Stream] = Kept(8)
