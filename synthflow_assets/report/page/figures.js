// What each figure shows of a view: its rows for the chart, a sentence, a legend, and the same as a table.

const STATES = [
  ["not-yet", "Before the agent's first day"],
  ["missing", "Never fetched"],
  ["complete", "Complete"],
  ["unsettled", "Fetched while calls went on"],
  ["rejects", "Some records rejected"],
  ["uncomputed", "Metrics not computed"],
];
const ROWS_OF_STATES = 16;
const WORST_FIRST = [1, 5, 4, 3, 2, 0];

function calls(view) {
  const names = view.numbers.facts.agents;
  const made = overTime(view, view.callsByBucket, "agents", names, "other agents", true);
  const known = view.buckets
    .map((bucket, place) => ({
      ...bucket,
      calls: view.byBucket[place].calls / Math.max(1, bucket.landedDays),
      isComplete: view.byBucket[place].incomplete === 0,
    }))
    .filter((bucket) => bucket.landedDays);
  if (known.length === 0) return { ...made, rows: [], summary: view.agents.length ? "No day of these agents has been fetched." : "" };
  // A part of a week says nothing of weeks, unless there is nothing else.
  const whole = known.filter((bucket) => bucket.last - bucket.first + 1 >= Math.min(view.grain, 28));
  const compared = whole.length ? whole : known;
  const most = compared.reduce((best, one) => (one.calls > best.calls ? one : best));
  const least = leastOf(view, compared);
  const top = made.chosen.shown.length
    ? `${names[made.chosen.shown[0]]} had ${percent(made.totals[made.chosen.shown[0]], view.total.calls)} of all calls. `
    : "";
  const average = view.grain === 1 ? "" : ` Columns are averages a day over each ${view.grainName.toLowerCase()}.`;
  const span = compared.length > 1 ? `Most on ${most.name}: ${number.format(most.calls)}${least}. ` : "";
  return { ...made, summary: `${span}${top}${average} ${made.gaps.length ? "Shaded: data is missing." : ""}`.trim() };
}

/** Where the fewest calls were; a day that lacks calls is no quiet day. */
function leastOf(view, compared) {
  const complete = compared.filter((one) => one.isComplete);
  if (complete.length < 2) return "";
  const least = complete.reduce((best, one) => (one.calls < best.calls ? one : best));
  const which = complete.length === compared.length ? "" : ` of the complete ${view.grainName.toLowerCase()}s`;
  return `; fewest${which} on ${least.name}: ${number.format(least.calls)}`;
}

function hours(view) {
  const { started, days, incomplete } = view.numbers.hoursOfWeek(view.first, view.last, view.chosen);
  const mean = started.map((count, index) => (days[Math.floor(index / 24)] ? count / days[Math.floor(index / 24)] : 0));
  const most = Math.max(...mean);
  if (most === 0) return { rows: [] };
  // Classes of equal width; the lightest is for no call at all.
  const classOf = (value) => (value === 0 ? 0 : Math.min(5, 1 + Math.floor((5 * value) / most)));
  const rows = [...mean.keys()]
    .filter((index) => days[Math.floor(index / 24)])
    .map((index) => {
      const weekday = WEEKDAYS[Math.floor(index / 24)];
      const when = `${weekday} ${hourText(index % 24)}`;
      return {
        weekday,
        hour: index % 24,
        class: classOf(mean[index]),
        when,
        name: "Calls an hour, on average",
        text: number.format(mean[index]),
      };
    });
  const busy = mean.indexOf(most);
  const counted = days.reduce((sum, one) => sum + one, 0);
  const lacking = incomplete
    ? ` ${number.format(incomplete)} of the ${plural(counted, "day")} counted ${incomplete === 1 ? "is" : "are"} incomplete, so averages may be too low.`
    : "";
  const legend = [
    ["heat-0", "none"],
    ...[1, 2, 3, 4, 5].map((one) => [`heat-${one}`, `up to ${number.format((most * one) / 5)}`]),
  ];
  return {
    rows,
    legend,
    summary: `Busiest: ${FULL_WEEKDAYS[Math.floor(busy / 24)]} from ${hourText(busy % 24)}, with ${number.format(most)} calls started on average. Hours in ${view.numbers.facts.timezone}.${lacking}`,
    table: () => ({
      columns: ["Hour", ...WEEKDAYS],
      rows: Array.from({ length: 24 }, (_, hour) => [
        hourText(hour),
        ...WEEKDAYS.map((_, day) => (days[day] ? number.format(mean[day * 24 + hour]) : "-")),
      ]),
    }),
  };
}

