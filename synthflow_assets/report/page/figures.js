// What each figure shows of a view: the rows of its chart, a summary, a legend, and a table.

const STATES = [
  ["not-yet", "Before the agent's first day"],
  ["missing", "Never fetched"],
  ["complete", "Complete"],
  ["unsettled", "Fetched before all calls had ended"],
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
      calls: view.byBucket[place].calls / Math.max(1, bucket.counted),
      isComplete: view.byBucket[place].incomplete === 0,
    }))
    .filter((bucket) => bucket.counted);
  if (known.length === 0) return { ...made, rows: [], summary: view.agents.length ? noData(view) : "" };
  // Incomplete weeks and months at the ends are compared only if there are no complete ones.
  const whole = known.filter((bucket) => bucket.last - bucket.first + 1 >= Math.min(view.grain, 28));
  const compared = whole.length ? whole : known;
  const most = compared.reduce((best, one) => (one.calls > best.calls ? one : best));
  const least = leastOf(view, compared);
  const top = made.largest.shown.length
    ? `${names[made.largest.shown[0]]} had ${percent(made.totals[made.largest.shown[0]], view.total.calls)} of all calls. `
    : "";
  const average = view.grain === 1 ? "" : ` Each column is the average per day of a ${view.grainName.toLowerCase()}.`;
  const span = compared.length > 1 ? `Most on ${most.name}: ${number.format(most.calls)}${least}. ` : "";
  return { ...made, summary: `${span}${top}${average} ${made.gaps.length ? "Shaded: data is missing." : ""}`.trim() };
}

/** Why no day of the view has numbers. */
function noData(view) {
  if (view.total.uncomputed) return "The metrics of these days have not been computed.";
  return "These days of these agents have never been fetched.";
}

/** The part of a summary about the fewest calls, among complete days only: missing data must not look like few calls. */
function leastOf(view, compared) {
  const complete = compared.filter((one) => one.isComplete);
  if (complete.length < 2) return "";
  const least = complete.reduce((best, one) => (one.calls < best.calls ? one : best));
  const which = complete.length === compared.length ? "" : ` of the complete ${view.grainName.toLowerCase()}s`;
  return `; fewest${which} on ${least.name}: ${number.format(least.calls)}`;
}

function hours(view) {
  const { started, days, incomplete } = view.numbers.hoursOfWeek(view.first, view.last, view.selected);
  const mean = started.map((count, index) => (days[Math.floor(index / 24)] ? count / days[Math.floor(index / 24)] : 0));
  const most = Math.max(...mean);
  if (most === 0) return { rows: [] };
  // Five classes of equal width, and one for no calls.
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
        name: "Average calls per hour",
        text: number.format(mean[index]),
      };
    });
  const busy = mean.indexOf(most);
  const counted = sumOf(days);
  const warning = incomplete
    ? ` ${number.format(incomplete)} of ${plural(counted, "day")} ${incomplete === 1 ? "is" : "are"} incomplete, so averages may be too low.`
    : "";
  const legend = [
    ["heat-0", "none"],
    ...[1, 2, 3, 4, 5].map((one) => [`heat-${one}`, `up to ${number.format((most * one) / 5)}`]),
  ];
  return {
    rows,
    legend,
    summary: `Busiest hour: ${FULL_WEEKDAYS[Math.floor(busy / 24)]} from ${hourText(busy % 24)}, ${number.format(most)} calls on average. Time zone: ${view.numbers.facts.timezone}.${warning}`,
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
      const peak = view.numbers.peakOf(day, view.selected);
      if (peak.calls > best.calls) best = { ...peak, day };
    }
    return { bucket, ...best };
  });
  const most = known.reduce((best, one) => (one.calls > best.calls ? one : best), { calls: 0 });
  if (most.calls === 0) return { rows: [] };
  const whole = view.numbers.facts.all_agents && view.selected.every(Boolean);
  const what = whole
    ? "all agents together"
    : view.agents.length === 1
      ? "this agent"
      : "the highest of these agents alone; their sum is known only for all agents together";
  const at = (one) =>
    `${dayText(view.numbers.firstDay + one.day)}${one.hour === null ? "" : `, ${hourText(one.hour)}`}`;
  return {
    rows: known
      .filter((one) => one.calls)
      .map((one) => ({
        ...extent(one.bucket),
        series: 0,
        low: 0,
        high: one.calls,
        when: at(one),
        name: "Most concurrent calls",
        text: plural(one.calls, "call"),
      })),
    gaps: gaps(view),
    summary: `Most: ${plural(most.calls, "concurrent call")} on ${at(most)} (${what}).`,
    table: () => ({
      columns: [view.grainName, "Most concurrent calls"],
      rows: known.map((one) => [one.bucket.name, one.bucket.counted ? number.format(one.calls) : "-"]),
    }),
  };
}

