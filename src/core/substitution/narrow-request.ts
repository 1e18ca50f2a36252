// What a request may ask for, so that its answer can be scrubbed: only codings that can be read, and no part of a body
// without what stands around it. What is within bounds already goes out as it came.

import { type Field, makeField, type RequestHead } from "../message.ts";
import { isRangeKey, type RangeAsk, readRangeAsk, widenRange } from "./byte-range.ts";
import type { Scrubber } from "./scrubber.ts";

/** The head to send upstream; the same object if nothing changes. */
export function narrowRequest(head: RequestHead, scrubber: Scrubber): RequestHead {
  if (scrubber.empty) return head;
  let needsChange = false;
  let hasRange = false;
  for (const field of head.fields) {
    if (isRangeKey(field.key)) hasRange = true;
    const narrow = narrowings.get(field.key);
    if (narrow !== undefined && narrow(field.value) !== field.value) needsChange = true;
  }
  const ask = hasRange ? readRangeAsk(head) : noRange;
  if (!needsChange && ask.kind === "none") return head;

  const isPart = ask.kind === "kept" || ask.kind === "widened";
  const fields: Field[] = [];
  for (const field of head.fields) {
    if (ask.kind === "dropped" && (isRangeKey(field.key) || field.key === "if-range")) continue;
    // A part of a coded body could not be decoded.
    if (isPart && field.key === "accept-encoding") continue;
    if (ask.kind === "widened" && isRangeKey(field.key)) {
      fields.push({ ...field, value: widenRange(ask.range, Math.max(0, scrubber.longestForm - 1)) });
      continue;
    }
    // A digest of the part that comes would be none of what goes on; and Azure makes none of more than 4 MiB.
    if (ask.kind === "widened" && partDigestKeys.has(field.key)) continue;
    const value = narrowings.get(field.key)?.(field.value) ?? field.value;
    if (value === field.value) fields.push(field);
    else if (value !== gone) fields.push({ ...field, value });
  }
  if (isPart) fields.push(identityField(head));
  return { ...head, fields };
}

const noRange: RangeAsk = { kind: "none" };
const partDigestKeys: ReadonlySet<string> = new Set(["x-ms-range-get-content-md5", "x-ms-range-get-content-crc64"]);

/** A field that is left out. No field value is empty and changed at once otherwise. */
const gone = "";

/** What becomes of a field's value, by key. All remember the last one they saw: a client repeats itself. */
const narrowings: ReadonlyMap<string, (value: string) => string> = new Map([
  ["accept-encoding", remember((value) => narrowCodings(value, isReadable))],
  ["grpc-accept-encoding", remember((value) => narrowCodings(value, isReadable))],
  ["connect-accept-encoding", remember((value) => narrowCodings(value, isReadable))],
  // Shared dictionaries (RFC 9842) and deltas (RFC 3229): an answer made of pieces that the client has already.
  ["available-dictionary", () => gone],
  ["dictionary-id", () => gone],
  ["a-im", () => gone],
]);

const readableNames: ReadonlySet<string> = new Set(["gzip", "x-gzip", "deflate", "br", "zstd", "identity"]);

function isReadable(name: string): boolean {
  return readableNames.has(name);
}

/** Keeps the items that are allowed, with their weights; the same string where all are. */
function narrowCodings(value: string, isAllowed: (name: string) => boolean): string {
  const items = value.split(",").filter((item) => item.trim() !== "");
  const kept = items.filter((item) => {
    const semicolon = item.indexOf(";");
    const name = (semicolon < 0 ? item : item.slice(0, semicolon)).trim().toLowerCase();
    // `*;q=0` forbids what is not listed; any other `*` asks for it.
    return name === "*" ? /;\s*q=0(?:\.0*)?\s*$/i.test(item) : isAllowed(name);
  });
  if (kept.length === items.length) return value;
  const narrowed = kept.map((item) => item.trim()).join(", ");
  return narrowed === "" ? "identity" : narrowed;
}

function remember(narrow: (value: string) => string): (value: string) => string {
  let lastValue = "";
  let lastResult = "";
  return (value) => {
    if (value !== lastValue) {
      lastResult = narrow(value);
      lastValue = value;
    }
    return lastResult;
  };
}

function identityField(head: RequestHead): Field {
  const sent = head.fields.find(({ key }) => key === "accept-encoding");
  return sent === undefined ? makeField("Accept-Encoding", "identity") : { ...sent, value: "identity" };
}