function peaks(view) {
  const known = view.buckets.map((bucket) => {
    let best = { calls: 0, hour: null, day: bucket.first };
    for (let day = bucket.first; day <= bucket.last; day++) {
      const peak = view.numbers.peakOf(day, view.chosen);
      if (peak.calls > best.calls) best = { ...peak, day };
    }
    return { bucket, ...best };
  });
  const most = known.reduce((best, one) => (one.calls > best.calls ? one : best), { calls: 0 });
  if (most.calls === 0) return { rows: [] };
  const whole = view.numbers.facts.all_agents && view.chosen.every(Boolean);
  const what = whole
    ? "over all agents"
    : view.agents.length === 1
      ? "of this agent"
      : "of any one of these agents; only the whole workspace is counted together";
  const at = (one) =>
    `${dayText(view.numbers.firstDay + one.day)}${one.hour === null ? "" : `, ${hourText(one.hour)}`}`;
  return {
    rows: known
      .filter((one) => one.calls)
      .map((one) => ({
        ...ends(one.bucket),
        series: 0,
        low: 0,
        high: one.calls,
        when: at(one),
        name: "Most at once",
        text: plural(one.calls, "call"),
      })),
    gaps: gaps(view),
    summary: `Highest: ${plural(most.calls, "call")} at once, on ${at(most)} (${what}).`,
    table: () => ({
      columns: [view.grainName, "Most calls at once"],
      rows: known.map((one) => [one.bucket.name, one.bucket.landedDays ? number.format(one.calls) : "-"]),
    }),
  };
}

const share = (part, whole) => (whole ? part / whole : null);
const RATES = [
  ["Connected", (sums) => share(sums.connected_calls, sums.calls)],
  ["Voicemail", (sums) => share(sums.voicemail_calls, sums.calls)],
  ["Short", (sums) => share(sums.short_calls, sums.connected_calls)],
];

function rates(view) {
  const text = (value) => `${(100 * value).toFixed(1)} %`;
  const [connected, voicemail, short] = RATES.map(([, value]) => value(view.total)).map((value) =>
    value === null ? "-" : text(value),
  );
  if (view.total.calls === 0) return { rows: [] };
  return {
    ...linesOf(
      view,
      RATES.map(([name, value]) => [name, value, text]),
    ),
    summary: `${connected} of all calls connected and ${voicemail} ended in voicemail; ${short} of the connected ones lasted less than ${view.numbers.facts.short_call_seconds} s.`,
  };
}

function trend(view) {
  const made = linesOf(view, [
    ["Median", (sums) => sums.median, secondsText],
    ["90th percentile", (sums) => sums.p90, secondsText],
  ]);
  return {
    ...made,
    summary: `Seconds of connected calls. Over all days: median ${secondsText(view.total.median)}, 90th percentile ${secondsText(view.total.p90)}.`,
  };
}

