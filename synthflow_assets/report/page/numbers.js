// Unpacks the numbers of the page and sums them over days and agents. Does not touch the document.

const DAY_MS = 86_400_000;
// The states of a day of an agent; report/content.py has the same numbers.
const STATE = { NOT_YET: 0, MISSING: 1, COMPLETE: 2, UNSETTLED: 3, WITH_REJECTS: 4, NOT_COMPUTED: 5 };
const INCOMPLETE = new Set([STATE.MISSING, STATE.UNSETTLED, STATE.NOT_COMPUTED]); // calls are missing, or may be
const MEASURES = [
  "calls",
  "connected_calls",
  "connected_seconds",
  "person_reached_calls",
  "voicemail_calls",
  "no_answer_calls",
  "short_calls",
  "transfer_success_calls",
  "transfer_failed_calls",
  "rejected",
  "identified_calls",
  "callers",
  "new_callers",
  "repeat_callers_24h",
  "repeat_callers_7d",
  "cost_units",
];
const REASONS = ["outcomes", "transfers", "disconnect_reasons", "end_reasons"]; // kinds of values that have colours

const sumOf = (counts) => counts.reduce((sum, one) => sum + one, 0);

/** The median of some numbers; null if there are none. */
function medianOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (!sorted.length) return null;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The days from 1970-01-01 to a day such as 2026-03-10. */
function dayNumber(text) {
  return Date.parse(`${text}T00:00:00Z`) / DAY_MS;
}

/** The columns by name. Of each column the lowest bytes of all values come first, then the next ones. */
async function unpack(packed) {
  const text = atob(packed.bytes);
  const zipped = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) zipped[index] = text.charCodeAt(index);
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const columns = {};
  let at = 0;
  for (const [name, width, length] of packed.columns) {
    const values = Uint32Array.from(bytes.subarray(at, at + length));
    for (let plane = 1; plane < width; plane++) {
      for (let index = 0; index < length; index++) values[index] |= bytes[at + plane * length + index] << (8 * plane);
    }
    columns[name] = values;
    at += width * length;
  }
  return columns;
}

/** The positions at which the entries of each cell start, and the end of the last cell. */
function startsOf(entries) {
  const starts = new Uint32Array(entries.length + 1);
  for (let cell = 0; cell < entries.length; cell++) starts[cell + 1] = starts[cell] + entries[cell];
  return starts;
}

/** The quantile of values that occur `counts` times, interpolated like quantile_cont in SQL; null without calls. */
function quantile(values, counts, share) {
  const total = sumOf(counts);
  if (total === 0) return null;
  const rank = share * (total - 1);
  const lower = Math.floor(rank);
  let seen = 0;
  let low = null;
  for (let index = 0; index < counts.length; index++) {
    seen += counts[index];
    if (low === null && seen > lower) low = values[index];
    if (low !== null && seen > Math.ceil(rank)) return low + (values[index] - low) * (rank - lower);
  }
  return low;
}

/** All numbers of the page. Methods sum them over the days `first` to `last` inclusive, counted from the first day of the
 * data, and over the agents for which `selected` is true. */