const RATES = {
  reached: (sums) => share(sums.person_reached_calls, sums.calls),
  connected: (sums) => share(sums.connected_calls, sums.calls),
  voicemail: (sums) => share(sums.voicemail_calls, sums.calls),
  noAnswer: (sums) => share(sums.no_answer_calls, sums.calls),
  short: (sums) => share(sums.short_calls, sums.connected_calls),
  transfersFailed: (sums) => share(sums.transfer_failed_calls, sums.transfer_success_calls + sums.transfer_failed_calls),
};

function rates(view) {
  if (view.total.calls === 0) return { rows: [] };
  const lines = [
    ["Person reached", RATES.reached, rateText],
    ["Connected", RATES.connected, rateText],
    ["Short", RATES.short, rateText],
  ];
  const [reached, connected, short] = lines.map(([, value]) => rateText(value(view.total)));
  return {
    ...linesOf(view, lines),
    summary: `Person reached: ${reached} of all calls. Connected: ${connected} of all calls. Shorter than ${durationText(view.numbers.facts.short_call_seconds)}: ${short} of connected calls.`,
  };
}

function trend(view) {
  const made = linesOf(view, [
    ["Median", (sums) => sums.median, durationText, 1 / 60],
    ["90th percentile", (sums) => sums.p90, durationText, 1 / 60],
  ]);
  return {
    ...made,
    summary: `All days: median ${durationText(view.total.median)}, 90th percentile ${durationText(view.total.p90)}.`,
  };
}

function durations(view) {
  const values = view.numbers.durations;
  const counts = view.total.durations;
  const total = sumOf(counts);
  if (total === 0) return { rows: [] };
  // The axis ends near the 99th percentile: a few very long calls would leave one column for all others.
  const end = Math.max(quantile(values, counts, 0.99), view.total.p90 * 1.2, 10);
  const width = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200].find((one) => end / one <= 40) ?? 86_400;
  const bins = new Float64Array(Math.ceil((end + 1) / width));
  let beyond = 0;
  values.forEach((value, index) => {
    const bin = Math.floor(value / width);
    if (bin < bins.length) bins[bin] += counts[index];
    else beyond += counts[index];
  });
  const name = (bin) => `${durationText(bin * width)} to ${durationText((bin + 1) * width)}`;
  const gap = width * 0.06;
  const rules = [
    ["Median", view.total.median],
    ["90th percentile", view.total.p90],
  ];
  return {
    rows: [...bins.keys()].map((bin) => ({
      from: (bin * width + gap) / 60,
      to: ((bin + 1) * width - gap) / 60,
      value: bins[bin],
      when: name(bin),
      name: "Connected calls",
      text: plural(bins[bin], "call"),
    })),
    marks: rules.map(([label, value], place) => ({
      value: value / 60,
      label: `${label}: ${durationText(value)}`,
      height: 2 + 18 * place,
    })),
    span: [0, (bins.length * width) / 60],
    summary:
      `Half of the connected calls last ${durationText(view.total.median)} or less, nine of ten ${durationText(view.total.p90)} or less.` +
      (beyond ? ` Not drawn: ${plural(beyond, "call")} of ${durationText(bins.length * width)} or more.` : ""),
    table: () => ({
      columns: ["Duration", "Connected calls", "Share"],
      rows: [
        ...[...bins.keys()].map((bin) => [name(bin), number.format(bins[bin]), percent(bins[bin], total)]),
        [`${durationText(bins.length * width)} or more`, number.format(beyond), percent(beyond, total)],
      ],
    }),
  };
}

