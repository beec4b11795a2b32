"""Render the page: template, style, scripts and data in one file that needs no network."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from synthflow_assets.report.content import Content
from synthflow_assets.report.encoding import pack, script_json
from synthflow_assets.settings import Settings

_SCRIPTS = tuple(f"{name}.js" for name in ("numbers", "texts", "shapes", "figures", "view", "parts", "filters", "page"))


def render(content: Content, settings: Settings, made_at: dt.datetime) -> bytes:
    """Return the page in UTF-8.

    Args:
        content: names and numbers.
        settings: for the time zone and the threshold of short calls.
        made_at: the time that the page states as its own.
    """
    facts = {**content.facts, "timezone": settings.timezone, "short_call_seconds": settings.short_call_seconds}
    library, script, style = _library(), page_script(), _text("page.css")
    page = _template().render(
        title=f"Voice agent calls, {facts['from']} to {facts['to']}",
        facts=facts,
        short_calls=_minutes_text(settings.short_call_seconds),
        made_at=f"{made_at:%Y-%m-%d %H:%M} UTC",
        policy=_policy([library, script], style),
        # The package's own files, and JSON that is safe in a script element.
        library=Markup(library),
        script=Markup(script),
        style=Markup(style),
        data=Markup(script_json({"facts": facts, "charts": _charts(), **pack(content.columns)})),
    )
    return page.encode()


def _minutes_text(seconds: int) -> str:
    """Return a duration as the page writes it: minutes:seconds."""
    return f"{seconds // 60}:{seconds % 60:02} min"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_text("page.html.j2"))


@cache
def _library() -> str:
    """Return Vega and vega-embed as one script, with their licences. The package contains them: pages work offline."""
    licences, *scripts = (_text(f"vega/{name}") for name in ("LICENSES", "vega.min.js", "vega-embed.min.js"))
    return "\n".join((f"/*\n{licences}*/", *scripts))


@cache
def _charts() -> dict[str, Any]:
    """Return the charts of `report/charts.py`, which `scripts/compile_charts.py` has compiled to Vega."""
    return dict(json.loads(_text("charts.json")))


@cache
def page_script() -> str:
    """Return the page's own scripts as one, in a function, so that their names are not global."""
    parts = "\n".join(_text(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


@cache
def _text(name: str) -> str:
    return files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


def _policy(scripts: list[str], style: str) -> str:
    """Return a policy that allows these scripts and this style, and no connections, forms or code from strings."""
    allowed = " ".join(_fingerprint(script) for script in scripts)
    sources = f"default-src 'none'; script-src {allowed}; style-src {_fingerprint(style)}"
    return f"{sources}; base-uri 'none'; form-action 'none'"


def _fingerprint(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
