"""Receipts that differ in a day, a number, a name of goods, or a price and with it the total."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from curation.generate import words
from curation.generate.canvas import COLOURS, font, jitter
from curation.generate.twins.family import Family, different

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

INK = (28, 28, 30)


@dataclass(frozen=True)
class Receipt:
    """What is printed on a slip."""

    shop: str
    street: str
    number: int
    date: str
    rows: tuple[tuple[int, str, int], ...]  # how many, of what, for how many cents together

    @property
    def total(self) -> int:
        """Cents."""
        return sum(cents for _, _, cents in self.rows)

    def with_row(self, at: int, goods: str, cents: int) -> Receipt:
        """The same but for the goods and the price of one row."""
        rows = list(self.rows)
        rows[at] = (rows[at][0], goods, cents)
        return replace(self, rows=tuple(rows))


def receipts(rng: random.Random, k: int) -> Family:
    """Return k receipts that differ in one word or number."""
    first = _receipt(rng)
    at = rng.randrange(len(first.rows))
    _, goods, cents = first.rows[at]
    what = rng.choice(("date", "number", "goods", "price"))
    if what == "date":
        days = different(k, lambda: rng.randint(1, 28))
        question, answers = "What is the date on the receipt?", tuple(_on(first.date, day) for day in days)
        slips = [replace(first, date=date) for date in answers]
    elif what == "number":
        numbers = different(k, lambda: rng.randint(10_000, 99_999))
        question, answers = "What is the number of the receipt?", tuple(map(str, numbers))
        slips = [replace(first, number=number) for number in numbers]
    elif what == "goods":
        listed = [goods for _, goods, _ in first.rows]
        answers = different(k, lambda: rng.choice(words.GOODS), listed)
        question = f"What was bought for {_money(cents)}?"
        slips = [first.with_row(at, name, cents) for name in answers]
    else:
        prices = different(k, lambda: rng.randint(45, 1999))
        question, answers = f"How much did the {goods} cost?", tuple(map(_money, prices))
        slips = [first.with_row(at, goods, price) for price in prices]
    look = rng.getrandbits(32)
    images = tuple(_draw(random.Random(look), slip) for slip in slips)
    return Family(images, what, question, answers, ("Which shop is this receipt from?", first.shop))


def _receipt(rng: random.Random) -> Receipt:
    goods = rng.sample(words.GOODS, rng.randint(4, 11))
    prices = different(len(goods), lambda: rng.randint(45, 1999))
    rows = tuple((rng.randint(1, 5), *row) for row in zip(goods, prices, strict=True))
    street = f"{rng.randint(1, 199)} {rng.choice(words.STREETS)}, {rng.choice(words.CITIES)}"
    return Receipt(rng.choice(words.SHOPS), street, rng.randint(10_000, 99_999), _date(rng), rows)


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1, 28):02d}/{rng.randint(1, 12):02d}/{rng.randint(2015, 2026)}"


def _on(date: str, day: int) -> str:
    """The date with another day of its month."""
    return f"{day:02d}{date[2:]}"


def _money(cents: int) -> str:
    return f"{cents / 100:.2f}"


def _draw(look: random.Random, slip: Receipt) -> Picture:
    """Draw the slip on a desk; equal looks give all receipts of as many rows the same layout."""
    width, step = look.randint(280, 420), look.randint(22, 30)
    margin, size = look.randint(4, 30), look.randint(13, 17)
    height = 190 + step * (len(slip.rows) + 2)
    desk = jitter(look, COLOURS[look.choice(list(COLOURS))], 20)
    picture = Image.new("RGB", (width + 2 * margin, height + 2 * margin), desk)
    pen = ImageDraw.Draw(picture)
    left, right, y = margin + 14, margin + width - 14, margin + 14
    pen.rectangle((margin, margin, margin + width, margin + height), jitter(look, (248, 248, 244), 7))
    middle = margin + width / 2
    pen.text((middle, y), slip.shop, INK, font(size + 8), "ma")
    pen.text((middle, y + 32), slip.street, INK, font(size - 1), "ma")
    pen.text((left, y + 64), f"No. {slip.number}", INK, font(size))
    pen.text((right, y + 64), slip.date, INK, font(size), "ra")
    y += 96
    pen.line((left, y, right, y), INK)
    for i, (count, goods, cents) in enumerate(slip.rows):
        pen.text((left, y + 8 + i * step), f"{count} x {goods}", INK, font(size))
        pen.text((right, y + 8 + i * step), _money(cents), INK, font(size), "ra")
    y += 14 + step * len(slip.rows)
    pen.line((left, y, right, y), INK)
    pen.text((left, y + 8), "TOTAL", INK, font(size + 4))
    pen.text((right, y + 8), _money(slip.total), INK, font(size + 4), "ra")
    pen.text((middle, y + 8 + 2 * step), "THANK YOU", INK, font(size), "ma")
    return picture
