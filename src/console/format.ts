// Times, numbers and names as people read them. All in the reader's own time zone.

const number = new Intl.NumberFormat("en");
const date = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const steps: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ["year", 31_536_000_000],
  ["month", 2_592_000_000],
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
];

export function count(value: number): string {
  return number.format(value);
}

/** "1 sandbox", "3 sandboxes" */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${number.format(value)} ${value === 1 ? one : many}`;
}

export function dateTime(time: string): string {
  return date.format(new Date(time));
}

/** "3 minutes ago", "in 2 years" */
export function ago(time: string): string {
  const difference = new Date(time).getTime() - Date.now();
  for (const [unit, ms] of steps) {
    if (Math.abs(difference) >= ms) return relative.format(Math.trunc(difference / ms), unit);
  }
  return "just now";
}

/** `14:03:07.214` */
export function clockTime(time: string): string {
  const at = new Date(time);
  const pad = (part: number, width = 2) => String(part).padStart(width, "0");
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}`;
}

export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 60_000
    ? `${(ms / 1_000).toFixed(1)} s`
    : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

export function bytes(value: number): string {
  if (value < 1_024) return `${value} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let size = value / 1_024;
  let unit = 0;
  for (; size >= 1_024 && unit < units.length - 1; unit++) size /= 1_024;
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** The beginning and end of a long opaque text. */
export function shortened(text: string, keep = 22): string {
  return text.length <= keep + 3 ? text : `${text.slice(0, keep - 4)}…${text.slice(-4)}`;
}
