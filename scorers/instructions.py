"""Instruction patterns: what the wording and the form of a conversation say about the skill it trains.

Cheap features of the turns alone, by patterns of English; no model. Each is a number that a linear model can
use: a flag, a share of the answers, the logarithm of a count, or how near a length is to a fixed one. The
patterns are RE2's, run by Arrow over a batch at once: 15 times as fast as Python's `re` over its texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

PLACEHOLDER = "<image>"
READ = 4000  # characters of a turn in which patterns are looked for

# What a question asks for, in lower case: flags, 1 where any question of the sample has the pattern.
_ASKED: dict[str, str] = {
    "options": r"^\s*\(?[a-h][.):]\s.*\n+\s*\(?[b-h][.):]\s",
    "option_letter": r"\b(option|choice|letter|choose|select|pick)\b",
    "yes_or_no": r"yes or no|yes/no|true or false|true/false",
    "brief": r"single word|one word|short phrase|few words|short answer|brief answer|just the answer|"
    r"no explanation|(answer|reply) (briefly|directly)|only the (answer|number|name)",
    "steps": r"step[ -]by[ -]step|show (your|the) work|explain how|walk me through|"
    r"reason(ing)?\b.*\b(first|then)|think (carefully|through|about)|explain your|"
    r"show how|derive|work through",
    "detail": r"\bdetail|thorough|comprehensive|elaborate|exhaustive|in depth|as specific|precision|"
    r"descriptive|every part|various aspects|for someone who cannot see|blind\b",
    "short": r"\bbrief|concise|compact|terse|in short|(one|single)[ -](sentence|line)|"
    r"short (image )?(description|caption|summary|explanation)|\bcaption\b|summar|\balt(ernative)? text",
    "describe": r"\bdescri(be|ption)|what (do you see|is shown|does (it|this|the) .*\b(show|depict))|"
    r"\bexplain\b|what is happening|\bdepict",
    "title": r"\btitle\b|\bname (it|this)|short name|\bcalled\b|its name",
    "box": r"bounding box|coordinate|\[x1|\bx1\b|\bbox\b.*\b(0-1|normali[sz]ed)|\blocate\b|\bpoint (to|at)\b",
    "json": r"\bjson\b|\byaml\b|\bxml\b|\bcsv\b|\bmarkdown\b|[{\[]\s*\"\w+\"\s*:",
    "list": r"\blist\b|comma|bullet|keywords?|\btags?\b|\benumerate",
    "form": r"format|in the (style|form|voice) of|rewrite|rephrase|translate|"
    r"as a (poem|story|letter|list|table)|output only|return (only|the)|"
    r"line breaks|line by line|lower ?case|upper ?case|exactly \w+ words|poem",
    "read": r"transcri|\bocr\b|\bread\b.*\b(text|out|receipt|sign|line|what)|\bwritten\b|printed|"
    r"extract .*text|type out|what does (it|the (sign|text|label)) say|all (the )?text|copy the",
    "compare": r"\bcompar|differen(t|ce)|\bsimilar|in common|\bboth (images|pictures|photos|figures|charts)|"
    r"(first|second|other|each|these|two|three|which) (two )?(image|picture|photo|figure|icon|board|panel)s?",
    "examples": r"->.*\n.*->|^\s*(q|input|question)\s*:.*\n\s*(a|output|answer)\s*:",
    "count": r"how many|\bcount\b|number of",
    "amount": r"how much|\btotal\b|\bsum\b|\bcost\b|\bprice\b",
    "why": r"\bwhy\b|reason for|what (would|will) happen|\bcause|\bwhat if\b|consequence|\beffect of",
    "how": r"\bhow (does|do|is|are|can|would|did|has|have)\b",
    "what": r"\bwhat\b",
    "which": r"\bwhich\b",
    "where": r"\bwhere\b|in which (part|corner)|on which side|which side",
    "when": r"\bwhen\b|what (date|time|year|day)|on which day",
    "who": r"\bwho(se|m)?\b",
    "polar": r"(^|[.\n]\s*)(is|are|was|were|does|do|did|can|could|has|have|will|would|should)\s",
    "imperative": r"(^|\n)\s*(please\s+)?(describe|give|write|list|name|explain|provide|tell|identify|find|"
    r"compute|calculate|solve|summari[sz]e|generate|create|compare|analy[sz]e|discuss|extract|transcribe|count)\b",
    "formula": r"[=+\x{d7}\x{f7}^√∫∑π]|\\frac|\\sqrt|\d\s*[-*/x]\s*\d",
    "percent": r"%|percent|proportion|\bshare of|\brate\b|\btrend",
    "grid": r"\|.*\|.*\n.*\|",
    "quoted": r"[\"“][^\"”]{3,}[\"”]",
}  # fmt: skip

# What an answer is, in lower case: the share of the sample's answers, and whether there is one.
_ANSWERED: dict[str, str] = {
    "yes_no": r"^\W*(yes|no|true|false)\W*$",
    "verdicts": r"^\W*((\w+ ){0,3}\w+\W* *\b(yes|no|true|false)\b\W*){2,}$",
    "letter": r"^\W*(answer:?\s*)?\(?[a-h][).]?\W*$",
    "box": r"^[\[(<]\s*-?\d+(\.\d+)?\s*(,\s*-?\d+(\.\d+)?\s*){1,3}[\])>][. ]*$",
    "object": r"^\s*(```\w*\s*)?[{\[]\s*(\"|\{|\n)",
    "number": r"^\W*[-+]?[\d.,:/]*\d[\d.,:/]*\s*(%|[a-z°²³/]{0,12})\W*$",
    "word": r"^\W*[\w'\x{2019}-]+\W*$",
    "phrase": r"^[^\n.!?]{1,48}[.!?]?$",
    "listed": r"^[^.!?\n]{2,60},[^.!?\n]{1,240}$",
    "line": r"^[^\n]*$",
    "many_lines": r"\n[^\n]*\n[^\n]*\n",
    "reasoned": r"(?s)(\b(first|next|then|now|therefore|thus|hence|because|since|finally|step \d)\b|=).*"
    r"(\b(then|now|therefore|thus|hence|so|because|finally|step \d|answer)\b|=)",
    "concludes": r"(answer( is)?:?|####|therefore|so,) [^\n]{1,60}$",
    "ended": r"[.!?\x{3002}\x{ff01}\x{ff1f}][\"'”)]*$",
}
# How often answers have these: logarithms of 1 + the count over all of them.
_COUNTED: dict[str, str] = {
    "boxes": r"[\[(<]\s*-?\d+(\.\d+)?\s*,\s*-?\d+(\.\d+)?\s*(,[^\])>]*)?[\])>]",
    "sentences": r"[.!?\x{3002}\x{ff01}\x{ff1f}]+(\s|$)",
    "lines": r"\n",
    "commas": r",",
    "equations": r"=",
    "ordinals": r"\b(image|picture|figure|photo|board|chart) \d|"
    r"\b(first|second|third) (image|picture|figure|photo)",
}
# What part of all answers' characters these are.
_SHARES: dict[str, str] = {
    "digits": r"\d",
    "capitals": r"\p{Lu}",
    "foreign": r"[^\x00-\x{24F}]",
    "symbols": r"[^\w\s.,;:!?'\"()-]",
}
# Words by theme: the logarithm of 1 + how often they occur, in questions and in answers.
_THEMES: dict[str, str] = {
    "colour": "red orange yellow green blue purple violet pink brown black white grey gray teal cyan "
    "magenta beige gold golden silver color colour colors colours colored coloured bright dark "
    "pale",
    "shape": "circle circles square squares triangle triangles rectangle rectangles star stars cross "
    "hexagon oval shape shapes round block blocks object objects item items striped dotted wooden "
    "metal plastic glass small large big tiny empty full open closed",
    "space": "left right above below under over behind front between beside near next top bottom centre "
    "center middle corner edge side upper lower inside outside far base touching position located "
    "location lateral anterior posterior quadrant horizontal vertical",
    "people": "man woman boy girl men women boys girls child children people person kid kids baby lady guy "
    "crowd player players team couple family someone",
    "action": "running walking standing sitting riding playing jumping holding wearing looking climbing "
    "swimming eating drinking throwing catching kicking dancing talking smiling working flying "
    "driving pulling pushing fighting skiing surfing skating posing chasing carrying using "
    "reading runs walks stands sits rides plays jumps holds wears looks climbs swims eats throws "
    "catches kicks flies drives pulls doing",
    "animal": "dog dogs cat cats horse horses bird birds fish cow sheep elephant bear zebra giraffe insect "
    "puppy",
    "scene": "photo photograph scene background foreground street road city beach sea ocean lake river "
    "mountain mountains forest field grass sky snow sand park room kitchen building buildings "
    "house water tree trees night sunset indoors outdoors landscape garden crowd stadium setting "
    "wall floor window table",
    "vehicle": "car cars bus truck train boat bike bicycle motorcycle plane airplane skateboard traffic",
    "chart": "chart graph bar bars pie axis axes percent percentage percentages trend trends data plot "
    "histogram line lines legend survey poll respondents adults americans share increase "
    "increased decrease decreased rate rates proportion majority values value figure rising "
    "growth curve",
    "table": "table row rows column columns cell spreadsheet entry entries schedule record records "
    "recorded list invoice form field fields",
    "maths": "number numbers sum total mean median mode range average add subtract multiply divide "
    "equation function linear fraction equal equals probability distribution how many much more "
    "less fewer greater least most calculate solve solution angle",
    "science": "energy force velocity acceleration electron electrons atom atoms molecule molecules ion ions "
    "reaction chemical acid temperature pressure gas liquid solid cell cells protein proteins dna "
    "membrane bacteria bacterial virus bacterium enzyme bone bones muscle muscles nerve nerves "
    "blood vessel vessels tissue organ heart lung brain skin wave waves field charge current "
    "circuit mass magnetic electric light particle nucleus carbon oxygen hydrogen water "
    "micrograph species gene genes antibody infection physics chemistry biology diagram labeled "
    "labels arrow arrows structure vector",
    "medicine": "patient image ct mri xray x-ray radiograph scan lesion mass fracture fractured effusion "
    "pneumothorax cardiomegaly opacity opacities contrast axial chest lung lungs liver kidney "
    "aorta enlarged pleural abnormality abnormal organ hemorrhage infarct",
    "economy": "price prices demand supply market cost costs trade gdp inflation tax firm firms quantity "
    "equilibrium income labor wage consumer money bank unemployment curve",
    "society": "history war president government political social culture cultural century colonial slavery "
    "slaves religion religious society american revolution law rights vote election congress "
    "population gender race racial class empire art painting poster museum king queen native "
    "immigrants protest",
    "document": "receipt invoice total date address company tax cash change bill shop purchase printed paid "
    "phone telephone no ltd bhd sdn gst",
    "interface": "screenshot window menu button page dialog click settings user interface app tab screen "
    "code terminal command visual studio project select option options panel icon toolbar build test "
    "server",
    "icon": "emoji icon pictogram symbol sign logo flag face category tags keywords name group called",
    "text": "text word words letter letters written says reads title caption label printed line "
    "handwriting",
    "compare": "same different difference differences similar both compare compared comparison whereas while "
    "than unlike first second other each image images picture pictures photos boards figures",
    "cause": "because why cause causes caused effect result results leads therefore so thus since due "
    "reason happens would if when explain explains",
    "logic": "true false statement correct exactly only least all none not both every either conclude "
    "follows",
    "style": "style cinematic illustration realistic photorealistic render lighting background vibrant "
    "minimalist design prompt composition texture detailed aesthetic digital isometric poster "
    "portrait soft",
}  # fmt: skip
_THEME_PATTERNS = {name: rf"\b(?:{'|'.join(words.split())})\b" for name, words in _THEMES.items()}

# Lengths in characters around which a feature peaks; in between, on a scale of logarithms, two share.
_FINE = (1, 4, 10, 20, 40, 80, 120, 160, 220, 300, 450, 700, 1500, 4000)
_COARSE = (1, 8, 30, 80, 200, 600, 2000)

FEATURES: tuple[str, ...] = (
    "images", "several_images", "answers", "several_answers", "system",
    *(f"asks_{name}" for name in _ASKED), "question_digits",
    *(f"share_{name}" for name in _ANSWERED), *(f"any_{name}" for name in _ANSWERED),
    *(f"count_{name}" for name in _COUNTED), *(f"part_{name}" for name in _SHARES),
    *(f"longest_answer_{n}" for n in _FINE), *(f"shortest_answer_{n}" for n in _COARSE),
    *(f"longest_question_{n}" for n in _COARSE),
    *(f"asked_{name}" for name in _THEMES), *(f"answered_{name}" for name in _THEMES),
)  # fmt: skip


@dataclass(frozen=True)
class _Texts:
    """The turns of one role: each text and the row of the conversation that it belongs to, in order."""

    rows: NDArray[np.int64]  # (t,) ascending
    texts: pa.Array  # (t,) trimmed, at most READ characters
    lower: pa.Array
    lengths: NDArray[np.float64]  # (t,) characters before the cut
    n: int  # conversations

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(t,) -> (n,) sums over the turns of each conversation. Whole numbers: exact in any order."""
        return np.bincount(self.rows, weights=values, minlength=self.n).astype(np.float64)

    def matching(self, pattern: str) -> NDArray[np.float64]:
        """(n,) how many turns have a match."""
        return self.total(_numbers(pc.match_substring_regex(self.lower, pattern=f"(?m){pattern}")))

    def being(self, pattern: str) -> NDArray[np.float64]:
        """(n,) how many turns are a match as a whole, ^ and $ being the ends of the turn."""
        return self.total(_numbers(pc.match_substring_regex(self.lower, pattern=pattern)))

    def count(self, pattern: str, *, lower: bool = True) -> NDArray[np.float64]:
        """(n,) matches in all turns."""
        texts = self.lower if lower else self.texts
        return self.total(_numbers(pc.count_substring_regex(texts, pattern=pattern)))

    def extreme(self, rule: np.ufunc) -> NDArray[np.float64]:
        """(n,) the longest (np.maximum) or shortest (np.minimum) length; 0 where there is no turn."""
        out = np.zeros(self.n)
        if len(self.rows):
            present, starts = np.unique(self.rows, return_index=True)
            out[present] = rule.reduceat(self.lengths, starts)
        return out


