/** Sizes and times as Docker prints them. @module @see https://pkg.go.dev/github.com/docker/go-units */
import { formatted } from "../template/format.ts";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/** `77.8MB`: so many significant digits, of powers of a thousand. */
export function humanSize(bytes: number, digits = 3): string {
  let [size, unit] = [bytes, 0];
  // what would be rounded to a thousand is one of the next unit
  const most = 1000 - 500 / 10 ** digits;
  while (size >= most && unit < UNITS.length - 1) [size, unit] = [size / 1000, unit + 1];
  return formatted(`%.${digits}g`, [size]) + (UNITS[unit] as string);
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** `2 weeks`, `About a minute` */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / SECOND);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.trunc(ms / MINUTE);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(ms / HOUR);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`;
  return `${Math.trunc(Math.trunc(ms / HOUR) / 24 / 365)} years`;
}

/** `2 weeks ago`; nothing of an image that does not say when. */
export const humanSince = (created: Date | undefined, now: Date): string =>
  created ? `${humanDuration(now.getTime() - created.getTime())} ago` : "N/A";

/** `2026-11-11 19:46:44 +0000 UTC`, in the time zone of whoever asks. */
export function longTime(date: Date | undefined): string {
  if (!date) return "N/A";
  return `${localParts(date).join(" ")} ${offset(date, "")} ${zoneName(date)}`;
}

/** `2026-11-11T19:46:44Z`, in the time zone of whoever asks. */
export function shortTime(date: Date | undefined): string {
  if (!date) return "";
  const zone = date.getTimezoneOffset() === 0 ? "Z" : offset(date, ":");
  return `${localParts(date).join("T")}${zone}`;
}

/** `CET`; an offset where there is no such name. */
function zoneName(date: Date): string {
  if (date.getTimezoneOffset() === 0) return "UTC";
  const names = ["en-US", "en-GB", "en-AU"].map((locale) => {
    const parts = new Intl.DateTimeFormat(locale, { timeZoneName: "short" }).formatToParts(date);
    return parts.find(({ type }) => type === "timeZoneName")?.value ?? "";
  });
  return names.find((name) => /^[A-Z]{2,5}$/.test(name)) ?? offset(date, "");
}

const two = (number: number) => String(number).padStart(2, "0");

function localParts(date: Date): [day: string, time: string] {
  const day = [String(date.getFullYear()).padStart(4, "0"), two(date.getMonth() + 1), two(date.getDate())];
  return [day.join("-"), [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")];
}

function offset(date: Date, separator: string): string {
  const minutes = -date.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.trunc(size / 60))}${separator}${two(size % 60)}`;
}
