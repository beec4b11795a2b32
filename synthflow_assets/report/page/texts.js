// How numbers, days and durations are written.

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const FULL_WEEKDAYS = ["Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays"];

const plural = (count, one, many = `${one}s`) => `${number.format(count)} ${count === 1 ? one : many}`;
const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "-");
const hourText = (hour) => `${String(hour).padStart(2, "0")}:00`;
const words = (value) => value.replaceAll("_", " ");

/** A text without its middle, where it has more than so many letters: names often begin alike. */
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

function secondsText(seconds) {
  if (seconds === null) return "-";
  if (seconds < 60) return `${number.format(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Minutes, or hours where there are very many. */
function minutesText(minutes) {
  return minutes < 6000 ? `${number.format(Math.round(minutes))} min` : `${number.format(Math.round(minutes / 60))} h`;
}
