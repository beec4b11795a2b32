"""Prepare names, ids and other text from the API for the place where it is shown: a log line, Markdown, a chat.

Messages contain agents' names, which anybody who creates agents can choose. A name must not start a new log line,
control a terminal, load an image into Dagster's UI, or notify everybody in a channel.
"""

from __future__ import annotations

import re

_MAX_LENGTH = 60
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#!|~&]|^[-+=]|(?<=^\d)\.)")  # at the start, some would make a list
# The places within a mention, a link, a tag or heading, and an emoji's name.
_CHAT = re.compile(r"(?<=@)(?=\w)|(?<=\])(?=[(\[:])|(?<=#)|(?<=:)(?=[a-z+][\w+-]*:)")
_OUTER_UNDERSCORES = re.compile(r"\b_+|_+\b")  # those within a name, such as `call_loads`, have no effect
_SIMILAR = str.maketrans({"*": "\u2217", "`": "'", "~": "\u223c"})
_ZERO_WIDTH_SPACE = "\u200b"


def one_line(text: str) -> str:
    """Return the text on one line of at most 60 printable characters, for a log line or a terminal."""
    return printable_line(text)[:_MAX_LENGTH]


def printable_line(text: str, allowed: str = "") -> str:
    """Return the text on one line, with single spaces instead of characters that are not printable.

    Args:
        text: of any length.
        allowed: characters that stay although they are not printable.
    """
    printable = "".join(char if char.isprintable() or char in allowed else " " for char in text)
    return " ".join(printable.split())


def markdown(text: str) -> str:
    """Return the text escaped for Dagster's Markdown: it is shown literally, without links, images and HTML."""
    return _MARKDOWN.sub(r"\\\1", _without_addresses(text))


def chat(text: str) -> str:
    """Return the text for a chat: it notifies nobody, has no links, images, headings and tags, and no bold text.

    Slack and Mattermost escape markup in different ways, so characters are replaced by similar ones, and a zero-width
    space breaks up what has a meaning only as a whole.
    """
    plain = _OUTER_UNDERSCORES.sub(lambda found: "\u02cd" * len(found[0]), text.translate(_SIMILAR))
    escaped = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _CHAT.sub(_ZERO_WIDTH_SPACE, _without_addresses(escaped))


def _without_addresses(text: str) -> str:
    """Return the text without addresses: they become links even if they are escaped."""
    return text.replace("://", f":{_ZERO_WIDTH_SPACE}//").replace("www.", f"www{_ZERO_WIDTH_SPACE}.")
