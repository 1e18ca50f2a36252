// A host in its one canonical spelling. Everything that compares hosts compares this: policy, grants, leaf, dialling.
//
// Names: lower-case ASCII, IDNA applied, no trailing dot. Addresses: dotted quad, or IPv6 by RFC 5952 without brackets;
// an IPv4-mapped IPv6 address is the IPv4 address. Two texts that reach the same place in any resolver or URL parser come
// out equal; a text that parsers read differently is refused rather than repaired.

import { formatIp, type IpAddress, parseIp, parseIpv4Number } from "./ip-address.ts";

declare const hostBrand: unique symbol;

/** Made only by `parseHost`, `parseWireHost` and `hostOfIp`. */
export type Host = string & { readonly [hostBrand]: "Host" };

export type HostResult =
  | { readonly kind: "host"; readonly host: Host }
  /** `detail` says what to do; it never repeats the text. */
  | { readonly kind: "invalid"; readonly detail: string };

const maxNameLength = 253;
const maxLabelLength = 63;
/** Bound on work for texts that shrink when mapped: no valid spelling is longer. */
const maxTextLength = 1024;

// The hot path. The last label starts with no digit, so this is no IPv4 number form; `xn--` labels are checked elsewhere.
const plainName = /^(?:(?!xn--)[a-z0-9_-]{1,63}\.)*(?!xn--)[a-z_][a-z0-9_-]{0,62}$/;

/** Reads a host in any spelling, with or without brackets around IPv6. For text that is Unicode: configuration, API. */
export function parseHost(text: string): HostResult {
  if (text.length <= maxNameLength && plainName.test(text)) return { kind: "host", host: checked(text) };
  return parseRareSpelling(text);
}

/**
 * Reads a host off the wire, where text is Latin-1: one character per byte. What is not ASCII there is of unknown
 * encoding, and upstream might read it as another host than we do, so it is refused.
 */
export function parseWireHost(text: string): HostResult {
  if (text.length <= maxNameLength && plainName.test(text)) return { kind: "host", host: checked(text) };
  if (notAscii.test(text)) return invalid("write an international name in its ASCII form (xn--...)");
  return parseRareSpelling(text);
}

export function hostOfIp(ip: IpAddress): Host {
  return checked(formatIp(ip));
}

export function isIpLiteral(host: Host): boolean {
  return host.includes(":") || endsInDigits.test(host);
}

const notAscii = /[^\0-\x7f]/;
// No name ends in an all-digit label: `parseName` reads those as addresses or refuses them.
const endsInDigits = /(?:^|\.)\d+$/;
const endsInNumber = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/;

// In this order, so that the most telling detail wins. URL parsers repair or reinterpret most of these without a word.
const refusals: readonly (readonly [RegExp, string])[] = [
  [/[\0-\x1f\x7f]/, "remove the control character"],
  [/\s/, "remove the blanks"],
  [/:\/\//, "remove the scheme"],
  [/@/, "remove the user information (everything up to the @)"],
  [/[/\\]/, "remove the slash and what follows"],
  [/\?/, "remove the query"],
  [/#/, "remove the fragment"],
  [/[:[].*%/, "IPv6 zone ids are not supported; remove the % and what follows"],
  [/%/, "%-escapes are not decoded in hosts; write the characters themselves"],
  [/\*/, "a wildcard is not a host"],
  [/[^\x80-\u{10ffff}A-Za-z0-9._:[\]-]/u, "only letters, digits, dots, hyphens and underscores are allowed"],
  // The two joiners are part of names in some scripts; IDNA checks their context.
  [/[^\P{Default_Ignorable_Code_Point}\u200c\u200d]/u, "remove the invisible character"],
];

function parseRareSpelling(text: string): HostResult {
  if (text === "") return invalid("the host is empty");
  if (text.length > maxTextLength) return invalid(`a name has at most ${maxNameLength} characters`);
  for (const [pattern, detail] of refusals) if (pattern.test(text)) return invalid(detail);
  if (/[:[\]]/.test(text)) return parseIpv6Host(text);
  if (!notAscii.test(text)) return parseName(text.toLowerCase());
  const mapped = toAscii(text);
  return mapped === undefined ? invalid("the international name is not valid by IDNA") : parseName(mapped);
}

function parseIpv6Host(text: string): HostResult {
  const bracketed = text.startsWith("[") && text.endsWith("]");
  const ip = parseIp(bracketed ? text.slice(1, -1) : text);
  // In brackets stands IPv6 only.
  if (ip !== undefined && (ip.family === 6 || text.includes(":"))) return { kind: "host", host: hostOfIp(ip) };
  return invalid(/^[^:[\]]*:\d*$/.test(text) ? "remove the port" : "the IPv6 address is not well-formed");
}

/** `text` is lower-case ASCII of letters, digits, `.`, `_` and `-`. */
function parseName(text: string): HostResult {
  // One trailing dot says that the name is absolute, which all names are here.
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (endsInNumber.test(name)) {
    const ip = parseIpv4Number(name);
    return ip === undefined
      ? invalid("a host that ends in a number must be an IPv4 address")
      : { kind: "host", host: hostOfIp(ip) };
  }
  if (name.length > maxNameLength) return invalid(`a name has at most ${maxNameLength} characters`);
  for (const label of name.split(".")) {
    if (label === "") return invalid("remove the empty label (a dot too many)");
    if (label.length > maxLabelLength) return invalid(`a label has at most ${maxLabelLength} characters`);
    if (label.startsWith("xn--") && !isValidPunycode(label)) return invalid("the xn-- label is not valid punycode");
  }
  // Underscores and hyphens at a label's edge are no host names by RFC 1123, but exist in DNS and are unambiguous.
  return { kind: "host", host: checked(name) };
}

/** IDNA as browsers do it (UTS 46, non-transitional): case, width and full stops mapped, labels to punycode. */
function toAscii(text: string): string | undefined {
  // The global URL is the platform's IDNA; every character it would take for something else was refused before.
  const mapped = URL.parse(`http://${text}/`)?.hostname;
  // Full-width slashes and their like may map to characters that no host has.
  return mapped !== undefined && /^[a-z0-9._-]+$/.test(mapped) ? mapped : undefined;
}

function isValidPunycode(label: string): boolean {
  // URL passes all-ASCII names unchecked; a non-ASCII label beside it makes it decode and check this one too.
  return toAscii(`${label}.é`) === `${label}.xn--9ca`;
}

function checked(text: string): Host {
  // The one place where the brand is given: callers above have checked the text.
  return text as Host;
}

function invalid(detail: string): HostResult {
  return { kind: "invalid", detail };
}
