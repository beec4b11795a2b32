// Unpacks the numbers of the page, and adds them up for the days and agents that are chosen. Knows nothing of the page.

const DAY_MS = 86_400_000;
// What is known of a day of an agent; report/content.py has the same numbers.
const STATE = { NOT_YET: 0, MISSING: 1, COMPLETE: 2, UNSETTLED: 3, WITH_REJECTS: 4, NOT_COMPUTED: 5 };
const INCOMPLETE = new Set([STATE.MISSING, STATE.UNSETTLED, STATE.NOT_COMPUTED]); // calls are lacking, or may be
const MEASURES = ["calls", "connected_calls", "connected_seconds", "voicemail_calls", "short_calls", "rejected"];

/** Days since 1970-01-01 of a text such as 2026-03-10. */
function dayNumber(text) {
  return Date.parse(`${text}T00:00:00Z`) / DAY_MS;
}

/** The columns by name. Their bytes come lowest first: all lowest ones, then all next ones. */
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

/** Where the entries of each cell begin, and after the last cell where they end. */
function beginnings(entries) {
  const starts = new Uint32Array(entries.length + 1);
  for (let cell = 0; cell < entries.length; cell++) starts[cell + 1] = starts[cell] + entries[cell];
  return starts;
}

/** The value under which a share of the calls lies, interpolated as SQL's quantile_cont does; null without calls. */
function quantile(values, counts, share) {
  let total = 0;
  for (const count of counts) total += count;
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

/** All numbers of the page; its methods add them up over days `[first, last]`, counted from the first known one. */
class Numbers {
  constructor(facts, columns) {
    Object.assign(this, { facts, columns });
    this.firstDay = dayNumber(facts.first);
    this.agents = facts.agents.length;
    this.days = this.agents ? columns.state.length / this.agents : 0;
    this.durations = facts.durations;
    this.starts = {};
    for (const kind of ["histogram", "reasons", "ends", "checks"]) {
      this.starts[kind] = beginnings(columns[`${kind}_entries`]);
    }
    this.durationOf = this.#durationNumbers();
    this.lastLanded = Array(this.agents).fill(null);
    const everyone = Array(this.agents).fill(true);
    this.#each(0, this.days - 1, everyone, (cell, day, agent) => {
      if (columns.state[cell] >= STATE.COMPLETE) this.lastLanded[agent] = day;
    });
    this.ranked = this.#ranked(everyone);
  }

  /** The number of each histogram entry's duration; they are kept as steps within their cell. */
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

  /** Agents and reasons, those with the most calls of the whole page first: whatever is chosen, this is their order. */
  #ranked(everyone) {
    const [first, last] = ["from", "to"].map((end) => dayNumber(this.facts[end]) - this.firstDay);
    const byCalls = (counts) => [...counts.keys()].sort((one, other) => counts[other] - counts[one]);
    const ranked = { agents: byCalls(this.callsByAgent(first, last, everyone, 1, () => 0)[0]) };
    for (const kind of ["reasons", "ends"]) {
      ranked[kind] = byCalls(this.counts(kind, "calls", first, last, everyone, 1, () => 0)[0]);
    }
    return ranked;
  }

  /** Call `visit(cell, day, agent)` for each chosen cell. */
  #each(first, last, chosen, visit) {
    for (let day = Math.max(0, first); day <= Math.min(last, this.days - 1); day++) {
      for (let agent = 0; agent < this.agents; agent++) {
        if (chosen[agent]) visit(day * this.agents + agent, day, agent);
      }
    }
  }

  /** Sums of every measure, and the counts of the durations, in groups: `groupOf(day, agent)` of `size` groups. */
  sums(first, last, chosen, size, groupOf) {
    const groups = Array.from({ length: size }, () => ({
      landed: 0,
      missing: 0,
      uncomputed: 0,
      unsettled: 0,
      incomplete: 0,
      peak: 0,
      durations: new Uint32Array(this.durations.length),
      ...Object.fromEntries(MEASURES.map((name) => [name, 0])),
    }));
    const { state, peak, histogram_calls: calls } = this.columns;
    this.#each(first, last, chosen, (cell, day, agent) => {
      const group = groups[groupOf(day, agent)];
      for (const name of MEASURES) group[name] += this.columns[name][cell];
      group.peak = Math.max(group.peak, peak[cell]);
      group.landed += state[cell] >= STATE.COMPLETE && state[cell] !== STATE.NOT_COMPUTED;
      group.missing += state[cell] === STATE.MISSING;
      group.uncomputed += state[cell] === STATE.NOT_COMPUTED;
      group.unsettled += state[cell] === STATE.UNSETTLED;
      group.incomplete += INCOMPLETE.has(state[cell]);
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

  /** Calls by value, such as a reason, in groups: `counts[group][value]`, of the given column. */
  counts(kind, column, first, last, chosen, size, groupOf) {
    const groups = Array.from({ length: size }, () => new Float64Array(this.facts[kind].length));
    const values = this.columns[`${kind}_value`];
    const calls = this.columns[`${kind}_${column}`];
    this.#each(first, last, chosen, (cell, day, agent) => {
      const group = groups[groupOf(day, agent)];
      for (let entry = this.starts[kind][cell]; entry < this.starts[kind][cell + 1]; entry++) {
        group[values[entry]] += calls[entry];
      }
    });
    return groups;
  }

  /** Calls by agent, in groups: `counts[group][agent]`. */
  callsByAgent(first, last, chosen, size, groupOf) {
    const groups = Array.from({ length: size }, () => new Float64Array(this.agents));
    this.#each(first, last, chosen, (cell, day, agent) => {
      groups[groupOf(day, agent)][agent] += this.columns.calls[cell];
    });
    return groups;
  }

  /** Whether any chosen agent has landed, day by day. */
  landedDays(first, last, chosen) {
    const landed = Array(last - first + 1).fill(false);
    this.#each(first, last, chosen, (cell, day) => {
      landed[day - first] ||= this.columns.state[cell] >= STATE.COMPLETE;
    });
    return landed;
  }

  /** Calls that started in each hour of the week, Monday first; on how many landed days each weekday came, and how many
   * days of all of them are incomplete. */
  hoursOfWeek(first, last, chosen) {
    const started = new Float64Array(7 * 24);
    const landed = Array.from({ length: 7 }, () => new Set());
    const lacking = new Set();
    this.#each(first, last, chosen, (cell, day) => {
      const weekday = this.weekday(day);
      if (this.columns.state[cell] >= STATE.COMPLETE) landed[weekday].add(day);
      if (INCOMPLETE.has(this.columns.state[cell])) lacking.add(day);
      for (let hour = 0; hour < 24; hour++) started[weekday * 24 + hour] += this.columns.hours[cell * 24 + hour];
    });
    const incomplete = [...lacking].filter((day) => landed[this.weekday(day)].has(day)).length;
    return { started, days: landed.map((days) => days.size), incomplete };
  }

  /** The most calls at once on a day: of the whole workspace, or of whichever chosen agent had the most. */
  peakOf(day, chosen) {
    if (this.facts.all_agents && chosen.every(Boolean)) {
      return { calls: this.columns.workspace_peak[day], hour: this.columns.workspace_peak_hour[day] };
    }
    let calls = 0;
    this.#each(day, day, chosen, (cell) => {
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