class Numbers {
  constructor(facts, columns) {
    Object.assign(this, { facts, columns });
    this.firstDay = dayNumber(facts.first);
    this.agents = facts.agents.length;
    this.days = this.agents ? columns.state.length / this.agents : 0;
    this.durations = facts.durations;
    this.starts = {};
    for (const kind of ["histogram", "judge_results", "variables", "attempts", "versions", ...REASONS]) {
      this.starts[kind] = startsOf(columns[`${kind}_entries`]);
    }
    this.durationOf = this.#durationNumbers();
    this.lastLanded = Array(this.agents).fill(null);
    const everyone = Array(this.agents).fill(true);
    this.#each(0, this.days - 1, everyone, (cell, day, agent) => {
      if (columns.state[cell] >= STATE.COMPLETE) this.lastLanded[agent] = day;
    });
    this.ranked = this.#ranked(everyone);
  }

  /** The number of each histogram entry's duration. The column has the differences within each cell. */
  #durationNumbers() {
    const { histogram_step: steps } = this.columns;
    const numbers = new Uint32Array(steps.length);
    const starts = this.starts.histogram;
    for (let cell = 0; cell + 1 < starts.length; cell++) {
      let number = 0;
      for (let entry = starts[cell]; entry < starts[cell + 1]; entry++) numbers[entry] = number += steps[entry];
    }
    return numbers;
  }

  /** Agents and reasons by their calls on the whole page, so that their order does not depend on the selection. */
  #ranked(everyone) {
    const [first, last] = ["from", "to"].map((end) => dayNumber(this.facts[end]) - this.firstDay);
    const byCalls = (counts) => [...counts.keys()].sort((one, other) => counts[other] - counts[one]);
    const ranked = { agents: byCalls(this.callsByAgent(first, last, everyone, 1, () => 0)[0]) };
    for (const kind of REASONS) {
      ranked[kind] = byCalls(this.counts(kind, "calls", first, last, everyone, 1, () => 0)[0]);
    }
    return ranked;
  }

  /** Calls `visit(cell, day, agent)` for each selected cell. */
  #each(first, last, selected, visit) {
    for (let day = Math.max(0, first); day <= Math.min(last, this.days - 1); day++) {
      for (let agent = 0; agent < this.agents; agent++) {
        if (selected[agent]) visit(day * this.agents + agent, day, agent);
      }
    }
  }

  /** The sums of all measures, in `size` groups; `groupOf(day, agent)` is a group. With durations, which take most of the
   * time, also their histogram, median and 90th percentile. */
  sums(first, last, selected, size, groupOf, withDurations = true) {
    const groups = Array.from({ length: size }, () => ({
      landed: 0,
      missing: 0,
      uncomputed: 0,
      withNumbers: 0,
      unsettled: 0,
      incomplete: 0,
      peak: 0,
      durations: new Uint32Array(this.durations.length),
      ...Object.fromEntries(MEASURES.map((name) => [name, 0])),
    }));
    const { state, peak, histogram_calls: calls } = this.columns;
    this.#each(first, last, selected, (cell, day, agent) => {
      const group = groups[groupOf(day, agent)];
      for (const name of MEASURES) group[name] += this.columns[name][cell];
      group.peak = Math.max(group.peak, peak[cell]);
      group.landed += state[cell] >= STATE.COMPLETE && state[cell] !== STATE.NOT_COMPUTED;
      group.missing += state[cell] === STATE.MISSING;
      group.uncomputed += state[cell] === STATE.NOT_COMPUTED;
      group.withNumbers += this.#hasNumbers(cell);
      group.unsettled += state[cell] === STATE.UNSETTLED;
      group.incomplete += INCOMPLETE.has(state[cell]);
      if (!withDurations) return;
      for (let entry = this.starts.histogram[cell]; entry < this.starts.histogram[cell + 1]; entry++) {
        group.durations[this.durationOf[entry]] += calls[entry];
      }
    });
    for (const group of groups) {
      group.median = quantile(this.durations, group.durations, 0.5);
      group.p90 = quantile(this.durations, group.durations, 0.9);
    }
    return groups;
  }

  /** The counts of a column by value, such as a reason, in groups: `counts[group][value]`. */
  counts(kind, column, first, last, selected, size, groupOf) {
    const groups = Array.from({ length: size }, () => new Float64Array(this.facts[kind].length));
    const values = this.columns[`${kind}_value`];
    const calls = this.columns[`${kind}_${column}`];
    this.#each(first, last, selected, (cell, day, agent) => {
      const group = groups[groupOf(day, agent)];
      for (let entry = this.starts[kind][cell]; entry < this.starts[kind][cell + 1]; entry++) {
        group[values[entry]] += calls[entry];
      }
    });
    return groups;
  }

  /** Calls by agent, in groups: `counts[group][agent]`. */
  callsByAgent(first, last, selected, size, groupOf) {
    const groups = Array.from({ length: size }, () => new Float64Array(this.agents));
    this.#each(first, last, selected, (cell, day, agent) => {
      groups[groupOf(day, agent)][agent] += this.columns.calls[cell];
    });
    return groups;
  }

  /** Whether a cell has landed and has the metrics of its last fetch. */
  #isComputed(cell) {
    const state = this.columns.state[cell];
    return state >= STATE.COMPLETE && state !== STATE.NOT_COMPUTED;
  }

  /** Whether a cell counts in averages per day. One that was fetched and has no metrics does not: its calls are 0 here.
   * One with metrics of an earlier fetch does, even if that fetch found no calls. */
  #hasNumbers(cell) {
    return this.columns.has_metrics[cell] === 1;
  }

  /** For each day, whether `test` holds for the cell of any selected agent. */
  #daysOf(first, last, selected, test) {
    const found = Array(last - first + 1).fill(false);
    this.#each(first, last, selected, (cell, day) => {
      found[day - first] ||= test(cell);
    });
    return found;
  }

  /** For each day, whether it counts in averages per day. */
  daysWithNumbers(first, last, selected) {
    return this.#daysOf(first, last, selected, (cell) => this.#hasNumbers(cell));
  }

  /** For each day, whether any selected agent has landed and has metrics. */
  computedDays(first, last, selected) {
    return this.#daysOf(first, last, selected, (cell) => this.#isComputed(cell));
  }

  /** Calls started in each hour of the week, Monday first, and those that reached a person; the days of each weekday that
   * have numbers; how many of these days are incomplete. */
  hoursOfWeek(first, last, selected) {
    const started = new Float64Array(7 * 24);
    const reached = new Float64Array(7 * 24);
    const counted = Array.from({ length: 7 }, () => new Set());
    const withMissing = new Set();
    this.#each(first, last, selected, (cell, day) => {
      const weekday = this.weekday(day);
      if (INCOMPLETE.has(this.columns.state[cell])) withMissing.add(day);
      if (!this.#hasNumbers(cell)) return;
      counted[weekday].add(day);
      for (let hour = 0; hour < 24; hour++) {
        started[weekday * 24 + hour] += this.columns.calls_by_hour[cell * 24 + hour];
        reached[weekday * 24 + hour] += this.columns.reached_by_hour[cell * 24 + hour];
      }
    });
    const incomplete = [...withMissing].filter((day) => counted[this.weekday(day)].has(day)).length;
    return { started, reached, days: counted.map((days) => days.size), incomplete };
  }

  /** The most concurrent calls on a day: of the workspace if all agents are selected, else of a single agent. */
  peakOf(day, selected) {
    if (this.facts.all_agents && selected.every(Boolean)) {
      return { calls: this.columns.workspace_peak[day], hour: this.columns.workspace_peak_hour[day] };
    }
    let calls = 0;
    this.#each(day, day, selected, (cell) => {
      calls = Math.max(calls, this.columns.peak[cell]);
    });
    return { calls, hour: null };
  }

  stateOf(day, agent) {
    return this.columns.state[day * this.agents + agent];
  }

  /** 0 for Monday; 1970-01-01 was a Thursday. */
  weekday(day) {
    return (this.firstDay + day + 3) % 7;
  }
}