/** The change of a share between the compared spans; "-" if there is none. */
function changeOf({ compared }, value) {
  return compared ? changeText(value(compared.now), value(compared.earlier), true) : "-";
}

/** A share of sums as text, with what it is a share of, and its change. */
function shareText(view, value, what = "") {
  const change = changeOf(view, value);
  return `${rateText(value(view.total))}${what}${change === "-" ? "" : `, ${change}`}`;
}

function reasonsOverTime(kind, unit = "call") {
  return (view) => {
    const names = view.numbers.facts[kind].map(words);
    const made = overTime(view, view.countsByBucket[kind], kind, names, "others", false, unit);
    const { shown } = made.largest;
    const all = [...names.keys()];
    const groups = [...shown.map((index) => [index]), all.filter((index) => !shown.includes(index))];
    const shareOf = (group) => (sums) =>
      share(sumOf(group.map((index) => sums.counts[kind][index])), sumOf(sums.counts[kind]));
    const leading = shown.slice(0, 3).map((index) => `${names[index]} ${rateText(shareOf([index])(view.total))}`);
    return {
      ...made,
      legend: made.legend.map(([colour, name], place) => [colour, name, shareText(view, shareOf(groups[place]))]),
      summary: leading.length ? `Most frequent: ${leading.join(", ")}.` : "",
    };
  };
}

/** Bars of a kind by agent. If `rate` is a function of sums, the label of each has this rate with its change. */
function reasonsByAgent(kind, unit = "call", label = "", rate = null) {
  return (view) => {
    const names = view.numbers.facts[kind].map(words);
    const { shown, others } = busiest(view);
    const bars = shown.map(({ index, name }) => {
      if (!rate) return { index, name };
      const ofAgent = (sums) => rate(sums.byAgent[index]);
      const now = ofAgent(view.total);
      const note = now === null ? undefined : shareText(view, ofAgent, ` ${label.toLowerCase()}`);
      return { index, name, note, cells: [rateText(now), changeOf(view, ofAgent)] };
    });
    const made = byBar(
      bars,
      bars.map((bar) => view.countsByAgent[kind][bar.index]),
      names,
      "others",
      series([...view.total.counts[kind]], view.numbers, kind),
      unit,
      rate ? [label, "Change"] : [],
    );
    const rest = others ? `The ${shown.length} agents with the most calls. Select others in the filter.` : "";
    return { ...made, summary: rest || `Share of each agent's ${unit}s.` };
  };
}

const VERDICTS = [
  ["Passed", "passes", 2],
  ["Partly passed", "partials", 1],
  ["Failed", "fails", 5],
]; // the colours closest to green, yellow and red that colour-blind people can tell apart

function passShare({ judged }, check) {
  return share(judged.passes[check], judged.passes[check] + judged.partials[check] + judged.fails[check]);
}

const MOST_BARS = 12;

/** The end of a summary, if only the first bars are drawn. */
const restText = (bars) => (bars.length > MOST_BARS ? ` The chart shows the lowest ${MOST_BARS}; the table shows all.` : "");

/** How often each variable was collected. */
function variables(view) {
  const { asked, collected } = view.total.variables;
  const bars = view.numbers.facts.variables
    .map((name, index) => ({ name: words(name), index, rate: share(collected[index], asked[index]) }))
    .filter((bar) => asked[bar.index])
    .sort((one, other) => one.rate - other.rate);
  const rateOf = (index) => (sums) => share(sums.variables.collected[index], sums.variables.asked[index]);
  for (const bar of bars) bar.note = shareText(view, rateOf(bar.index));
  // A label has the source of a variable only if another one has the same name: on a phone there is little room.
  const plain = ({ name }) => name.replace(/ \((variable|extractor)\)$/, "");
  const isUnique = (bar) => bars.filter((other) => plain(other) === plain(bar)).length === 1;
  const shown = bars.slice(0, MOST_BARS).map((bar) => ({ ...bar, name: isUnique(bar) ? plain(bar) : bar.name }));
  const counts = ({ index }) => [collected[index], asked[index] - collected[index]];
  const inOrder = { shown: [0, 1], others: 0, of: (one) => one, colours: [2, 6] };
  return {
    ...byBar(shown, shown.map(counts), ["Collected", "Not collected"], "", inOrder),
    summary: bars.length
      ? `Lowest: ${bars[0].name}, collected in ${rateText(bars[0].rate)} of ${plural(asked[bars[0].index], "call")} that asked for it.${restText(bars)}`
      : "",
    table: () => ({
      columns: ["Variable", "Calls that asked", "Collected", "Share", "Change"],
      rows: bars.map(({ name, index, rate }) => [
        name,
        number.format(asked[index]),
        number.format(collected[index]),
        rateText(rate),
        changeOf(view, rateOf(index)),
      ]),
    }),
  };
}

