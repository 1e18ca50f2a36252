// What placeholders a body holds, found naively: everything is decoded into characters, the text is searched, positions
// are looked up. The reference for the streaming scanner and all that is built on it.

import fc from "fast-check";
import type { Spelling } from "../../src/core/substitution/spelling.ts";

export interface ModelSighting {
  readonly start: number;
  readonly end: number;
  /** Of the grant with this key; undefined: nobody's. */
  readonly literal: string | undefined;
  /** The key is the grant's, the rest is not. */
  readonly altered: boolean;
}

/** `literalOf` answers the whole placeholder by its key. Only our own grammar is looked for. */
export function findPlaceholders(
  spelling: Spelling,
  body: Buffer,
  literalOf: (key: string) => string | undefined,
): readonly ModelSighting[] {
  const text = body.toString("latin1");
  const starts: number[] = [];
  let decoded = "";
  for (const match of text.matchAll(units[spelling])) {
    starts.push(match.index);
    decoded += decodeUnit(match[0]);
  }
  starts.push(text.length);
  const found: ModelSighting[] = [];
  const candidate = /dtn_secret_([a-z0-9]{25})/g;
  for (let match = candidate.exec(decoded); match !== null; match = candidate.exec(decoded)) {
    const literal = literalOf(match[1]!);
    const whole = literal !== undefined && decoded.startsWith(literal, match.index);
    const end = match.index + (whole ? literal.length : 36);
    candidate.lastIndex = end;
    found.push({ start: starts[match.index]!, end: starts[end]!, literal, altered: literal !== undefined && !whole });
  }
  return found;
}

const units: Readonly<Record<Spelling, RegExp>> = {
  json: /\\u[0-9a-fA-F]{4}|\\u[0-9a-fA-F]{0,3}|\\[\s\S]|[\s\S]/g,
  percent: /%[0-9a-fA-F]{2}|[\s\S]/g,
  plain: /[\s\S]/g,
};

function decodeUnit(unit: string): string {
  if (unit.length === 1) return unit.charCodeAt(0) < 0x80 ? unit : "\uffff";
  if (unit === "\\/") return "/";
  const hex = /^(?:\\u00|%)([0-7][0-9a-f])$/i.exec(unit)?.[1];
  return hex === undefined ? "\uffff" : String.fromCharCode(Number.parseInt(hex, 16));
}

const respell: Readonly<Record<Spelling, (char: string) => string>> = {
  plain: (char) => char,
  json: (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  percent: (char) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
};

/** Byte strings in which these literals stand: whole, cut short, with characters escaped, among what looks like them. */
export function bodiesWith(literals: readonly string[], spelling: Spelling): fc.Arbitrary<string> {
  const spelled = fc
    .tuple(
      fc.constantFrom(...literals),
      fc.array(fc.nat(250), { maxLength: 6 }),
      fc.oneof({ arbitrary: fc.constant(999), weight: 3 }, fc.nat(200)),
    )
    .map(([text, escaped, end]) =>
      [...text]
        .map((char, i) => (escaped.includes(i) ? respell[spelling](char) : char))
        .slice(0, end)
        .join(""),
    );
  const noise = fc.constantFrom(
    ...'\\ % \\\\ \\u \\u0 \\u00 \\u006 %6 %a d dt dtn_secr \\u00ad %ad \\d \\n \\/ \\u0064 %64 \\u00e9 " & tn_secret_ \u00e9'.split(
      " ",
    ),
  );
  return fc
    .array(fc.oneof(spelled, noise, fc.string({ unit: "binary", maxLength: 5 })), { maxLength: 10 })
    .map((parts) => Buffer.from(parts.join(""), "latin1").toString("latin1"));
}
