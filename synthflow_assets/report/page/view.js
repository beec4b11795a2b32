// Sums the numbers of the selected days and agents for the figures.

const DAILY = 100; // up to so many days, a column is a day; up to WEEKLY days, a week; then a month
const WEEKLY = 700;

/** The columns of a view: days, weeks from Monday, or months. */
function bucketsOf(numbers, first, last) {
  const count = last - first + 1;
  const grain = count <= DAILY ? 1 : count <= WEEKLY ? 7 : 30;
  const keyOf = (day) => {
    const absolute = numbers.firstDay + day;
    if (grain === 1) return absolute;
    return grain === 7 ? absolute - numbers.weekday(day) : new Date(absolute * DAY_MS).toISOString().slice(0, 7);
  };
  const buckets = [];
  const bucketOf = [];
  let key = null;
  for (let day = first; day <= last; day++) {
    if (keyOf(day) !== key) {
      key = keyOf(day);
      buckets.push({ first: day, last: day });
    }
    buckets.at(-1).last = day;
    bucketOf.push(buckets.length - 1);
  }
  for (const bucket of buckets) {
    bucket.from = (numbers.firstDay + bucket.first) * DAY_MS;
    bucket.to = (numbers.firstDay + bucket.last + 1) * DAY_MS;
    const [start, end] = [numbers.firstDay + bucket.first, numbers.firstDay + bucket.last];
    bucket.name = grain === 1 ? dayText(start, WITH_WEEKDAY) : daysText(start, end);
  }
  return { grain, grainName: { 1: "Day", 7: "Week", 30: "Month" }[grain], buckets, bucketOf };
}

/** Everything that the figures show of the selected days and agents. */
function viewOf(numbers, first, last, selected) {
  const view = { numbers, first, last, selected, ...bucketsOf(numbers, first, last) };
  const bucketOf = (day) => view.bucketOf[day - first];
  const sums = (size, groupOf) => numbers.sums(first, last, selected, size, groupOf);
  view.total = totalOf(numbers, first, last, selected);
  view.compared = comparedSpans(numbers, first, last, selected);
  view.byBucket = sums(view.buckets.length, bucketOf);
  view.callsByBucket = numbers.callsByAgent(first, last, selected, view.buckets.length, bucketOf);
  const counted = numbers.daysWithNumbers(first, last, selected);
  for (const bucket of view.buckets) {
    bucket.counted = counted.slice(bucket.first - first, bucket.last - first + 1).filter(Boolean).length;
  }
  const byAgent = sums(numbers.agents, (_, agent) => agent);
  view.agents = byAgent
    .map((agent, index) => ({
      index,
      name: numbers.facts.agents[index],
      sums: agent,
      lastLanded: numbers.lastLanded[index],
    }))
    .filter((agent) => selected[agent.index]);
  view.countsByBucket = ofReasons((kind) =>
    numbers.counts(kind, "calls", first, last, selected, view.buckets.length, bucketOf),
  );
  view.countsByAgent = ofReasons((kind) =>
    numbers.counts(kind, "calls", first, last, selected, numbers.agents, (_, agent) => agent),
  );
  const byColumn = (kind, columns, size, groupOf) =>
    Object.fromEntries(
      columns.map((name) => [name, numbers.counts(kind, name, first, last, selected, size, groupOf)]),
    );
  view.attempts = byColumn("attempts", ["leads", "reached"], 1, () => 0);
  view.versions = byColumn("versions", ["calls", "reached", "judged", "passes"], numbers.agents, (_, agent) => agent);
  return view;
}

const ofReasons = (countsOf) => Object.fromEntries(REASONS.map((kind) => [kind, countsOf(kind)]));

/** The sums over all days and agents of a span. */
function totalOf(numbers, first, last, selected) {
  const [total] = numbers.sums(first, last, selected, 1, () => 0);
  total.concurrent = 0;
  for (let day = first; day <= last; day++) {
    total.concurrent = Math.max(total.concurrent, numbers.peakOf(day, selected).calls);
  }
  const countsOf = (kind, columns) =>
    Object.fromEntries(
      columns.map((name) => [name, numbers.counts(kind, name, first, last, selected, 1, () => 0)[0]]),
    );
  total.judged = countsOf("judge_results", ["passes", "partials", "fails", "not_applicable", "other_answers"]);
  total.variables = countsOf("variables", ["asked", "collected"]);
  total.byAgent = numbers.sums(first, last, selected, numbers.agents, (_, agent) => agent, false);
  total.counts = ofReasons((kind) => numbers.counts(kind, "calls", first, last, selected, 1, () => 0)[0]);
  return total;
}

/** The sums of the two spans that changes compare: days of the view, and as many days before them; null if there are none.
 * All days of both have data: a span with a gap has fewer calls than one without. The longest such span is taken, and the
 * latest of these. It has at least half of the days of the view.
 */
function comparedSpans(numbers, first, last, selected) {
  const length = last - first + 1;
  const start = Math.max(0, first - length);
  const withoutGap = []; // for each day, the number of days with data up to it
  for (const hasData of numbers.computedDays(start, last, selected)) {
    withoutGap.push(hasData ? (withoutGap.at(-1) ?? 0) + 1 : 0);
  }
  for (let days = length; 2 * days >= length; days--) {
    for (let end = last; end - days + 1 >= first; end--) {
      if (withoutGap[end - start] < 2 * days) continue;
      const now = end - days + 1;
      const before = now - days;
      return {
        days,
        first: now,
        last: end,
        before,
        now: totalOf(numbers, now, end, selected),
        earlier: totalOf(numbers, before, now - 1, selected),
      };
    }
  }
  return null;
}