function durations(view) {
  const values = view.numbers.durations;
  const counts = view.total.durations;
  const total = counts.reduce((sum, one) => sum + one, 0);
  if (total === 0) return { rows: [] };
  // The few very long calls would press all others into one column.
  const end = Math.max(quantile(values, counts, 0.99), view.total.p90 * 1.2, 10);
  const width = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200].find((one) => end / one <= 40) ?? 86_400;
  const bins = new Float64Array(Math.ceil((end + 1) / width));
  let beyond = 0;
  values.forEach((value, index) => {
    const bin = Math.floor(value / width);
    if (bin < bins.length) bins[bin] += counts[index];
    else beyond += counts[index];
  });
  const name = (bin) => `${secondsText(bin * width)} to ${secondsText((bin + 1) * width)}`;
  const air = width * 0.06;
  const rules = [
    ["Median", view.total.median],
    ["90 %", view.total.p90],
  ];
  return {
    rows: [...bins.keys()].map((bin) => ({
      from: bin * width + air,
      to: (bin + 1) * width - air,
      value: bins[bin],
      when: name(bin),
      name: "Connected calls",
      text: plural(bins[bin], "call"),
    })),
    marks: rules.map(([label, value], place) => ({
      value,
      label: `${label}: ${secondsText(value)}`,
      height: 2 + 18 * place,
    })),
    span: [0, bins.length * width],
    summary:
      `Half of the connected calls last ${secondsText(view.total.median)} or less, nine in ten ${secondsText(view.total.p90)} or less.` +
      (beyond ? ` ${plural(beyond, "longer call")} than ${secondsText(bins.length * width)} not drawn.` : "") +
      " Seconds.",
    table: () => ({
      columns: ["Duration", "Connected calls", "Share"],
      rows: [
        ...[...bins.keys()].map((bin) => [name(bin), number.format(bins[bin]), percent(bins[bin], total)]),
        ["longer", number.format(beyond), percent(beyond, total)],
      ],
    }),
  };
}

function reasonsOverTime(kind) {
  return (view) => {
    const names = view.numbers.facts[kind].map(words);
    const made = overTime(view, view.counts[kind].byBucket, kind, names, "others", false);
    const whole = made.totals.reduce((sum, one) => sum + one, 0);
    const leading = made.chosen.shown
      .slice(0, 3)
      .map((index) => `${names[index]} ${percent(made.totals[index], whole)}`);
    return { ...made, summary: leading.length ? `Most often: ${leading.join(", ")}.` : "" };
  };
}

function reasonsByAgent(kind) {
  return (view) => {
    const names = view.numbers.facts[kind].map(words);
    const totals = names.map((_, index) => view.counts[kind].byBucket.reduce((sum, one) => sum + one[index], 0));
    const { shown, others } = busiest(view);
    const made = byBar(
      shown,
      shown.map((one) => view.counts[kind].byAgent[one.index]),
      names,
      "others",
      series(totals, view.numbers, kind),
    );
    const rest = others ? `The ${shown.length} busiest agents; ${others} more are in the filter.` : "";
    return { ...made, summary: rest || "Shares of each agent's calls." };
  };
}

const VERDICTS = [
  ["Passed", "passes", 2],
  ["In part", "partials", 1],
  ["Failed", "fails", 5],
]; // green, yellow and red, as far as colours that everybody tells apart go

function checks(view) {
  const counts = view.numbers.facts.checks.map((_, check) => VERDICTS.map(([, column]) => view.judged[column][check]));
  const bars = view.numbers.facts.checks.map((name, check) => {
    const judged = counts[check].reduce((sum, one) => sum + one, 0);
    const note = `${percent(counts[check][0], judged)} passed`;
    return { name: words(name), check, judged, passed: share(counts[check][0], judged), note };
  });
  const lowest = bars.filter((bar) => bar.judged).sort((one, other) => one.passed - other.passed);
  const names = VERDICTS.map(([name]) => name);
  const colours = VERDICTS.map(([, , colour]) => colour);
  const inOrder = { shown: [0, 1, 2], others: 0, of: (verdict) => verdict, colours };
  const shown = lowest.slice(0, 12);
  return {
    ...byBar(shown, shown.map((bar) => counts[bar.check]), names, "", inOrder),
    summary: lowest.length
      ? `Lowest: ${lowest[0].name}, passed in ${percent(lowest[0].passed, 1)} of ${plural(lowest[0].judged, "call")} with a verdict.`
      : "",
    table: () => ({
      columns: ["Check", ...names, "Verdicts", "Other answers"],
      rows: [...lowest, ...bars.filter((bar) => !bar.judged)].map((bar) => [
        bar.name,
        ...counts[bar.check].map((count) => percent(count, bar.judged)),
        number.format(bar.judged),
        number.format(view.judged.other_answers[bar.check]),
      ]),
    }),
  };
}

