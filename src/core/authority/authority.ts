// Where something goes, in one canonical form that policy, dialling, certificate, Host check and audit share.
//
// This folder, from small to large:
//   ip-address.ts, cidr.ts, ip.ts   addresses, blocks of them, and what kind an address is
//   host.ts                         a host's one canonical spelling
//   pattern.ts                      `api.example.com` and `*.example.com`, and finding what matches a host
//   authority.ts                    scheme, host and port
//   policy.ts                       may it be reached, and is it opened up
//
// Invariant: a `Host` is made only by parsing, and nothing here compares texts that were not parsed.

import { type Host, isIpLiteral, parseWireHost } from "./host.ts";

export interface Authority {
  readonly scheme: "https" | "http";
  readonly host: Host;
  /** 1 to 65535. */
  readonly port: number;
}

export type AuthorityResult =
  | { readonly kind: "authority"; readonly authority: Authority }
  /** `detail` says what to do; it never repeats the text. */
  | { readonly kind: "invalid"; readonly detail: string };

/**
 * Reads `host`, `host:port` or `[v6]:port` off the wire: a CONNECT target, a URL's authority, a Host field. No user
 * information. Without a port it is `defaultPort`, else the scheme's own.
 */
export function parseAuthority(text: string, scheme: "https" | "http", defaultPort?: number): AuthorityResult {
  const parts = split(text);
  if (parts.kind === "invalid") return parts;
  const port = parts.port ?? defaultPort ?? (scheme === "https" ? 443 : 80);
  return { kind: "authority", authority: { scheme, host: parts.host, port } };
}

/** `host:port`, IPv6 in brackets. */
export function formatAuthority(authority: Authority): string {
  return `${bracketed(authority.host)}:${authority.port}`;
}

/**
 * Whether a Host field or `:authority` names this authority. Ports are compared only where the field gives one. The field
 * goes upstream as it is, so whatever is not plainly a host is no match.
 */
export function hostHeaderMatches(authority: Authority, hostHeader: string): boolean {
  if (hostHeader === authority.host) return !hostHeader.includes(":");
  const parts = split(hostHeader);
  if (parts.kind === "invalid" || parts.host !== authority.host) return false;
  return parts.port === undefined || parts.port === authority.port;
}

/** A host as it stands in a URL or a Host field. */
export function bracketed(host: Host): string {
  return isIpLiteral(host) && host.includes(":") ? `[${host}]` : host;
}

type Parts =
  | { readonly kind: "parts"; readonly host: Host; readonly port: number | undefined }
  | { readonly kind: "invalid"; readonly detail: string };

function split(text: string): Parts {
  // The last colon divides, unless it stands inside of brackets.
  const colon = text.lastIndexOf(":");
  const hasPort = colon > text.lastIndexOf("]");
  const hostText = hasPort ? text.slice(0, colon) : text;
  // parseWireHost takes bare IPv6 too, but here its last group would look like a port.
  if (hostText.includes(":") && !hostText.startsWith("[")) {
    const detail = hostText.includes("@") ? "remove the user information" : "put an IPv6 address in brackets";
    return { kind: "invalid", detail };
  }
  const result = parseWireHost(hostText);
  if (result.kind === "invalid") return result;
  if (!hasPort) return { kind: "parts", host: result.host, port: undefined };
  const port = parsePort(text.slice(colon + 1));
  if (port === undefined) return { kind: "invalid", detail: "the port must be a number from 1 to 65535" };
  return { kind: "parts", host: result.host, port };
}

/** A port in its plain decimal form: no sign, no leading zeros. */
export function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}
