"""Images: where a record's path leads, the bytes there, and their pixels. Each failure is a code and a sentence."""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from schemas.errors import (
    BAD_IMAGE_FIELD,
    IMAGE_CHANGED,
    IMAGE_OUTSIDE_ROOTS,
    IMAGE_TOO_LARGE,
    MISSING_IMAGE,
    NOT_AN_IMAGE,
    REMOTE_IMAGE,
    TRUNCATED_IMAGE,
    ZERO_BYTE_IMAGE,
)
from schemas.protocols import ImageAt
