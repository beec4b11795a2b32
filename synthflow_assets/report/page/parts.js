// The parts of the page that are drawn anew with each choice.

const find = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children); // texts become text nodes: nothing in a name is markup
  return element;
}

/** How a number changed: relative, or for shares in percentage points. */
function changeText(now, before, isShare) {
  if (now === null || before === null || before === undefined) return "-";
  const change = isShare ? 100 * (now - before) : before === 0 ? null : (100 * (now - before)) / before;
  if (change === null) return "-";
  const size = Math.abs(change).toFixed(1);
  if (Number(size) === 0) return "unchanged";
  return `${change > 0 ? "▲" : "▼"} ${size} ${isShare ? "points" : "%"}`;
}

function drawHeadline(view) {
  const before = beforeOf(view.numbers, view.first, view.last, view.chosen);
  const peak = (sums, first, last) => {
    if (!sums) return null;
    let most = 0;
    for (let day = first; day <= last; day++) most = Math.max(most, view.numbers.peakOf(day, view.chosen).calls);
    return most;
  };
  const length = view.last - view.first + 1;
  const rate = (place) => [(sums) => RATES[place][1](sums), (value) => `${(100 * value).toFixed(1)} %`, true];
  const plain = (name) => [(sums) => sums[name], number.format];
  const cards = [
    ["Calls", "calls", ...plain("calls")],
    ["Connected", "connected", ...rate(0)],
    ["Call time", "minutes", (sums) => sums.connected_seconds / 60, minutesText],
    ["Median duration", "median", (sums) => sums.median, secondsText],
    ["90th percentile", "p90", (sums) => sums.p90, secondsText],
    ["Voicemail", "voicemail", ...rate(1)],
    ["Short calls", "short", ...rate(2)],
    [
      "Most at once",
      "peak",
      (sums) =>
        sums === view.total ? peak(sums, view.first, view.last) : peak(sums, view.first - length, view.first - 1),
      number.format,
    ],
  ];
  find("headline").replaceChildren(
    ...cards.map(([name, id, value, text, isShare]) => {
      const now = value(view.total);
      const change = changeText(now, before && value(before), isShare);
      return make(
        "div",
        {},
        make("dt", {}, name),
        make("dd", { class: "value", id: `headline-${id}`, "data-value": now ?? "" }, now === null ? "-" : text(now)),
        make("dd", { class: "change", id: `headline-${id}-change` }, change),
      );
    }),
  );
  const [start, end] = [view.numbers.firstDay + view.first, view.numbers.firstDay + view.last];
  find("compared").hidden = isNobody(view);
  find("compared").textContent = before
    ? `Changes are against the ${plural(length, "day")} before: ${daysText(start - length, start - 1)}.` +
      (view.total.missing + before.missing ? " Days are missing, so these are not equal amounts of data." : "")
    : `No change is shown: not all of the ${plural(length, "day")} before ${dayText(start)} are here to compare with.`;
  const agents =
    view.agents.length === view.numbers.agents
      ? plural(view.agents.length, "agent")
      : `${view.agents.length} of ${plural(view.numbers.agents, "agent")}`;
  find("scope").textContent =
    `${daysText(start, end)} · ${plural(length, "day")} · ${agents} · days in ${view.numbers.facts.timezone}`;
  find("said").textContent = `${find("scope").textContent}: ${plural(view.total.calls, "call")}`;
}

/** Whether agents are known, and none of them is chosen. */
const isNobody = (view) => view.numbers.agents > 0 && view.agents.length === 0;

