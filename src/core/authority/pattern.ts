// Host patterns, as they stand on a secret's host list: `api.example.com` is that name alone; `*.example.com` is
// example.com itself and every name below it, at any depth (Daytona's rule; most comparable systems leave out the apex).
// No port, scheme, path, bare `*` or inner `*`. Whether a wildcard covers a public suffix is judged where secrets are made.

import { type Host, parseHost } from "./host.ts";

/** Make it with `parseHostPattern`. */
export interface HostPattern {
  /** As given. */
  readonly text: string;
  /** Canonical, without `*.`. */
  readonly host: Host;
  readonly wildcard: boolean;
}

export type HostPatternResult =
  | { readonly kind: "pattern"; readonly pattern: HostPattern }
  /** `detail` says what to do; it never repeats the text. */
  | { readonly kind: "invalid"; readonly detail: string };

/** Reads a pattern in any case, as IDN or punycode; an exact IPv4 address is a pattern, IPv6 and CIDR blocks are not. */
export function parseHostPattern(text: string): HostPatternResult {
  for (const [pattern, detail] of refusals) if (pattern.test(text)) return { kind: "invalid", detail };
  const wildcard = text.startsWith("*.");
  const result = parseHost(wildcard ? text.slice(2) : text);
  if (result.kind === "invalid") return result;
  const { host } = result;
  // parseHost lets hyphens at a label's edge pass since such names exist; on a list they are mistakes.
  if (/(?:^|\.)-|-(?:\.|$)/.test(host))
    return { kind: "invalid", detail: "a label may not start or end with a hyphen" };
  if (wildcard && /^[\d.]+$/.test(host)) {
    return { kind: "invalid", detail: "an address has no names below it; remove the *." };
  }
  return { kind: "pattern", pattern: { text, host, wildcard } };
}

export function patternMatches(pattern: HostPattern, host: Host): boolean {
  return host === pattern.host || (pattern.wildcard && isBelow(host, pattern.host));
}

/** Whether `host` is a proper subdomain of `base`. */
function isBelow(host: string, base: string): boolean {
  const dot = host.length - base.length - 1;
  return dot > 0 && host.charCodeAt(dot) === dotCode && host.endsWith(base);
}

// In this order, so that the most telling detail wins.
const refusals: readonly (readonly [RegExp, string])[] = [
  [/^$/, "give a host name; an empty entry matches nothing"],
  [/\s/, "remove the blanks and line breaks"],
  [/[,;]/, "give each host as an entry of its own"],
  [/:\/\//, "remove the scheme"],
  [/@/, "remove the user information (everything up to the @)"],
  [/^[\da-f.:[\]]+\/\d+$/i, "address blocks are not host patterns; list the hosts by name"],
  [/[/\\]/, "remove the path"],
  [/\?/, "remove the query"],
  [/#/, "remove the fragment"],
  [/^\*$/, "a bare * is too wide; name a domain, as in *.example.com"],
  [/^\*\.$/, "name the domain after the *., as in *.example.com"],
  [/^.+\*|^\*[^.]/, "a wildcard stands only at the start, as in *.example.com"],
  [/[[\]]|:.*:/, "IPv6 addresses are not host patterns; list the host by name"],
  [/:/, "remove the port"],
  [/^(?:\*\.)?\./, "remove the leading dot; *.example.com covers example.com and all names below it"],
];

interface Slot<T> {
  readonly pattern: HostPattern;
  /** Place in the order of the entries. */
  readonly index: number;
  readonly value: T;
}

const dotCode = 0x2e;
const nothing: readonly never[] = Object.freeze([]);

/**
 * Finds the values whose patterns match a host. The cost is one look-up for the host and one for each of its labels, however
 * many patterns there are, and a miss allocates nothing.
 */
export class HostMatcher<T> {
  readonly size: number;
  readonly #exact = new Map<string, Slot<T>[]>();
  /** By the hash of the base, taken from its end so that one pass over a host meets all its suffixes. */
  readonly #wildcards = new Map<number, Slot<T>[]>();

  constructor(entries: Iterable<readonly [HostPattern, T]>) {
    let index = 0;
    for (const [pattern, value] of entries) {
      const slot = { pattern, index: index++, value };
      if (pattern.wildcard) add(this.#wildcards, hashFromEnd(pattern.host), slot);
      else add(this.#exact, pattern.host, slot);
    }
    this.size = index;
  }

  /** Each value once, in the order of the entries. */
  match(host: Host): readonly T[] {
    const exact = this.#exact.get(host);
    let found: readonly Slot<T>[] = exact ?? nothing;
    if (this.#wildcards.size > 0) {
      let hash = 0;
      for (let at = host.length - 1; at >= 0; at--) {
        hash = mix(hash, host.charCodeAt(at));
        if (at > 0 && host.charCodeAt(at - 1) !== dotCode) continue;
        const slots = this.#wildcards.get(hash);
        if (slots === undefined) continue;
        // Hashes may collide; what counts is the pattern itself.
        const length = host.length - at;
        const below = slots.filter((slot) => slot.pattern.host.length === length && patternMatches(slot.pattern, host));
        found = [...found, ...below];
      }
    }
    return found.length === 0 ? nothing : values(found);
  }
}

function values<T>(slots: readonly Slot<T>[]): readonly T[] {
  const ordered = slots.length === 1 ? slots : slots.toSorted((a, b) => a.index - b.index);
  return [...new Set(ordered.map((slot) => slot.value))];
}

function add<K, T>(map: Map<K, Slot<T>[]>, key: K, slot: Slot<T>): void {
  const slots = map.get(key);
  if (slots === undefined) map.set(key, [slot]);
  else slots.push(slot);
}

function hashFromEnd(text: string): number {
  let hash = 0;
  for (let at = text.length - 1; at >= 0; at--) hash = mix(hash, text.charCodeAt(at));
  return hash;
}

function mix(hash: number, code: number): number {
  return (Math.imul(hash, 31) + code) | 0;
}
