"""Text from the API is shown literally in every place and has no other effect."""

import re

import pytest

from synthflow_assets.agents import Agent
from synthflow_assets.texts import chat, markdown, one_line

NAMES = [
    "two\nlines\r\n2026-01-01 ERROR forged",
    "esc \x1b[2J\x07 bell",
    "right to left \u202e here",
    "x" * 3_000,
    "![](https://evil.example/pixel.png)",
    "[click](javascript:alert(1)) <img src=x> www.evil.example",
    "# heading * list `code` ~~gone~~ | cell & <!channel> <@U123> @here @all",
    "*bold* _slanted_ __bold__ #tag :bomb: [text][1] [1]: https://evil.example",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_log_line_is_one_short_line(name: str) -> None:
    for shown in (one_line(name), Agent(name, None, None).label, Agent("id", name, None).label):
        assert shown.isprintable()
        assert 0 < len(shown) <= 60


@pytest.mark.parametrize("name", NAMES)
def test_markdown_has_no_markup_left(name: str) -> None:
    shown = markdown(one_line(name))
    assert not set("\\`*_[]()<>#!|~&") & set(re.sub(r"\\.", "", shown))
    assert "://" not in shown
    assert "www." not in shown.replace("\\", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_chat_notifies_nobody(name: str) -> None:
    shown = chat(one_line(name))
    assert not set("<>*`~") & set(shown)
    parts = ("@here", "@all", "@U123", "](", "][", "]:", "://", "www.", ":bomb:", "#tag", "# heading")
    assert not [part for part in (*parts, "_slanted_", "__bold__") if part in shown]


@pytest.mark.parametrize("name", ["- item", "+ item", "1. item", "= line"])
def test_markdown_starts_no_list(name: str) -> None:
    assert "\\" in markdown(name)


def test_plain_text_stays_readable() -> None:
    text = "2026-03-10 of Front Desk: Server error (503), a@b"
    assert chat(text) == text.replace("@", "@\u200b")
    assert chat("call_duration_daily, a__b: 05:30:00, see 'x'") == "call_duration_daily, a__b: 05:30:00, see 'x'"
    assert markdown(text) == text.replace("(", "\\(").replace(")", "\\)")
