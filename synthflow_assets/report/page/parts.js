// The parts of the page that change with the selection.

const find = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children); // names become text nodes, never markup
  return element;
}

/** The change of a number in percent, or of a share in percentage points. */
function changeText(now, before, isShare) {
  if (now === null || before === null || before === undefined) return "-";
  const change = isShare ? 100 * (now - before) : before === 0 ? null : (100 * (now - before)) / before;
  if (change === null) return "-";
  const size = Math.abs(change).toFixed(1);
  if (Number(size) === 0) return "unchanged";
  return `${change > 0 ? "▲" : "▼"} ${size} ${isShare ? "points" : "%"}`;
}

/** A count of sums. Null if no day has metrics, because 0 would say that there were no calls. */
const known = (sums, count) => (sums.withNumbers ? count : null);

// Name, id, value of sums, text of the value, what it is a part of, whether it is a share.
const OUTCOME_CARDS = [
  ["Calls", "calls", (sums) => known(sums, sums.calls), number.format, ""],
  ["Person reached", "reached", RATES.reached, rateText, "of all calls", true],
  ["Voicemail", "voicemail", RATES.voicemail, rateText, "of all calls", true],
  ["No answer", "no-answer", RATES.noAnswer, rateText, "of all calls", true],
  ["Transfers failed", "transfers-failed", RATES.transfersFailed, rateText, "of calls with a transfer result", true],
];
const OTHER_CARDS = [
  ["Connected", "connected", RATES.connected, rateText, "of all calls, voicemails included", true],
  ["Short calls", "short", RATES.short, rateText, "of connected calls", true],
  ["Most concurrent calls", "concurrent", (sums) => known(sums, sums.concurrent), number.format, ""],
  ["Call time", "call-time", (sums) => known(sums, sums.connected_seconds), minutesText, "of connected calls"],
  ["Median duration", "median", (sums) => sums.median, durationText, "of connected calls"],
  ["90th percentile of duration", "p90", (sums) => sums.p90, durationText, "of connected calls"],
];
const GOALS = ["goal", "appointment", "user_sentiment", "answered_by_human"]; // checks of the judge with a card

/** The cards of those goals that the judge has verdicts on, and of the collected information if there is any. */
function goalCards({ numbers }) {
  const goals = GOALS.filter((name) => numbers.facts.judge_results.includes(name)).map((name) => {
    const check = numbers.facts.judge_results.indexOf(name);
    const title = `Judge: ${words(name)}`;
    return [title, name, (sums) => passShare(sums, check), rateText, "passed, of calls with a verdict", true];
  });
  const collected = ({ variables }) => share(sumOf(variables.collected), sumOf(variables.asked));
  const information = ["Information collected", "collected", collected, rateText, "of what agents asked for", true];
  return numbers.facts.variables.length ? [...goals, information] : goals;
}

/** The cards of the estimated cost, if a price is set. */
function costCards({ numbers }) {
  const { currency, cost_unit: unit, judge_results: checks } = numbers.facts;
  if (!currency) return [];
  const money = (amount) => moneyText(amount, currency);
  const cost = (sums) => known(sums, sums.cost_units * unit);
  const goal = checks.indexOf("goal");
  const passed = ["Cost per goal passed", "cost-per-goal", (sums) => share(cost(sums), sums.judged.passes[goal]), money, "estimated"];
  return [
    ["Cost", "cost", cost, money, "estimated, of billed minutes"],
    ["Cost per person reached", "cost-per-person", (sums) => share(cost(sums), sums.person_reached_calls), money, "estimated"],
    ...(goal < 0 ? [] : [passed]),
  ];
}

