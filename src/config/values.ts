// Schemas of single values: text (or, from a file, a list or a number) in, checked and typed out. Issue messages show
// what was given only where `quote` is used, so never in the schemas of keys, tokens and URLs that may hold a password.

import { availableParallelism } from "node:os";
import { z } from "zod";
import { type Cidr, formatIp, parseCidr, parseIp } from "../core/authority/ip.ts";
import { type HostPattern, parseHostPattern } from "../core/authority/pattern.ts";
import { type EgressPattern, parseEgressPattern } from "../core/authority/policy.ts";
import type { Location } from "../core/grants.ts";
import { parseLocation } from "../core/location.ts";
import { SecretValue } from "../core/secret-value.ts";

/** Where to listen. Port 0 takes a free one. */
export interface ListenAddress {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

export type AuditTarget =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "stderr" }
  | { readonly kind: "off" };

/** One key of `KEYSWAP_MASTER_KEY`. */
export interface MasterKey {
  readonly id: string;
  /** 32 bytes. */
  readonly key: SecretValue;
}

const MAX_QUOTED = 80;

/** What was given, cut and on one line. */
function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
}

const text = z.string({ error: "must be text; in a file, put it in quotes" });

/** Text in, `parse`'s answer out; `parse` gives a string where it refuses. */
function parsed<T>(parse: (given: string) => { readonly ok: T } | string) {
  return text.transform((given, context): T => {
    const outcome = parse(given);
    if (typeof outcome !== "string") return outcome.ok;
    context.addIssue({ code: "custom", message: outcome });
    return z.NEVER;
  });
}

/** Comma-separated text, or a list in a file; every bad entry is an issue of its own. */
function listOf<T>(parse: (entry: string) => { readonly ok: T } | string) {
  const entries = z.union([text.transform(splitList), z.array(text)], {
    error: "must be text with commas between the entries; in a file, a list of texts will do",
  });
  return entries.transform((given, context): readonly T[] => {
    const values: T[] = [];
    for (const entry of given) {
      const outcome = parse(entry);
      if (typeof outcome === "string") context.addIssue({ code: "custom", message: outcome });
      else values.push(outcome.ok);
    }
    return values;
  });
}

function splitList(given: string): string[] {
  return given.split(",").flatMap((entry) => (entry.trim() === "" ? [] : [entry.trim()]));
}

export const path = parsed((given) => (given.includes("\0") ? "holds a NUL" : { ok: given }));

export const listenAddress = parsed((given) => parseListen(given));

export const listenAddressOrOff = parsed((given) => (given === "off" ? { ok: undefined } : parseListen(given)));

function parseListen(given: string): { ok: ListenAddress } | string {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/@]*)):(\d{1,5})$/.exec(given);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    return `${quote(given)} is not an address and a port from 0 to 65535; IPv6 addresses stand in brackets`;
  }
  if (host === "") return `${quote(given)} names no address; 0.0.0.0 stands for all of the machine's`;
  return { ok: { host, port } };
}

/** An integer in text, or a number in a file. */
export function integer(min: number, max: number, message = `must be a whole number from ${min} to ${max}`) {
  return z
    .union([z.number(), text.regex(/^\d{1,15}$/, { error: message, abort: true }).transform(Number)], {
      error: message,
    })
    .pipe(z.number().int({ error: message }).min(min, { error: message }).max(max, { error: message }));
}

const MAX_WORKERS = 256;
const workersMessage = `must be auto or a whole number from 1 to ${MAX_WORKERS}`;

/** How many processes; `auto`: one for each core that this process may use. */
export const workers = z.union(
  [z.literal("auto").transform(() => availableParallelism()), integer(1, MAX_WORKERS, workersMessage)],
  { error: workersMessage },
);

export function choice<const T extends string>(...words: readonly T[]) {
  return z.enum(words, { error: `must be ${words.slice(0, -1).join(", ")} or ${words.at(-1)}` });
}

/** `on` or `off`; a file's true and false will do. */
export const onOff = z.union(
  [z.literal("on").transform(() => true), z.literal("off").transform(() => false), z.boolean()],
  { error: "must be on or off" },
);

/** `value` of a key or a token: printable ASCII without blanks, long enough not to be guessed. */
export function credential(name: string, minLength: number) {
  return parsed((given) => {
    if (!/^[\x21-\x7e]*$/.test(given)) return "holds a blank or a character beyond ASCII";
    if (given.length < minLength) return `is shorter than ${minLength} characters`;
    return { ok: new SecretValue(name, given) };
  });
}

/** Stands in URLs and as the user name of a proxy URL. */
export const sandboxId = text.regex(/^[A-Za-z0-9._~-]{1,128}$/, {
  error: "must be 1 to 128 letters, digits, dots, underscores, tildes and hyphens",
});

/** An http or https URL without user name, query and fragment; a final slash is dropped. */
export const baseUrl = parsed((given) => {
  const url = readUrl(given, ["http:", "https:"]);
  if (typeof url === "string") return url;
  if (url.username !== "" || url.password !== "") return "must not hold a user name or a password";
  if (url.search !== "" || url.hash !== "") return "must not hold a query or a fragment";
  return { ok: url.href.replace(/\/+$/, "") };
});

