"""Selectors: pure functions of a score table. A new one is one file here and one line below.

Other packages offer theirs through the entry point group `curation.selectors`: a function that takes the text
after the colon of the spec, or None, and returns a selector.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches

from curation.plugins import offered
from curation.selectors.adapt import Adapt
from curation.selectors.balanced import Balanced
from curation.selectors.ccs import CoverageCentric
from curation.selectors.coincide import Coincide
from curation.selectors.d2 import D2
from curation.selectors.datatailor import DataTailor
from curation.selectors.dbp import DensityBased
from curation.selectors.facility import Facility, QualityDiversity
from curation.selectors.farthest import KCenter, MaxMin
from curation.selectors.gated import Gated
from curation.selectors.icons import Icons
from curation.selectors.less import Less
from curation.selectors.magic import Magic
from curation.selectors.mmssr import Mmssr
from curation.selectors.per_cluster import RandomPerCluster, RandomPerSource, TopPerCluster
from curation.selectors.prism import Prism
from curation.selectors.random_ import Random
from curation.selectors.scalselect import ScalSelect
from curation.selectors.tive import Tive
from curation.selectors.top import Top
from curation.selectors.visnec import VisNec
from curation.selectors.weighted import Weighted
from schemas.errors import ConfigError
from schemas.protocols import Selector

GROUP = "curation.selectors"

SELECTORS: dict[str, Callable[[str | None], Selector]] = {
    "balanced": Balanced.parse,
    "random": Random.parse,
    "random-per-source": RandomPerSource.parse,
    "random-per-cluster": RandomPerCluster.parse,
    "top": Top.parse,
    "top-per-cluster": TopPerCluster.parse,
    "weighted": Weighted.parse,
    "adapt": Adapt.parse,
    "mmssr": Mmssr.parse,
    "ccs": CoverageCentric.parse,
    "gated": Gated.parse,
    "visnec": VisNec.parse,
    "coincide": Coincide.parse,
    "d2": D2.parse,
    "dbp": DensityBased.parse,
    "kcenter": KCenter.parse,
    "maxmin": MaxMin.parse,
    "facility": Facility.parse,
    "quality-diversity": QualityDiversity.parse,
    "less": Less.parse,
    "icons": Icons.parse,
    "tive": Tive.parse,
    "magic": Magic.parse,
    "prism": Prism.parse,
    "datatailor": DataTailor.parse,
    "scalselect": ScalSelect.parse,
}


# What small students learned from 30 % of P1, P2 and P3 of `benchmarks.quality` by these was less than from
# samples drawn by chance, on each of the three.
BELOW_CHANCE = frozenset({"coincide", "prism", "scalselect"})


def selector(spec: str) -> Selector:
    """The selector of a spec: `NAME`, `NAME:ARGUMENT` or `NAME@KNOB`, such as `top:alignment`.

    Raises:
        ConfigError: there is no such selector, or its argument is wrong.
    """
    name = re.split("[:@]", spec, maxsplit=1)[0]
    argument = spec[len(name) :].removeprefix(":")
    factory = SELECTORS.get(name) or _plugin(name)
    return factory(argument if len(spec) > len(name) else None)


def _plugin(name: str) -> Callable[[str | None], Selector]:
    others = offered(GROUP)
    if name not in others:
        existing = sorted({*SELECTORS, *others})
        alike = get_close_matches(name, existing, 1)
        hint = f"did you mean {alike[0]}? There" if alike else "there"
        raise ConfigError(f"there is no selection strategy {name!r}; {hint} are {', '.join(existing)}")
    factory: Callable[[str | None], Selector] = others[name].load()
    return factory
