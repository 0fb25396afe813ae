"""Our own analyser says what it knows, and nothing else (P6)."""

from __future__ import annotations

import pytest

from reporting.analysing import MOST_CHARACTERS, analyse, recognised

ANGRY = (
    "Hello, this is about my invoice. I was charged twice and nobody answers. This is terrible, I am really angry "
    "about the invoice. Your service is awful and I hate it."
)
HAPPY = "Hi, thank you so much for the quick delivery, it is wonderful. You are great, I love the new phone!"
PLAIN = "Hello, my name is Smith and I would like to talk to somebody about the delivery on Monday."
GERMAN = "Guten Tag, ich rufe an wegen meiner Rechnung. Die Lieferung ist noch nicht da und ich warte seit Montag."


@pytest.mark.parametrize(
    ("transcript", "label"), [(ANGRY, "negative"), (HAPPY, "positive")], ids=["an angry caller", "a happy one"]
)
def test_an_english_transcript_gets_its_sentiment(transcript: str, label: str) -> None:
    found = analyse(transcript, None)

    assert (found.language, found.sentiment_label) == ("en", label)
    assert found.sentiment_score is not None
    assert -1 <= found.sentiment_score <= 1
    assert abs(found.sentiment_score) > 0.3


def test_what_shows_no_feeling_is_neutral() -> None:
    assert analyse("This is about the delivery. It is for Monday.", "en-GB").sentiment_label == "neutral"


def test_topics_are_words_of_the_transcript() -> None:
    topics = analyse(ANGRY, None).topics

    assert "invoice" in topics
    assert 1 <= len(topics) <= 5
    assert all(word in ANGRY.lower() for topic in topics for word in topic.split())


def test_another_language_has_topics_and_no_sentiment_that_would_be_guessed() -> None:
    found = analyse(GERMAN, None)

    assert (found.language, found.sentiment_label, found.sentiment_score) == ("de", None, None)
    assert "rechnung" in found.topics


@pytest.mark.parametrize("transcript", ["", "…", "4711", "Xyzzy plugh frotz gnusto rezrov", "您好 我想 问 一下"])
def test_what_is_not_recognised_is_left_alone(transcript: str) -> None:
    found = analyse(transcript, None)

    assert (found.sentiment_label, found.topics) == (None, ())


def test_the_language_that_telephony_names_is_believed() -> None:
    assert analyse(GERMAN, "de-DE").language == "de"
    assert analyse(ANGRY, "xx").topics == ()


@pytest.mark.parametrize(("text", "language"), [(ANGRY, "en"), (PLAIN, "en"), (GERMAN, "de"), ("ok bye", None)])
def test_languages_are_told_by_their_small_words(text: str, language: str | None) -> None:
    assert recognised(text) == language


def test_an_endless_transcript_is_read_up_to_a_limit() -> None:
    endless = HAPPY * (MOST_CHARACTERS // len(HAPPY) + 1) + ANGRY * 100

    assert analyse(endless, "en").sentiment_label == "positive"