function judge(view) {
  const { judge_results: checks } = view.numbers.facts;
  const counts = checks.map((_, check) => VERDICTS.map(([, column]) => view.total.judged[column][check]));
  const bars = checks.map((name, check) => {
    const judged = sumOf(counts[check]);
    const passed = share(counts[check][0], judged);
    const passedOf = (sums) => passShare(sums, check);
    const [change, note] = [changeOf(view, passedOf), shareText(view, passedOf, " passed")];
    return { name: words(name), check, judged, passed, change, note };
  });
  const lowest = bars.filter((bar) => bar.judged).sort((one, other) => one.passed - other.passed);
  const names = VERDICTS.map(([name]) => name);
  const colours = VERDICTS.map(([, , colour]) => colour);
  const inOrder = { shown: [0, 1, 2], others: 0, of: (verdict) => verdict, colours };
  const shown = lowest.slice(0, MOST_BARS);
  return {
    ...byBar(shown, shown.map((bar) => counts[bar.check]), names, "", inOrder),
    summary: lowest.length
      ? `Lowest: ${lowest[0].name}, passed in ${rateText(lowest[0].passed)} of ${plural(lowest[0].judged, "call")} with a verdict.${restText(lowest)}`
      : "",
    table: () => ({
      columns: ["Check", ...names, "Change of passed", "Verdicts", "Not applicable", "Other answers"],
      rows: [...lowest, ...bars.filter((bar) => !bar.judged)].map((bar) => [
        bar.name,
        ...counts[bar.check].map((count) => percent(count, bar.judged)),
        bar.change,
        number.format(bar.judged),
        number.format(view.total.judged.not_applicable[bar.check]),
        number.format(view.total.judged.other_answers[bar.check]),
      ]),
    }),
  };
}

/** A share with the ends of its 95 % confidence interval after Wilson. */
function wilson(part, whole) {
  const z = 1.959963984540054; // the 97.5th percentile of the normal distribution
  const rate = part / whole;
  const middle = (rate + z ** 2 / (2 * whole)) / (1 + z ** 2 / whole);
  const half = (z * Math.sqrt((rate * (1 - rate)) / whole + z ** 2 / (4 * whole ** 2))) / (1 + z ** 2 / whole);
  return { rate, low: middle - half, high: middle + half };
}

const FEWEST_CALLS = 10; // in an hour of the week, to state a share of them

