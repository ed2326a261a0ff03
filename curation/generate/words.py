"""Word lists of the generators: names, places, goods, months."""

from __future__ import annotations

NAMES = (
    "Ada", "Ben", "Chloe", "Dina", "Emil", "Fatima", "Gus", "Hana", "Ivan", "Julia", "Kofi", "Lena",
    "Mateo", "Nora", "Omar", "Priya", "Quinn", "Rosa", "Sven", "Tara", "Uma", "Victor", "Wendy",
    "Xavier", "Yuki", "Zoe",
)  # fmt: skip
CITIES = (
    "Berlin", "Cairo", "Delhi", "Lagos", "Lima", "Lyon", "Madrid", "Milan", "Nairobi", "Osaka", "Oslo",
    "Paris", "Porto", "Quito", "Riga", "Rome", "Seoul", "Sofia", "Tokyo", "Turin", "Vienna", "Zurich",
)  # fmt: skip
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FRUITS = (
    "apples", "bananas", "cherries", "dates", "figs", "grapes", "kiwis", "lemons", "mangoes", "pears",
    "plums",
)  # fmt: skip
GOODS = (
    "bread", "butter", "candles", "cheese", "coffee", "eggs", "flour", "honey", "jam", "juice", "milk",
    "olives", "onions", "paper", "pasta", "pens", "rice", "salt", "soap", "soup", "sugar", "tea",
    "tomatoes", "yogurt",
)  # fmt: skip
ANIMALS = (
    "bears", "cats", "cows", "dogs", "ducks", "foxes", "goats", "hens", "horses", "owls", "pigs",
    "sheep",
)  # fmt: skip
SPORTS = (
    "archery", "boxing", "cycling", "diving", "golf", "hockey", "judo", "rowing", "rugby", "sailing",
    "tennis",
)  # fmt: skip
TEAMS = (
    "Falcons", "Giants", "Hornets", "Jets", "Lions", "Otters", "Pirates", "Ravens", "Sharks", "Tigers",
    "Wolves",
)  # fmt: skip
SHOPS = (
    "Corner Cafe", "Green Grocer", "Harbour Books", "Hill Bakery", "Lucky Noodles", "Maple Pharmacy",
    "North Hardware", "Old Town Deli", "Red Door Diner", "River Market", "Star Cinema", "Sunny Florist",
    "Union Garage", "West Bike Shop",
)  # fmt: skip
STREETS = (
    "Ash Lane", "Bridge Road", "Castle Street", "Cedar Drive", "Church Road", "Elm Street",
    "High Street", "King Avenue", "Lake View", "Mill Lane", "Oak Avenue", "Park Road", "Queen Street",
    "Station Road", "Vine Street",
)  # fmt: skip
NOTICES = (
    "STOP", "EXIT", "OPEN", "CLOSED", "SALE", "NO ENTRY", "NO PARKING", "WET PAINT", "PUSH", "PULL",
    "DANGER", "QUIET", "TICKETS", "TAXI", "BUS STOP", "MIND THE STEP", "KEEP LEFT", "ONE WAY",
    "WELCOME", "TO LET", "FRESH FISH", "HOT SOUP", "PLEASE WAIT HERE", "DO NOT TOUCH", "NO SMOKING",
    "KEEP OFF THE GRASS", "BEWARE OF THE DOG", "STAFF ONLY", "CASH ONLY", "FREE WIFI", "SLOW DOWN",
    "ROAD CLOSED", "LIFT OUT OF ORDER", "FIRE EXIT", "FIRST AID",
)  # fmt: skip
ERRANDS = (
    "call the dentist", "water the plants", "buy stamps", "feed the cat", "return the books",
    "pay the rent", "wash the car", "fix the bike", "book the train", "send the parcel",
    "clean the kitchen", "pick up the keys", "order new tyres", "bake a cake", "walk the dog",
    "write to the bank", "charge the battery", "meet at the station",
)  # fmt: skip
