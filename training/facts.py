"""Questions that text alone answers: order, opposites, spelling, small sums, patterns, plain knowledge."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from curation.generate.sample import NUMBERS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

QA = tuple[str, str]  # question, answer


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
OPPOSITES = (
    "hot cold,big small,tall short,fast slow,old new,open closed,light dark,full empty,hard soft,wet dry,"
    "early late,high low,loud quiet,near far,rich poor,strong weak,thick thin,wide narrow,clean dirty,"
    "happy sad,easy difficult,deep shallow,sharp blunt,smooth rough,heavy weightless,inside outside,"
    "begin end,buy sell,push pull,win lose,give take,come go,day night,summer winter,front back,"
    "north south,east west,always never,true false,alive dead,ancient modern,brave afraid,sweet sour"
)
PAIRS = tuple((pair.split()[0], pair.split()[1]) for pair in OPPOSITES.split(","))
PLURALS = (
    "mouse mice,foot feet,tooth teeth,child children,man men,woman women,goose geese,leaf leaves,"
    "knife knives,city cities,box boxes,bus buses,baby babies,wolf wolves,potato potatoes,sheep sheep,"
    "cat cats,house houses,"
    "tree trees,book books,lady ladies,glass glasses,car cars,shelf shelves,penny pennies,watch watches"
)
SPELLED = _words(
    "cat dog sun map pen cup hat bed box key book fish tree milk rain snow door lamp ship bird moon star "
    "road cake king frog goat wind hand leaf bread chair table house plant river stone cloud horse clock "
    "train"
)
CAPITALS = (
    "France Paris,Italy Rome,Spain Madrid,Germany Berlin,Japan Tokyo,Egypt Cairo,Norway Oslo,Austria Vienna,"
    "Portugal Lisbon,Greece Athens,Poland Warsaw,Ireland Dublin,Peru Lima,Kenya Nairobi,India Delhi,"
    "Sweden Stockholm,Finland Helsinki,Hungary Budapest,Cuba Havana,Canada Ottawa,China Beijing,Russia Moscow"
)
CLASSES = {
    "animal": _words(
        "dog cat horse cow sheep goat lion tiger bear wolf rabbit mouse eagle owl duck shark whale"
    ),
    "fruit": _words("banana cherry grape lemon mango peach pear plum melon orange"),
    "tool": _words("hammer saw drill spanner screwdriver chisel pliers axe"),
    "vehicle": _words("car bus train lorry bicycle tram aeroplane helicopter ferry taxi"),
    "instrument": _words("piano violin guitar flute drum trumpet harp cello"),
    "garment": _words("shirt coat glove sock scarf hat skirt jacket"),
}
KNOWN: tuple[QA, ...] = tuple(
    (line.split("|")[0], line.split("|")[1])
    for line in """How many days has a week?|7