/** Above all numbers: whether anything is missing from them. */
function drawState(view) {
  const { landed, missing, uncomputed, unsettled, rejected } = view.total;
  const problems = [
    missing && `${number.format(missing)} never fetched`,
    uncomputed && `${number.format(uncomputed)} without metrics`,
    unsettled && `${number.format(unsettled)} fetched while calls still went on`,
    rejected && `${plural(rejected, "record")} rejected`,
  ].filter(Boolean);
  const notice = find("state");
  notice.hidden = false;
  notice.className = `notice ${problems.length || !landed ? "warn" : "good"}`;
  const link = make("a", { href: "#completeness" }, "see which");
  const whole = plural(landed + missing + uncomputed, "day of an agent", "days of agents");
  if (isNobody(view)) notice.replaceChildren(make("span", {}, "No agent is chosen: choose at least one in the filter."));
  else if (!landed)
    notice.replaceChildren(
      make("span", {}, "No data has landed for these days and agents: this is a gap, not a quiet time."),
    );
  else if (problems.length)
    notice.replaceChildren(make("span", {}, `Not complete: of ${whole}, ${problems.join("; ")} (`, link, ")."));
  else
    notice.replaceChildren(
      make(
        "span",
        {},
        `Complete: every day of every agent has landed and is settled (${number.format(landed)} of ${number.format(landed)}).`,
      ),
    );
}

/** What a time axis of this width has room to name: each day or every few, in the middle of its column; or months. */
function ticksOf(view, width) {
  const [start, end] = [view.numbers.firstDay + view.first, view.numbers.firstDay + view.last];
  const room = Math.max(2, Math.floor(width / 56));
  const step = [1, 2, 7, 14].find((one) => (end - start + 1) / one <= room);
  const ticks = [];
  if (step) {
    const monday = step >= 7 ? (11 - ((start + 3) % 7)) % 7 : 0;
    const half = (view.grain * DAY_MS) / 2;
    for (let day = start + monday; day <= end; day += step) ticks.push(day * DAY_MS + half);
    return { ticks, half };
  }
  const months = [1, 2, 3, 6, 12, 24].find((one) => (end - start) / 30.4 / one <= room) ?? 60;
  const first = new Date(start * DAY_MS);
  for (let month = first.getUTCMonth(); ; month++) {
    const time = Date.UTC(first.getUTCFullYear(), month, 1);
    if (time > end * DAY_MS) return { ticks, half: 0 };
    if (time >= start * DAY_MS && month % months === 0) ticks.push(time);
  }
}

function tableOf({ columns, rows }) {
  return make(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    make(
      "table",
      {},
      make("thead", {}, make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, name)))),
      make(
        "tbody",
        {},
        ...rows.map(([name, ...values]) =>
          make(
            "tr",
            {},
            make("th", { scope: "row", title: name }, name),
            ...values.map((value) => make("td", {}, value)),
          ),
        ),
      ),
    ),
  );
}

/** A figure of the page; its chart is made once, and gets other data with each view. */
class Figure {
  constructor(id, spec, show) {
    Object.assign(this, { id, spec, show, drawn: null, table: null });
    this.element = find(id);
    this.chart = this.element.querySelector(".chart");
    this.details = this.element.querySelector("details");
    this.details.addEventListener("toggle", () => this.fillTable());
  }

  async draw(view) {
    const made = this.show(view);
    this.table = made.table ?? null;
    const isEmpty = made.rows.length === 0;
    this.chart.hidden = isEmpty;
    this.element.querySelector(".none").hidden = !isEmpty;
    this.details.hidden = !this.table;
    find(`${this.id}-summary`).textContent = made.summary ?? "";
    this.element.querySelector(".legend").replaceChildren(
      ...(isEmpty ? [] : (made.legend ?? [])).map(([colour, name]) => {
        const swatch = make("i");
        swatch.style.background = `var(--${colour})`;
        return make("li", {}, swatch, make("span", { title: name }, shortened(name, 32)));
      }),
    );
    this.fillTable();
    if (!isEmpty) await this.drawChart(view, made);
  }