function reach(view) {
  const { started, reached, days } = view.numbers.hoursOfWeek(view.first, view.last, view.selected);
  const rates = started.map((calls, index) => (calls >= FEWEST_CALLS ? reached[index] / calls : -1));
  const most = Math.max(...rates);
  const known = [...rates.keys()].filter((index) => rates[index] >= 0);
  if (most <= 0) {
    const few = sumOf(started) > 0;
    return { rows: [], summary: few ? `No hour of the week has both ${FEWEST_CALLS} calls and a person reached.` : "" };
  }
  // Five classes of equal width, and one for too few calls.
  const classOf = (rate) => (rate < 0 ? 0 : Math.min(5, 1 + Math.floor((5 * rate) / most)));
  const nameOf = (index) => `${FULL_WEEKDAYS[Math.floor(index / 24)]} from ${hourText(index % 24)}`;
  // By the ends of the intervals: of few calls, many or none may be reached by chance.
  const bounds = Array.from(rates, (_, index) => wilson(reached[index], started[index]));
  const best = known.reduce((one, other) => (bounds[other].low > bounds[one].low ? other : one));
  const worst = known.reduce((one, other) => (bounds[other].high < bounds[one].high ? other : one));
  const cellText = (index) => (rates[index] < 0 ? "-" : rateText(rates[index]));
  return {
    rows: [...rates.keys()]
      .filter((index) => days[Math.floor(index / 24)])
      .map((index) => ({
        weekday: WEEKDAYS[Math.floor(index / 24)],
        hour: index % 24,
        class: classOf(rates[index]),
        when: `${WEEKDAYS[Math.floor(index / 24)]} ${hourText(index % 24)}`,
        name: "Person reached",
        text: `${number.format(reached[index])} of ${plural(started[index], "call")}${rates[index] < 0 ? "" : `, ${rateText(rates[index])}`}`,
      })),
    legend: [
      ["heat-0", `fewer than ${FEWEST_CALLS} calls`],
      ...[1, 2, 3, 4, 5].map((one) => [`heat-${one}`, `up to ${rateText((most * one) / 5)}`]),
    ],
    summary: `Best: ${nameOf(best)}, ${rateText(rates[best])}. Lowest: ${nameOf(worst)}, ${rateText(rates[worst])}. Time zone: ${view.numbers.facts.timezone}.`,
    table: () => ({
      columns: ["Hour", ...WEEKDAYS],
      rows: Array.from({ length: 24 }, (_, hour) => [
        hourText(hour),
        ...WEEKDAYS.map((_, day) => cellText(day * 24 + hour)),
      ]),
    }),
  };
}

/** How many leads are reached by how many calls. */
function attempts(view) {
  const names = view.numbers.facts.attempts;
  const steps = [...names.keys()].sort((one, other) => names[one] - names[other]);
  const [leads, reached] = [view.attempts.leads[0], view.attempts.reached[0]];
  const all = leads[names.indexOf("1")] ?? 0;
  let before = 0;
  const bars = steps
    .filter((step) => leads[step])
    .map((step) => {
      const counts = [before, reached[step], all - before - reached[step]];
      before += reached[step];
      const call = names[step] === "1" ? "1 call" : names[step] === "10" ? "10 or more calls" : `${names[step]} calls`;
      return { name: `After ${call}`, step, counts, rate: share(before, all), note: `${percent(before, all)} reached` };
    });
  const parts = ["Reached before", "Reached by this call", "Not reached"];
  const inOrder = { shown: [0, 1, 2], others: 0, of: (one) => one, colours: [2, 4, 6] };
  const rateAfter = (bar) => `${bar.name.toLowerCase()} ${rateText(bar.rate)}`;
  const told = [bars[0], bars[2], bars.at(-1)].filter((bar, place, chosen) => bar && chosen.indexOf(bar) === place);
  return {
    ...byBar(bars, bars.map((bar) => bar.counts), parts, "", inOrder, "lead"),
    summary: all ? `${plural(all, "lead")}. Reached: ${told.map(rateAfter).join(", ")}.` : unidentified(view),
    table: () => ({
      columns: ["Calls", "Leads called this often", "Reached by this call", "Reached so far", "Share"],
      rows: bars.map((bar) => [
        bar.name,
        ...[leads[bar.step], reached[bar.step], bar.counts[0] + bar.counts[1]].map(number.format),
        rateText(bar.rate),
      ]),
    }),
  };
}

/** Why there are calls, but no callers; empty if there are callers or no calls. */
function unidentified({ total }) {
  if (total.calls === 0 || total.identified_calls) return "";
  return "Callers are unknown, because no call has a usable phone number. SYNTHFLOW_PII=drop removes all of them.";
}

