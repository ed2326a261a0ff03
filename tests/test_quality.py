"""Synthetic quality: each detector on what it must find and must leave alone, and what comes of it."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, PngImagePlugin

from curation.generate.pool import write_pool
from curation.steps.score.heads import load_head
from curation.workspace import Workspace
from schemas.errors import ConfigError
from scorers.image_marks import marks
from scorers.quality import emptiness, garbage, openings, repetition, truncation
from scorers.quality.diversity import mtld
from scorers.quality.echoes import asking
from scorers.quality.language import differ, language, mismatch
from scorers.quality.refusals import refusal
from scorers.quality.words import words
from scorers.synthetic import Synthetic
from scorers.text_flags import FLAGS, TextFlags, judge
from tests.places import here

# What real mixtures hold and no detector may take for a defect.
REAL = """B
(C)
yes
No
2
21/55
3.5 cm
<
[0.58, 0.38, 0.72, 0.49]
Image 3
True
None
red, green, blue
gift, good luck, money, red envelope
5.6cm focal, predominantly hypodense
no smoking
NO 8, JALAN 7/118B, DESA TUN RAZAK 56000 KUALA LUMPUR, MALAYSIA
{"company": "MR. D.I.Y. (M) SDN BHD", "date": "12-01-19", "address": "LOT 1851-A", "total": "9.00"}
RM 0.00\\nRM 0.00\\nRM 0.00\\nRM 0.00\\nTOTAL\\n0.00
| City | 2006 | 2007 |\\n|------|------|------|\\n| Briggs | 14 | 10 |\\n| Melville | 12 | 12 |
Find the cost. Multiply:\\n\\n$2 × 4 = $8\\n\\nNow add:\\n\\n$8 + $2 = $10\\n\\nThe answer is $10.
22 % say they follow it closely , while similar shares ( 21 % very closely ) track the bill .
def area(r):\\n    return 3.14 * r ** 2
The mass m_1 hangs from a rope; \\\\frac{a}{b} = \\\\sqrt{c^2 + d^2}, and |z| < 5.
NaOH + HCl -> NaCl + H2O; 2 KMnO4 is added.
A man in red shorts jumps for the volley ball .
There is no cat in the picture.
No, the two boards have no black objects in common.
It cannot be determined from the chart.
The man cannot see the dog behind him.
GOODS SOLD ARE NOT RETURNABLE. SORRY FOR THE INCONVENIENCE.
The sign says "Sorry, we are closed".
以下の文字を必ず入れて、1:1のポスターを作成してください。
一朵巨大的荷花作为空间容器，从平静水面自然生长，轻微倾斜，构图优雅留白充足。
Кошка сидит на окне и смотрит на улицу.
Szybki brązowy lis przeskakuje nad leniwym psem, a chłopiec patrzy przez okno na drzewa.
Café, naïve façade, “quoted” text … for 50 €""".splitlines()
REFUSALS = """I'm afraid I'm not able to help with this one.
I really cannot make out what is on this picture, sorry.
My apologies, but there's nothing I can say about this picture.
I do not possess the ability to look at photographs.
Being a text-based assistant, I have no way to open your file.
It looks like there is no photo attached to your message.
It seems the image did not come through. Could you upload it again?
I have to respectfully decline to describe this person.
That request would go against my safety guidelines.
I wouldn't be able to tell you that without seeing the image.
Regrettably, this is outside of my capabilities.
We're unable to comply with this request.
No picture was provided, so the question cannot be answered.
I don't know what this is.
I’m sorry, Dave. I’m afraid I can’t do that.
As a virtual assistant, I can't view photos or videos.
I must refuse.
I can't identify real people from their faces.
Es tut mir leid, aber ich kann kein Bild sehen.
Lo siento, no puedo ver la imagen que mencionas.
Je suis désolée, je ne peux pas répondre à cette question.
对不起，我不能回答这个问题。
すみませんが、画像を見ることができません。
Извините, я не могу описать это изображение.""".splitlines()


def text(line: str) -> str:
    return line.replace("\\n", "\n")


def flags(question: str, answer: str) -> dict[str, str]:
    """Flag -> pattern of one question and its answer."""
    found = judge([("user", question), ("assistant", answer)])
    return {finding.flag: finding.pattern for finding in found.findings}


@pytest.mark.parametrize("answer", REAL)
def test_what_real_answers_look_like_is_no_defect(answer: str) -> None:
    found = judge(
        [("user", "<image>\nWhat do you see? Answer in English or as asked."), ("assistant", text(answer))]
    )
    assert [finding for finding in found.findings if finding.flag != "language_mismatch"] == []
    assert found.cuts == []


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", REFUSALS)
def test_refusals_are_found_whatever_their_words(answer: str) -> None:
    assert refusal(answer) is not None


def test_a_caveat_before_an_answer_is_no_refusal() -> None:
    caveat = "I can't tell his age exactly, but "
    answer = (
        caveat
        + "the man in the middle of the picture wears a red cap and holds a long rope in both hands. " * 2
    )
    assert refusal(answer) is None
    assert refusal(caveat + "no.") is not None


def test_a_refusal_is_looked_for_where_the_answer_begins() -> None:
    story = "The cat sat down. The dog barked. A bird sang. "
    assert refusal(story + "Then it said: I'm sorry, I cannot help you.") is None


# --- empty answers, echoes, copies -------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["", " ", "\n", "\u00a0", "\u200b", "\ufeff \t"])
def test_what_shows_nothing_is_empty(answer: str) -> None:
    assert flags("What is it?", answer) == {"empty_answer": "nothing"}


@pytest.mark.parametrize(
    "answer", ["...", "N/A", "[your answer here]", "null", "TODO", "??", "---", "no response"]
)
def test_what_stands_in_for_an_answer_is_trivial(answer: str) -> None:
    assert set(flags("What is it?", answer)) == {"trivial_answer"}


@pytest.mark.parametrize("answer", ["A", "-", "+", ">", "=", "0", "None", "no", "图", "🔥"])
def test_short_answers_are_answers(answer: str) -> None:
    assert emptiness.empty(answer) is None
    assert emptiness.trivial(answer) is None


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("<image>\nIs there a yellow shape?", "is there a yellow shape"),
        ("Company name?", "Question: Company name?"),
        ("Is there a dog?\nAnswer in one word.", "Is there a dog?"),
        ("<image>\nDescribe the picture in detail.", "Prompt: Describe the picture in detail.\n"),
        ("What color is the car on the left?", "What color is the car on the left? It is red, and new."),
        ("What is it?", "<|im_start|>assistant\nA cat"),
        ("What is it?", "Sure! Here is the rewritten caption: A cat sits on a mat."),
        ("What is it?", "The original answer is a cat, so the longer one is: a cat sits there."),
    ],
)
def test_an_answer_that_repeats_its_prompt_is_an_echo(question: str, answer: str) -> None:
    assert "prompt_echo" in flags(question, answer)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which is it?\nA. a red cat\nB. a blue dog", "a red cat"),
        ("True or false: the cat is red.", "True"),
        ("What color is the car?", "The color of the car is red."),
        ("Is it a cat?", "It is a cat."),
        ("Which country is it? Poland, Norway or Denmark?", "Norway"),
        ("Are there more cats than dogs?", "There are more cats than dogs."),
    ],
)
def test_an_answer_may_use_the_words_of_its_question(question: str, answer: str) -> None:
    assert flags(question, answer) == {}


def test_sentences_that_ask_are_those_of_the_plain_pattern_and_take_linear_time() -> None:
    plain, rng = re.compile(r"[^.!?\n]*[?？]"), random.Random(0)
    for _ in range(5000):
        question = "".join(rng.choices("ab ?？.!\n", k=rng.randrange(12)))
        assert asking(question) == plain.findall(question), question
    long = "is it a cat " * 25_000  # the plain pattern takes minutes
    assert asking(long) == []
    assert asking(f"{long}？{long}.{long}?{long}") == [f"{long}？", f"{long}?"]
    assert "prompt_echo" not in flags(long, "A dog is it")


def test_an_answer_out_of_the_question_is_copied_unless_that_was_asked() -> None:
    fact = "the harbour of the old town was built by monks in the year 1204 and burnt down"
    context = f"Read on. {fact}, which everybody there knows very well today. When was it built, and by whom?"
    assert "copied_answer" in flags(context, fact)
    assert flags("Quote the passage. " + context, fact) == {}


# --- loops -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        "A dog and a cat. " + "a cat and " * 8,
        "the the the the the the the the the the",
        "\n".join(["The man is walking down the street."] * 6),
        "no, " * 12,
        "1 " * 15,
        "It is a goooooooooooooooood picture",
        "我是一只猫我是一只猫我是一只猫我是一只猫我是一只猫我是一只猫",
        "lalalalalalalalala",
    ],
)
def test_loops_of_words_lines_and_characters_are_found(answer: str) -> None:
    found = repetition.loop(answer)
    assert found is not None
    assert len(answer[found.start : found.end]) > 0.4 * len(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "A. B. C. D. E. F. G. H. I. J. K. L.",
        "0 1 0 0 1 1 0 1 0 1 1 0",
        "ha ha ha",
        "Contents .......................... 12",
        "____________________",
        "A cat, a dog, a cat, a horse, a cat, a cow, a cat, a pig.",
        "000000000000 117000000000",
        "row 1: 0.00\nrow 2: 0.00\nrow 3: 0.00\nrow 4: 0.00\nrow 5: 0.00\nrow 6: 0.00",
    ],
)
def test_series_rules_and_tables_are_no_loops(answer: str) -> None:
    assert repetition.loop(answer) is None


def test_a_loop_is_where_it_says() -> None:
    head, unit = "It shows a street with", "a red car"
    answer = f"{head} {' '.join([unit] * 7)}"
    found = repetition.loop(answer)
    assert found is not None
    assert answer[found.start : found.end] == " ".join([unit] * 7)


def test_shares_of_repeated_words_by_hand() -> None:
    assert repetition.repeated_share("a b c d a b c d".split()) == pytest.approx(1 / 5)
    assert repetition.repeated_share(["a", "b"]) == 0
    assert repetition.compression("x" * 99) is None
    loop, prose = repetition.compression("word " * 100), repetition.compression(" ".join(REAL))
    assert loop is not None
    assert prose is not None
    assert loop < 0.1 < prose


# --- garbage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "pattern"),
    [
        ("xqzt vbnkj wprlq zzkfh qqwop mnbvc lkjhg fdsaq poiuy trewq", "letters"),
        ("fjdk slaf jdks lafj dksl ajfk dlsa jfkd lsaj fkdl", "letters"),
        ("абв αβγ 的一是 ひらが 가나다 ابت яюэ", "scripts"),
        ("!@#$%^&*()_+{}|:<>?~-=[];',./", "symbols"),
        ("aB3x9Q kL0pQ2z 7YwR4tU nM2bV9c XzA1sD3", "codes"),
        ("\ufffd\ufffd\ufffd \ufffd\ufffd\ufffd \ufffd\ufffd\ufffd", "broken"),
    ],
)
def test_random_text_is_garbage(answer: str, pattern: str) -> None:
    found = garbage.garbage(answer)
    assert found is not None
    assert found.pattern == pattern


@pytest.mark.parametrize(
    "answer",
    [
        "Hello: Привет, Bonjour, 你好, こんにちは, 안녕하세요",
        "English: hello\nRussian: привет\nChinese: 你好\nKorean: 안녕\nGreek: γεια",
        "Kissa istuu ikkunalaudalla ja katselee lintuja puutarhassa kesäiltana järven rannalla.",
        "Paka anakaa kwenye kiti na kuangalia nje ya dirisha wakati wa jioni.",
        "SHA256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "HTTP XML JSON YAML TLS TCP UDP RST FIN SYN ACK CSV PNG JPG GIF are names.",
        "https://example.com/a1B2c3D4e5/F6g7H8i9?x=Y1z2A3b4",
        "α + β = γ; Δx → 0; 日本語, with English words",
    ],
)
def test_other_languages_lists_and_addresses_are_no_garbage(answer: str) -> None:
    assert garbage.garbage(answer) is None


@pytest.mark.parametrize("seed", range(5))
def test_random_letters_cost_more_bits_than_any_language(seed: int) -> None:
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    noise = " ".join("".join(rng.choices(letters, k=rng.randint(3, 9))) for _ in range(12))
    assert garbage.letter_bits(noise)[0] > garbage.GIBBERISH_BITS
    assert garbage.letter_bits("A man in red shorts jumps for the ball.")[0] < 4.5


def test_mojibake_is_found_and_real_accents_are_not() -> None:
    for broken in ("The cafÃ© is open", "donâ€™t do it", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "one \ufffd two"):
        assert garbage.mojibake(broken) is not None
    for fine in ("The café is open", "don’t", "привет", "Ünïcödé – “ok” … 50 €", "naïve"):
        assert garbage.mojibake(fine) is None


# --- where answers end -------------------------------------------------------------------------------------

POOL = """The graph shows transportation costs and the transport of goods. An elephant stands by elephants.
 The cat sat on the mat and the cats sat on mats in the street, where streets meet other streets."""


@pytest.fixture(scope="module")
def lexicon() -> truncation.Lexicon:
    counts: dict[str, int] = {}
    for word in truncation.words(POOL):
        counts[word] = counts.get(word, 0) + 3
    return truncation.Lexicon(counts)


@pytest.mark.parametrize(
    ("answer", "pattern"),
    [
        ('{"company": "MR. D.I.Y.", "date": "12-01-', "unclosed"),
        ("A man sits at the", "dangling"),
        ("The figure shows a cell and", "dangling"),
        ("Here is the code:\n```python\nprint(1)", "fence"),
        ("It shows a dog, a cat,", "open"),
        ("The result of the sum (", "open"),
    ],
)
def test_answers_that_cannot_end_so_are_cut(answer: str, pattern: str) -> None:
    found = truncation.cut(answer)
    assert found is not None
    assert found.pattern == pattern


@pytest.mark.parametrize(
    "answer",
    [
        "A dog lies on the mat.",
        "Read-only guest sign in",
        "a plate with some cut up vegetables on it",
        "[0.58, 0.38, 0.72, 0.49]",
        "PEW RESEARCH CENTER Sept, 4-8, 2013,",
        "SEKSYEN U13, 40170 SHAH ALAM,",
        "the",
    ],
)
def test_answers_without_a_full_stop_are_not_cut_for_that(answer: str) -> None:
    assert truncation.cut(answer) is None


@pytest.mark.parametrize(
    ("answer", "piece"),
    [
        ("The chart shows how high the transpo", True),
        ("An old photograph of the eleph", True),
        ("Two people cross the stree", True),
        ("Two people cross the street", False),
        ("A photograph of the cat", False),
        ("A portrait of the zebra", False),
    ],
)
def test_a_last_word_that_only_begins_words_of_the_pool_is_a_piece(
    answer: str, piece: bool, lexicon: truncation.Lexicon
) -> None:
    ending = truncation.ending(answer)
    assert ending is not None
    assert answer[ending.start : ending.end] == ending.word
    assert lexicon.is_piece(ending.word) is piece


@pytest.mark.parametrize(
    "answer", ["gift, luck, mone", "It ends.", "In 2012", "the transpo", "see figure 5e", "他在街"]
)
def test_tags_marks_numbers_and_phrases_show_no_ending(answer: str) -> None:
    assert truncation.ending(answer) is None


# --- openings, diversity, language -------------------------------------------------------------------------


def test_openings_are_mined_from_longer_answers_and_numbers_are_alike() -> None:
    answers = [f"The image shows {thing} on a table in a room." for thing in "abcdefghijkl"]
    answers += [f"{n} % say that they followed the news closely." for n in range(12)]
    answers += ["A red car"] * 50
    found = [item for item in map(openings.opening, answers) if item]
    assert openings.mine(text for text, _, _ in found) == [
        ("0 say that", 12, 0.5),
        ("the image shows", 12, 0.5),
    ]
    assert answers[0][found[0][1] : found[0][2]] == "The image shows"


def test_mtld_by_hand() -> None:
    assert mtld("a b".split() * 30) == 3  # a stretch a b a falls to 2/3
    assert mtld([str(n) for n in range(60)]) == 60
    assert mtld("too short".split()) is None
    pool, prose = mtld(words(POOL * 3)), mtld(words(" ".join(REAL)))
    assert pool is not None
    assert prose is not None
    assert pool < prose


def test_languages_are_told_apart_and_short_texts_are_not_judged() -> None:
    assert language("What is the man on the left holding in his hand?") == "en"
    assert language("Was hält der Mann auf der linken Seite in der Hand?") == "de"
    assert language("一朵巨大的荷花作为空间容器，从平静水面自然生长") == "zh"
    assert language("Subarachnoid") is None
    assert language("12-01-19 43300 17:24:07 0.583 0.595 0.745") is None
    assert differ("en", "de")
    assert not differ("ms", "id")
    assert not differ("en", None)


def test_another_language_counts_unless_it_was_asked_for() -> None:
    answer = "Eine Frau mit einem roten Regenschirm wartet an der Haltestelle auf den nächsten Bus."
    assert mismatch("Describe the picture for me, please.", answer, "en", "de")
    assert not mismatch("Describe the picture in German, please.", answer, "en", "de")
    assert not mismatch("Please translate the caption for me.", answer, "en", "de")
    shop = "KEDAI PAPAN YEW CHUAN, LOT 276 JALAN BANTING, 43800 DENGKIL, SELANGOR"
    assert not mismatch("What is the address of the shop?", shop, "en", "ms")


# --- a sample ----------------------------------------------------------------------------------------------


def batch(*samples: list[tuple[str, str]] | None) -> pa.RecordBatch:
    kind = pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))
    rows = [None if turns is None else [{"role": r, "text": t} for r, t in turns] for turns in samples]
    return pa.record_batch([pa.array(rows, kind)], ["turns"])


TALK = [
    ("system", "Be kind."),
    ("user", "<image>\nWhat is on the table?"),
    ("assistant", "I'm sorry, but I cannot see any picture."),
    ("user", "Try again."),
    ("assistant", "The image shows a red cup on a wooden table and a spo"),
]


def test_evidence_names_the_turn_and_the_characters() -> None:
    rows = TextFlags().score(batch(TALK)).to_pylist()
    assert rows[0]["refusal"] is True
    assert [rows[0][name] for name in FLAGS if name != "refusal"] == [False] * (len(FLAGS) - 1)
    (finding,) = rows[0]["evidence"]
    said = TALK[finding["turn"]][1]
    assert (finding["flag"], finding["pattern"]) == ("refusal", "apology")
    assert said[finding["start"] : finding["end"]] == said
    (ending,) = rows[0]["endings"]
    assert (ending["turn"], ending["word"]) == (4, "spo")


def test_flags_are_null_without_an_answer_and_do_not_depend_on_the_batch() -> None:
    many = [TALK, None, [], [("user", "Why?")], [("user", "Why?"), ("assistant", "")]]
    whole = TextFlags().score(batch(*many))
    assert whole["refusal"].to_pylist() == [True, None, None, None, False]
    assert whole["empty_answer"].to_pylist() == [False, None, None, None, True]
    for row, turns in enumerate(many):
        assert TextFlags().score(batch(turns)).to_pylist()[0] == whole.slice(row, 1).to_pylist()[0]
    assert whole.schema.equals(TextFlags.writes, check_metadata=True)


@dataclass(frozen=True)
class Described:
    rows: pa.RecordBatch
    offsets: np.ndarray
    images: pa.Table


IMAGES = {
    "contrast": pa.array([0.2, 0.0, 0.1, None], pa.float32()),
    "sharpness": pa.array([0.5, None, 0.01, None], pa.float32()),
    "edges": pa.array([90, 0, 7, None], pa.float32()),
    "generator": ["Stable Diffusion", None, None, None],
    "generator_mark": ["png:parameters", None, None, None],
}


def described(
    samples: list[list[tuple[str, str]] | None], alignment: list[float | None], images: list[int]
) -> Described:
    """Sample i has `images[i]` of IMAGES, in order."""
    flagged = TextFlags().score(batch(*samples))
    columns = {name: flagged[name] for name in flagged.schema.names}
    columns["alignment"] = pa.array(alignment, pa.float32())
    columns["error"] = pa.array([None] * len(samples), pa.string())
    return Described(pa.record_batch(columns), np.cumsum([0, *images]), pa.table(IMAGES))


def good(answer: str = "It is a cup of tea.") -> list[tuple[str, str]]:
    return [("user", "<image>\nWhat is it?"), ("assistant", answer)]


def test_synthetic_quality_is_its_formula() -> None:
    lexicon = truncation.Lexicon({"spoon": 5, "spoons": 5})
    scorer = Synthetic(lexicon, {"the image shows": 0.05})
    answer = "The image shows a red cup on a wooden table."
    samples = [good(), good(answer), TALK, good("It is a good cup of the"), None]
    rows = scorer.score(described(samples, [0.0, None, 3.0, 0.0, None], [1, 0, 0, 0, 0])).to_pylist()
    assert rows[0]["synthetic_quality"] == pytest.approx(1 * (2 + 0.5 + 0.5) / 4)
    assert rows[1]["scope"] == pytest.approx(1 - 0.05 / 0.1)
    assert rows[1]["agreement"] is None
    assert rows[1]["synthetic_quality"] == pytest.approx((2 + 0.5 + 0.5) / 4)
    assert rows[1]["boilerplate_opening"] is True
    assert (rows[1]["opening"], rows[1]["opening_share"]) == ("the image shows", pytest.approx(0.05))
    assert rows[2]["synthetic_quality"] == rows[2]["fidelity"] == 0
    assert rows[2]["truncated_answer"] is True
    assert [found["flag"] for found in rows[2]["evidence"]] == [
        "refusal",
        "boilerplate_opening",
        "truncated_answer",
    ]
    assert rows[3]["fidelity"] == 0.5
    assert rows[4]["synthetic_quality"] is None
    assert rows[4]["quality_reason"] == "no_answer"


def test_images_are_flagged_by_number() -> None:
    scorer = Synthetic(truncation.Lexicon({}), {})
    rows = scorer.score(described([good(), good(), good()], [0.0, 0.0, None], [3, 1, 0])).to_pylist()
    assert [rows[0][name] for name in ("blank_image", "blurry_image", "generated_image")] == [True] * 3
    assert {found["pattern"] for found in rows[0]["evidence"]} == {
        "image 1: Stable Diffusion (png:parameters)",
        "image 2",
        "image 3",
    }
    assert [rows[1]["blank_image"], rows[2]["blank_image"]] == [None, None]  # not measured; none there


# --- marks of images ---------------------------------------------------------------------------------------


def saved(kind: str, **options: object) -> tuple[Image.Image, bytes]:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), "grey").save(buffer, kind, **options)
    image = Image.open(BytesIO(buffer.getvalue()))
    image.load()
    return image, buffer.getvalue()


def png(**texts: str) -> tuple[Image.Image, bytes]:
    info = PngImagePlugin.PngInfo()
    for key, value in texts.items():
        info.add_text(key, value)
    return saved("PNG", pnginfo=info)


def exif(**tags: object) -> bytes:
    found = Image.Exif()
    for tag, value in tags.items():
        found[int(tag.removeprefix("t"), 16)] = value
    return found.tobytes()


@pytest.mark.parametrize(
    ("made", "generator", "mark"),
    [
        (png(parameters="a cat\nSteps: 20, Sampler: Euler a"), "Stable Diffusion", "png:parameters"),
        (png(prompt='{"3": {"class_type": "KSampler"}}'), "ComfyUI", "png:prompt"),
        (png(workflow='{"nodes": []}'), "ComfyUI", "png:workflow"),
        (png(Software="NovelAI"), "NovelAI", "png:Software"),
        (png(Description="a prompt is a text", Software="Adobe ImageReady"), None, None),
        (saved("JPEG", exif=exif(t0131="Midjourney")), "Midjourney", "exif:Software"),
        (saved("JPEG", exif=exif(t010E="Made with Google AI")), "Google", "exif:ImageDescription"),
        (saved("JPEG", exif=exif(t010F="Canon", t0110="EOS 5D")), None, None),
        (saved("JPEG", comment=b"DALL-E 3"), "DALL-E", "comment"),
        (saved("JPEG"), None, None),
    ],
)
def test_marks_of_generators_are_read(made: tuple[Image.Image, bytes], generator: str, mark: str) -> None:
    found = marks(*made)
    assert (found["generator"], found["generator_mark"]) == (generator, mark)


def test_cameras_software_and_declarations_are_read() -> None:
    image, data = saved("JPEG", exif=exif(t010F="Canon", t0110="EOS 5D", t0131="GIMP 2.10"))
    assert marks(image, data)["camera"] == "Canon EOS 5D"
    assert marks(image, data)["software"] == "GIMP 2.10"
    declared = data + b"<Iptc4xmpExt:DigitalSourceType>http://x/trainedAlgorithmicMedia<"
    assert marks(image, declared)["generator"] == "unnamed"
    signed = marks(image, data + b"\0\0\0 jumb\0\0\0\x1ejumdc2pa\0 c2pa.claim")
    assert (signed["generator"], signed["generator_mark"]) == (None, "c2pa")


# --- heads -------------------------------------------------------------------------------------------------


def head(path, weight: np.ndarray, bias: np.ndarray | None = None, prefix: str = ""):
    from safetensors.numpy import save_file

    tensors = {f"{prefix}weight": weight.astype(np.float32)}
    if bias is not None:
        tensors[f"{prefix}bias"] = bias.astype(np.float32)
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("prefix", ["", "linear."])
def test_a_head_may_have_one_output_or_several_and_a_prefix(tmp_path, prefix: str) -> None:
    one = load_head(head(tmp_path / "one.safetensors", np.ones(8), prefix=prefix), ("good",), "image", 8)
    assert one.head.weight.shape == (1, 8)
    many = head(tmp_path / "many.safetensors", np.ones((2, 8)), np.ones(2), prefix)
    assert load_head(many, ("a", "b"), "text", 8).head.columns == ("a", "b")


@pytest.mark.parametrize(
    ("weight", "bias", "columns", "words"),
    [
        (np.ones(768), None, ("good",), ["bad.safetensors", "768", "256", "--model"]),
        (np.ones((3, 256)), None, ("good",), ["3 outputs", "columns", "score.heads.good"]),
        (np.ones((1, 256)), np.ones(2), ("good",), ["`bias` has 2 values"]),
        (np.full(256, np.nan), None, ("good",), ["not finite"]),
        (np.ones((2, 2, 2)), None, ("good",), ["it holds weight (2, 2, 2)"]),
    ],
)
def test_a_head_that_does_not_fit_is_refused_with_both_sides(tmp_path, weight, bias, columns, words) -> None:
    path = head(tmp_path / "bad.safetensors", weight, bias)
    with pytest.raises(ConfigError) as refused:
        load_head(path, columns, "image", 256)
    assert all(word in str(refused.value) for word in words)


def test_a_file_that_is_no_head_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.safetensors cannot be read"):
        load_head(tmp_path / "nowhere.safetensors", ("good",), "image", 256)
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(ConfigError, match="no safetensors file"):
        load_head(tmp_path / "text.safetensors", ("good",), "image", 256)


# --- the chain ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A small pool with two heads, scored and selected by one of them."""
    folder = tmp_path_factory.mktemp("scored")
    write_pool(folder, 48, seed=5)
    made = Workspace.init(folder, {"demo": folder / "pool.json"}, images=[folder], model="builtin:tiny")
    rng = np.random.default_rng(0)
    head(folder / "a.safetensors", rng.standard_normal(256), np.array([1.0]))
    head(folder / "b.safetensors", rng.standard_normal((2, 256)))
    text = (folder / "curate.toml").read_text()
    text += '\n[score.heads.pretty]\npath = "a.safetensors"\n'
    text += '\n[score.heads.plain]\npath = "b.safetensors"\non = "text"\ncolumns = ["plain", "odd"]\n'
    (folder / "curate.toml").write_text(text)
    workspace = Workspace(made.base)
    workspace.select("50%", "top:pretty")
    return workspace