function states(view) {
  const rank = (state) => WORST_FIRST.indexOf(state);
  const worst = view.agents.map((agent) =>
    view.buckets.map((bucket) => {
      let state = STATE.NOT_YET;
      for (let day = bucket.first; day <= bucket.last; day++) {
        const one = view.numbers.stateOf(day, agent.index);
        if (rank(one) < rank(state)) state = one;
      }
      return state;
    }),
  );
  const trouble = view.agents.map(
    (_, place) => worst[place].filter((state) => state !== STATE.COMPLETE && state !== STATE.NOT_YET).length,
  );
  const order = [...view.agents.keys()].sort(
    (a, b) => trouble[b] - trouble[a] || view.agents[b].sums.calls - view.agents[a].sums.calls,
  );
  const shown = order.filter((place) => trouble[place] || order.length <= ROWS_OF_STATES).slice(0, ROWS_OF_STATES);
  const rowOf = (name, statesOf) =>
    view.buckets.map((bucket, at) => ({
      from: bucket.from,
      to: bucket.to,
      when: bucket.name,
      name,
      state: statesOf(at),
      text: STATES[statesOf(at)][1],
    }));
  const worstOfAll = (at) =>
    worst.map((ofAgent) => ofAgent[at]).reduce((one, other) => (rank(other) < rank(one) ? other : one));
  const rows = [
    ...(order.length > 1 ? rowOf("Worst of all agents", worstOfAll) : []),
    ...shown.flatMap((place) => rowOf(view.agents[place].name, (at) => worst[place][at])),
  ];
  const present = new Set(rows.map((row) => row.state));
  const rest = order.length > shown.length;
  const clean = trouble.filter((one) => one === 0).length;
  const stale = view.agents.filter(
    (agent) => agent.lastLanded !== null && agent.lastLanded < view.numbers.days - 1,
  ).length;
  const text = [
    view.agents.length ? `Complete on every day: ${clean} of ${plural(view.agents.length, "agent")}.` : "",
    stale ? `${plural(stale, "agent")} stale: the last day of this report has not landed.` : "",
    rest ? (shown.length ? "Below are those with the most gaps; the table has all." : "") : "",
    view.grain === 1 ? "" : `Each ${view.grainName.toLowerCase()} shows the worst of its days.`,
  ];
  return {
    rows,
    summary: text.filter(Boolean).join(" "),
    legend: STATES.map(([, name], index) => [`state-${index}`, name]).filter((_, index) => present.has(index)),
    table: () => ({
      columns: [
        "Agent",
        "Days landed",
        "Missing",
        "Not settled",
        "Not computed",
        "Rejected records",
        "Last landed day",
      ],
      rows: order.map((place) => {
        const { name, sums, lastLanded } = view.agents[place];
        return [
          name,
          ...[sums.landed, sums.missing, sums.unsettled, sums.uncomputed, sums.rejected].map(number.format),
          lastLanded === null ? "never" : dayText(view.numbers.firstDay + lastLanded),
        ];
      }),
    }),
  };
}

const FIGURES = {
  calls: ["columns", calls],
  hours: ["heat", hours],
  peaks: ["columns", peaks],
  rates: ["rates", rates],
  checks: ["bars", checks],
  durations: ["histogram", durations],
  trend: ["lines", trend],
  reasons: ["shares", reasonsOverTime("reasons")],
  "reasons-by-agent": ["bars", reasonsByAgent("reasons")],
  ends: ["shares", reasonsOverTime("ends")],
  "ends-by-agent": ["bars", reasonsByAgent("ends")],
  states: ["states", states],
};
