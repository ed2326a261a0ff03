"""Results as lines of text. What `--json` prints is the tree itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from curation.progress import duration
from jobs.show_filters import decides, told_apart
from jobs.show_labels import requests
from jobs.show_losses import losses
from jobs.text import Tree, line, packed, place, size, table
from schemas.visible import shown

MOST_PASSED = 5  # named of files that are no data
MOST_SIGNALS = 4  # named of what a strategy decided by


def result(counts: Tree, curate: str = "curate", flags: str = "") -> Iterator[str]:
    """The counts of a step of the chain, and what to do next: by `curate`, with the `flags` of this step."""
    yield from _counts(counts)
    if not counts["computed"]:
        yield "nothing to compute: everything was there"
    else:
        yield line("took", f"{counts['seconds']:,.1f} s, at most {counts['peak_gb']:.1f} GB of memory")
    if counts["retried"]:
        tables = ", ".join(f"{n:,} of {name}" for name, n in counts["retried"].items())
        yield line("retried", f"tasks that failed: {tables}; no shard was lost")
    ways = []
    if counts.get("n_selected"):
        ways.append(f"{curate} export --format hf --out subset")
    elif "n_selected" not in counts and counts.get("n_candidates"):
        ways.append(f"{curate} select --budget 30% {flags}".rstrip())
    if counts["n_quarantined"]:
        ways.append(f"{curate} status --errors")
    yield from _labelled("next", ways)


def _labelled(label: str, texts: Sequence[str]) -> Iterator[str]:
    """The label before the first of the texts."""
    for number, text in enumerate(texts):
        yield line("" if number else label, text)


def _counts(counts: Tree) -> Iterator[str]:
    bad = f", {counts['n_quarantined']:,} in quarantine" if counts["n_quarantined"] else ""
    yield line("read", f"{counts['n_read']:,} records{bad}, {counts['n_images']:,} distinct images")
    yield from _by_name(counts["quarantined"])
    yield from _repaired(counts)
    if "n_image_vectors" in counts:
        vectors = f"{counts['n_image_vectors']:,} images and {counts['n_chunk_vectors']:,} texts"
        yield line("embedded", f"{vectors} by {counts['model']}")
    for kind in ("capability", "judgement"):
        if f"n_{kind}_scored" in counts:
            scored, null = counts[f"n_{kind}_scored"], counts[f"n_{kind}_null"]
            yield line(kind, f"{scored:,} samples scored, {null:,} not")
            yield from _by_name(counts[f"{kind}_null"])
    if "n_clusters" in counts:
        yield line("clustered", f"into {counts['n_clusters']:,}")
    if "n_pruned" in counts:
        left = counts["n_read"] - counts["n_quarantined"] - counts["n_pruned"]
        yield line("pruned", f"{counts['n_pruned']:,} duplicates; {left:,} samples are left")
        yield from _by_name(counts["pruned"])
        if "probes" in counts:
            yield from _compared(counts)
        if counts.get("n_looks"):
            looks = (
                f"{counts['n_looks']:,} pairs of pictures, of which {counts['n_looks_copies']:,} are copies"
            )
            yield line("looked at", looks)
    if "n_selected" in counts:
        yield from _chosen(counts)
    yield from losses(counts)


def _chosen(counts: Tree) -> Iterator[str]:
    if counts.get("n_filtered"):
        yield line("filtered", f"{counts['n_filtered']:,} samples that miss a condition")
        yield from _by_name(counts["filtered"])
    if counts.get("measured"):
        yield line("measured", decides(counts["measured"]))
        yield line("", "group by group: curate status --filters")
    if counts["n_left_out"]:
        yield line("left out", f"{counts['n_left_out']:,} samples, by --must-drop or as the target")
    if counts["n_leaked"]:
        yield line("leaked", f"{counts['n_leaked']:,} samples of a benchmark (curate decontaminate)")
    short = f", {counts['shortfall']:,} short of the budget" if counts["shortfall"] else ""
    used = "" if counts["used"] is None else f" ({counts['used']:,} used)"
    among = f"{counts['n_selected']:,} of {counts['n_candidates']:,} candidates"
    yield line("selected", f"{among} for a budget of {counts['budget']}{used}{short}")
    yield from (line("", f"{n:>7,}  in {budget}") for budget, n in counts.get("nested", {}).items())
    yield line("decided by", f"{counts['strategy']}{_mixed(counts['mix'])}: {_signals(counts)}")
    if counts["below_chance"]:
        yield line("", "it trained worse than chance on every pool of benchmarks.quality; try `curate proof`")
    if counts["n_without_score"]:
        yield line("", f"{counts['n_without_score']:,} of the picks have no value there")


def _mixed(mix: str | None) -> str:
    return f" in a mixture {mix}" if mix else ""


def _compared(counts: Tree) -> Iterator[str]:
    others = f"{counts['probes']:,} other{'' if counts['probes'] == 1 else 's'}"
    places = f"in its cluster and at most {others}" if counts["probes"] else "in its cluster"
    recall = counts["probes_recall"]
    found = "" if recall is None else f", which finds {recall:.1%} of {counts['n_probed_pairs']:,} near pairs"
    yield line("compared", f"each {places}{found}")
    if counts["n_full_lists"]:
        yield line("", f"{counts['n_full_lists']:,} samples have more neighbours than are remembered")
    if counts.get("copies", {}).get("n_groups"):
        yield line("measured", told_apart(counts["copies"]))
        if "n_selected" not in counts:
            yield line("", "group by group: curate status --filters")
    if "n_selected" not in counts:
        steps = [f"{n:,} with {eps:g}" for eps, n in counts["curve"].items()]
        yield from packed("redundant", [f"by --redundant E would stay: {steps[0]}", *steps[1:]])


def _signals(counts: Tree) -> str:
    names = [f"chance (seed {counts['seed']})" if name == "chance" else name for name in counts["signals"]]
    if len(names) > MOST_SIGNALS:
        left_out = len(names) - MOST_SIGNALS + 1
        names = [*names[: MOST_SIGNALS - 2], f"{left_out} other columns", names[-1]]
    return " and ".join([*[", ".join(names[:-1])] * (len(names) > 1), *names[-1:]])


def _by_name(counts: Mapping[str, int]) -> Iterator[str]:
    for name, n in counts.items():
        yield line("", f"{n:>7,}  {name}")


def demo(found: Tree) -> Iterator[str]:
    """The defects, kind by kind, and where the result lies."""
    yield from _counts(found)
    yield ""
    rows = [(p["kind"], f"{p['planted']:,}", f"{p['caught']:,}", p["how"]) for p in found["planted"]]
    total = [sum(p[name] for p in found["planted"]) for name in ("planted", "caught")]
    yield from table(
        ("defect", "planted", "caught", "how"), [*rows, ("all", *map(str, total), "")], right=(1, 2)
    )
    yield ""
    yield line("clean", f"{found['n_clean_quarantined']:,} records without a defect went into quarantine")
    yield line("", f"{found['n_clean_pruned']:,} were pruned as too much alike")
    yield line("took", f"{found['seconds']:,.1f} s, at most {found['peak_gb']:.1f} GB of memory")
    yield line("result", f"{found['out']}/subset, which datasets.load_from_disk opens")
    yield line("next", f"curate -C {found['out']} status --errors")
    yield line("", f"curate -C {found['out']} select --budget 10% --strategy top:alignment")
    yield line("", f"curate -C {found['out']} status")


def initialised(found: Tree, curate: str = "curate") -> Iterator[str]:
    """What curate.toml names now, whether images are there, and what to do next: by `curate`."""
    yield line("wrote", found["config"])
    for name, dataset in found["datasets"].items():
        images = f", images under {', '.join(dataset['images'])}" if dataset["images"] else ""
        yield line("dataset", f"{name} = {dataset['path']}{images}")
        if "reader" in dataset:
            yield line("format", f"{dataset['reader']}: {dataset['told_by']}")
        if dataset.get("passed_over"):
            passed = dataset["passed_over"]
            more = f" and {len(passed) - MOST_PASSED:,} more" if len(passed) > MOST_PASSED else ""
            yield line("left aside", ", ".join(passed[:MOST_PASSED]) + more)
        yield from _looked_for(dataset, curate)
    yield line("model", found["model"])
    yield line("next", f"{curate} select --budget 30%")


def _looked_for(dataset: Tree, curate: str) -> Iterator[str]:
    looked = dataset.get("looked_for")
    if not looked or not looked["n"]:
        return
    if looked["missing"] is None:
        some = "" if looked["n_found"] == looked["n"] else f"{looked['n_found']} of "
        yield line("images", f"{some}the first {looked['n']} are there")
        return
    roots = ", ".join(dataset["images"]) or "the folder of the data"
    yield line("images", f"none of the first {looked['n']} is under {roots}: {shown(looked['missing'])}")
    again = f"{curate} init {shlex.quote(dataset['given'])} --images"
    if looked["under"]:
        yield line("", f"they are under {looked['under']}; say so with")
        yield line("", f"{again} {shlex.quote(looked['under'])}")
    else:
        yield line("", f"say where their paths begin: {again} DIR")


def plan(found: Tree) -> Iterator[str]:
    """What would be computed; steps that are done in a line each."""
    todo = [stage for stage in found["plan"] if stage["state"] != "fresh"]
    rows = [
        (
            stage["stage"],
            stage["state"],
            "?" if stage["shards"] is None else f"{stage['shards_to_do']:,} of {stage['shards']:,}",
            f"{stage['rows']:,}",
            duration(stage["seconds"]),
        )
        for stage in todo
    ]
    done = len(found["plan"]) - len(todo)
    if rows:
        yield from table(("stage", "state", "shards to do", "rows", "about"), rows, right=(2, 3, 4))
        yield ""
        yield from [line("done", f"{done:,} further stages")] if done else []
    else:
        yield line("to do", f"nothing: all {done:,} stages are done")
    yield line("records", f"{found['n_records']:,}")
    if rows:
        yield line("time", f"about {duration(found['seconds'])}")
        yield line(
            "memory", f"about {found['memory_gb']:.1f} GB; --memory is {found['memory_limit_gb']:g} GB"
        )
        yield line("disk", f"about {found['disk_gb']:.2f} GB more")
    if found["endpoint"]:
        yield from requests(found["endpoint"])


def state(found: Tree, *, every: bool = False) -> Iterator[str]:
    """A sentence, the steps of the chain as a table, and stages that are not done; or every stage."""
    yield _sentence(found)
    yield ""
    stages = found["stages"]
    if not every:
        yield from table(("step", "state", "stages", "size"), list(_steps(stages)), right=(2, 3))
        stages = [stage for stage in stages if stage["state"] != "fresh"]
        yield from [""] if stages else []
    if stages:
        rows = [
            (
                stage["stage"],
                stage["state"],
                "" if stage["rows"] is None else f"{stage['rows']:,}",
                "" if stage["shards"] is None else f"{stage['done']:,} of {stage['shards']:,}",
                size(stage["bytes"]),
            )
            for stage in stages
        ]
        yield from table(("stage", "state", "rows", "shards", "size"), rows, right=(2, 3, 4))
    yield ""
    yield line("model", found["model"])
    yield line("on disk", size(found["bytes"]))
    yield from _repaired(found)
    if found["note"]:
        yield line("note", found["note"])
    if found["n_selected"] is None:
        yield line("next", "curate select --budget 30%")


def _sentence(found: Tree) -> str:
    if found["n_read"] is None:
        return "nothing is read yet"
    bad = f", {found['n_quarantined']:,} of them in quarantine" if found["n_quarantined"] else ""
    if found["n_selected"] is None:
        return f"{found['n_read']:,} records are read{bad}; nothing is selected yet"
    by = found["selected_by"]
    how = f"by {by['strategy']}{_mixed(by['mix'])} for a budget of {by['budget']}"
    old = "" if all(stage["state"] == "fresh" for stage in found["stages"]) else "; not up to date"
    return f"{found['n_selected']:,} of {found['n_read']:,} selected, {how}{old}"


def _steps(stages: Sequence[Tree]) -> Iterator[tuple[str, ...]]:
    """A row a step."""
    for step in dict.fromkeys(stage["step"] for stage in stages):
        own = [stage for stage in stages if stage["step"] == step]
        done = sum(stage["state"] == "fresh" for stage in own)
        n_bytes = sum(stage["bytes"] for stage in own)
        yield step, "done" if done == len(own) else "to do", f"{done} of {len(own)}", size(n_bytes)


def _repaired(counts: Tree) -> Iterator[str]:
    if counts.get("n_repaired"):
        yield line("repaired", f"{counts['n_repaired']:,} records when they were read")
        yield from _by_name(counts["repaired"])


def quarantined(found: Tree) -> Iterator[str]:
    """One bad record after the other, and how many there are of each kind."""
    for record in found["records"]:
        where = place(record)
        yield f"{record['code']:<18} {where}"
        yield f"    id {shown(record['id'], 80)}, uid {record['uid']}"
        yield f"    {shown(record['message'], 600)}"
    yield line("quarantine", f"{found['n_quarantined']:,} records, {len(found['records']):,} of them listed")
    yield from _by_name(found["quarantined"])
    if found["n_quarantined"] > len(found["records"]):
        yield line("more", f"curate status --errors --limit {found['n_quarantined']}")


def grouped(found: Tree) -> Iterator[str]:
    """The groups of duplicates: what stays, and under it what goes."""
    yield line("pruned", f"{found['n_pruned']:,} samples in {found['n_groups']:,} groups")
    rows = []
    for group in found["groups"]:
        kept = group["kept"]
        rows.append((f"{shown(kept['id'], 40)}", kept["uid"][:8], f"kept, of {group['n']:,}", "", ""))
        for member in group["pruned"]:
            alike = "" if member["similarity"] is None else f"{member['similarity']:.4f}"
            odd = "" if member["oddness"] is None else f"{member['oddness']:.2f}"
            rows.append((f"  {shown(member['id'], 40)}", member["uid"][:8], member["reason"], alike, odd))
    if rows:
        yield ""
        yield from table(("id", "uid", "why", "similarity", "odd"), rows, right=(3, 4), spare=(1, 4))
        yield ""
    if len(found["groups"]) < found["n_groups"]:
        yield line("more", f"curate groups --limit {found['n_groups']}")


CHANGED = {
    "converted": "records of other formats, or repaired ones, written anew",
    "image_empty": "records without an image, whose empty 'image' would crash LLaVA: left out",
    "image_renamed": "records whose images have other names here",
    "image_unwrapped": "records with a list of one image, which would crash LLaVA: the image itself",
    "image_listed": "records whose image comes after the first question: a list of one, which InternVL keeps",
    "several_images": "records of several images, which LLaVA-NeXT and InternVL take, and LLaVA-1.5 does not",
    "system_folded": "system turns, which would crash LLaVA: before the first question",
    "no_title": "samples whose text, such as None, open_clip takes for missing: left out",
    "no_image": "samples without an image: left out",
    "no_pair": "samples that are no pair of one image and a text: left out",
}


def exported(written: Tree) -> Iterator[str]:
    """What was written, and how to open it."""
    yield line(
        "exported", f"{written['n_kept']:,} samples, {written['n_images']:,} images, {size(written['bytes'])}"
    )
    yield from _written(written)


def converted(written: Tree) -> Iterator[str]:
    """What was written, and what could not be."""
    read = f"{written['n_kept'] + written['n_rejected']:,} records of {written['from']}"
    yield line("converted", f"{written['n_kept']:,} of {read}, {size(written['bytes'])}")
    for n, (code, count) in enumerate(written["rejected"].items()):
        yield line("" if n else "rejected", f"{count:,} {code}")
    if written["rejected"]:
        yield line("", f"{written['out']}/rejected.jsonl says why")
    yield from _written(written)


def _written(written: Tree) -> Iterator[str]:
    yield line("to", f"{written['out']} as {written['format']}")
    if "splits" in written:
        yield line("splits", ", ".join(f"{name} {n:,}" for name, n in written["splits"].items()))
    for n, (what, count) in enumerate(written.get("changed", {}).items()):
        yield line("" if n else "changed", f"{count:,} {CHANGED.get(what, what)}")
    if "image_roots" in written:
        folders = dict.fromkeys(root for roots in written["image_roots"].values() for root in roots)
        yield line("images", f"stay in {', '.join(folders)}")
    if "from" not in written:
        yield line("open", f"{written['out']}/README.md says how trainers read it")


def tables(found: Tree) -> Iterator[str]:
    """Each with its rows and columns."""
    for name, about in found["tables"].items():
        yield f"{name:<18} {about['rows']:>11,}  {', '.join(about['columns'])}"


def table_written(written: Tree) -> Iterator[str]:
    """How much, and where."""
    yield line("written", f"{written['rows']:,} rows of {written['table']}, {size(written['bytes'])}")
    yield line("to", written["out"])


def verified(found: Tree) -> Iterator[str]:
    """Every problem, or that there is none."""
    yield from found["problems"]
    if not found["problems"]:
        yield f"{len(found['tables']):,} tables checked: all is well"


def collected(found: Tree) -> Iterator[str]:
    """What was removed."""
    yield f"removed {found['n_files']:,} files, {size(found['bytes'])}"


def models(found: Tree) -> Iterator[str]:
    """What is here, a line each; what is on the hub, folded to a line an architecture."""
    here = [model for model in found["models"] if model["where"] != "hub"]
    rows = [(model["name"], model["kind"], model["where"], size(model["n_bytes"])) for model in here]
    if rows:
        yield from table(("MODEL", "KIND", "WHERE", "SIZE"), rows, right=(3,))
    elif not found["models"]:
        yield "no model matches; `curate models` lists all"
    tags: dict[str, list[str]] = {}
    for model in found["models"]:
        if model["where"] == "hub":
            arch, _, tag = model["name"].rpartition("/")
            tags.setdefault(arch, []).append(tag)
    if tags:
        yield from [""] if rows else []
        yield f"{sum(map(len, tags.values())):,} more that open_clip can download, as --model ARCH/TAG:"
    for arch, names in tags.items():
        yield f"  {arch}  {' '.join(names)}"
