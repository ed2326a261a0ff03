"""From a submission to the command line of spark-submit, and to its end.

What travels is packed by jobs/pack.py; what the driver runs is jobs/app.py; jobs/launch.py runs it all.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from curation.models.spec import BUILTIN, CLIPS
from jobs import launch, pack
from jobs.java import require_java
from jobs.masters import DRIVER_ENV
from jobs.pack import UNPACKED
from jobs.submission import IMAGE, Submission
from jobs.text import Pasted
from schemas.errors import EngineUnavailable

ENVIRONMENT = "environment"  # the folder of the unpacked environment
IN_IMAGE = "local:///opt/curate/app.py"  # jobs/app.py in a container image (docs/cluster.md)
UPLOAD = "spark.kubernetes.file.upload.path"
ARCHIVES = ("spark.archives", "spark.yarn.dist.archives")
PYTHONPATH = "spark.executorEnv.PYTHONPATH"
# Where models come from, on nodes as here. No tokens: they would show in the list of processes.
PASSED_ON = ("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE")


@dataclass(frozen=True)
class File:
    """Something that travels, and the folder that nodes unpack it to."""

    path: str
    folder: str
    size: int | None  # bytes; None: not known before it is packed
    what: str


@dataclass(frozen=True)
class Plan:
    """What will be run, and what travels."""

    command: list[str]
    files: list[File]
    code: bytes | None  # the archive of our code, where it travels
    weights: str
    warnings: list[str]

    @property
    def tree(self) -> dict[str, Any]:
        """For --json."""
        files = [{"path": file.path, "bytes": file.size, "what": file.what} for file in self.files]
        told = {"weights": self.weights, "warnings": self.warnings}
        return {"command": self.command, "files": files, **told}


def plan(asked: Submission) -> Plan:
    """Decide everything; pack and start nothing.

    Raises:
        CurateError: something is wrong or missing, in a sentence.
    """
    where = asked.where
    there = where.kind == "local" or _in_image(asked)
    code = None if there else pack.code_bytes()
    files = [_code(code)] if code is not None else []
    if asked.nodes_have == "archive":
        files.append(_environment(asked))
    flags = [("--master", where.url), ("--deploy-mode", asked.deploy_mode)]
    flags += [("--name", asked.name or f"curate {asked.command[0]}"), *_settings(asked, files)]
    words = [word for flag in flags for word in flag]
    command = [str(launch.spark_submit()), *words, *_application(asked)]
    return Plan(command, files, code, _weights(asked), list(_warnings(asked)))


def start(asked: Submission) -> int:
    """Pack, submit and wait. Returns the exit code of spark-submit: in client mode that of the command.

    Raises:
        CurateError: as `plan`, or what spark-submit needs is missing here.
    """
    planned = plan(asked)
    require_java()
    if asked.where.kind == "yarn" and not {"HADOOP_CONF_DIR", "YARN_CONF_DIR"} & set(os.environ):
        raise EngineUnavailable("set HADOOP_CONF_DIR to the folder of YARN's settings: it says where YARN is")
    quiet = asked.session.quiet
    for warning in planned.warnings:
        click.echo(f"curate: {warning}", err=True)
    for file in planned.files:
        if not quiet and file.size is None and "://" not in file.path:
            click.echo(f"curate: packing {file.what}; it takes minutes, once", err=True)
    if planned.code is not None:
        pack.write_code(Path(planned.files[0].path), planned.code)
    if asked.nodes_have == "archive" and asked.archive is None:
        pack.write_environment(Path(planned.files[-1].path))
    if not quiet:
        taken = " and ".join(file.what for file in planned.files) or "no files"
        click.echo(f"curate: submitting to {asked.where.url}, with {taken}", err=True)
    try:
        return launch.run(planned.command)
    except KeyboardInterrupt:
        if asked.where.cluster:
            click.echo("curate: stopped here; on the cluster the application goes on", err=True)
        return 130  # a driver that ran here has said what is kept


def text(tree: dict[str, Any]) -> Iterator[str]:
    """The command as a shell takes it, a flag a line, and the files."""
    words = list(tree["command"])
    lines = [shlex.quote(words.pop(0))]
    while words[0].startswith("--"):
        lines.append(shlex.join([words.pop(0), words.pop(0)]))
    lines += [shlex.quote(words.pop(0)), shlex.join(words)]
    yield Pasted(f"{lines[0]} \\")
    yield from (Pasted(f"  {line} \\") for line in lines[1:-1])
    yield Pasted(f"  {lines[-1]}")
    yield ""
    for file in tree["files"]:
        yield f"{_size(file):>10}  {file['path']}  ({file['what']})"
    if not tree["files"]:
        yield "no files travel"
    yield f"weights: {tree['weights']}"
    for warning in tree["warnings"]:
        yield f"note: {warning}"


def _size(file: dict[str, Any]) -> str:
    if file["bytes"] is None:
        return "elsewhere" if "://" in file["path"] else "to pack"
    return f"{file['bytes'] / 1e6:,.1f} MB"


def _in_image(asked: Submission) -> bool:
    """Does the driver start from the image's own copy of our code?"""
    return asked.where.cluster and asked.nodes_have == "image"


