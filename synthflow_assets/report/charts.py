"""The charts in Vega-Lite. On the page they take their colours from the style sheet, in previews from `LIGHT`.

A chart refers to data sets that the page or the preview fills: `rows`, and some charts also `gaps`, `marks` or `names`.
Days are the epoch milliseconds of their UTC midnights, so that they look the same in every time zone.
"""

from __future__ import annotations

from typing import Any

Spec = dict[str, Any]

# Six series in colours that colour-blind people can tell apart (Okabe and Ito), and one for all others, in grey.
SERIES = 7
_COLOURS = SERIES + 1  # "not reported" has a darker grey of its own
HEAT_CLASSES = 6
STATES = 6
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif'
# The light colours of page.css, for previews, which have no style sheet.
LIGHT = {
    "ink": "#17212b",
    "soft": "#55626f",
    "line": "#dde2e8",
    "paper": "#ffffff",
    "gap": "#fbe3c4",
    **{f"series-{number}": colour for number, colour in enumerate(
        ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#aab4be", "#6b7783")
    )},
}  # fmt: skip

_NUMBER: Spec = {"tickCount": 5, "labelExpr": "format(datum.value, datum.value % 1 ? ',.1f' : ',.0f')"}
PERCENT: Spec = {"tickCount": 4, "labelExpr": "format(datum.value, '.0%')"}
# Minutes as minutes:seconds, as everywhere on the page. Values are in minutes, so that ticks fall on round ones.
_SECONDS = "round(datum.value * 60)"
MINUTES: Spec = {
    "tickCount": 5,
    "labelExpr": f"format(floor({_SECONDS} / 60), ',d') + ':' + pad({_SECONDS} % 60, 2, '0', 'left')",
}
# A label stands below the middle of its column, `half` after the start of its day.
_DATE = (
    "utcFormat(datum.value - half, utcmonth(datum.value - half) == 0 && utcdate(datum.value - half) < 8 "
    "? '%-d %b %Y' : '%-d %b')"
)
_TOOLTIP = [
    {"field": "when", "type": "nominal", "title": "When"},
    {"field": "name", "type": "nominal", "title": "What"},
    {"field": "text", "type": "nominal", "title": "Value"},
]


def page_charts() -> dict[str, Spec]:
    """Return the kinds of charts on the page. Several figures may share a kind.

    The page has them compiled to Vega: after a change, run `make charts`.
    """
    kinds = {
        "columns": columns(),
        "shares": shares(),
        "minutes": lines(axis=MINUTES),
        "rates": lines(axis=PERCENT),
        "histogram": _histogram(),
        "bars": _bars(),
        "heat": _heat(),
        "states": _states(),
    }
    return {name: _page(kind) for name, kind in kinds.items()}


def config(colour: dict[str, str] | None = None) -> Spec:
    """Return the fonts and colours of all charts.

    Args:
        colour: colours by name, such as `LIGHT`; the page's style sheet decides if None. So in all functions here.
    """
    ink, soft, line = (_colour(name, colour) for name in ("ink", "soft", "line"))
    return {
        "font": FONT,
        "background": "transparent" if colour is None else colour["paper"],
        "view": {"stroke": None},
        "aria": False,  # the figure around the chart describes it
        "axis": {
            "labelColor": soft,
            "labelFontSize": 11,
            "titleColor": soft,
            "gridColor": line,
            "domainColor": line,
            "tickColor": line,
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
            "title": None,
        },
        "legend": {"labelColor": ink, "labelFontSize": 11, "labelLimit": 150, "title": None, "symbolType": "square"},
        "title": {"color": ink, "subtitleColor": soft, "fontSize": 14, "subtitleFontSize": 12, "anchor": "start"},
        "text": {"color": ink, "fontSize": 11},
    }


def columns(colour: dict[str, str] | None = None, names: list[str] | None = None, axis: Spec | None = None) -> Spec:
    """Return stacked columns over time, each part from `low` to `high`, with the gaps behind them.

    Args:
        colour: as in `config`.
        names: of the series, for a legend in the picture; without them `rows` have the number of their series.
        axis: properties of the vertical axis, such as `MINUTES`.
    """
    stack = {"y": _amount("low", axis), "y2": {"field": "high"}}
    bar = {"mark": "rect", "encoding": {**_over_time(), **stack, **_series(colour, names)}}
    return {"params": _time_params(), "layer": [_gaps(colour), {"data": {"name": "rows"}, **bar}]}