def test_heads_are_the_product_with_the_stored_vectors(scored: Workspace) -> None:
    from safetensors.numpy import load_file

    found = scored.store.read("heads")
    assert found.schema.names == ["uid", "pretty", "plain", "odd"]
    vectors = scored.store.read("vectors")
    weight = load_file(here(scored.base) / "a.safetensors")["weight"].astype(float)
    for row, image in zip(found["pretty"].to_pylist(), vectors["image"].to_pylist(), strict=True):
        assert (row is None) == (image is None)
        if image is not None:
            assert row == pytest.approx(float(np.dot(weight, image)) + 1, abs=1e-5)
    assert found["odd"].null_count == vectors["text"].null_count


def test_a_head_decides_a_selection_and_another_file_computes_it_anew(scored: Workspace) -> None:
    kept = scored.store.read("selection").filter(scored.store.read("selection")["keep"])
    scores = dict(
        zip(*(scored.store.read("heads")[name].to_pylist() for name in ("uid", "pretty")), strict=True)
    )
    left = [
        scores[row["uid"]]
        for row in scored.store.read("selection").to_pylist()
        if row["reason"] == "over_budget" and scores[row["uid"]] is not None
    ]
    assert min(scores[uid] for uid in kept["uid"].to_pylist()) >= max(left)
    assert scored.select("50%", "top:pretty")["computed"] == {}
    head(scored.base / "a.safetensors", np.ones(256))
    again = scored.select("50%", "top:pretty")["computed"]
    assert {"heads", "selection"} <= set(again)
    assert "quality" not in again


