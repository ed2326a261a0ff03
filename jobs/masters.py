"""Where Spark runs: the masters that spark-submit knows, and what differs between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from schemas.errors import ConfigError

Kind = Literal["local", "local-cluster", "standalone", "yarn", "k8s"]
KINDS: dict[Kind, str] = {
    "local": r"local(\[(\d+|\*)(,\d+)?\])?",
    "local-cluster": r"local-cluster\[\d+,\s*\d+,\s*\d+\]",
    "standalone": r"spark://[^/\s]+",
    "yarn": r"yarn",
    "k8s": r"k8s://\S+",
}
KNOWN = "local[2], local-cluster[2,1,1024], spark://HOST:PORT, yarn or k8s://HOST:PORT"
# How a variable gets into the environment of a driver that runs on a node.
DRIVER_ENV: dict[Kind, str] = {"yarn": "spark.yarn.appMasterEnv", "k8s": "spark.kubernetes.driverEnv"}


@dataclass(frozen=True)
class Master:
    """`--master` with `--deploy-mode`, understood."""

    url: str
    kind: Kind
    cluster: bool  # the driver runs on a node, not here

    @property
    def remote(self) -> bool:
        """Do other machines do the work?"""
        here = re.match(r"spark://(localhost|127\.[\d.]+|\[::1\])(:|$)", self.url)
        return self.kind in ("standalone", "yarn", "k8s") and not here


def parse_master(url: str, deploy_mode: str) -> Master:
    """Understand `--master`.

    Raises:
        ConfigError: spark-submit knows no such master, or not in this deploy mode.
    """
    if url.startswith("sc://"):
        raise ConfigError(
            f"{url} is Spark Connect, which takes no submissions; docs/cluster.md says what to do"
        )
    kind = next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, url)), None)
    if kind is None:
        raise ConfigError(f"spark-submit knows no master {url!r}; it takes {KNOWN}")
    if deploy_mode == "cluster" and kind == "standalone":
        raise ConfigError(
            "Spark starts no Python driver on a standalone cluster: leave --deploy-mode cluster out, and the "
            "driver runs here"
        )
    if deploy_mode == "cluster" and kind not in DRIVER_ENV:
        raise ConfigError(f"{url} has no --deploy-mode cluster: its driver runs here")
    return Master(url, kind, deploy_mode == "cluster")