def shares(colour: dict[str, str] | None = None, names: list[str] | None = None) -> Spec:
    """Return stacked columns over time as parts of 100 %."""
    chart = columns(colour, names)
    chart["layer"][1]["encoding"]["y"] = _share("low")
    return chart


def lines(colour: dict[str, str] | None = None, names: list[str] | None = None, axis: Spec | None = None) -> Spec:
    """Return a line over time for each series; a `value` of null interrupts it."""
    encoding = {
        "x": _over_time()["x"] | {"field": "middle"},
        "y": _amount("value", axis),
        **_series(colour, names),
    }
    mark = {"type": "line", "strokeWidth": 2, "point": {"size": 22}, "interpolate": "linear"}
    return {
        "params": _time_params(),
        "layer": [_gaps(colour), {"data": {"name": "rows"}, "mark": mark, "encoding": encoding}],
    }


def _histogram() -> Spec:
    """Return calls by duration in minutes, with a vertical line and a label at each of `marks`."""
    bar = {
        "data": {"name": "rows"},
        "mark": {"type": "rect", "color": _colour("series-0")},
        "encoding": {
            "x": {"field": "from", "type": "quantitative", "axis": {**MINUTES, "tickCount": 8, "grid": False},
                  "scale": {"nice": False, "domain": {"expr": "span"}}},
            "x2": {"field": "to"},
            "y": _amount("value"),
            "y2": {"datum": 0},
            "tooltip": _TOOLTIP,
        },
    }  # fmt: skip
    at: Spec = {"x": {"field": "value", "type": "quantitative"}}
    rule = {
        "data": {"name": "marks"},
        "mark": {"type": "rule", "color": _colour("ink"), "strokeDash": [4, 3]},
        # From its label down, so that it does not cross the label of another one.
        "encoding": at | {"y": {"field": "height", "type": "quantitative", "scale": None}, "y2": {"value": "height"}},
    }
    at_end = "datum.value > 0.6 * span[1]"
    label: Spec = {
        "data": {"name": "marks"},
        # A label near the right end stands before its line, so that it is not cut.
        "mark": {"type": "text", "align": {"expr": f"{at_end} ? 'right' : 'left'"},
                 "dx": {"expr": f"{at_end} ? -5 : 5"}, "baseline": "top", "fontWeight": 600,
                 "stroke": _colour("paper"), "strokeWidth": 3, "strokeJoin": "round"},
        "encoding": at | {"y": {"field": "height", "type": "quantitative", "scale": None}, "text": {"field": "label"}},
    }  # fmt: skip
    inked = {**label, "mark": label["mark"] | {"stroke": None, "strokeWidth": 0}}
    return {"params": [{"name": "span", "value": [0, 1]}], "layer": [bar, rule, label, inked]}


def _bars() -> Spec:
    """Return a horizontal bar in parts from `low` to `high` for each of `names`, which stand above their bars."""
    band = {"field": "position", "type": "ordinal", "axis": None, "scale": {"paddingInner": 0.58, "paddingOuter": 0.3}}
    bar = {
        "data": {"name": "rows"},
        "mark": "rect",
        "encoding": {"y": band, "x": _share("low"), "x2": {"field": "high"}, **_series()},
    }
    text = {"type": "text", "baseline": "bottom", "dy": -4}
    room = "max(60, width - 185)"
    name = {**text, "align": "left", "x": 0, "limit": {"expr": f"{room} + 10"}}
    note = {**text, "align": "right", "x": {"expr": "width"}, "limit": 180, "color": _colour("soft")}
    labels = [
        {
            "data": {"name": "names"},
            "mark": mark,
            "transform": [{"calculate": shown, "as": "shown"}],
            "encoding": {"y": {**band, "bandPosition": 0}, "text": {"field": "shown"}},
        }
        for shown, mark in ((_shortened("datum.name", room), name), ("datum.note", note))
    ]
    return {"height": {"step": 36}, "layer": [bar, *labels]}