function callers(view) {
  if (view.total.identified_calls === 0) return { rows: [], summary: unidentified(view) };
  const parts = [
    ["New", (sums) => sums.new_callers],
    ["Known", (sums) => sums.callers - sums.new_callers],
  ];
  const { total, numbers } = view;
  const days = sumOf(view.buckets.map((bucket) => bucket.counted));
  // The number of all callers comes from the calls, so it also counts those of days without metrics.
  const isWhole =
    total.uncomputed === 0 &&
    view.selected.every(Boolean) &&
    ["from", "to"].every((end, place) => dayNumber(numbers.facts[end]) - numbers.firstDay === [view.first, view.last][place]);
  const [all, reached, fresh] = numbers.facts.callers;
  const repeats = (name) => percent(total[name], total.callers);
  return {
    rows: view.buckets.flatMap((bucket, place) => {
      const sums = view.byBucket[place];
      const amounts = parts.map(([, value]) => value(sums));
      return stacked(amounts, Math.max(1, bucket.counted)).map(({ one, low, high }) => ({
        ...extent(bucket),
        series: one,
        low,
        high,
        name: `${parts[one][0]} callers${view.grain === 1 ? "" : " per day"}`,
        text: `${number.format(high - low)}, ${percent(amounts[one], sums.callers)}`,
      }));
    }),
    gaps: gaps(view),
    legend: parts.map(([name, value], place) => [`series-${place}`, name, percent(value(total), total.callers)]),
    summary:
      `On average ${plural(total.callers / Math.max(1, days), "caller")} a day; ${repeats("repeat_callers_24h")} had a call in the 24 hours before, ` +
      `${repeats("repeat_callers_7d")} in the 7 days before.` +
      (isWhole && all ? ` All days together: ${plural(all, "caller")}, ${percent(reached, all)} reached, ${percent(fresh, all)} without a call before these days.` : ""),
    table: () => ({
      columns: [view.grainName, "New callers per day", "Known callers per day", "Repeating within 24 hours"],
      rows: view.buckets.map((bucket, place) => {
        const sums = view.byBucket[place];
        const perDay = (count) => number.format(count / Math.max(1, bucket.counted));
        return [
          bucket.name,
          ...(bucket.counted
            ? [...parts.map(([, value]) => perDay(value(sums))), percent(sums.repeat_callers_24h, sums.callers)]
            : ["-", "-", "-"]),
        ];
      }),
    }),
  };
}

/** A difference of shares with the ends of its 95 % confidence interval after Newcombe, as in `compare_segments`. */
function differenceInterval([first, firstOf], [second, secondOf]) {
  const [one, other] = [wilson(first, firstOf), wilson(second, secondOf)];
  const difference = other.rate - one.rate;
  return {
    difference,
    low: difference - Math.hypot(other.rate - other.low, one.high - one.rate),
    high: difference + Math.hypot(other.high - other.rate, one.rate - one.low),
  };
}

