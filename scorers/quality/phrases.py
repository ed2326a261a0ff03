"""Small patterns of what refusals are made of: an apology, a first person that cannot, a missing image.

English, and set phrases of eleven other languages. `scorers.quality.refusals` combines them.
"""

from __future__ import annotations

import re


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


_IMAGE = (
    r"(?:images?|pictures?|photos?|photographs?|pics?|attachments?|screenshots?|figures?|files?|visuals?)"
)
_MAYBE = r"(?:\w+ ){0,2}?"
_NOT = r"(?:n't| not|not|'t)"
_HAVE_NOT = r"(?:'m|'re| am| are| was| were)"

# What an answer may begin with before it comes to the point.
LEAD = re.compile(
    r"(?:(?:well|hm+|oh|ok|okay|hello|hi|hey|no|but|however|currently|honestly|thank(?:s| you)[^.,!?\n]*"
    r"|please note|it (?:seems|appears)|at this (?:time|moment)"
    r"|i (?:understand|appreciate|see|realize|know)[^.!?\n]*?(?:,|\bbut\b))(?: that| but)?[\s,.!:;-]+)*",
    re.IGNORECASE,
)
SORRY = _any(
    r"(?:i(?:'m| am)|we(?:'re| are)) (?:\w+ ){0,2}?(?:sorry|afraid)\b",
    r"(?:\w+ )?(?:sorry|apolog(?:y|ies))\b",
    r"(?:i|we) (?:\w+ )?(?:apologi[sz]e|regret)\b",
    r"unfortunately|regrettably|sadly|forgive me|pardon me",
)
NEGATION = _any(
    r"\b(?:not|no|none|nothing|cannot|unable|impossible|incapable|lack|decline|refuse)\b|n't\b",
    r"\b(?:beyond|outside|against|violat\w+)\b",
)
# What a refusal is about; "Sorry, no dogs" on a sign is about none of it.
TOPIC = _any(rf"\b(?:i|we|me|my|us|possible|request|question|prompt|answer|content|{_IMAGE})\b")
FIRST_PERSON = _any(r"(?:i|we)\b(?: (?:currently|really|just|simply|truly|honestly|also|personally))?")
CANNOT = _any(
    r" (?:can|could)(?:'t|n't|not| ?not)(?: and will not)?| won't| will not",
    r" (?:would(?:n't| not)|won't|will not) be able to",
    rf"{_HAVE_NOT} (?:\w+ )?(?:un(?:able|willing|authori[sz]ed)|incapable)",
    rf"{_HAVE_NOT} (?:\w+ )?not (?:\w+ )?"
    r"(?:able|capable|allowed|permitted|equipped|designed|comfortable|going|in a position)",
    rf" (?:do|did)(?:n't| not) {_MAYBE}(?:have|possess) {_MAYBE}"
    r"(?:abilit\w+|capabilit\w+|capacity|means|access|permission|vision|way)",
    rf" (?:lack|have no) {_MAYBE}(?:ability|capability|capacity|means|access|permission|way)",
    r"(?: must| have to| need to|'ll have to| will have to) (?:\w+ )?(?:decline|refuse|pass)",
    r" (?:\w+ )?(?:decline|refuse) to|'d rather not| would rather not| prefer not",
)
# What an assistant says that it cannot do; "I cannot wait" is not among it.
DO = _any(
    r"(?: (?:to|of|in|with|even|\w+ly|be able))*"
    r"(?: (?:help|assist|support|see|view|look|open|access|load|display"
    r"|analy[sz]e|describe|identify|recogni[sz]e|determine|discern|detect|tell|say|provide|give|offer|answer"
    r"|respond|reply|comply|fulfil+|process|interpret|perceive|read|make|do|generate|create|produce|complete"
    r"|continue|share|discuss|comment|engage|find|confirm|verify|extract|infer|guess|speculate|show|explain"
    r"|perform|participate|transcribe|caption|translate|summari[sz]e|examine|inspect|handle|work|write|go)"
    r"(?:ing)?\b| that\b| this\b|[.,!]|$)"
)
UNABLE = _any(r"(?:unable|not able|not possible) to |can(?:'t|not| not) ")
# Without a first person only what nobody says of a picture: "cannot tell" is an answer to a question.
SERVE = _any(r"(?:\w+ )?(?:help|assist|comply|answer|process|fulfil+|respond|view|display|load)\b")
IMPERSONAL = _any(
    r"it(?:'s| is| was) (?:not possible|impossible) for (?:me|us)\b",
    r"(?:that|this|it)(?:'s| is) (?:\w+ )?(?:not )?something (?:that )?(?:i|we)\b ?(?:'m|am|can)",
    r"(?:this|your|the|that) (?:request|prompt|query) (?:can|could|will|may)(?:n't| ?not) be\b",
    r"(?:\w+ )?(?:request|query|prompt|content) (?:was |is |has been )?"
    r"(?:denied|refused|rejected|declined|blocked|filtered)\b",
    r"no comment\b|let's (?:talk|discuss|change)\b[^.!?\n]*\b(?:else|subject|topic)",
)
IGNORANCE = _any(r"i (?:do not|don't) know\b|i have no (?:idea|clue)\b")
AI = _any(
    r"\b(?:as|being|i(?:'m| am)|am)(?: just| only| merely| simply)? an? (?:[\w-]+ ){0,4}?"
    r"(?:ai|a\.i\.|artificial intelligence|language model|llm|chat ?bot|assistant|machine|program)\b"
)
NO_IMAGE = _any(
    rf"\b(?:there(?:'s| is| was| are| were)|(?:i|we)(?: can| do| could)? (?:see|have|find|got|received?))"
    rf" (?:\w+ )?no (?:\w+ )?{_IMAGE}\b",
    rf"\b(?:do|did|can|could){_NOT} (?:\w+ )?(?:see|have|find|view|receive|access|open|load|detect|get)"
    rf" (?:access to )?(?:any|an|the|your|this|that) {_MAYBE}{_IMAGE}\b",
    rf"\bno (?:\w+ )?{_IMAGE} (?:was|were|is|are|has been|have been|seems?|appears?|came|got)\b",
    r"\b(?:please|could you|can you|would you|kindly|you(?:'ll| will)? need to|try)\b[^.!?\n]{0,20}?"
    r"\b(?:re-?)?(?:provid|uploa|shar|attach|send|suppl|submit)\w*"
    rf" (?:it |me |us )?(?:with |again|(?:the|an?|your) {_MAYBE}{_IMAGE}\b)",
    rf"\b(?:the|your|this|that) (?:\w+ )?{_IMAGE} (?:you \w+ )?(?:did(?:n't| not)|failed"
    r"|(?:is|seems|appears)(?: to be)? (?:missing|not (?:attached|visible|loading|available|displayed)))",
    rf"\bwithout {_MAYBE}(?:see|view|access|having access)(?:ing)?(?: to)?"
    rf" (?:the|an?|any|your) (?:\w+ )?{_IMAGE}\b",
)
POLICY = _any(
    r"\b(?:violat\w+|against|contrary to|breach\w*|conflicts? with|due to|because of"
    r"|(?:not|n't) (?:in line|align\w*|compl\w+) with) (?:my|our|the|openai\S*|\w+'s|its) (?:\w+ ){0,3}?"
    r"(?:guidelines?|polic(?:y|ies)|programming|principles|safety|terms|training)\b",
    r"\b(?:beyond|outside(?: of)?|exceeds?|not within) (?:my|our) (?:\w+ )?"
    r"(?:capabilit|abilit|scope|capacit|expertise|knowledge|training)",
    rf"\b(?:i|we){_HAVE_NOT} (?:\w+ )?(?:a )?text[ -](?:only|based)\b",
)
_SAYS = r"\b[^.!?\n]*\b"
_SAYS_CJK = r"[^。！？\n]*"
OTHER_LANGUAGES = _any(
    rf"(?:lo siento|lo lamento|disculp\w+|perd[oó]n){_SAYS}no (?:puedo|es posible|tengo|me es)",
    r"no puedo (?:ayudar|ver|responder|proporcionar|describir|identificar)",
    rf"(?:je suis (?:vraiment )?)?d[ée]sol[ée]e?{_SAYS}ne (?:peux|suis|puis)",
    r"je ne (?:peux|suis) pas (?:en mesure|capable|vous|r[ée]pondre|voir|aider|d[ée]crire|fournir)",
    rf"(?:(?:es )?tut (?:mir|uns) (?:\w+ )?leid|entschuldig\w+|leider){_SAYS}"
    rf"(?:kann|k[oö]nnen|darf){_SAYS}(?:nicht|kein\w*)\b",
    rf"ich (?:kann|darf){_SAYS}(?:nicht|keine?){_SAYS}"
    r"(?:helfen|sehen|beantworten|beschreiben|erkennen|bereitstellen)",
    rf"(?:desculpe|lamento|sinto muito){_SAYS}n[ãa]o (?:posso|consigo|tenho|[ée] poss)",
    rf"(?:mi dispiace|spiacente|mi scuso){_SAYS}non (?:posso|sono|riesco|[èe] possibile)",
    rf"(?:het spijt me|helaas|sorry){_SAYS}(?:kan ik|ik kan){_SAYS}(?:niet|geen)\b",
    rf"(?:извините|простите|к сожалению|прошу прощения){_SAYS}(?:не могу|не способ\w+|невозможно|не вижу)",
    r"я не могу (?:помочь|ответить|увидеть|видеть|описать|предоставить)",
    rf"(?:很?抱歉|对不起|對不起|不好意思){_SAYS_CJK}(?:无法|無法|不能|没有|沒有|看不到|不可以)",
    rf"(?:作为|作為){_SAYS_CJK}(?:人工智能|语言模型|語言模型|AI){_SAYS_CJK}(?:无法|無法|不能|没有|沒有)",
    r"我(?:无法|無法|不能)(?:提供|回答|帮助|幫助|查看|看到|描述|识别|協助|协助)",
    rf"(?:申し訳|すみません|ごめんなさい){_SAYS_CJK}"
    r"(?:できません|できない|出来ません|見えません|ありませんが|かねます)",
    r"(?:죄송|미안)(?:합니다|하지만|해요)[^.!?\n]*(?:없습니다|없어요|못합니다|않습니다)",
    r"(?:آسف|عذر|نأسف)[^.!?؟\n]*(?:لا أستطيع|لا يمكنني|غير قادر)",
)
# No refusal is without one of these; most answers are, and are not looked at further.
TRIGGER = re.compile(
    r"sorry|apolog|unfortunately|regret|sadly|afraid|forgive|pardon|n't\b|\bnot\b|cannot|unable|\bno\b|lack"
    r"|declin|refus|impossible|incapable|unwilling|\ba\.?i\b|language model|assistant|chat ?bot|please"
    r"|could you|can you|beyond|outside|against|violat|polic|guideline|denied|reject|block|filtered|let's",
    re.IGNORECASE,
)
TRIGGER_OTHER_LANGUAGES = re.compile(
    r"siento|lamento|disculp|perd|puedo|d[ée]sol|\bje ne|leid|entschuld|leider|ich |desculpe|sinto|dispiace"
    r"|spiacente|scuso|spijt|helaas|извин|прост|сожален|прощен|не могу|抱歉|对不起|對不起|不好意思|作为|作為"
    r"|我(?:无|無|不)|申し訳|すみません|ごめん|죄송|미안|آسف|عذر",
    re.IGNORECASE,
)
