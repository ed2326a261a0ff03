"""Rendered text: signs, receipts, notes and labels to be read."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from curation.generate import words
from curation.generate.canvas import COLOURS, contrasting, fit_font, font, ink_on, jitter, page, size
from curation.generate.sample import Sample, article, draw_turns, listed


def rendered_text(rng: random.Random) -> Sample:
    """Return a sign, receipt, note or parcel label with questions on what it says."""
    return rng.choice((_sign, _sign, _receipt, _note, _label))(rng)


def _sign(rng: random.Random) -> Sample:
    picture, pen, paper = page(rng)
    colour = contrasting(rng, paper, 1)[0]
    kind, lines = rng.choice(
        (
            ("sign", [rng.choice(words.NOTICES)]),
            ("street sign", [rng.choice(words.STREETS)]),
            (
                "shop sign",
                [rng.choice(words.SHOPS), rng.choice(("", "since", "est.")) + f" {rng.randint(1890, 2024)}"],
            ),
            ("road sign", [rng.choice(words.CITIES), f"{rng.randint(2, 480)} km"]),
            ("door sign", [f"Room {rng.randint(1, 499)}", rng.choice(words.NAMES)]),
        )
    )
    lines = [line.strip() for line in lines]
    plate = jitter(rng, COLOURS[colour])
    x, y = picture.width * rng.uniform(0.04, 0.15), picture.height * rng.uniform(0.05, 0.28)
    box = (x, y, picture.width - x, picture.height - y)
    pen.rounded_rectangle(box, rng.choice((0, 6, 18)), plate, ink_on(plate), rng.choice((0, 2, 4)))
    for i, line in enumerate(lines):
        at = (picture.width / 2, y + (picture.height - 2 * y) * (i + 1) / (len(lines) + 1))
        pen.text(
            at, line, ink_on(plate), fit_font(line, picture.width - 2 * x - 14, 44 if i == 0 else 24), "mm"
        )
    text = " ".join(lines)
    turns = [
        (rng.choice((f"What does the {kind} say?", "What is written here?", "Read the text.")), text),
        (rng.choice((f"What colour is the {kind}?", "Which colour has the plate?")), colour),
        (
            rng.choice(("What is this?", "What does the picture show?")),
            f"{article(colour)} {kind} that says {text}",
        ),
    ]
    caption = rng.choice(
        (f"{article(colour)} {kind} that says {text}", f"{kind} reading {text}", f"{text}, on a {kind}")
    )
    return Sample("rendered", picture, draw_turns(rng, turns), caption)


def _receipt(rng: random.Random) -> Sample:
    shop = rng.choice(words.SHOPS)
    goods = rng.sample(words.GOODS, rng.randint(2, 6))
    prices = [rng.randint(45, 1999) for _ in goods]  # cents
    total = f"{sum(prices) / 100:.2f}"
    date = f"{rng.randint(1, 28):02d}/{rng.randint(1, 12):02d}/{rng.randint(2015, 2026)}"
    width, height = rng.randint(130, 180), 74 + 18 * len(goods)
    desk = COLOURS[rng.choice(list(COLOURS))]
    margin = rng.randint(2, 24)
    picture = Image.new("RGB", (width + 2 * margin, min(320, height + 2 * margin)), jitter(rng, desk, 20))
    pen = ImageDraw.Draw(picture)
    slip = jitter(rng, (250, 250, 246), 5)
    pen.rectangle((margin, margin, margin + width, picture.height - margin), slip)
    pen.text((margin + width / 2, margin + 4), shop, (20, 20, 20), fit_font(shop, width - 8, 17), "ma")
    pen.text((margin + width / 2, margin + 24), date, (70, 70, 70), font(11), "ma")
    for i, (name, price) in enumerate([*zip(goods, prices, strict=True), ("TOTAL", sum(prices))]):
        y = margin + 42 + i * 18
        pen.text((margin + 8, y), name, (20, 20, 20), font(13 if name == "TOTAL" else 12))
        pen.text((margin + width - 8, y), f"{price / 100:.2f}", (20, 20, 20), font(12), "ra")
    i = rng.randrange(len(goods))
    turns = [
        (rng.choice(("What is the total?", "How much was paid?", "Total amount?")), total),
        (
            rng.choice((f"How much did the {goods[i]} cost?", f"Price of {goods[i]}?")),
            f"{prices[i] / 100:.2f}",
        ),
        (rng.choice(("Which shop is this receipt from?", "Name the shop.")), shop),
        (rng.choice(("What is the date on the receipt?", "When was it bought?")), date),
        (rng.choice(("List what was bought.", "Which goods are on the receipt?")), listed(goods)),
    ]
    caption = rng.choice(
        (
            f"a receipt from {shop} of {date}: {listed(goods)}, total {total}",
            f"receipt of {shop} for {listed(goods)}",
        )
    )
    return Sample("rendered", picture, draw_turns(rng, turns), caption)


def _note(rng: random.Random) -> Sample:
    name = rng.choice(words.NAMES)
    tasks = rng.sample(words.ERRANDS, rng.randint(1, 5))
    picture, pen, paper = page(rng, least=180)
    ink = rng.choice((ink_on(paper), jitter(rng, COLOURS[contrasting(rng, paper, 1)[0]])))
    mark = rng.choice(("- ", "* ", "", "[ ] "))
    left, y = rng.randint(6, 30), rng.randint(6, 24)
    head = rng.choice((f"To do, {name}", f"Dear {name},", f"{name}'s list", f"For {name}:"))
    pen.text((left, y), head, ink, font(rng.randint(16, 22)))
    step = min(32, (picture.height - y - 34) / len(tasks))
    for i, task in enumerate(tasks):
        pen.text(
            (left, y + 30 + i * step), mark + task, ink, fit_font(mark + task, picture.width - left - 6, 17)
        )
    turns = [
        (rng.choice(("Who is the note for?", "Whose note is this?")), name),
        (rng.choice(("What has to be done?", "List the tasks on the note.")), listed(tasks)),
        (rng.choice(("How many tasks are on the note?", "Count the tasks.")), str(len(tasks))),
        (rng.choice(("What comes first?", "What is the first task?")), tasks[0]),
        (rng.choice(("Read the note.", "Transcribe the note.")), "\n".join([head, *tasks])),
    ]
    caption = rng.choice((f"a note for {name}: {listed(tasks)}", f"a list of tasks: {listed(tasks)}"))
    return Sample("rendered", picture, draw_turns(rng, turns), caption)


def _label(rng: random.Random) -> Sample:
    name, street, city = rng.choice(words.NAMES), rng.choice(words.STREETS), rng.choice(words.CITIES)
    number, code = rng.randint(1, 199), rng.randint(10000, 99999)
    extent = size(rng)
    board = rng.choice(((196, 156, 108), (176, 140, 96), (210, 180, 140), (120, 120, 124), (70, 90, 120)))
    picture = Image.new("RGB", extent, jitter(rng, board))
    pen = ImageDraw.Draw(picture)
    w, h = extent
    box = (
        w * rng.uniform(0.05, 0.2),
        h * rng.uniform(0.05, 0.2),
        w * rng.uniform(0.8, 0.96),
        h * rng.uniform(0.75, 0.95),
    )
    pen.rectangle(box, jitter(rng, (248, 248, 244), 6), (90, 90, 90))
    lines = [name, f"{number} {street}", f"{code} {city}"]
    step = (box[3] - box[1] - 24) / 3
    for i, line in enumerate(lines):
        pen.text(
            (box[0] + 8, box[1] + 6 + i * step), line, (24, 24, 30), fit_font(line, box[2] - box[0] - 14, 22)
        )
    x = round(box[0] + 8)
    while x < box[2] - 8:
        thick = rng.choice((1, 1, 2, 3))
        pen.rectangle((x, box[3] - 16, x + thick - 1, box[3] - 4), (16, 16, 16))
        x += thick + rng.choice((1, 2, 3))
    turns = [
        (rng.choice(("Who is the parcel for?", "Name on the label?")), name),
        (rng.choice(("Which city is on the label?", "Where does it go?")), city),
        (rng.choice(("What is the postcode?", "Read the postal code.")), str(code)),
        (rng.choice(("What is the full address?", "Read the address.")), ", ".join(lines)),
    ]
    caption = rng.choice((f"a parcel label for {', '.join(lines)}", f"address label: {name}, {city}"))
    return Sample("rendered", picture, draw_turns(rng, turns), caption)
