"""Our own analyser, for transcripts that telephony sent without an analysis (P6).

Sentiment comes from VADER's lexicon (Hutto & Gilbert 2014), which knows English alone; topics from YAKE (Campos et al.
2020), which knows words that carry no meaning in many languages. Neither loads a model. What it can't know it does
not guess: no sentiment for another language than English, nothing at all for one that is not recognised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    from yake import KeywordExtractor

MOST_CHARACTERS: Final = 20_000
"""What is longer is read up to here: an hour's talk, at what a reading may cost."""

_MOST_TOPICS: Final = 5
_WORDS_IN_A_TOPIC: Final = 2
_LABELLED_FROM: Final = 0.05
"""VADER's own threshold between neutral and the rest."""

_RECOGNISED_FROM: Final = 0.2
"""So large a share of a text's words must be a language's small words for it to be that language."""

_FEWEST_WORDS: Final = 4
_LANGUAGES: Final = ("en", "de", "es", "fr", "it", "nl", "pt", "da", "sv", "no", "fi", "pl", "cz", "tr")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SENTENCE: Final = re.compile(r"[^.!?\n]+[.!?]*")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a transcript; a score from -1 to 1."""

    language: str | None
    sentiment_label: Literal["positive", "neutral", "negative"] | None = None
    sentiment_score: float | None = None
    topics: tuple[str, ...] = ()


def analyse(transcript: str, language: str | None) -> Found:
    """What a transcript says of itself. `language` is what telephony named (`en-US`), None where it named none."""
    text = transcript[:MOST_CHARACTERS]
    spoken = _primary(language) if language else recognised(text)
    if spoken is None or spoken not in _small_words():
        return Found(language=spoken)
    score = _score(text) if spoken == "en" else None
    label: Literal["positive", "neutral", "negative"] | None = None
    if score is not None:
        label = "positive" if score >= _LABELLED_FROM else "negative" if score <= -_LABELLED_FROM else "neutral"
    return Found(language=spoken, sentiment_label=label, sentiment_score=score, topics=_topics(text, spoken))


def recognised(text: str) -> str | None:
    """The language whose small words (articles, pronouns, …) a text is made of; None where none stands out."""
    words = [word.lower() for word in _WORD.findall(text)]
    if len(words) < _FEWEST_WORDS:
        return None
    shares = {language: sum(word in small for word in words) / len(words) for language, small in _small_words().items()}
    best = max(shares, key=lambda language: shares[language])
    return best if shares[best] >= _RECOGNISED_FROM else None


def _score(text: str) -> float:
    # Over a long text VADER's sum runs into its ends, so each sentence is scored by itself; those that say nothing
    # about how anybody feels are most of any call, and would make every call neutral.
    scores = [_vader().polarity_scores(sentence)["compound"] for sentence in _SENTENCE.findall(text)]
    telling = [score for score in scores if abs(score) >= _LABELLED_FROM]
    return round(sum(telling) / len(telling), 4) if telling else 0.0


def _topics(text: str, language: str) -> tuple[str, ...]:
    found = _yake(language).extract_keywords(text)
    return tuple(dict.fromkeys(topic.lower() for topic, _ in found))


def _primary(language: str) -> str:
    primary = re.split(r"[-_]", language.strip().lower())[0]
    return {"cs": "cz", "nb": "no", "nn": "no"}.get(primary, primary)


@cache
def _vader() -> SentimentIntensityAnalyzer:
    # Either takes a second to import: paid with the first transcript, not whenever the service starts.
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


@cache
def _yake(language: str) -> KeywordExtractor:
    from yake import KeywordExtractor

    return KeywordExtractor(lan=language, n=_WORDS_IN_A_TOPIC, top=_MOST_TOPICS, dedup_lim=0.7)


@cache
def _small_words() -> Mapping[str, frozenset[str]]:
    folder = files("yake") / "core" / "StopwordsList"
    return {
        language: frozenset((folder / f"stopwords_{language}.txt").read_text("utf-8").lower().split())
        for language in _LANGUAGES
    }