function drawHeadline(view) {
  const { compared } = view;
  find("headline").replaceChildren(
    ...[...OUTCOME_CARDS, ...goalCards(view), ...OTHER_CARDS, ...costCards(view)].map(([name, id, value, text, whole, isShare = false]) => {
      const now = value(view.total);
      const change = compared ? changeText(value(compared.now), value(compared.earlier), isShare) : "-";
      return make(
        "div",
        {},
        make("dt", {}, name),
        make(
          "dd",
          { class: "value", id: `headline-${id}`, "data-value": now ?? "" },
          now === null ? "-" : text(now),
        ),
        make("dd", { class: "whole" }, whole),
        make("dd", { class: "change", id: `headline-${id}-change`, hidden: !compared }, change),
      );
    }),
  );
  const length = view.last - view.first + 1;
  const [start, end] = [view.numbers.firstDay + view.first, view.numbers.firstDay + view.last];
  find("compared").hidden = isNobody(view);
  find("compared").textContent = comparisonText(view);
  const agents =
    view.agents.length === view.numbers.agents
      ? plural(view.agents.length, "agent")
      : `${view.agents.length} of ${plural(view.numbers.agents, "agent")}`;
  find("scope").textContent =
    `${daysText(start, end)} · ${plural(length, "day")} · ${agents} · time zone ${view.numbers.facts.timezone}`;
  const calls = known(view.total, view.total.calls);
  find("said").textContent = `${find("scope").textContent}: ${calls === null ? "no data" : plural(calls, "call")}`;
}

/** The current day so far, if it was fetched, beside the same hours of the same weekday. */
function drawToday({ numbers, selected }) {
  const { today } = numbers.facts;
  find("today").hidden = !today;
  if (!today) return;
  const total = (counts) => sumOf(counts.filter((_, agent) => selected[agent]));
  const day = Math.floor(Date.parse(today.day) / DAY_MS);
  const weeks = today.weeks.map(({ calls, reached }) => ({ calls: total(calls), reached: total(reached) }));
  const usual = medianOf(weeks.map((week) => week.calls));
  const usualReached = share(sumOf(weeks.map((week) => week.reached)), sumOf(weeks.map((week) => week.calls)));
  const [calls, reached] = [total(today.calls), total(today.reached)];
  const [earlyCalls, earlyReached] = [total(today.until_hour.calls), total(today.until_hour.reached)];
  const isCompared = today.hour > 0 && weeks.length > 0;
  const card = (id, name, value, text, whole, change) =>
    make(
      "div",
      {},
      make("dt", {}, name),
      make("dd", { class: "value", id: `today-${id}`, "data-value": value ?? "" }, value === null ? "-" : text(value)),
      make("dd", { class: "whole" }, whole),
      make("dd", { class: "change", id: `today-${id}-change`, hidden: !isCompared }, isCompared ? change : "-"),
    );
  find("today-name").textContent = `Today so far: ${dayText(day, WITH_WEEKDAY)}, until ${today.until}`;
  find("today-numbers").replaceChildren(
    card("calls", "Calls so far", calls, number.format, "", changeText(earlyCalls, usual)),
    card(
      "reached",
      "Person reached",
      share(reached, calls),
      rateText,
      "of the calls so far",
      changeText(share(earlyReached, earlyCalls), usualReached, true),
    ),
  );
  const name = FULL_WEEKDAYS[(day + 3) % 7];
  const noHour = "No changes are shown: the first hour is not over.";
  const noWeek = `No changes are shown: no ${name} of the eight weeks before have been fetched.`;
  find("today-compared").textContent = isCompared
    ? `Changes compare the hours until ${hourText(today.hour)} with the same hours of the last ${weeks.length} ${name} that ` +
      `were fetched. Their median is ${plural(usual, "call")}.`
    : today.hour === 0 ? noHour : noWeek;
}

