"""The prose of a page, and the numbers in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from facelight._extras import extra

with extra("book"):
    import yaml

ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
COUNTS = {word: k + 1 for k, word in enumerate((ONES + "eighteen nineteen twenty").split())} | {"a": 1, "an": 1}
COUNTS |= {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "hundred": 100, "thousand": 1000}
PARTS = {"third": 3, "quarter": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9}
PARTS |= {"tenth": 10, "twelfth": 12, "thirteenth": 13, "fifteenth": 15, "twentieth": 20, "fortieth": 40}
PARTS |= {"hundredth": 100, "thousandth": 1000}

_COUNT = "|".join(sorted((word for word in COUNTS if len(word) > 2), key=len, reverse=True))
_PART = "|".join(PARTS)
NUMBER = re.compile(
    rf"""
    (?P<digits>(?<![\w.])(?<![A-Za-z][-–])[+\-−]?\d+(?:,\d{{3}})*(?:\.\d+)?(?:e-?\d+)?(?!\w)(?!-[A-Z]\b))
    | \b(?P<part>(?:an?|{_COUNT})\s(?:{_PART})s?)\b(?!-)
    | \b(?P<half>half\s(?=of\b|as\b|its\b|the\b))
    | \b(?P<odds>(?:one|two|three|four|five|six|seven|eight|nine)\sin\s(?:a\s)?(?:{_COUNT}))\b
    | \b(?P<times>twice|thrice|(?:{_COUNT})\stimes)\b
    | \b(?P<count>{_COUNT})\s(?=per\scent\b|%|percent\b|percentage\spoints?\b|seeds\b|pairs\b|runs\b|points\sof\b)
    """,
    re.VERBOSE | re.IGNORECASE,
)
MORE = ("more than", "over", "above", "at least", "up from", "not below", "понад", "більш ніж", "не менш ніж")
LESS = (
    *("less than", "fewer than", "under", "below", "at most", "within", "no more than", "not above"),
    *("менш ніж", "не більш ніж"),
)
ABOUT = ("about", "nearly", "almost", "some", "roughly", "around", "приблизно в", "приблизно", "близько", "майже")
# Ukrainian words that are numbers. They have too many endings to be compared: a page writes digits instead.
UKRAINIAN = re.compile(
    r"\b(?:(?:[ву]двічі|[ву]тричі|[ву]четверо|половин|третин|четвертин|чверт|п[’']?ятин|шостин|десятин)\w*"
    r"|(?:дв|тр|чотир|п[’']ят|шіст|шест|сім|сем|вісім|восьм|дев[’']ят|десят)\w*\s(?=пар|запуск|зерн|відсот|%))",
    re.IGNORECASE,
)

# What is no prose: formulas, code, roles and their addresses, links, tags of HTML.
MASKS = (
    r"\$\$.*?\$\$(?: \([\w-]+\))?",
    r"(?<!\\)\$[^$]+\$",
    r"\{[\w:]+\}`[^`]*`",
    r"``.*?``|`[^`]*`",
    r"\]\([^)\s]*\)",
    r"<https?://[^>]*>|https?://\S+",
    r"<!--.*?-->|</?\w[^>]*>",
    r"\(\w[\w-]*\)=",
)
SHOWN = ("admonition", "dropdown", "note", "tip", "warning", "important", "figure", "card", "grid", "margin", "div")


@dataclass(frozen=True)
class Number:
    """A number as a text has it.

    Args:
        text: what stands there.
        start, end: where.
        value: what it says.
        kind: "digits", "count" (a rounded number in words) or "word" (true to within a tenth of itself).
        bound: "more", "less", "about" or "", by the words before it.
    """

    text: str
    start: int
    end: int
    value: float
    kind: str
    bound: str

    def agrees(self, value: float) -> bool:
        """Whether a value may be told by this number."""
        if self.bound == "more":
            return value >= self.value
        if self.bound == "less":
            return abs(value) <= self.value
        if self.kind == "word" or self.bound == "about":
            return abs(value - self.value) <= 0.1 * abs(self.value) + 1e-12
        return (
            self.written(value) == self.text.replace("−", "-") if self.kind == "digits" else round(value) == self.value
        )

    def written(self, value: float) -> str:
        """A value with the sign and the decimals of this number."""
        if self.kind != "digits":
            return f"{value:.3g}"
        if "e" in self.text:
            decimals = len(self.text.partition("e")[0].partition(".")[2])
            return re.sub(r"(e-?)\+?0*(?=\d)", r"\1", f"{value:.{decimals}e}")
        decimals = len(self.text.partition(".")[2])
        text = f"{value:{'+' if self.text[0] == '+' else ''}{',' if ',' in self.text else ''}.{decimals}f}"
        return text if float(text.replace(",", "")) or self.text[0] in "+-−" else text.lstrip("-")


def prose(source: str) -> str:
    """The text of a page in MyST Markdown, on one line: with captions and alternative texts, without code.

    Args:
        source: the page.
    """
    source = re.sub(r"\A---\n.*?\n---\n", "", source, flags=re.DOTALL)
    kept: list[str] = []
    for part in re.split(r"^ *(`{3,}[^\n]*\n.*?^ *`{3,})[ \t]*$", source, flags=re.MULTILINE | re.DOTALL):
        kept.append(_block(part) if part.startswith("```") else part)
    text = re.sub(r"^ *:{3,}.*$|^:[\w-]+:.*$", "", "".join(kept), flags=re.MULTILINE)
    return " ".join(text.split())


def language(source: str) -> str:
    """The language of a page, `lang: uk` at its top; English where it does not say.

    Args:
        source: the page.
    """
    top = re.match(r"---\n(.*?)\n---\n", source, flags=re.DOTALL)
    return str((yaml.safe_load(top[1]) or {}).get("lang", "en")) if top else "en"


def masked(text: str, patterns: Iterable[str] = (), allowed: Iterable[str] = (), lang: str = "en") -> str:
    """The same text, as long as before, with blanks for what is no prose and for what is allowed.

    Args:
        text: see `prose`.
        patterns: regular expressions of what is allowed.
        allowed: texts.
        lang: see `language`; of all but English a comma between two digits becomes a decimal point.
    """
    for pattern in (*map(re.escape, allowed), *MASKS, *patterns):
        text = re.sub(pattern, lambda found: "\0" * len(found[0]), text)
    return text if lang == "en" else re.sub(r"(?<=\d),(?=\d)", ".", text)


def numbers(text: str) -> Iterator[Number]:
    """The numbers in a masked text, in order."""
    for found in NUMBER.finditer(text):
        kind = str(found.lastgroup)
        said = found[0].strip()
        before = text[max(0, found.start() - 16) : found.start()].rstrip(" \0[(").lower()
        bound = _bound(before)
        kinds = {"digits": "digits", "count": "count"}
        yield Number(said, found.start(), found.start() + len(said), _value(kind, said), kinds.get(kind, "word"), bound)


def _bound(before: str) -> str:
    """What the words before a number make of it: of "no more than" the longer word counts, not "more than"."""
    rules = {"more": MORE, "less": LESS, "about": ABOUT}
    found = [
        (len(word), name) for name, words in rules.items() for word in words if re.search(rf"(?:^|\W){word}$", before)
    ]
    return max(found, default=(0, ""))[1]


def _value(kind: str, said: str) -> float:
    if kind == "digits":
        return float(said.replace(",", "").replace("−", "-"))
    first, *rest = said.lower().split()
    if kind == "part":
        return COUNTS[first] / PARTS[rest[-1].removesuffix("s")]
    if kind == "half":
        return 0.5
    if kind == "odds":
        return COUNTS[first] / COUNTS[rest[-1]]
    return {"twice": 2.0, "thrice": 3.0}.get(first) or float(COUNTS[first])


def _block(block: str) -> str:
    """What a reader sees of a fenced block beside its code."""
    head, _, body = block.partition("\n")
    body = body[: body.rindex("```")].rstrip("`")
    name = re.match(r"`+\{([\w:-]+)\}(.*)", head)
    if not name:
        return ""
    if name[1] == "code-cell":
        options = re.match(r"---\n(.*?)\n---\n", body, re.DOTALL)
        shown = (yaml.safe_load(options[1]) or {}).get("mystnb", {}) if options else {}
        texts = [shown.get("figure", {}).get("caption", ""), shown.get("image", {}).get("alt", "")]
        return "\n" + "\n\n".join(str(text) for text in texts if text) + "\n"
    return f"\n{name[2]}\n{prose(body)}\n" if name[1] in SHOWN else ""
