// Shapes that several figures share: stacked columns over time, lines over time, and bars in parts.

const SERIES = 7; // the last one is "others"
const NOT_REPORTED = SERIES; // its own colour in every figure

/** The colours of the shown series and of all others. A series keeps its colour in every selection, which it has by its
 * rank on the whole page. If two series of a figure have the same one, the smaller gets a free one. */
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

/** The largest series by `amounts`, of agents or a kind of values, with their colours; all others are one series. */
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

/** The entries of a legend: colour and name. */
function legendOf(largest, names, others) {
  const entries = largest.shown.map((index, place) => [`series-${largest.colours[place]}`, names[index]]);
  return largest.others ? [...entries, [`series-${SERIES - 1}`, `${largest.others} ${others}`]] : entries;
}

/** The extent of a bucket on the time axis, with a gap between columns. */
function extent(bucket) {
  const gap = Math.min(0.12, 0.02 * (bucket.last - bucket.first + 1) + 0.06) * DAY_MS;
  return { from: bucket.from + gap, to: bucket.to - gap, middle: (bucket.from + bucket.to) / 2, when: bucket.name };
}

function gaps(view) {
  return view.buckets.flatMap((bucket, place) => {
    const { landed, missing, uncomputed } = view.byBucket[place];
    const absent = missing + uncomputed;
    if (absent === 0) return [];
    const share = absent / (absent + landed);
    const text = `${number.format(absent)} of ${plural(absent + landed, "agent day")}`;
    return [
      { from: bucket.from, to: bucket.to, when: bucket.name, name: "Missing data", text, share: 0.35 + 0.65 * share },
    ];
  });
}

/** The positive amounts as parts of a stack, each divided by `divisor`. */
function stacked(amounts, divisor) {
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

/** Stacked columns over time of agents or a kind of values; `counts[bucket][value]`. */
function overTime(view, counts, kind, names, others, perDay, unit = "call") {
  const totals = names.map((_, index) => counts.reduce((sum, one) => sum + one[index], 0));
  const largest = series(totals, view.numbers, kind);
  const rows = view.buckets.flatMap((bucket, place) => {
    const whole = sumOf(counts[place]);
    const amounts = new Float64Array(SERIES);
    counts[place].forEach((count, index) => {
      amounts[largest.of(index)] += count;
    });
    const divisor = perDay ? Math.max(1, bucket.counted) : whole;
    return stacked(amounts, divisor).map(({ one, low, high }) => ({
      ...extent(bucket),
      series: largest.colours[one],
      low,
      high,
      name: one < largest.shown.length ? names[largest.shown[one]] : others,
      text: `${plural(amounts[one], unit)}, ${percent(amounts[one], whole)}`,
    }));
  });
  const table = () => ({
    columns: [view.grainName, ...largest.shown.map((index) => names[index]), ...(largest.others ? [others] : []), "All"],
    rows: view.buckets.map((bucket, place) => {
      const shown = largest.shown.map((index) => counts[place][index]);
      const whole = sumOf(counts[place]);
      const rest = largest.others ? [whole - sumOf(shown)] : [];
      return [
        bucket.name,
        ...(bucket.counted
          ? [...shown, ...rest, whole].map(number.format)
          : Array(shown.length + rest.length + 1).fill("-")),
      ];
    }),
  });
  return { rows, gaps: gaps(view), legend: legendOf(largest, names, others), table, totals, largest };
}

/** A bar for each of `bars`, in parts of 100 %, in the order and colours of `largest`; `counts[bar][value]`. The table
 * has the `cells` of each bar in `more` columns. */
function byBar(bars, counts, names, others, largest, unit = "call", more = []) {
  const filled = bars.filter((_, place) => counts[place].some((count) => count > 0));
  const wholes = bars.map((_, place) => sumOf(counts[place]));
  const rows = [];
  const labels = filled.map((bar, position) => {
    const place = bars.indexOf(bar);
    const amounts = new Float64Array(SERIES);
    counts[place].forEach((count, index) => {
      amounts[largest.of(index)] += count;
    });
    for (const { one, low, high } of stacked(amounts, wholes[place])) {
      const name = one < largest.shown.length ? names[largest.shown[one]] : others;
      const text = `${plural(amounts[one], unit)}, ${percent(amounts[one], wholes[place])}`;
      rows.push({ position, series: largest.colours[one], low, high, when: bar.name, name, text });
    }
    return { position, name: bar.name, note: bar.note ?? plural(wholes[place], unit) };
  });
  const table = () => ({
    columns: ["Agent", ...names, `All ${unit}s`, ...more],
    rows: bars.map((bar, place) => [
      bar.name,
      ...[...counts[place]].map((one) => percent(one, wholes[place])),
      number.format(wholes[place]),
      ...(bar.cells ?? []),
    ]),
  });
  return { rows, names: labels, legend: legendOf(largest, names, others), table };
}

/** The agents with the most calls in the view. */
function busiest(view, most = 10) {
  const order = view.agents.filter((one) => one.sums.calls > 0).sort((a, b) => b.sums.calls - a.sums.calls);
  return { shown: order.slice(0, most), others: Math.max(0, order.length - most) };
}

/** Lines over time: each is [name, value of a bucket's sums or null, text of a value, factor from value to chart]. */
function linesOf(view, lines) {
  const rows = view.buckets.flatMap((bucket, place) =>
    lines.map(([name, value, text, factor = 1], index) => {
      const found = bucket.counted ? value(view.byBucket[place]) : null;
      const drawn = found === null ? null : factor * found;
      return { ...extent(bucket), series: index, name, value: drawn, text: found === null ? "-" : text(found) };
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
          const found = bucket.counted ? value(view.byBucket[place]) : null;
          return found === null ? "-" : text(found);
        }),
      ]),
    }),
  };
}
