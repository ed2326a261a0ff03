"""Words of English that say little of a picture, and those with which questions speak of pictures."""

from __future__ import annotations

_LIST = """
a about above across after again against all along also although am among an and another any are around
as ask at away back be because been before behind being below beside between both but by can cannot
could did do does doing done down during each either else even ever every few for from further get gets
give given go goes going had has have having he hence her here hers him his how however i if in indeed
inside instead into is it its itself just keep kept know known let like likely look looks made make
makes many may me might mine more most much must my near neither no nor not now of off often on once one
only onto or other others our out over own per perhaps please put quite rather really same say says see
seem seems seen several shall she should show shown shows since so some still such take taken than that
the their them themselves then there therefore these they this those though through throughout thus to
together too toward towards two under until up upon us use used using very was we well were what
whatever when where whether which while who whole whom whose why will with within without would yes yet
you your answer appear appears contain contains depict depicts describe described displayed feature
features image images photo picture pictured question include includes including located position
positioned text visible three four five six seven eight nine ten
"""
STOP_WORDS = frozenset(_LIST.split())