  async drawChart(view, made) {
    const width = this.chart.clientWidth;
    const signals = {
      span: made.span ?? [view.buckets[0].from, view.buckets.at(-1).to],
      ...ticksOf(view, width - 40),
    };
    const data = { rows: made.rows, gaps: made.gaps, marks: made.marks, names: made.names };
    if (!this.drawn) {
      const spec = structuredClone(this.spec);
      for (const one of spec.data) if (data[one.name]) one.values = data[one.name];
      for (const one of spec.signals) if (signals[one.name]) one.value = signals[one.name];
      const place = make("div", { "aria-hidden": "true" }); // the figure says what its marks would say
      this.chart.replaceChildren(place);
      // Read by an interpreter, so that the page's policy can forbid to make code from text.
      const { view: drawn } = await vegaEmbed(place, spec, {
        mode: "vega",
        ast: true,
        renderer: "svg",
        actions: false,
        defaultStyle: false,
        logLevel: 1, // errors
        tooltip: { disableDefaultStyle: true },
      });
      this.drawn = drawn;
      this.names = new Set([...spec.data, ...spec.signals].map((one) => one.name));
      return;
    }
    for (const [name, values] of Object.entries(data))
      if (values && this.names.has(name)) this.drawn.data(name, values);
    for (const [name, value] of Object.entries(signals)) if (this.names.has(name)) this.drawn.signal(name, value);
    await this.drawn.resize().runAsync();
  }

  fillTable() {
    this.details.querySelector(".scroll")?.remove();
    if (this.details.open && this.table) this.details.append(tableOf(this.table()));
  }
}

const AGENT_COLUMNS = [
  ["Agent", (one) => one.name, String],
  ["Calls", (one) => one.sums.calls, number.format],
  ["Connected", (one) => RATES[0][1](one.sums), (value) => percent(value, 1)],
  ["Voicemail", (one) => RATES[1][1](one.sums), (value) => percent(value, 1)],
  ["Short", (one) => RATES[2][1](one.sums), (value) => percent(value, 1)],
  ["Call time, min", (one) => one.sums.connected_seconds / 60, (value) => number.format(Math.round(value))],
  ["Median", (one) => one.sums.median, secondsText],
  ["90th percentile", (one) => one.sums.p90, secondsText],
  ["Days missing", (one) => one.sums.missing + one.sums.uncomputed, number.format],
];
const ROWS = 15;

/** The table of all agents: sorted by any column, the first few until all are asked for. */
class AgentTable {
  constructor() {
    Object.assign(this, { column: 1, descending: true, whole: false, view: null });
  }

  draw(view = this.view) {
    this.view = view;
    const [, value] = AGENT_COLUMNS[this.column];
    const sign = this.descending ? -1 : 1;
    const order = [...view.agents].sort((a, b) => {
      const [one, other] = [value(a), value(b)];
      if (one === null || other === null) return (one === null) - (other === null);
      return sign * (typeof one === "string" ? one.localeCompare(other) : one - other);
    });
    const heads = AGENT_COLUMNS.map(([name], place) =>
      make(
        "th",
        {
          scope: "col",
          "aria-sort": place === this.column ? (this.descending ? "descending" : "ascending") : null,
        },
        make("button", { type: "button", onclick: () => this.sort(place) }, name),
      ),
    );
    const rows = order.map((agent) =>
      AGENT_COLUMNS.map(([, of, text]) => {
        const found = of(agent);
        return found === null ? "-" : text(found);
      }),
    );
    const more = make(
      "button",
      {
        type: "button",
        onclick: () => {
          this.whole = !this.whole;
          this.draw();
        },
      },
      this.whole ? `Show the first ${ROWS} only` : `Show all ${order.length}`,
    );
    find("agent-table").replaceChildren(
      make(
        "table",
        {},
        make("thead", {}, make("tr", {}, ...heads)),
        make(
          "tbody",
          {},
          ...rows.map(([name, ...values], place) =>
            make(
              "tr",
              { hidden: !this.whole && place >= ROWS }, // printed all the same
              make("th", { scope: "row", title: name }, name),
              ...values.map((one) => make("td", {}, one)),
            ),
          ),
        ),
      ),
      ...(order.length > ROWS ? [more] : []),
    );
  }

  sort(column) {
    this.descending = column === this.column ? !this.descending : column !== 0;
    this.column = column;
    this.draw();
    find("agent-table").querySelectorAll("th button")[column].focus();
  }
}
