// What a request may ask for, so that its answer can be scrubbed: only codings that can be read, and no piece of a body
// so short that a value would not fit in it. What is within bounds already goes out as it came.

import { type Field, makeField, type RequestHead } from "../message.ts";
import type { Scrubber } from "./scrubber.ts";

/** The head to send upstream; the same object if nothing changes. */
export function narrowRequest(head: RequestHead, scrubber: Scrubber): RequestHead {
  if (scrubber.empty) return head;
  let needsChange = false;
  const ranges: Field[] = [];
  for (const field of head.fields) {
    if (rangeKeys.has(field.key)) ranges.push(field);
    const narrow = narrowings.get(field.key);
    if (narrow !== undefined && narrow(field.value) !== field.value) needsChange = true;
  }
  const isPart = !writingMethods.has(head.method) && ranges.some(isByteRange);
  if (!needsChange && !isPart) return head;

  // Which of several fields a server goes by cannot be told.
  const dropsRange = isPart && (ranges.length > 1 || hasShortPart(ranges[0]!.value, scrubber.longestForm));
  const fields: Field[] = [];
  for (const field of head.fields) {
    if (dropsRange && (rangeKeys.has(field.key) || field.key === "if-range")) continue;
    // A part of a coded body could not be decoded.
    if (isPart && !dropsRange && field.key === "accept-encoding") continue;
    const value = narrowings.get(field.key)?.(field.value) ?? field.value;
    if (value === field.value) fields.push(field);
    else if (value !== gone) fields.push({ ...field, value });
  }
  if (isPart && !dropsRange) fields.push(identityField(head));
  return { ...head, fields };
}

/** What asks for a part: Azure's Blob service has a field of its own, which wins over `Range`. */
const rangeKeys: ReadonlySet<string> = new Set(["range", "x-ms-range"]);

/** Here a range says what is to be written (Azure's Put Page). */
const writingMethods: ReadonlySet<string> = new Set(["PUT", "PATCH"]);

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

/** Other units (RFC 9110 section 14.1) are of the application: their parts are whole things. */
function isByteRange({ key, value }: Field): boolean {
  return key !== "range" || /^\s*bytes\s*=/i.test(value);
}

/** Whether some part may be shorter than `bytes`. What cannot be read counts as short. */
function hasShortPart(value: string, bytes: number): boolean {
  return value
    .slice(value.indexOf("=") + 1)
    .split(",")
    .some((spec) => {
      const [, first, last] = /^\s*(\d*)-(\d*)\s*$/.exec(spec) ?? [];
      if (first === undefined || last === undefined || first + last === "") return true;
      if (first === "") return Number(last) < bytes;
      // An open part goes to the body's end; that it may begin close to it is the edge mask's business.
      return last !== "" && Number(last) - Number(first) + 1 < bytes;
    });
}
