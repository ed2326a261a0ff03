"""Numbers, amounts and dates as texts and receipts have them. Strings in, one way of writing each out."""

from __future__ import annotations

import re
from datetime import date

# 1,234.50 and 1.234,50; else digits with a decimal point, or with a decimal comma before one or two digits.
_NUMBER = (
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d{1,3}(?:\.\d{3})+,\d{1,2}(?!\d)"
    r"|(?<![\d,])\d+,\d{1,2}(?![\d,])|\d+(?:\.\d+)?"
)
_NUMBERS = re.compile(_NUMBER)
_AMOUNTS = re.compile(
    rf"(?:[$€£¥₹]|\b(?:RM|USD|EUR|GBP|CHF|Rs\.?))\s*(?P<behind>{_NUMBER})"
    rf"|(?<![\d.,])(?P<before>{_NUMBER})\s*[€£]"
    r"|(?<![\d.,])(?P<cents>(?:\d{1,3}(?:,\d{3})+|\d+)[.,]\d\d)(?![\d.,]*\d)"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR = r"(?:19|20)\d\d"
_DAY, _MONTH = r"(?P<day>\d\d?)", rf"(?P<month>{'|'.join(_MONTHS)})[a-z]*"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<!\d)(?P<year>{_YEAR})([-/.])(?P<month>\d\d?)\2{_DAY}(?!\d)",
        # With dots only a whole year: 1.10.12 is a version.
        rf"(?<![\d.]){_DAY}([-/.])(?P<month>\d\d?)\2(?P<year>{_YEAR}|(?<=[-/])\d\d(?!\d))",
        rf"(?<!\d){_DAY}(?:st|nd|rd|th)?[\s/-]*{_MONTH}[\s.,/-]*(?P<year>{_YEAR}|\d\d(?!\d))",
        rf"\b{_MONTH}\.?\s*{_DAY}(?:st|nd|rd|th)?[\s,]+(?P<year>{_YEAR})",
    )
)
_CENTURY = 70  # years of two digits from here on are of the twentieth century


def numbers(text: str) -> list[str]:
    """The numbers of a text in order, without separators of thousands, needless zeros, signs and units.

    >>> numbers("1,234.50 is 12 % of 10.287,5 or 007")
    ['1234.5', '12', '10287.5', '7']
    """
    return [_plain(match[0]) for match in _NUMBERS.finditer(text)]


def amounts(text: str) -> list[str]:
    """What looks like money, in order: numbers beside a currency, and those with two decimals; as "30.3".

    >>> amounts("RM 30.30, 2 pcs, $5 and 1,299.00; version 1.20.33")
    ['30.3', '5', '1299']
    """
    return [_plain(match["behind"] or match["before"] or match["cents"]) for match in _AMOUNTS.finditer(text)]


def dates(text: str) -> tuple[list[date], str]:
    """The days that a text names, and the text without them.

    Of 03/04/2018 the first number is the day, unless only the second can be one.

    >>> dates("30/05/2017 12:18")
    ([datetime.date(2017, 5, 30)], '  12:18')
    """
    found: list[date] = []

    def taken(match: re.Match[str]) -> str:
        day = _date(match)
        if day is None:
            return match[0]
        found.append(day)
        return " "

    for pattern in _DATES:
        text = pattern.sub(taken, text)
    return found, text


def _plain(number: str) -> str:
    """`1,234.50` and `1.234,50` as 1234.5."""
    whole, _, decimals = number.partition(_mark(number)) if _mark(number) else (number, "", "")
    whole = re.sub(r"\D", "", whole).lstrip("0") or "0"
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole


def _mark(number: str) -> str:
    """What stands before the decimals; empty where there are none."""
    last = max(number.rfind("."), number.rfind(","))
    if last < 0:
        return ""
    several = number.count(",") + number.count(".") > 1
    thousands = number[last] == "," and len(number) - last == 4 and (several or "." not in number)
    return "" if thousands else number[last]


def _date(match: re.Match[str]) -> date | None:
    year, day = int(match["year"]), int(match["day"])
    if len(match["year"]) == 2:
        year += 1900 if year >= _CENTURY else 2000
    named = match["month"].lower()
    month = _MONTHS.index(named) + 1 if named in _MONTHS else int(named)
    if month > 12 >= day:
        day, month = month, day
    try:
        return date(year, month, day)
    except ValueError:
        return None
