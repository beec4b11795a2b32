// The chosen days and agents, added up for the figures.

const DAILY = 100; // up to so many days a column is a day, then a week, then a month
const WEEKLY = 700;

/** The days of a view in columns: days, weeks from Monday, or months. */
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

/** Everything that the figures need of the chosen days and agents. */
function viewOf(numbers, first, last, chosen) {
  const view = { numbers, first, last, chosen, ...bucketsOf(numbers, first, last) };
  const bucketOf = (day) => view.bucketOf[day - first];
  const sums = (size, groupOf) => numbers.sums(first, last, chosen, size, groupOf);
  [view.total] = sums(1, () => 0);
  view.byBucket = sums(view.buckets.length, bucketOf);
  view.callsByBucket = numbers.callsByAgent(first, last, chosen, view.buckets.length, bucketOf);
  const landed = numbers.landedDays(first, last, chosen);
  for (const bucket of view.buckets) {
    bucket.landedDays = landed.slice(bucket.first - first, bucket.last - first + 1).filter(Boolean).length;
  }
  const byAgent = sums(numbers.agents, (_, agent) => agent);
  view.agents = byAgent
    .map((agent, index) => ({
      index,
      name: numbers.facts.agents[index],
      sums: agent,
      lastLanded: numbers.lastLanded[index],
    }))
    .filter((agent) => chosen[agent.index]);
  view.counts = Object.fromEntries(
    ["reasons", "ends"].map((kind) => [
      kind,
      {
        byBucket: numbers.counts(kind, "calls", first, last, chosen, view.buckets.length, bucketOf),
        byAgent: numbers.counts(kind, "calls", first, last, chosen, numbers.agents, (_, agent) => agent),
      },
    ]),
  );
  view.judged = Object.fromEntries(
    ["passes", "partials", "fails", "other_answers"].map((name) => [
      name,
      numbers.counts("checks", name, first, last, chosen, 1, () => 0)[0],
    ]),
  );
  return view;
}

/** The sums of the equally many days before, or null where not each of them has landed. */
function beforeOf(numbers, first, last, chosen) {
  const start = first - (last - first + 1);
  if (start < 0 || !numbers.landedDays(start, first - 1, chosen).every(Boolean)) return null;
  return numbers.sums(start, first - 1, chosen, 1, () => 0)[0];
}