def _code(content: bytes) -> File:
    return File(str(pack.code_path(content)), UNPACKED, len(content), "our code with the built-in models")


def _environment(asked: Submission) -> File:
    if asked.archive is None:
        path = pack.environment_path()
        size = path.stat().st_size if path.exists() else None
        return File(str(path), ENVIRONMENT, size, f"the environment {sys.prefix}")
    if "://" in asked.archive:
        return File(asked.archive, ENVIRONMENT, None, "the environment")
    path = Path(asked.archive).resolve()
    return File(str(path), ENVIRONMENT, path.stat().st_size, "the environment")


def _settings(asked: Submission, files: list[File]) -> Iterator[tuple[str, str]]:
    """`--conf` for each setting, ours first; what the user sets wins. Then `--archives`."""
    conf = {**_interpreters(asked), **_variables(asked), **asked.settings}
    path = _python_path(asked)
    if path:
        conf[PYTHONPATH] = ":".join(filter(None, [path, asked.settings.get(PYTHONPATH)]))
    # The flag would hide the setting, so what the user lists there goes into the flag.
    theirs = [conf.pop(key) for key in ARCHIVES if key in conf]
    for key, value in conf.items():
        yield "--conf", f"{key}={value}"
    travels = [f"{file.path}#{file.folder}" for file in files]
    if travels or theirs:
        yield "--archives", ",".join([*travels, *theirs])


def _interpreters(asked: Submission) -> dict[str, str]:
    """Which Python runs where, and in which image. Settings, as they win over variables on every master."""
    found = {"spark.pyspark.python": os.environ.get("PYSPARK_PYTHON") or sys.executable}
    if asked.nodes_have == "archive":
        found["spark.pyspark.python"] = f"./{ENVIRONMENT}/bin/python"
    elif asked.nodes_have == "image":
        found["spark.pyspark.python"] = os.environ.get("PYSPARK_PYTHON") or "python3"
    if not asked.where.cluster:
        # Stated, as PYSPARK_DRIVER_PYTHON may name a notebook.
        found["spark.pyspark.driver.python"] = sys.executable
    if asked.image:
        found[IMAGE] = asked.image
    return found


def _variables(asked: Submission) -> dict[str, str]:
    if asked.where.kind == "local":
        return {}  # inherited
    prefixes = ["spark.executorEnv"]
    if asked.where.cluster:
        prefixes.append(DRIVER_ENV[asked.where.kind])
    names = [name for name in PASSED_ON if name in os.environ]
    return {f"{prefix}.{name}": os.environ[name] for prefix in prefixes for name in names}


def _python_path(asked: Submission) -> str | None:
    """Where executors import our code from: the folder beside them that Spark unpacks the archive to."""
    if asked.where.kind == "local":
        return str(pack.ROOT)
    return None if _in_image(asked) else UNPACKED


def _application(asked: Submission) -> list[str]:
    """What the driver runs. The flags repeat what spark-submit was told, as they win over curate.toml."""
    app = IN_IMAGE if _in_image(asked) else str(pack.ROOT / "jobs" / "app.py")
    said = asked.session
    speaking = [("--json", said.as_json), ("--quiet", said.quiet), ("--debug", said.debug)]
    flags = [flag for flag, on in speaking if on and not said.dry_run and flag not in asked.command]
    engine = ["--engine", "spark", "--master", asked.where.url]
    if asked.config is None or asked.config.run.spark_conf:
        for key, value in asked.settings.items():
            engine += ["--spark-conf", f"{key}={value}"]
    return [app, "-C", asked.workspace, *asked.command, *flags, *engine]


def _weights(asked: Submission) -> str:
    model = asked.config.embed.model if asked.config else str(asked.overrides.get("embed.model", ""))
    if model in CLIPS:
        return f"{model} is part of our code" + (" and of the environment" if model == BUILTIN else "")
    if _on_disk(model):
        return f"{model} is opened by every node at this path"
    return f"{model or 'the model'} is in the Hugging Face cache of each node (HF_HOME), or is fetched to it"


def _on_disk(model: str) -> bool:
    return Path(model.rpartition("@")[2]).exists()


def _warnings(asked: Submission) -> Iterator[str]:
    where = asked.where
    if asked.config is None:
        yield (
            f"{asked.workspace} cannot be reached from here, and what its curate.toml says of Spark is not "
            "known: give --master and --conf"
        )
    if where.remote and "://" not in asked.workspace:
        yield f"every node must reach {asked.workspace}, its data and its images at these very paths"
    if where.kind == "k8s" and where.cluster and not _in_image(asked) and UPLOAD not in asked.settings:
        yield f"files go to the cluster through a folder that both reach: --conf {UPLOAD}=s3a://BUCKET/FOLDER"
    if where.cluster:
        look = "yarn logs -applicationId ID" if where.kind == "yarn" else "kubectl logs -f POD"
        yield (
            f"the driver runs on a node: its output is in `{look}`, Ctrl-C here does not stop it, and paths "
            "after -- are the node's"
        )
    if re.search(r"(?i)(secret|password|token)[^=]*=", " ".join(asked.conf)):
        yield "a secret in --conf shows in the list of processes; spark-defaults.conf keeps it out of it"
