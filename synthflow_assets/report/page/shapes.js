// The shapes that several figures have: columns and lines over time, and bars of parts.

const SERIES = 7; // the last one is "others"
const NOT_REPORTED = SERIES; // a colour of its own, the same in every figure

/** The colours of those that are shown, and of the others. The first six of the page have theirs whatever is chosen; one
 * of the rest has the same one too, unless somebody before it in the same figure has it. */
function coloursOf(shown, numbers, kind) {
  const colours = Array(SERIES).fill(SERIES - 1);
  const free = new Set(colours.keys());
  const isReported = (index) => kind === "agents" || numbers.facts[kind][index] !== "not_reported";
  numbers.ranked[kind].filter(isReported).forEach((index, rank) => {
    const place = shown.indexOf(index);
    if (place < 0) return;
    const own = rank % (SERIES - 1);
    colours[place] = free.has(own) ? own : Math.min(...free);
    free.delete(colours[place]);
  });
  shown.forEach((index, place) => {
    if (!isReported(index)) colours[place] = NOT_REPORTED;
  });
  return colours;
}

/** The largest few by `amounts`, of agents, `reasons` or `ends`, in the order of their size; all others come last. */
function series(amounts, numbers, kind) {
  const most = SERIES - 1;
  const order = [...amounts.keys()].filter((index) => amounts[index] > 0).sort((a, b) => amounts[b] - amounts[a]);
  const shown = order.slice(0, order.length === most + 1 ? most + 1 : most);
  const of = new Map(shown.map((index, place) => [index, place]));
  return {
    shown,
    others: order.length - shown.length,
    of: (index) => of.get(index) ?? SERIES - 1,
    colours: coloursOf(shown, numbers, kind),
  };
}

function legendOf(chosen, names, others) {
  const entries = chosen.shown.map((index, place) => [`series-${chosen.colours[place]}`, names[index]]);
  return chosen.others ? [...entries, [`series-${SERIES - 1}`, `${chosen.others} ${others}`]] : entries;
}

/** The ends of a bucket on the time axis, with a little air between the columns. */
function ends(bucket) {
  const air = Math.min(0.12, 0.02 * (bucket.last - bucket.first + 1) + 0.06) * DAY_MS;
  return { from: bucket.from + air, to: bucket.to - air, middle: (bucket.from + bucket.to) / 2, when: bucket.name };
}

function gaps(view) {
  return view.buckets.flatMap((bucket, place) => {
    const { landed, missing, uncomputed } = view.byBucket[place];
    const lacking = missing + uncomputed;
    if (lacking === 0) return [];
    const share = lacking / (lacking + landed);
    const text = `${number.format(lacking)} of ${plural(lacking + landed, "day of an agent", "days of agents")}`;
    return [
      { from: bucket.from, to: bucket.to, when: bucket.name, name: "Missing data", text, share: 0.35 + 0.65 * share },
    ];
  });
}

/** Where each amount lies when they are put on each other, divided by something. */
function piled(amounts, divisor) {
  let low = 0;
  return [...amounts.keys()]
    .filter((one) => amounts[one] > 0)
    .map((one) => {
      const high = low + amounts[one] / divisor;
      const place = { one, low, high };
      low = high;
      return place;
    });
}

/** Sums of groups of agents, `reasons` or `ends` over time, stacked; `counts[bucket][value]`. */
function overTime(view, counts, kind, names, others, perDay) {
  const totals = names.map((_, index) => counts.reduce((sum, one) => sum + one[index], 0));
  const chosen = series(totals, view.numbers, kind);
  const rows = view.buckets.flatMap((bucket, place) => {
    const whole = counts[place].reduce((sum, one) => sum + one, 0);
    const stacked = new Float64Array(SERIES);
    counts[place].forEach((count, index) => {
      stacked[chosen.of(index)] += count;
    });
    const divisor = perDay ? Math.max(1, bucket.landedDays) : whole;
    return piled(stacked, divisor).map(({ one, low, high }) => ({
      ...ends(bucket),
      series: chosen.colours[one],
      low,
      high,
      name: one < chosen.shown.length ? names[chosen.shown[one]] : others,
      text: `${plural(stacked[one], "call")}, ${percent(stacked[one], whole)}`,
    }));
  });
  const table = () => ({
    columns: [view.grainName, ...chosen.shown.map((index) => names[index]), ...(chosen.others ? [others] : []), "All"],
    rows: view.buckets.map((bucket, place) => {
      const shown = chosen.shown.map((index) => counts[place][index]);
      const whole = counts[place].reduce((sum, one) => sum + one, 0);
      const rest = chosen.others ? [whole - shown.reduce((sum, one) => sum + one, 0)] : [];
      return [
        bucket.name,
        ...(bucket.landedDays
          ? [...shown, ...rest, whole].map(number.format)
          : Array(shown.length + rest.length + 1).fill("-")),
      ];
    }),
  });
  return { rows, gaps: gaps(view), legend: legendOf(chosen, names, others), table, totals, chosen };
}

/** Parts of a whole, a bar each; `counts[bar][value]`. The parts lie in the order and colours of `chosen`. */
function byBar(bars, counts, names, others, chosen) {
  const filled = bars.filter((_, place) => counts[place].some((count) => count > 0));
  const wholes = bars.map((_, place) => counts[place].reduce((sum, one) => sum + one, 0));
  const rows = [];
  const labels = filled.map((bar, position) => {
    const place = bars.indexOf(bar);
    const stacked = new Float64Array(SERIES);
    counts[place].forEach((count, index) => {
      stacked[chosen.of(index)] += count;
    });
    for (const { one, low, high } of piled(stacked, wholes[place])) {
      const name = one < chosen.shown.length ? names[chosen.shown[one]] : others;
      const text = `${plural(stacked[one], "call")}, ${percent(stacked[one], wholes[place])}`;
      rows.push({ position, series: chosen.colours[one], low, high, when: bar.name, name, text });
    }
    return { position, name: bar.name, note: bar.note ?? plural(wholes[place], "call") };
  });
  const table = () => ({
    columns: ["", ...names, "All"],
    rows: bars.map((bar, place) => [
      bar.name,
      ...[...counts[place]].map((one) => percent(one, wholes[place])),
      number.format(wholes[place]),
    ]),
  });
  return { rows, names: labels, legend: legendOf(chosen, names, others), table };
}

/** The busiest agents of the view. */
function busiest(view, most = 10) {
  const order = view.agents.filter((one) => one.sums.calls > 0).sort((a, b) => b.sums.calls - a.sums.calls);
  return { shown: order.slice(0, most), others: Math.max(0, order.length - most) };
}

/** Lines over time: each is [name, value of a bucket's sums or null, text of a value]. */
function linesOf(view, lines) {
  const rows = view.buckets.flatMap((bucket, place) =>
    lines.map(([name, value, text], index) => {
      const found = bucket.landedDays ? value(view.byBucket[place]) : null;
      return { ...ends(bucket), series: index, name, value: found, text: found === null ? "-" : text(found) };
    }),
  );
  return {
    rows: rows.some((row) => row.value !== null) ? rows : [],
    gaps: gaps(view),
    legend: lines.map(([name], index) => [`series-${index}`, name]),
    table: () => ({
      columns: [view.grainName, ...lines.map(([name]) => name)],
      rows: view.buckets.map((bucket, place) => [
        bucket.name,
        ...lines.map(([, value, text]) => {
          const found = bucket.landedDays ? value(view.byBucket[place]) : null;
          return found === null ? "-" : text(found);
        }),
      ]),
    }),
  };
}
