"""Prepare names, ids and other text from the API for the place where it is shown: a log line, Markdown, a chat.

Messages contain agents' names, which anybody who creates agents can choose. A name must not start a new log line,
control a terminal, load an image into Dagster's UI, or notify everybody in a channel.
"""

from __future__ import annotations

import re

_MAX_LENGTH = 60
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#!|~&]|^[-+=]|(?<=^\d)\.)")  # at the start, some would make a list
_MENTION = re.compile(r"@(?=\w)")
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
    # Addresses become links even if they are escaped.
    plain = text.replace("://", f":{_ZERO_WIDTH_SPACE}//").replace("www.", f"www{_ZERO_WIDTH_SPACE}.")
    return _MARKDOWN.sub(r"\\\1", plain)


def chat(text: str) -> str:
    """Return the text escaped for Slack and Mattermost: it is shown literally, and notifies nobody."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MENTION.sub(f"@{_ZERO_WIDTH_SPACE}", escaped)
