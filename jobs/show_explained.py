"""`curate explain` as lines: the verdict, beside it what decided, then what is known, a line a kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jobs.show_filters import evidence, evidence_of_eps
from jobs.text import Tree, line, packed, place, size
from schemas.visible import shown

MOST_LINES, MOST_OF_TEXT = 12, 400  # of a text: lines, and characters of each
HIGHEST = 3  # capabilities and styles that are named
LOWEST = 0.05  # below which only the highest is named
FEW = 8  # figures of a kind that are named
# Figures that say what the verdict may hang on, the most telling first; all others stand in --json.
TELLING = {
    "hygiene": (
        *("n_words", "n_answer_words", "question_language", "answer_language", "min_side"),
        *("max_aspect_ratio", "mean_brightness", "min_contrast", "min_blur", "min_entropy"),
    ),
    "quality": ("synthetic_quality", "fidelity", "scope", "agreement", "mtld"),
}


def explained(found: Tree) -> Iterator[str]:
    """What is known of each record that has this id."""
    for match in found["matches"]:
        yield from _verdict(match)
        yield ""
        named = shown(match["id"], 80)
        yield line("record", f"{named} of {shown(match['dataset'], 60)}: {place(match)}")
        yield line("uid", match["uid"])
        for image in match["images"]:
            yield line("image", f"{shown(image['name'])}  {size(image['bytes'])}")
        yield from _quoted("text", match["text"])
        yield from _stands_for_it(match)
        if any(match["scores"].values()):
            yield ""
            yield from _figures(match)
        yield ""
    several = "" if found["n_matches"] == 1 else "s"
    yield f"{found['n_matches']:,} record{several} called {shown(found['ident'], 80)}; all figures: --json"


def _verdict(match: Tree) -> Iterator[str]:
    """The outcome in a sentence, and under it what it hangs on."""
    outcome, colon, why = match["why"].partition(": ")
    if not colon:
        outcome, comma, why = match["why"].partition(", ")
        outcome, why = (outcome, why) if comma else ("outcome", match["why"])
    yield line(outcome, why)
    for number, text in enumerate(_because(match)):
        # An error is a sentence, and a list of figures is cut between them.
        parts = text.split(", ") if text.count(", ") > 1 and not match["error"] else [text]
        yield from packed("" if number else "because", parts)


def _because(match: Tree) -> Iterator[str]:
    if match["error"]:
        yield f"{match['error']['code']}: {shown(match['error']['message'], 400)}"
    pruned = match["pruned"]
    if pruned:
        yield from _alike(pruned)
    if match["measured_eps"]:
        yield evidence_of_eps(match["measured_eps"])
    for leak in match["leaks"]:
        strength = "" if leak["similarity"] is None else f", {leak['similarity']:.3f}"
        of = f"{shown(leak['benchmark'], 60)} (id {shown(leak['id'], 60)})"
        yield f"it leaks {of} by {leak['level']}{strength}"
    clause = match.get("clause")
    if clause:
        named = [name for name in dict.fromkeys(re.findall(r"\w+", clause)) if name in match["scores"]]
        yield from (f"its {name} is {_number(match['scores'][name])}" for name in named)
        if match["measured"] and "alignment" in clause:
            yield evidence(match["measured"])
    if match["chosen_by"] and match["reason"] in ("kept", "over_budget"):
        yield from _compared(match["chosen_by"], kept=match["reason"] == "kept")


def _alike(pruned: Tree) -> Iterator[str]:
    near = pruned["near"]
    if near is None:
        return
    facts = [] if pruned["similarity"] is None else [f"similarity {pruned['similarity']:.4f}"]
    if pruned["oddness"] is not None:
        facts.append(f"on a second look {pruned['oddness']:.2f} odd (a copy is at most 1)")
    of = f"{shown(near['id'] or near['uid'], 80)}: " if near != pruned["kept"] else ""
    if facts or of:
        yield f"{of}{'; '.join(facts) or pruned['reason']}"


def _compared(by: Tree, *, kept: bool) -> Iterator[str]:
    score = "" if by["score"] is None else f"its {by['scorer'] or 'score'} is {by['score']:.4g}"
    if score and not kept and by["last_score"] is not None:
        score += f"; the last pick there has {by['last_score']:.4g}"
    chance = "" if by["scorer"] or by["score"] is not None or by["stratum"] is None else "by chance"
    if by.get("n_candidates"):
        share = f"{by['stratum']} gets {by['n_selected']:,} of its {by['n_candidates']:,} candidates"
        yield ", ".join(filter(None, [share, by["scorer"] and f"by {by['scorer']}", chance]))
        if by["why"]:
            names = by["why"].split(", ")
            more = f", {len(names) - HIGHEST} more" if len(names) > HIGHEST else ""
            yield ", ".join(names[:HIGHEST]) + more + ")" * (more != "" and "(" in names[0])
    if score:
        yield score


def _stands_for_it(match: Tree) -> Iterator[str]:
    """What was kept instead, to be held against the text above."""
    kept = match["pruned"] and match["pruned"]["kept"]
    if not kept:
        return
    yield ""
    yield line("kept", f"{shown(kept['id'], 80)}, {kept['uid']}")
    yield line("", f"for {match['pruned']['n_group']:,} samples that say the same")
    for name in kept["images"]:
        yield line("image", shown(name))
    yield from _quoted("text", kept["text"] or "")


def _quoted(label: str, text: str) -> Iterator[str]:
    lines = text.splitlines()
    for number, said in enumerate(lines[:MOST_LINES]):
        yield line("" if number else label, shown(said, MOST_OF_TEXT))
    if len(lines) > MOST_LINES:
        yield line("", f"… ({len(lines) - MOST_LINES:,} more lines)")


def _figures(match: Tree) -> Iterator[str]:
    scores, tables = match["scores"], match["tables"]
    if match["cluster"] is not None:
        near = match["cluster_similarity"]
        yield line(
            "cluster", f"{match['cluster']}" + ("" if near is None else f", cosine {near:.3f} to its centre")
        )
    if "alignment" in scores and scores["alignment"] is not None:
        yield line("alignment", f"{scores['alignment']:.4g} (cosine {scores['alignment_cosine']:.4g})")
        if match["measured"] and "alignment" not in (match.get("clause") or ""):
            yield line("", evidence(match["measured"]))
    for prefix, label in (("cap_", "capability"), ("style_", "style")):
        highest = _highest(scores, prefix)
        if highest:
            yield from packed(label, highest)
    for table, names in tables.items():
        if table in ("alignment", "capability", "checked", "clusters", "nearest"):
            continue
        yield from packed(shown(table, 10), _table(table, names, scores))
    for number, finding in enumerate(scores.get("evidence") or ()):
        yield line("" if number else "found", _finding(finding))


def _table(table: str, names: Sequence[str], scores: Tree) -> list[str]:
    """Figures of a table; of its flags those that are raised."""
    values = {name: scores[name] for name in names if scores[name] is not None and name != "evidence"}
    values = {name: value for name, value in values.items() if not name.startswith(("cap_", "style_"))}
    flags = [name for name, value in values.items() if value is True]
    figures = {name: value for name, value in values.items() if not isinstance(value, bool | list | dict)}
    telling = [name for name in TELLING.get(table, ()) if name in figures] or list(figures)
    return [*(f"{name} {_number(figures[name])}" for name in telling[:FEW]), *flags]


def _highest(scores: Tree, prefix: str) -> list[str]:
    held = [(value, name) for name, value in scores.items() if name.startswith(prefix) and value is not None]
    held.sort(key=lambda pair: (-pair[0], pair[1]))
    named = [(value, name.removeprefix(prefix).replace("_", " ")) for value, name in held[:HIGHEST]]
    return [f"{name} {value:.2f}" for n, (value, name) in enumerate(named) if not n or value >= LOWEST]


def _finding(found: Tree) -> str:
    """A flag with its evidence: the pattern, and the characters of which turn."""
    where = "" if found["turn"] is None else f", turn {found['turn']} [{found['start']}, {found['end']})"
    return f"{found['flag']}: {shown(found['pattern'])}{where}"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else shown(value, 60)