/** Which days the changes compare. */
function comparisonText({ numbers, first, last, selected, compared }) {
  const days = compared ? compared.days : last - first + 1;
  const nameOf = (day) => daysText(numbers.firstDay + day, numbers.firstDay + day + days - 1);
  const before = `${days === 1 ? "the day" : `the ${days} days`} before (${nameOf(compared ? compared.before : first - days)})`;
  if (!compared) {
    const isFirst = !numbers.computedDays(Math.max(0, first - days), first - 1, selected).some(Boolean);
    if (isFirst) return `No changes are shown: this report has no data of ${before}.`;
    return "No changes are shown: data is missing for too many of the selected days or the days before.";
  }
  const lastDays = days === 1 ? "the last day" : `the last ${days} days`;
  const which = compared.last === last ? lastDays : plural(days, "day");
  const isWhole = compared.first === first && compared.last === last;
  const text = isWhole
    ? `Changes compare with ${before}.`
    : `Changes compare ${which} (${nameOf(compared.first)}) with ${before}, because data for other days is missing.`;
  const isMissing = compared.now.missing + compared.earlier.missing + compared.now.uncomputed + compared.earlier.uncomputed;
  return isMissing ? `${text} Days of some agents are missing, so changes may be wrong.` : text;
}

/** Whether there are agents, and none of them is selected. */
const isNobody = (view) => view.numbers.agents > 0 && view.agents.length === 0;

/** The notice that transfers failed, with the change and the most frequent result. */
function drawTransfers(view) {
  const { numbers, total } = view;
  const { transfer_success_calls: succeeded, transfer_failed_calls: failed } = total;
  const notice = find("transfers-failed");
  notice.hidden = failed === 0;
  const counts = total.counts.transfers;
  const isFailed = (name) => /^(fail|error)/.test(name);
  const failures = [...counts.keys()]
    .filter((index) => counts[index] && isFailed(numbers.facts.transfers[index]))
    .sort((a, b) => counts[b] - counts[a]);
  const most = failures.length ? ` Most frequent: ${words(numbers.facts.transfers[failures[0]])}.` : "";
  const calls = `${number.format(failed)} of ${plural(succeeded + failed, "call")}`;
  notice.replaceChildren(
    make("span", {}, `Transfers failed in ${calls} with a transfer result: ${shareText(view, RATES.transfersFailed)}.${most}`),
  );
}

/** The notice above all numbers: whether data is missing. */
function drawState(view) {
  const { landed, missing, uncomputed, unsettled, rejected } = view.total;
  const were = (count) => `${number.format(count)} ${count === 1 ? "was" : "were"}`;
  const problems = [
    missing && `${were(missing)} never fetched`,
    unsettled && `${were(unsettled)} fetched before all calls had ended`,
    uncomputed && `${number.format(uncomputed)} ${uncomputed === 1 ? "has" : "have"} no metrics of the latest fetch`,
    rejected && `${plural(rejected, "record")} could not be read`,
  ].filter(Boolean);
  const all = plural(landed + missing + uncomputed, "agent day");
  const notice = find("state");
  notice.hidden = false;
  notice.className = `notice ${problems.length || !landed ? "warn" : "good"}`;
  const show = (...children) => notice.replaceChildren(make("span", {}, ...children));
  if (isNobody(view)) show("No agent is selected. Select at least one in the filter.");
  else if (!landed && !uncomputed) show("No data: these days of these agents have never been fetched. It is unknown whether there were calls.");
  else if (problems.length) {
    const link = make("a", { href: "#completeness" }, "Show the state of each day");
    show(`Incomplete: of ${all} (one day of one agent), ${problems.join("; ")}. `, link, ".");
  } else show(`Complete: all days of all agents are here (${all}).`);
}

/** The labels of a time axis that fit its width: days in the middle of their columns, or months. */
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

/** A part of the page that scrolls sideways if it is too wide, and says so. */
function scrolling(label, content) {
  const box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, content);
  const hint = make("p", { class: "hint", "aria-hidden": "true", hidden: true }, "Scroll sideways to see all columns →");
  const update = () => {
    hint.hidden = box.scrollWidth <= box.clientWidth + 1;
    const isAtEnd = box.scrollLeft + box.clientWidth >= box.scrollWidth - 1;
    box.classList.toggle("more", !hint.hidden && !isAtEnd);
  };
  box.addEventListener("scroll", update);
  new ResizeObserver(update).observe(box);
  return [hint, box];
}