def features(turns: pa.ListArray, n_images: NDArray[np.integer]) -> NDArray[np.float32]:
    """(n, len(FEATURES)) float32, finite: a row for each conversation, from that conversation alone.

    Args:
        turns: list<struct<role, text>>, roles as in `samples` (user, assistant, system, or as read).
        n_images: (n,) how many images each sample has.
    """
    questions, answers = _texts(turns, "user"), _texts(turns, "assistant")
    n_answers = answers.total(np.ones(len(answers.rows)))
    several = np.maximum(n_answers, 1.0)
    kinds = [answers.being(pattern) for pattern in _ANSWERED.values()]
    found = [
        np.log1p(n_images),
        n_images > 1,
        np.log1p(n_answers),
        n_answers > 1,
        _texts(turns, "system").extreme(np.maximum) > 0,
        *(questions.matching(pattern) > 0 for pattern in _ASKED.values()),
        np.log1p(questions.count(r"\d")),
        *(kind / several for kind in kinds),
        *(kind > 0 for kind in kinds),
        *(np.log1p(answers.count(pattern)) for pattern in _COUNTED.values()),
        *_parts(answers),
        *_hats(answers.extreme(np.maximum), _FINE),
        *_hats(answers.extreme(np.minimum), _COARSE),
        *_hats(questions.extreme(np.maximum), _COARSE),
        *(np.log1p(questions.count(pattern)) for pattern in _THEME_PATTERNS.values()),
        *(np.log1p(answers.count(pattern)) for pattern in _THEME_PATTERNS.values()),
    ]
    return np.stack(found, axis=1).astype(np.float32)