/** The versions of each agent side by side. */
function versions(view) {
  const names = view.numbers.facts.versions;
  const byNumber = new Intl.Collator("en", { numeric: true });
  const { shown } = busiest(view, view.agents.length);
  const of = (kind, agent, version) => view.versions[kind][agent][version];
  const bars = shown.flatMap(({ index: agent, name }) => {
    const used = [...names.keys()].filter((version) => of("calls", agent, version));
    const order = used.sort((one, other) => byNumber.compare(names[one], names[other]));
    return order.map((version, place) => {
      const [calls, reached, judged, passes] = ["calls", "reached", "judged", "passes"].map((kind) => of(kind, agent, version));
      const before = order[place - 1];
      const change =
        before === undefined
          ? null
          : differenceInterval([of("reached", agent, before), of("calls", agent, before)], [reached, calls]);
      const label = `${name}: ${names[version]}`;
      return { name: label, calls, reached, judged, passes, change, note: `${percent(reached, calls)} of ${plural(calls, "call")}` };
    });
  });
  const points = (value) => `${value < 0 ? "-" : "+"}${Math.abs(100 * value).toFixed(1)}`;
  const changeText = ({ change }) =>
    change ? `${points(change.difference)} points (${points(change.low)} to ${points(change.high)})` : "-";
  const compared = bars.filter((bar) => bar.change).sort((one, other) => other.calls - one.calls);
  const clear = compared.filter(({ change }) => change.low > 0 || change.high < 0);
  const drawn = bars.slice(0, MOST_BARS);
  const inOrder = { shown: [0, 1], others: 0, of: (one) => one, colours: [2, 6] };
  const parts = ["Person reached", "Not reached"];
  const verdict = clear.length
    ? `${clear[0].name}: ${changeText(clear[0])} against the version before. Chance alone is unlikely to explain this.`
    : compared.length
      ? "Chance alone can explain the differences between versions."
      : "";
  return {
    ...byBar(drawn, drawn.map((bar) => [bar.reached, bar.calls - bar.reached]), parts, "", inOrder),
    summary: `${verdict}${bars.length > drawn.length ? ` The chart shows ${drawn.length} of ${bars.length} versions, the table all.` : ""}`.trim(),
    table: () => ({
      columns: ["Version", "Calls", "Person reached", "Difference from the version before (95 % interval)", "Goal passed"],
      rows: bars.map((bar) => [
        bar.name,
        number.format(bar.calls),
        percent(bar.reached, bar.calls),
        changeText(bar),
        percent(bar.passes, bar.judged),
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
  const incomplete = view.agents.map(
    (_, place) => worst[place].filter((state) => state !== STATE.COMPLETE && state !== STATE.NOT_YET).length,
  );
  const order = [...view.agents.keys()].sort(
    (a, b) => incomplete[b] - incomplete[a] || view.agents[b].sums.calls - view.agents[a].sums.calls,
  );
  const shown = order.filter((place) => incomplete[place] || order.length <= ROWS_OF_STATES).slice(0, ROWS_OF_STATES);
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
    ...(order.length > 1 ? rowOf("All agents", worstOfAll) : []),
    ...shown.flatMap((place) => rowOf(view.agents[place].name, (at) => worst[place][at])),
  ];
  const present = new Set(rows.map((row) => row.state));
  const rest = order.length > shown.length;
  const clean = incomplete.filter((one) => one === 0).length;
  const stale = view.agents.filter(
    (agent) => agent.lastLanded !== null && agent.lastLanded < view.numbers.days - 1,
  ).length;
  const text = [
    view.agents.length ? `Complete on all days: ${clean} of ${plural(view.agents.length, "agent")}.` : "",
    stale ? `Last day not fetched: ${plural(stale, "agent")}.` : "",
    order.length > 1 ? "The first row has the worst state of all agents." : "",
    rest && shown.length ? "The chart shows the agents with the most gaps, the table shows all." : "",
    view.grain === 1 ? "" : `Each ${view.grainName.toLowerCase()} has the worst state of its days.`,
  ];
  return {
    rows,
    summary: text.filter(Boolean).join(" "),
    legend: STATES.map(([, name], index) => [`state-${index}`, name]).filter((_, index) => present.has(index)),
    table: () => ({
      columns: [
        "Agent",
        "Days fetched",
        "Never fetched",
        "Fetched too early",
        "Metrics not computed",
        "Rejected records",
        "Last fetched day",
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
  outcomes: ["shares", reasonsOverTime("outcomes")],
  "outcomes-by-agent": ["bars", reasonsByAgent("outcomes", "call", "Reached", RATES.reached)],
  transfers: ["shares", reasonsOverTime("transfers", "transfer")],
  "transfers-by-agent": ["bars", reasonsByAgent("transfers", "transfer", "Failed", RATES.transfersFailed)],
  judge: ["bars", judge],
  variables: ["bars", variables],
  attempts: ["bars", attempts],
  reach: ["heat", reach],
  callers: ["columns", callers],
  versions: ["bars", versions],
  calls: ["columns", calls],
  hours: ["heat", hours],
  peaks: ["columns", peaks],
  rates: ["rates", rates],
  durations: ["histogram", durations],
  trend: ["minutes", trend],
  disconnects: ["shares", reasonsOverTime("disconnect_reasons")],
  "disconnects-by-agent": ["bars", reasonsByAgent("disconnect_reasons")],
  ends: ["shares", reasonsOverTime("end_reasons")],
  "ends-by-agent": ["bars", reasonsByAgent("end_reasons")],
  states: ["states", states],
};
