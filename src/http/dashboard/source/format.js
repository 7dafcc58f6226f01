/** Figures as people read them. Whatever is null, missing or no number is "not known". */

export const UNKNOWN = "not known";

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

const UNITS = [
  ["TiB", 2 ** 40],
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
];

/** Below a tenth of a MiB one decimal of it says nothing: KiB and bytes there. */
export function bytes(value) {
  if (!isNumber(value)) return UNKNOWN;
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : "";
  for (const [unit, one] of UNITS) {
    if (size >= one || (unit === "MiB" && size >= one / 10)) {
      return `${sign}${(size / one).toFixed(1)} ${unit}`;
    }
  }
  if (size === 0) return "0 MiB";
  return size >= 1024 ? `${sign}${(size / 1024).toFixed(1)} KiB` : `${sign}${Math.round(size)} B`;
}

/** A ratio as a percentage. */
export function percent(ratio, decimals = 0) {
  return isNumber(ratio) ? `${(100 * ratio).toFixed(decimals)} %` : UNKNOWN;
}

/** A percentage for a confidence: never a certainty. */
export function confidence(ratio) {
  if (!isNumber(ratio)) return UNKNOWN;
  return ratio > 0.99 ? "over 99 %" : percent(ratio);
}

/** From here on a verdict may raise an alarm. */
export const isSure = (ratio) => isNumber(ratio) && ratio >= 0.8;

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value) {
  return isNumber(value) ? whole.format(value) : UNKNOWN;
}

export function many(value, one, more = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : more}`;
}

/** A duration in words: "2 h 51 min". */
export function duration(seconds) {
  if (!isNumber(seconds)) return UNKNOWN;
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${Math.max(1, Math.round(seconds * 1e6))} µs`;
  if (seconds < 0.01) return `${(seconds * 1e3).toFixed(1)} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1e3)} ms`;
  if (seconds < 10 && seconds % 1 >= 0.05) return `${seconds.toFixed(1)} s`;
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  const [days, hours, minutes] = [total / 86400, (total / 3600) % 24, (total / 60) % 60].map(Math.floor);
  if (days >= 1000) return "over 1000 days";
  if (days > 0) return two(days, days === 1 ? "day" : "days", hours, "h");
  if (hours > 0) return two(hours, "h", minutes, "min");
  return two(minutes, "min", total % 60, "s");
}

/** Without seconds where minutes count. */
export function about(seconds) {
  return isNumber(seconds) && seconds >= 120 ? duration(60 * Math.round(seconds / 60)) : duration(seconds);
}

function two(large, unit, small, lesser) {
  return small > 0 ? `${large} ${unit} ${small} ${lesser}` : `${large} ${unit}`;
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const MINUTE = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The local time with seconds; with the day when that is not today. */
export function time(unixSeconds, now = Date.now() / 1000) {
  if (!isNumber(unixSeconds)) return "never";
  const at = new Date(unixSeconds * 1000);
  const isToday = at.toDateString() === new Date(now * 1000).toDateString();
  return isToday ? TIME.format(at) : `${DAY.format(at)}, ${TIME.format(at)}`;
}

export const clock = (unixSeconds) => TIME.format(new Date(unixSeconds * 1000));
export const minute = (unixSeconds) => MINUTE.format(new Date(unixSeconds * 1000));
export const day = (unixSeconds) => DAY.format(new Date(unixSeconds * 1000));

/** The program's sentences begin small. */
export function sentence(text) {
  if (typeof text !== "string" || text === "") return "";
  return text[0].toUpperCase() + text.slice(1);
}

/** `warm_up` as words. */
export function words(name) {
  return typeof name === "string" && name !== "" ? name.replaceAll("_", " ") : UNKNOWN;
}

/** MiB an hour with a sign, as the verdict gives them. */
export function slope(bytesPerHour) {
  if (!isNumber(bytesPerHour)) return UNKNOWN;
  const mib = bytesPerHour / 2 ** 20;
  const shown = Math.abs(mib) >= 1000 ? whole.format(Math.abs(mib)) : Math.abs(mib).toFixed(1);
  return `${mib < 0 && shown !== "0.0" ? "−" : ""}${shown}`;
}
