"""Texts that are true of ImageNet's classes, as pairs that cost nothing.

A row of the image tower's classifier points to where pictures of its class lie, so a class's words and that
row are a pair of a text and a picture (STRUCTURE, Groeger et al. 2025, uses such pairs to align towers with
few real ones). Captions say "dog" where classes are breeds: `GROUPS` has everyday words for sets of classes.
Names and glosses of single classes are WordNet's, as `timm` carries them; they are read, not shipped.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

GROUPS = {
    "fish": "0-1 389-397", "shark": "2-4", "bird": "7-24 80-100 127-146", "chicken": "7-8", "owl": "24",
    "parrot": "87-90", "duck": "97-98", "goose": "99", "frog": "30-32", "turtle": "33-37", "lizard": "38-48",
    "crocodile": "49-50", "snake": "52-68", "spider": "72-77", "crab": "118-121", "lobster": "122-123",
    "snail": "113", "dog, puppy": "151-268", "small dog": "151-157 187-187 200-204 259-259 265-265",
    "wolf": "269-272", "fox": "277-280", "cat, kitten": "281-285", "big cat": "286-293", "lion": "291",
    "tiger": "292", "bear": "294-297", "polar bear": "296", "insect": "300-326", "beetle": "300-307",
    "bee": "309", "butterfly": "321-326", "starfish": "327", "rabbit": "330-332", "hamster": "333",
    "squirrel": "335", "horse, person riding a horse": "339 603", "zebra": "340", "pig": "341-342",
    "cow, cattle": "345-347", "sheep": "348-349", "goat": "350", "deer": "351-353", "camel": "354",
    "llama": "355", "monkey": "370-382", "ape": "365-369", "elephant": "385-386", "panda": "388",
    "farm animal": "341 345 348 350 339 7 8", "wild animal": "269-275 286-297 340 344 347 351-353 385-386",
    "animal": "7-24 80-100 151-299 330-388", "pet": "151-268 281-285", "dinosaur": "51",
    "car": "436 468 511 609 627 656 661 717 751 817", "taxi": "468", "truck": "555 569 675 717 864 867",
    "fire truck": "555", "bus": "654 779 874", "train": "466 547 705 820 565", "tram": "829",
    "railway": "466 547 705 820 829", "boat": "472 576 625 814 871 914 484 780 554",
    "sailboat": "914 871 484 780", "ship": "403 510 628", "plane, airplane, jet, airport": "404 895",
    "bicycle, bike": "444 671", "motorcycle": "665 670", "tractor": "866", "army tank": "847",
    "vehicle": "407 436 468 511 555 569 609 654 656 665 670 675 717 734 751 779 817 864 867 874",
    "person": "981-983 834 906 457 578 652 610 400 617 411 515 518", "man": "834 906 457 982 652 981 515 617",
    "man in a suit": "834 906 457 982", "woman": "578 601 689 655 445 459 841",
    "woman in a dress": "578 601 689", "bride, wedding": "982 578", "girl": "655 689 841 445",
    "boy": "842 610 981", "child": "843 443 870 529 568", "children": "843 654 779 870",
    "baby": "431 443 516 520 529 680", "people": "982 819 762 981 578 624",
    "person in swimming clothes": "445 638 639 842 433", "person in a pool": "433 842 638 639 445",
    "person wearing a hat": "515 808 439 667", "person wearing sunglasses": "836-837",
    "person wearing a helmet": "518 560 671", "soldier": "652 465 847 764", "doctor": "617 823",
    "cook": "411 827 909", "graduate": "400 667", "baseball player, baseball game": "981 429",
    "basketball, basketball player": "430", "tennis player, tennis": "752 852", "soccer": "805",
    "football player": "560 768", "golf": "574 575", "volleyball": "890", "skier": "795",
    "person on skis in the snow": "795 802 796", "swimmer": "433 842 639", "diver": "983",
    "person riding a bike": "671 444 880", "person riding a motorcycle": "665 670 518",
    "person in a kayak": "693 472", "person on a swing, playground": "843",
    "sport": "429 430 752 768 805 890 981 795 416 702", "athlete": "981 430 416 702 422",
    "game": "430 752 805 890 981 736", "surfer in the waves": "978 842 977", "beach": "977-978",
    "sea": "976-978", "ocean": "976-978 973", "waves": "978", "lake": "975", "river": "975 888 839",
    "water": "975 976 977 978 472 536 562", "mountain": "970 980 972 979", "hill": "970 979",
    "rock": "972 970", "cliff": "972", "snow": "802 803 795 537 970", "winter": "802 803 795 537",
    "field": "958 595 856 730 866 345", "grass": "958 574 575 345", "farm": "425 595 856 730 866 958",
    "mushroom in a forest": "991-997", "tree": "990 989", "flower": "985 986 309 324",
    "garden": "716 738 580 985", "plant": "738 985 986 580", "fruit": "948-957", "apple": "948",
    "banana": "954", "orange": "950", "vegetables": "936-946", "broccoli": "937-938", "pizza": "963",
    "hamburger": "933", "hot dog": "934", "sandwich": "933 930", "bread": "930-932 415",
    "cake": "927 928 415", "dessert": "927-929 960", "ice cream": "928 929", "soup": "809 925 926",
    "pasta": "959", "meat": "962 467", "plate of food": "923-926 962-965 959", "food": "923-965",
    "meal": "923 925 926 962 964 965 532", "coffee": "967 504 505 550", "cup": "968 504",
    "glass of wine": "966 572 907", "bottle": "440 737 898 907", "bowl": "659 809 925",
    "kitchen": "827 760 534 651 859 567 909", "stove": "827", "oven": "827 766 651", "refrigerator": "760",
    "sink": "896", "bathroom": "861 435 876 896 794 999 804 648", "toilet": "861", "bathtub": "435 876",
    "bedroom": "564 750 721 894 520", "bed": "564 750 520 431", "living room": "831 851 548 765",
    "couch": "831", "chair": "423 559 765 857", "table": "532 526 736", "dining room": "532",
    "desk": "526 527", "office": "526 527 553 508 742", "computer": "527 620 508 664 681",
    "laptop": "620 681", "keyboard": "508 810 878", "television": "851 664 782", "phone": "487 528 707",
    "remote control": "761", "camera": "732 759", "clock": "409 892 530", "watch": "531 635",
    "books": "453 454 624", "lamp": "846 619", "vase": "883", "teddy bear": "850", "toy": "850 865",
    "umbrella": "879", "bag": "414 636 748 728", "suitcase": "414 748 492", "shoes": "502 514 630 770 774",
    "window": "904 905", "door": "799", "room": "532 548 762 831 894", "restaurant": "762 532",
    "shop": "415 424 454 467 582 860 865", "market": "582", "street": "919 920 704 468 829 654",
    "road": "468 675 920 919 717", "traffic light": "920", "stop sign": "919", "sign": "919 922",
    "city": "829 468 920 874 654 668 698", "building": "497 663 668 698 483 425 449 832",
    "church": "497 663 406", "castle": "483 698", "house": "425 449 663 660 500", "tower": "437 442 900 682",
    "bridge": "821 839 888", "bench": "703", "fence": "489 716 912", "park": "703 716 562 843",
    "stage": "819", "concert": "819 546 650", "musician": "402 546 889 541 776 650", "guitar": "402 546",
    "piano": "579 881", "drums": "541",
    "musical instrument": "401 402 420 432 486 494 513 541 546 558 566 577 579 593 594 641 642 683 684 687 "
    "699 776 822 875 881 889",
    "machine": "886 866 621 595 856", "tool": "587 596 677 740 783 784 499", "weapon": "413 763 764 471",
    "gun": "413 763 764", "clothes": "411 578 610 834 841 869 608", "shirt": "610 841", "trousers": "608",
    "hat": "515 808 439", "medical instrument": "823 845", "glassware": "438 572 901",
    "fungus": "991-997 947", "coral reef": "973", "jellyfish": "107", "worm": "111 110",
    "text on a page": "916-922 549", "document": "916 921 922 549", "shell": "112-117", "rope": "616",
    "statue": "708 458", "flag": "557 708", "ball": "429 430 522 574 722 747 768 805 852 890",
    "wheel": "479 694 723", "kite in the sky": "417 701", "balloon": "417", "parachute": "701",
    "sky": "404 405 417 895", "station": "466 547 705", "harbor": "536 510 628", "swimming pool": "433 842",
}  # fmt: skip
"""Words, and the classes (numbers of ImageNet-1k, ranges with both ends) whose pictures show them."""

PEOPLE = ("man", "woman", "person", "boy", "girl", "child", "baby", "player", "people", "skier", "soldier")
NO_ARTICLE = {
    "basketball", "books", "bread", "cattle", "children", "city", "clothes", "coffee", "drums", "food",
    "fruit", "glassware", "golf", "grass", "ice cream", "meat", "ocean", "pasta", "people", "rock", "sea",
    "shoes", "sky", "snow", "soccer", "soup", "street", "tennis", "text on a page", "trousers",
    "vegetables", "volleyball", "water", "waves", "winter",
}  # fmt: skip
ALONE = (
    "{}", "a photo of {}", "a picture of {}", "a photograph showing {}", "a close view of {}",
    "there is {} in the picture", "What is shown here?\n{}", "Describe the image.\n{}",
)  # fmt: skip
TOGETHER = (
    "{} and {}", "{} next to {}", "{} with {}", "{} near {}", "{} in front of {}", "{} on {}",
    "a picture of {} and {}", "Describe the image.\n{} beside {}",
)  # fmt: skip
DOING = (
    "{} standing near {}", "{} holding {}", "{} looking at {}", "{} sitting by {}", "{} with {}",
    "{} playing with {}", "{} walking past {}",
)  # fmt: skip


@dataclass(frozen=True)
class ClassText:
    """A text, the one or two classes whose pictures it goes with, and all classes that it is true of."""

    text: str
    classes: tuple[int, ...]
    true_of: frozenset[int]


def class_texts(n_pairs: int, seed: int) -> list[ClassText]:
    """Names, glosses and everyday words of each of the 1,000 classes, and `n_pairs` texts on two of them."""
    rng = random.Random(seed)
    groups = {word: _numbers(spec) for words, spec in GROUPS.items() for word in words.split(", ")}
    of = defaultdict(list)
    for word, classes in groups.items():
        for number in sorted(classes):
            of[number].append(word)
    names, found = [], []
    for number in range(1000):
        own, gloss = _named(number)
        names.append(own)
        one = frozenset([number])
        texts = [pattern.format(article(name)) for name in own[:2] for pattern in rng.sample(ALONE, 3)]
        found += [ClassText(text, (number,), one) for text in (*texts, f"{own[0]}: {gloss}", gloss)]
        for word in of[number]:
            texts = [pattern.format(article(word)) for pattern in rng.sample(ALONE, 2)]
            found += [ClassText(text, (number,), groups[word]) for text in texts]

    def drawn(words: list[str]) -> tuple[str, int, frozenset[int]]:
        word = rng.choice(words)
        return word, rng.choice(sorted(groups[word])), groups[word]

    def any_name() -> tuple[str, int, frozenset[int]]:
        number = rng.randrange(1000)
        return rng.choice(names[number]), number, frozenset([number])

    words = list(groups)
    people = [word for word in words if any(person in word for person in PEOPLE)]
    for i in range(n_pairs):
        first = drawn(people if i % 3 == 0 else words)
        second = any_name() if i % 3 == 2 else drawn(words)
        text = rng.choice(DOING if i % 3 == 0 else TOGETHER).format(article(first[0]), article(second[0]))
        found.append(ClassText(text, (first[1], second[1]), first[2] | second[2]))
    return found


def article(name: str) -> str:
    """The name with "a" or "an" where English has one; names that begin with a capital have none."""
    if name in NO_ARTICLE or name[0].isupper():
        return name
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _named(number: int) -> tuple[list[str], str]:
    """The names and the gloss that WordNet has for a class."""
    described = _info().index_to_description(number, detailed=True)
    names, _, gloss = described.partition(": ")
    return [name.strip() for name in names.split(",")], gloss


@lru_cache
def _info() -> Any:
    from timm.data import ImageNetInfo

    return ImageNetInfo("imagenet-1k")


def _numbers(spec: str) -> frozenset[int]:
    ends = [part.partition("-") for part in spec.split()]
    return frozenset(number for low, _, high in ends for number in range(int(low), int(high or low) + 1))
