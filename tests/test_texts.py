"""Text from the API is shown literally in every place and has no other effect."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from synthflow_assets.agents import Agent
from synthflow_assets.texts import chat, from_markdown, markdown, one_line

NAMES = [
    "two\nlines\r\n2026-01-01 ERROR forged",
    "esc \x1b[2J\x07 bell",
    "right to left \u202e here",
    "x" * 3_000,
    "![](https://evil.example/pixel.png)",
    "[click](javascript:alert(1)) <img src=x> www.evil.example",
    "# heading * list `code` ~~gone~~ | cell & <!channel> <@U123> @here @all",
    "*bold* _slanted_ __bold__ #tag :bomb: [text][1] [1]: https://evil.example",
    "WWW.evil.example, Www2.evil.example and HTTPS://evil.example",
    "a@evil.example, MAILTO:a@evil.example, xmpp:a@evil.example, tel:+14155550123",
    "go to evil.example/x or evil.co.uk",
    *(
        f"{marker}item"
        for marker in ("- ", "+ ", "* ", "1. ", "10. ", "1) ", "> ", ">", "    ", "\t", "| ", "= ", "# ")
    ),
    "---",
    "===",
    "a__b _c_d_ __e_f__ _g__h_",
]
# What remark-gfm makes a link of: its tokenizer, and its search in the text that is left, without escapes.
AUTOLINK = re.compile(r"(https?://|www(?=\.))[-.\w]+|[-.\w+]+@[-\w]+\.[-\w]+", re.IGNORECASE)
# What chats make a link of besides: schemes without slashes, `www2.`, and hosts.
CHAT_LINK = re.compile(r"\b(mailto|xmpp|tel|sms):\S|\bwww\d*\.|\b[a-z0-9-]+\.(example|co|uk|com)\b", re.IGNORECASE)
COMMON_MARK = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@pytest.mark.parametrize("name", NAMES)
def test_a_log_line_is_one_short_line(name: str) -> None:
    for shown in (one_line(name), Agent(name, None, None).label, Agent("id", name, None).label):
        assert shown.isprintable()
        assert 0 < len(shown) <= 60


@pytest.mark.parametrize("name", NAMES)
def test_markdown_has_no_markup_left(name: str) -> None:
    shown = markdown(one_line(name))
    assert not set("\\`*_[]()<>#!|~&") & set(re.sub(r"\\.|(?<=[^\W_])_(?=[^\W_])", "", shown))
    assert "://" not in shown
    assert "www." not in shown.replace("\\", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_chat_notifies_nobody(name: str) -> None:
    shown = chat(one_line(name))
    assert not set("<>*`~") & set(shown)
    parts = ("@here", "@all", "@U123", "](", "][", "]:", "://", "www.", ":bomb:", "#tag", "# heading")
    assert not [part for part in (*parts, "_slanted_", "__bold__") if part in shown]


@pytest.mark.parametrize("name", [*NAMES, *(f"first\n{name}" for name in NAMES), *(f"first\r{name}" for name in NAMES)])
def test_a_renderer_of_markdown_shows_the_text_and_nothing_else(name: str) -> None:
    """In Dagster, each text is an item of a list; chats show a text of several lines."""
    in_list = COMMON_MARK.render(f"- {markdown(name)}")
    in_chat = COMMON_MARK.render(f"Subject\n{chat(name)}")
    assert set(re.findall("<.*?>", in_list)) == {"<ul>", "<li>", "</li>", "</ul>"}
    assert set(re.findall("<.*?>", in_chat)) == {"<p>", "</p>"}
    for shown in (in_list, in_chat):
        text = html.unescape(re.sub("<.*?>", "", shown))
        assert not AUTOLINK.search(text)
    assert not CHAT_LINK.search(chat(name))
    plain = html.unescape(re.sub("<.*?>", "", in_list)).replace("\u200b", "")
    assert plain.split() == name.split()


@pytest.mark.parametrize("name", ["- item", "> item", "    item", "1. item"])
def test_a_chat_of_other_markup_starts_no_block(name: str) -> None:
    """Slack reads `&gt;` at the start of a line as a quotation."""
    assert all(line.startswith("\u200b") for line in chat(f"{name}\n{name}").split("\n"))


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_has_the_text_of_a_description_without_its_escapes(name: str) -> None:
    assert from_markdown(markdown(one_line(name))).replace("\u200b", "") == one_line(name).strip()


def test_plain_text_stays_readable() -> None:
    assert markdown("call_status of call_loads") == "call_status of call_loads"
    text = "2026-03-10 of Front Desk: Server error (503), a@b"
    assert chat(text) == text.replace("@", "@\u200b")
    assert markdown(text) == text.replace("(", "\\(").replace(")", "\\)").replace("@", "@\u200b")
    # Commands, tables, paths and times can be copied from a chat.
    for copied in (
        "call_duration_daily, a__b: 05:30:00, see 'x'",
        "dg launch --module-name synthflow_assets.definitions --assets 'group:synthflow' --partition 2026-01-05",
        "dg launch --assets 'group:synthflow' --partition-range 2026-01-01...2026-01-05",
        "1.5 of 2. The table synthflow.call_loads in /srv/data/warehouse.duckdb, at 127.0.0.1:3000",
    ):
        assert chat(copied) == copied