/** The URL under which a proxy is reached: scheme, host and port alone. */
export const originUrl = parsed((given) => {
  const url = readUrl(given, ["http:", "https:"]);
  if (typeof url === "string") return url;
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "" || url.pathname !== "/") {
    return "must be a scheme, a host and a port alone";
  }
  return { ok: url.href.replace(/\/$/, "") };
});

/** A URL that may hold a password: kept as a SecretValue and never quoted. */
export function confidentialUrl(name: string, schemes: readonly string[]) {
  return parsed((given) => {
    const url = readUrl(given, schemes);
    return typeof url === "string" ? url : { ok: new SecretValue(name, given) };
  });
}

function readUrl(given: string, schemes: readonly string[]): URL | string {
  const url = URL.parse(given);
  const wanted = `must be a URL that starts with ${schemes.map((scheme) => `${scheme}//`).join(" or ")}`;
  if (url === null || !schemes.includes(url.protocol) || url.hostname === "") return wanted;
  return url;
}

export const hostPatterns = listOf<HostPattern>((entry) => {
  const outcome = parseHostPattern(entry);
  return outcome.kind === "pattern" ? { ok: outcome.pattern } : `${quote(entry)} is no host pattern: ${outcome.detail}`;
});

export const egressPatterns = listOf<EgressPattern>((entry) => {
  const outcome = parseEgressPattern(entry);
  return outcome.kind === "pattern" ? { ok: outcome.pattern } : `${quote(entry)} is no host pattern: ${outcome.detail}`;
});

/** Where a parent proxy is left out: addresses and blocks, else hosts; `.example.com` is `*.example.com`. */
export const noProxyRules = listOf<
  { readonly kind: "cidr"; readonly cidr: Cidr } | { readonly kind: "host"; readonly pattern: EgressPattern }
>((entry) => {
  const cidr = parseCidr(entry.replace(/^\[(.*)\]$/, "$1"));
  if (cidr !== undefined) return { ok: { kind: "cidr", cidr } };
  const outcome = parseEgressPattern(entry.startsWith(".") ? `*${entry}` : entry);
  if (outcome.kind === "pattern") return { ok: { kind: "host", pattern: outcome.pattern } };
  return `${quote(entry)} is neither an address range nor a host pattern: ${outcome.detail}`;
});

/** Hosts with their ports. */
export const hostPorts = listOf<EgressPattern>((entry) => {
  const outcome = parseEgressPattern(entry);
  if (outcome.kind !== "pattern") return `${quote(entry)} is no host with a port: ${outcome.detail}`;
  return outcome.pattern.port === undefined ? `${quote(entry)} has no port, as in host:22` : { ok: outcome.pattern };
});

export const addresses = listOf<string>((entry) => {
  const ip = parseIp(entry);
  return ip === undefined ? `${quote(entry)} is not an IP address` : { ok: formatIp(ip) };
});

/** `address` or `address:port`, in the form that node:dns takes. */
export const nameServers = listOf<string>((entry) => {
  const [, host = entry, port] = /^(\[[^\]]*\]|[^:]*):(\d{1,5})$/.exec(entry) ?? [];
  const ip = parseIp(host.replace(/^\[(.*)\]$/, "$1"));
  if (ip === undefined || Number(port ?? 53) > 65_535 || Number(port ?? 53) === 0) {
    return `${quote(entry)} is not an IP address, with or without a port`;
  }
  const text = formatIp(ip);
  return { ok: port === undefined ? text : `${text.includes(":") ? `[${text}]` : text}:${port}` };
});

export const cidrs = listOf<Cidr>((entry) => {
  const cidr = parseCidr(entry);
  return cidr === undefined ? `${quote(entry)} is not an address range in CIDR form` : { ok: cidr };
});

/** Where a secret without `locations` may be written. */
export const surfaces = listOf<Location>((entry) => {
  const outcome = parseLocation(entry);
  return outcome.kind === "location" ? { ok: outcome.location } : `${quote(entry)} is no surface: ${outcome.detail}`;
});

export const auditTarget = parsed<AuditTarget>((given) => {
  if (given === "stderr" || given === "off") return { ok: { kind: given } };
  return given.includes("\0") ? "holds a NUL" : { ok: { kind: "file", path: given } };
});

const MASTER_KEY_BYTES = 32;

export const masterKeys = parsed<readonly MasterKey[]>((given) => {
  const keys: MasterKey[] = [];
  for (const entry of splitList(given)) {
    const [, id, encoded] = /^([A-Za-z0-9._-]{1,64}):([A-Za-z0-9+/_-]+={0,2})$/.exec(entry) ?? [];
    const bytes = Buffer.from(encoded ?? "", "base64");
    if (id === undefined || bytes.length !== MASTER_KEY_BYTES) {
      return `entry ${keys.length + 1} is not an id, a colon and 32 bytes in base64`;
    }
    if (keys.some((key) => key.id === id)) return `the id of entry ${keys.length + 1} stands there twice`;
    keys.push({ id, key: new SecretValue(`master key ${id}`, bytes) });
  }
  return keys.length === 0 ? "holds no key" : { ok: keys };
});