def _texts(turns: pa.ListArray, role: str) -> _Texts:
    offsets = turns.offsets.to_numpy()
    flat = turns.values.slice(offsets[0], offsets[-1] - offsets[0])
    rows = np.repeat(np.arange(len(turns)), np.diff(offsets))
    mine = np.flatnonzero(_numbers(pc.equal(flat.field("role"), role)))
    texts = pc.fill_null(flat.field("text").take(pa.array(mine)), "")
    whole = pc.utf8_trim_whitespace(pc.replace_substring(texts, PLACEHOLDER, ""))
    cut = pc.utf8_slice_codeunits(whole, 0, READ)
    return _Texts(rows[mine], cut, pc.utf8_lower(cut), _numbers(pc.utf8_length(whole)), len(turns))


def _parts(answers: _Texts) -> list[NDArray[np.float64]]:
    letters = np.maximum(answers.total(np.minimum(answers.lengths, READ)), 1.0)
    return [answers.count(pattern, lower=False) / letters for pattern in _SHARES.values()]


def _hats(lengths: NDArray[np.float64], knots: Sequence[int]) -> list[NDArray[np.float64]]:
    """Shares of the two knots on either side of each length; a row's shares add up to 1."""
    logs = np.log(np.array(knots, np.float64))
    at = np.log(np.clip(lengths, knots[0], knots[-1]))
    return [np.interp(at, logs, np.eye(len(knots))[i]) for i in range(len(knots))]


def _numbers(values: pa.Array) -> NDArray[np.float64]:
    """A column as float64, null as 0."""
    numbers: NDArray[np.float64] = pc.fill_null(values.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False)
    return numbers