How many months has a year?|12
How many hours has a day?|24
How many minutes are in an hour?|60
How many seconds are in a minute?|60
How many legs does a spider have?|8
How many legs does a dog have?|4
How many legs does a bird have?|2
How many legs does an insect have?|6
How many sides does any triangle have?|3
How many corners does any square have?|4
How many sides does any hexagon have?|6
How many wheels does a bicycle have?|2
How many letters has the alphabet?|26
How many centimetres are in a metre?|100
How many grams are in a kilogram?|1000
How many eggs are in a dozen?|12
How many players does a football team have?|11
How many strings does a violin have?|4
What colour is fresh snow?|white
What colour is grass in spring?|green
What colour is a ripe banana?|yellow
What colour is a clear sky at noon?|blue
What colour is coal?|black
What colour is blood?|red
What colour do blue and yellow paint make?|green
What colour do red and yellow paint make?|orange
What colour do red and blue paint make?|purple
What colour do red and white paint make?|pink
What colour do black and white paint make?|grey
Which planet do we live on?|Earth
Which planet is nearest to the sun?|Mercury
What do bees make?|honey
What does a thermometer measure?|temperature
What does a clock show?|time
What is frozen water called?|ice
What do cows drink when they are thirsty?|water
Which animal barks?|dog
Which animal miaows?|cat
Which animal gives wool?|sheep
Which season comes after summer?|autumn
Which season comes after winter?|spring
What is a young dog called?|puppy
What is a young cat called?|kitten
What is a young cow called?|calf
What is a young sheep called?|lamb
Does the sun rise in the east?|yes
Does the sun rise in the west?|no
Is ice warmer than steam?|no
Is a mountain higher than a hill?|yes
Can fish breathe under water?|yes
Can stones swim?|no
Is a whale larger than a mouse?|yes
Is a feather heavier than a brick?|no""".splitlines()
)


def text_question(rng: random.Random) -> QA:
    """Return a question that no picture helps to answer, and its answer."""
    return rng.choice(FORMS)(rng)


def _order(rng: random.Random) -> QA:
    name, names = rng.choice((("day", DAYS), ("month", MONTHS)))
    i = rng.randrange(len(names))
    if rng.random() < 0.5:
        ask = rng.choice(("Which {} comes after {}?", "What {} follows {}?", "Name the {} after {}."))
        return ask.format(name, names[i]), names[(i + 1) % len(names)]
    ask = rng.choice(("Which {} comes before {}?", "Name the {} before {}."))
    return ask.format(name, names[i]), names[i - 1]


def _opposite(rng: random.Random) -> QA:
    pair = rng.choice(PAIRS)
    asked, answer = pair if rng.random() < 0.5 else pair[::-1]
    ask = rng.choice(
        ("What is the opposite of {}?", "Opposite of {}?", "Which word means the opposite of {}?")
    )
    return ask.format(asked), answer


def _plural(rng: random.Random) -> QA:
    one, many = rng.choice(PLURALS.split(",")).split()
    return rng.choice(("What is the plural of {}?", "Plural of {}?")).format(one), many


def _spelling(rng: random.Random) -> QA:
    word = rng.choice(SPELLED)
    form = rng.randrange(4)
    if form == 0:
        return rng.choice(("Spell {}.", "How do you spell {}?")).format(word), " ".join(word)
    if form == 1:
        return f"What is the first letter of the word {word}?", word[0]
    if form == 2:
        return f"What is the last letter of the word {word}?", word[-1]
    return f"How many letters has the word {word}?", str(len(word))


def _sum(rng: random.Random) -> QA:
    sign = rng.choice("+-x")
    most = 9 if sign == "x" else 12
    a, b = rng.randint(1, most), rng.randint(1, most)
    if sign == "-" and b > a:
        a, b = b, a
    value = {"+": a + b, "-": a - b, "x": a * b}[sign]
    written = {"+": "plus", "-": "minus", "x": "times"}[sign]
    ask = rng.choice((f"What is {a} {sign} {b}?", f"{a} {sign} {b} =", f"What is {a} {written} {b}?"))
    return ask, str(value)


def _pattern(rng: random.Random) -> QA:
    step, start = rng.choice((1, 2, 3, 5, 10)), rng.randint(1, 12)
    if rng.random() < 0.6:
        numbers = [start + i * step for i in range(4)]
        ask = rng.choice(("What comes next: {}?", "Continue: {}"))
        return ask.format(", ".join(map(str, numbers))), str(start + 4 * step)
    a, b = rng.sample(string.ascii_uppercase, 2)
    if rng.random() < 0.5:
        return f"What comes next: {a}, {b}, {a}, {b}, {a}?", b
    return f"What comes next: {a}, {a}, {b}, {a}, {a}?", b


def _alphabet(rng: random.Random) -> QA:
    i = rng.randrange(25)
    letters = string.ascii_uppercase
    if rng.random() < 0.6:
        return f"Which letter comes after {letters[i]}?", letters[i + 1]
    return f"Which letter comes before {letters[i + 1]}?", letters[i]


def _number(rng: random.Random) -> QA:
    n = rng.randint(1, 12)
    if rng.random() < 0.5:
        return f"Write {n} as a word.", NUMBERS[n]
    return f"Write {NUMBERS[n]} as a number.", str(n)


def _larger(rng: random.Random) -> QA:
    a, b = rng.sample(range(1, 100), 2)
    if rng.random() < 0.5:
        return f"Which number is larger, {a} or {b}?", str(max(a, b))
    return f"Which number is smaller, {a} or {b}?", str(min(a, b))


def _capital(rng: random.Random) -> QA:
    country, city = rng.choice(CAPITALS.split(",")).split()
    if rng.random() < 0.7:
        return rng.choice(("What is the capital of {}?", "Capital of {}?")).format(country), city
    return f"Which country has the capital {city}?", country


def _class(rng: random.Random) -> QA:
    kind, other = rng.sample(list(CLASSES), 2)
    word = rng.choice(CLASSES[kind])
    first, second = rng.sample((kind, other), 2)
    if rng.random() < 0.5:
        return f"Is {word} the name of a kind of {first} or {second}?", kind
    return f"What kind of thing does the word {word} name?", kind


def _known(rng: random.Random) -> QA:
    return rng.choice(KNOWN)


FORMS: tuple[Callable[[random.Random], QA], ...] = (
    _order, _opposite, _plural, _spelling, _sum, _sum, _pattern, _alphabet, _number, _larger, _capital,
    _class, _known, _known,
)  # fmt: skip