def test_a_column_of_no_head_is_refused_before_anything_is_computed(scored: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"no column 'beauty', no head .*--head NAME=FILE.*alignment"):
        scored.select("50%", "top:beauty")


def test_every_sample_has_a_quality_and_bad_records_say_why_not(scored: Workspace) -> None:
    rows = scored.store.read("quality").to_pylist()
    errors = scored.store.read("checked", ["error"])["error"].to_pylist()
    assert len(rows) == len(errors)
    for row, error in zip(rows, errors, strict=True):
        assert row["quality_reason"] == error
        assert (row["synthetic_quality"] is None) == (error is not None)


def test_explain_shows_the_quality_and_flags_prune_nothing(scored: Workspace) -> None:
    from curation.commands.explain import explain

    uid = scored.store.read("selection")["uid"][0].as_py().hex()
    scores = explain(scored, uid)["matches"][0]["scores"]
    assert {"synthetic_quality", "refusal", "evidence", "pretty", "answer_language"} <= set(scores)
    reasons = set(scored.store.read("selection")["reason"].to_pylist())
    pruned = {"exact_duplicate", "near_duplicate", "perceptual_duplicate"}
    assert reasons <= {"kept", "over_budget", "quarantined", *pruned}


# --- planted defects ---------------------------------------------------------------------------------------

