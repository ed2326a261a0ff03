"""What `curate submit` was asked for: its flags, checked against each other and against curate.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from jobs.masters import KNOWN, Master, parse_master
from jobs.session import Session
from schemas.errors import ConfigError, WorkspaceError

if TYPE_CHECKING:
    from schemas.config import Config

IMAGE = "spark.kubernetes.container.image"
TAKEN = {"run.master": "--master", "run.spark_conf": "--spark-conf"}  # submit's own to set


@dataclass(frozen=True)
class Submission:
    """What the flags said. `session` is that of `curate submit`, `root` the command line it belongs to."""

    session: Session
    root: click.Group
    command: tuple[str, ...]
    master: str | None
    deploy_mode: str
    env: Literal["none", "archive", "image"] | None
    image: str | None
    archive: str | None
    name: str | None
    conf: tuple[str, ...] = ()

    @property
    def workspace(self) -> str:
        """The workspace, as every node can name it."""
        folder = self.session.folder
        return folder if "://" in folder else str(Path(folder).resolve())

    @cached_property
    def overrides(self) -> Mapping[str, Any]:
        """The settings that the command's own flags make.

        Raises:
            ConfigError: there is no command, or it has nothing to do on a cluster.
            click.UsageError: its flags are wrong.
        """
        if not self.command or self.command[0].startswith("-"):
            early = "; -C stands before submit" if self.command[:1] == ("-C",) else ""
            raise ConfigError(
                f"say what to run: `curate submit --master yarn -- select --budget 30%` (after --){early}"
            )
        name, *words = self.command
        command = self.root.get_command(click.Context(self.root), name)
        if command is None:
            raise ConfigError(f"there is no command {name!r} to submit; `curate --help` lists them")
        if not any("--engine" in parameter.opts for parameter in command.params):
            raise ConfigError(f"`curate {name}` has no work for a cluster; run it here")
        session = Session()
        above = click.Context(self.root, info_name="curate", obj=session, **self.root.context_settings)
        command.make_context(name, words, parent=above)
        for key, flag in TAKEN.items():
            if session.overrides.get(key):
                raise ConfigError(f"{flag} stands before --: there are --master and --conf for it")
        if session.overrides.get("run.engine", "spark") != "spark":
            raise ConfigError("a submission runs on Spark: leave --engine out")
        return session.overrides

    @cached_property
    def config(self) -> Config | None:
        """curate.toml with the command's flags over it; None where only the nodes can reach it, at a URL.

        Raises:
            WorkspaceError: there is no workspace, or the driver will run here and cannot reach it.
        """
        from curation.storage.files import CONFIG_FILE, locate
        from curation.workspace import Workspace

        overrides = self.overrides
        if self.deploy_mode == "cluster":
            try:
                (locate(self.session.folder) / CONFIG_FILE).exists()
            except WorkspaceError:
                return None
        return Workspace(self.session.folder, overrides).config

    @cached_property
    def where(self) -> Master:
        """The master: the flag's, else that of curate.toml.

        Raises:
            ConfigError: there is none, or it is not understood.
        """
        config = self.config  # first, so that a wrong command is named before a missing master
        url = self.master or (config.run.master if config else None)
        if url is None:
            raise ConfigError(f"say where to run it: --master {KNOWN}")
        return parse_master(url, self.deploy_mode)

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """Settings of Spark: those of curate.toml, and --conf over them.

        Raises:
            ConfigError: one is not of the form KEY=VALUE.
        """
        wrong = [pair for pair in self.conf if "=" not in pair]
        if wrong:
            raise ConfigError(f"--conf {wrong[0]}: write KEY=VALUE")
        given = dict(pair.split("=", 1) for pair in self.conf)
        return {**(self.config.run.spark_conf if self.config else {}), **given}

    @cached_property
    def nodes_have(self) -> Literal["none", "archive", "image"]:
        """`--env`, or what --archive and --image make of it.

        Raises:
            ConfigError: the master cannot do that, or something is missing for it.
        """
        env = self.env or ("archive" if self.archive else "image" if self.image else "none")
        if self.archive and env != "archive":
            raise ConfigError(f"--archive needs --env archive, not {env}")
        if self.archive and "://" not in self.archive and not Path(self.archive).is_file():
            raise ConfigError(f"there is no archive {self.archive}")
        if env == "archive" and self.where.kind == "local":
            raise ConfigError(f"{self.where.url} computes in this very environment: leave --env archive out")
        if self.where.kind != "k8s" and (env == "image" or self.image):
            raise ConfigError("--env image and --image are for Kubernetes: --master k8s://HOST:PORT")
        if env == "image" and not self.image and IMAGE not in self.settings:
            raise ConfigError("--env image needs --image NAME")
        return env
