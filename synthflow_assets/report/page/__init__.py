"""Puts the page together: template, style, scripts and data in one file that needs no network."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup

from synthflow_assets.report.charts import page_charts
from synthflow_assets.report.content import Content
from synthflow_assets.report.encoding import pack, script_json
from synthflow_assets.settings import Settings

_SCRIPTS = tuple(f"{name}.js" for name in ("numbers", "texts", "shapes", "figures", "view", "parts", "filters", "page"))


def render(content: Content, settings: Settings, made_at: dt.datetime) -> bytes:
    """The page, in UTF-8."""
    facts = {**content.facts, "timezone": settings.timezone, "short_call_seconds": settings.short_call_seconds}
    library, script, style = _library(), page_script(), _text("page.css")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(_text("page.html.j2")).render(
        title=f"Voice agent calls, {facts['from']} to {facts['to']}",
        notes=_notes(facts, made_at),
        policy=_policy([library, script], style),
        # None of these comes from outside, or can end the element that it stands in.
        library=Markup(library),
        script=Markup(script),
        style=Markup(style),
        data=Markup(script_json({"facts": facts, "charts": page_charts(), **pack(content.columns)})),
    )
    return page.encode()


def _notes(facts: dict[str, object], made_at: dt.datetime) -> list[str]:
    """What has to be known to read the numbers right."""
    meaning = (
        f"A call belongs to the day that it started on, in {facts['timezone']}, and is connected where somebody, or a "
        "voicemail, picked up. Durations are of connected calls, ringing included; call time is their sum."
    )
    notes = [
        f"Made at {made_at:%Y-%m-%d %H:%M} UTC from the metric tables.",
        meaning,
        "Days of which something was never fetched are shaded in every chart over time: a gap there is no quiet day.",
    ]
    if facts["percent"]:
        notes.append(
            f"To keep this file small, durations that differ by less than {facts['percent']} % are counted as one, and "
            "medians and percentiles are as exact. A report of fewer days or agents has them exactly."
        )
    else:
        notes.append("Medians and percentiles are exact for any choice of days and agents.")
    return notes


@cache
def _library() -> str:
    """Vega with all that it needs, as one script; it comes with vl-convert, so it is never fetched."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


@cache
def page_script() -> str:
    """The page's own scripts, with names of their own."""
    parts = "\n".join(_text(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


@cache
def _text(name: str) -> str:
    return files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


def _policy(scripts: list[str], style: str) -> str:
    """Only these very scripts and this style; no code from text, nothing from any network, nothing sent."""
    allowed = " ".join(_fingerprint(script) for script in scripts)
    sources = f"default-src 'none'; script-src {allowed}; style-src {_fingerprint(style)}"
    return f"{sources}; base-uri 'none'; form-action 'none'"


def _fingerprint(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