AT_LEAST = {
    "refusal": 0.97,
    "prompt_echo": 0.97,
    "repetition": 0.97,
    "empty_answer": 0.97,
    "garbage_text": 0.95,
}


@pytest.mark.slow
def test_planted_texts_are_found_and_little_else(shared, tmp_path) -> None:
    kinds = [*AT_LEAST, "truncated_answer"]
    tool = [sys.executable, shared / "tools" / "plant_defects.py", "--no-copy", "--seed", "11"]
    data = ["--in", shared / "mixture" / "mixture.json", "--images", shared / "mixture", "--out", tmp_path]
    subprocess.run(
        [*tool, *data, "--per-kind", "60", "--kinds", ",".join(kinds)], check=True, capture_output=True
    )
    truth = {
        row["index"]: row["kind"] for row in json.loads((tmp_path / "truth.json").read_text())["records"]
    }
    roles = {"human": "user", "gpt": "assistant"}
    found: dict[str, set[int]] = {kind: set() for kind in AT_LEAST}
    for index, record in enumerate(json.loads((tmp_path / "data.json").read_text())):
        for finding in judge(
            [(roles[turn["from"]], turn["value"]) for turn in record["conversations"]]
        ).findings:
            if finding.flag in found:
                found[finding.flag].add(index)
    for kind, least in AT_LEAST.items():
        planted = {index for index, name in truth.items() if name == kind}
        assert len(planted & found[kind]) >= least * len(planted), kind
        assert len(planted & found[kind]) >= 0.95 * len(found[kind]), kind
