// Writes numbers, days and durations as text.

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const FULL_WEEKDAYS = ["Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays"];

const plural = (count, one, many = `${one}s`) => `${number.format(count)} ${count === 1 ? one : many}`;
const rateText = (rate) => (rate === null ? "-" : `${(100 * rate).toFixed(1)} %`);
const percent = (part, whole) => rateText(share(part, whole));
const share = (part, whole) => (whole ? part / whole : null);
const hourText = (hour) => `${String(hour).padStart(2, "0")}:00`;
const words = (value) => value.replaceAll("_", " ");

/** Cuts a text of more than `most` letters in the middle, because names often start alike. */
function shortened(text, most) {
  const letters = [...text];
  if (letters.length <= most) return text;
  const half = Math.floor((most - 1) / 2);
  return `${letters.slice(0, most - 1 - half).join("")}…${letters.slice(-half).join("")}`;
}

const dayFormat = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const FULL = dayFormat({ day: "numeric", month: "short", year: "numeric" });
const WITH_WEEKDAY = dayFormat({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const WITHOUT_YEAR = dayFormat({ day: "numeric", month: "short" });
const YEAR = dayFormat({ year: "numeric" });

function dayText(day, format = FULL) {
  return format.format(day * DAY_MS);
}

function daysText(first, last) {
  if (first === last) return dayText(first);
  return `${dayText(first, dayText(first, YEAR) === dayText(last, YEAR) ? WITHOUT_YEAR : FULL)} to ${dayText(last)}`;
}

/** An amount of money. */
function moneyText(amount, currency) {
  return new Intl.NumberFormat("en", { style: "currency", currency, currencyDisplay: "code" }).format(amount);
}

/** Seconds as minutes:seconds. */
function durationText(seconds) {
  if (seconds === null) return "-";
  const whole = Math.round(seconds);
  return `${number.format(Math.floor(whole / 60))}:${String(whole % 60).padStart(2, "0")} min`;
}

/** Seconds as whole minutes, for sums. */
function minutesText(seconds) {
  return `${number.format(Math.round(seconds / 60))} min`;
}
