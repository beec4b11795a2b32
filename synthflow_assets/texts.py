"""Prepare names, ids and other text from the API for the place where it is shown: a log line, Markdown, a chat.

Messages contain agents' names, which anybody who creates agents can choose. A name must not start a new log line,
control a terminal, load an image into Dagster's UI, or notify everybody in a channel.
"""

from __future__ import annotations

import re

_MAX_LENGTH = 60
_ZERO_WIDTH_SPACE = "\u200b"
# At the start of a line, some would make a list. An underscore within a name, such as `call_loads`, has no effect.
_MARKDOWN = re.compile(r"([\\`*{}\[\]()<>#!|~&]|(?<![^\W_])_|_(?![^\W_])|^[-+=])", re.MULTILINE)
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()<>#!|~&+=.-])")
_NUMBERED = re.compile(r"^(\d+)\.", re.MULTILINE)
# Addresses become links even if they are escaped, in capitals too. Some programs also link `www2.` and phone numbers.
_ADDRESS = re.compile(
    r"(?<=:)(?=//)|(?<=www)(?=\d{0,3}\.)|(?<=@)(?=\S)|(?<=mailto)(?=:)|(?<=xmpp)(?=:)|(?<=\btel)(?=:)|(?<=\bsms)(?=:)",
    re.IGNORECASE,
)
# The places within a mention, a link, a tag or heading, and an emoji's name.
_CHAT = re.compile(r"(?<=@)(?=\w)|(?<=\])(?=[(\[:])|(?<=#)|(?<=:)(?=[a-z+][\w+-]*:)")
# What makes a line of a chat a list, a quotation, a table, a heading or code.
_LINE_START = re.compile(r"^(?=[ \t=+|:-]|&gt;|\d+[.)](\s|$))", re.MULTILINE)
# The dot of a host without `www.`, which chats link. Paths and our module stay as they are, so that they can be copied.
_HOST_DOT = re.compile(
    r"(?<=[a-z0-9-])(?=\.(?!(?:definitions|duckdb|html|json|parquet|yaml)\b)[a-z]{2,}(?![\w-]*_))", re.IGNORECASE
)
_OUTER_UNDERSCORES = re.compile(r"\b_+|_+\b")  # those within a name, such as `call_loads`, have no effect
_SIMILAR = str.maketrans({"*": "\u2217", "`": "'", "~": "\u223c"})


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
    # Indented lines would be code, in which escapes are shown.
    lines = "\n".join(line.strip() for line in _ADDRESS.sub(_ZERO_WIDTH_SPACE, text).splitlines())
    return _NUMBERED.sub(r"\1\.", _MARKDOWN.sub(r"\\\1", lines))


def from_markdown(text: str) -> str:
    """Return a text that `markdown` has escaped, or that contains one, without the escapes."""
    return _ESCAPED.sub(r"\1", text)


def chat(text: str) -> str:
    """Return the text for a chat, without mentions, links, images, headings, lists, tags and bold text.

    Slack and Mattermost escape markup in different ways, so characters are replaced by similar ones, and a zero-width
    space breaks up mentions, links and tags.
    """
    plain = _OUTER_UNDERSCORES.sub(lambda found: "\u02cd" * len(found[0]), text.translate(_SIMILAR))
    escaped = "\n".join(plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").splitlines())
    for pattern in (_LINE_START, _ADDRESS, _HOST_DOT, _CHAT):
        escaped = pattern.sub(_ZERO_WIDTH_SPACE, escaped)
    return escaped