def _heat() -> Spec:
    """Return hours by days of the week, in classes of colour."""
    fills = [_colour(f"heat-{number}") for number in range(HEAT_CLASSES)]
    return {
        "height": {"step": 26},
        "data": {"name": "rows"},
        "mark": {"type": "rect", "cornerRadius": 2, "stroke": _colour("paper"), "strokeWidth": 2},
        "encoding": {
            "x": {"field": "hour", "type": "ordinal", "scale": {"domain": list(range(24))},
                  "axis": {"labelAngle": 0, "labelOverlap": "greedy", "labelSeparation": 8,
                           "values": list(range(0, 24, 3)),
                           "labelExpr": "pad(datum.value, 2, '0', 'left') + ':00'"}},
            "y": {"field": "weekday", "type": "ordinal",
                  "scale": {"domain": ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]}},
            "color": {"field": "class", "type": "ordinal", "legend": None,
                      "scale": {"domain": list(range(HEAT_CLASSES)), "range": fills}},
            "tooltip": _TOOLTIP,
        },
    }  # fmt: skip


def _states() -> Spec:
    """Return a row for each agent over time, coloured by the state of its days."""
    fills = [_colour(f"state-{number}") for number in range(STATES)]
    room = "(containerSize()[0] < 520 ? 110 : 220)"
    return {
        "params": _time_params(),
        "height": {"step": 22},
        "data": {"name": "rows"},
        "mark": {"type": "rect", "stroke": _colour("paper"), "strokeWidth": 1},
        "encoding": {
            **_over_time(),
            "y": {"field": "name", "type": "nominal", "sort": None,
                  "axis": {"labelLimit": {"expr": room}, "labelExpr": _shortened("datum.label", room),
                           "labelPadding": 8}},
            "color": {"field": "state", "type": "ordinal", "legend": None,
                      "scale": {"domain": list(range(STATES)), "range": fills}},
            "tooltip": _TOOLTIP,
        },
    }  # fmt: skip


def _page(kind: Spec) -> Spec:
    return {
        "height": 220,
        **kind,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": config(),
    }


def _colour(name: str, colour: dict[str, str] | None = None) -> str:
    return colour[name] if colour else f"var(--{name})"


def _time_params() -> list[Spec]:
    """Return the parameters that change with the filter: the ends of the time axis, its labels, and their offset."""
    return [{"name": "span", "value": [0, 86_400_000]}, {"name": "ticks", "value": []}, {"name": "half", "value": 0}]


def _shortened(text: str, pixels: str) -> str:
    """Return an expression for a text of limited width, cut in the middle, because names often start alike."""
    return f"truncate({text}, floor({pixels} / 7), 'center')"  # most letters are narrower than 7 pixels


def _over_time() -> Spec:
    axis = {
        "values": {"expr": "ticks"},
        "labelExpr": _DATE,
        "grid": False,
        "labelFlush": True,
        "labelOverlap": True,
        "labelSeparation": 6,
    }
    scale = {"type": "utc", "domain": {"expr": "span"}, "nice": False}
    return {"x": {"field": "from", "type": "temporal", "axis": axis, "scale": scale}, "x2": {"field": "to"}}


def _amount(field: str, axis: Spec | None = None) -> Spec:
    return {"field": field, "type": "quantitative", "scale": {"zero": True}, "axis": {**_NUMBER, **(axis or {})}}


def _share(field: str) -> Spec:
    return {**_amount(field, PERCENT), "scale": {"domain": [0, 1]}}


def _series(colour: dict[str, str] | None = None, names: list[str] | None = None) -> Spec:
    """Return the colours by number of the series; with names, by name and with a legend if there are several."""
    fills = [_colour(f"series-{number}", colour) for number in range(_COLOURS)]
    domain: list[Any] = [*(names or range(_COLOURS))]
    scale = {"domain": domain, "range": fills}
    field = "name" if names else "series"
    legend = {"orient": "bottom", "columns": 4, "labelExpr": _shortened("datum.label", "150")}
    color = {"field": field, "type": "nominal", "scale": scale, "legend": legend if names and names[1:] else None}
    return {"color": color, "tooltip": _TOOLTIP}


def _gaps(colour: dict[str, str] | None = None) -> Spec:
    """Return shaded days with missing data; the larger their `share` of missing data, the stronger."""
    opacity = {"field": "share", "type": "quantitative", "scale": None}
    return {
        "data": {"name": "gaps"},
        "mark": {"type": "rect", "color": _colour("gap", colour)},
        "encoding": {**_over_time(), "opacity": opacity, "tooltip": _TOOLTIP},
    }