function tableOf({ columns, rows }) {
  return make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, name)))),
    make(
      "tbody",
      {},
      ...rows.map(([name, ...values]) =>
        make("tr", {}, make("th", { scope: "row", title: name }, name), ...values.map((value) => make("td", {}, value))),
      ),
    ),
  );
}

/** A figure of the page. Its chart is created once and gets new data with each view. */
class Figure {
  constructor(id, spec, show) {
    Object.assign(this, { id, spec, show, made: null, drawn: null, table: null });
    this.element = find(id);
    this.chart = this.element.querySelector(".chart");
    this.details = this.element.querySelector("details");
    this.details.addEventListener("toggle", () => this.fillTable());
  }

  /** Show all but the chart, which is hidden if there is nothing to draw. */
  describe(view) {
    const made = this.show(view);
    this.made = made;
    this.table = made.table ?? null;
    const isEmpty = made.rows.length === 0;
    this.chart.hidden = isEmpty;
    this.element.querySelector(".none").hidden = !isEmpty;
    this.details.hidden = !this.table;
    find(`${this.id}-summary`).textContent = made.summary ?? "";
    this.element.querySelector(".legend").replaceChildren(
      ...(isEmpty ? [] : (made.legend ?? [])).map(([colour, name, note]) => {
        const swatch = make("i");
        swatch.style.background = `var(--${colour})`;
        const notes = note ? [make("small", {}, note)] : [];
        return make("li", {}, swatch, make("span", { title: name }, shortened(name, 60)), ...notes);
      }),
    );
    this.fillTable();
  }

  async drawChart(view, width) {
    const { made } = this;
    if (made.rows.length === 0) return;
    const signals = {
      span: made.span ?? [view.buckets[0].from, view.buckets.at(-1).to],
      ...ticksOf(view, width - 40),
    };
    const data = { rows: made.rows, gaps: made.gaps, marks: made.marks, names: made.names };
    if (!this.drawn) {
      const spec = structuredClone(this.spec);
      for (const one of spec.data) if (data[one.name]) one.values = data[one.name];
      for (const one of spec.signals) if (signals[one.name]) one.value = signals[one.name];
      const place = make("div", { "aria-hidden": "true" }); // the figure describes it
      this.chart.replaceChildren(place);
      // `ast` evaluates expressions with an interpreter, because the policy forbids code from strings.
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
    this.details.querySelectorAll(".scroll, .hint").forEach((element) => element.remove());
    if (!this.details.open || !this.table) return;
    this.details.append(...scrolling(`Table: ${find(`${this.id}-name`).textContent}`, tableOf(this.table())));
  }
}

const AGENT_COLUMNS = [
  ["Agent", (one) => one.name, String],
  ["Calls", (one) => known(one.sums, one.sums.calls), number.format],
  ["Person reached", (one) => RATES.reached(one.sums), rateText],
  ["Voicemail", (one) => RATES.voicemail(one.sums), rateText],
  ["Transfers failed", (one) => RATES.transfersFailed(one.sums), rateText],
  ["Short", (one) => RATES.short(one.sums), rateText],
  ["Call time", (one) => known(one.sums, one.sums.connected_seconds), minutesText],
  ["Median duration", (one) => one.sums.median, durationText],
  ["90th percentile of duration", (one) => one.sums.p90, durationText],
  ["Days missing", (one) => one.sums.missing + one.sums.uncomputed, number.format],
];
const ROWS = 15;

/** The table of all agents, sorted by any column. It shows the first `ROWS` until the button is pressed. */
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
      this.whole ? `Show the first ${ROWS}` : `Show all ${order.length}`,
    );
    const table = make(
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
    );
    find("agent-table").replaceChildren(...scrolling("Agents", table), ...(order.length > ROWS ? [more] : []));
  }

  sort(column) {
    this.descending = column === this.column ? !this.descending : column !== 0;
    this.column = column;
    this.draw();
    find("agent-table").querySelectorAll("th button")[column].focus();
  }
}
