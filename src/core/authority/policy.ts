// Two decisions on an authority: may it be reached at all (egress), and is its TLS opened up or relayed blind (intercept).
// Both are values with a reason and a sentence for people; neither looks at anything but what it is given.

import { type Authority, parsePort } from "./authority.ts";
import { parseHost } from "./host.ts";
import { HostMatcher, type HostPattern, type HostPatternResult, parseHostPattern, patternMatches } from "./pattern.ts";

/** An entry of an egress list. Make it with `parseEgressPattern`. */
export interface EgressPattern {
  /** As given. */
  readonly text: string;
  /** Undefined: every host. */
  readonly host: HostPattern | undefined;
  /** Undefined: every port. */
  readonly port: number | undefined;
}

export type EgressPatternResult =
  | { readonly kind: "pattern"; readonly pattern: EgressPattern }
  /** `detail` says what to do; it never repeats the text. */
  | { readonly kind: "invalid"; readonly detail: string };

/** Lists of one deployment or one sandbox. Deny wins; an empty allow list allows everything. */
export interface EgressPolicy {
  readonly allow: readonly EgressPattern[];
  readonly deny: readonly EgressPattern[];
}

export type EgressDecision =
  | { readonly kind: "allowed"; readonly explain: string }
  | {
      readonly kind: "denied";
      readonly reason: "deny-listed" | "not-allow-listed";
      /** Which of the policies said no, counted from 0. */
      readonly policy: number;
      readonly explain: string;
    };

/**
 * Reads `host`, `*.host`, `*`, or one of them with `:port`. Hosts are as on a secret's host list, and IPv6 addresses in
 * brackets. Blocks of addresses are not egress patterns: addresses are judged as they are dialled.
 */
export function parseEgressPattern(text: string): EgressPatternResult {
  // "https://host" and bare IPv6 have colons too, but no port behind the last one; parseHostPattern says what is wrong.
  const match = /^(\*|\*\.[^:[\]]*|[^:[\]]*|\[[^\]]*\])(?::([^/:@]*))?$/.exec(text);
  const [, hostText = text, portText] = match ?? [];
  if (match === null && /^[\da-f:]*$/i.test(text))
    return { kind: "invalid", detail: "put an IPv6 address in brackets" };
  const port = portText === undefined ? undefined : parsePort(portText);
  if (portText !== undefined && port === undefined) {
    const detail =
      portText === "*" ? "leave out the port to mean every port" : "the port must be a number from 1 to 65535";
    return { kind: "invalid", detail };
  }
  if (hostText === "*") return { kind: "pattern", pattern: { text, host: undefined, port } };
  if (hostText === "" && port !== undefined) {
    return { kind: "invalid", detail: "write *:PORT to mean every host on this port" };
  }
  const result = hostText.startsWith("[") ? parseAddressPattern(hostText) : parseHostPattern(hostText);
  return result.kind === "pattern" ? { kind: "pattern", pattern: { text, host: result.pattern, port } } : result;
}

/** For one pattern; lists of them are compiled. */
export function egressPatternMatches({ host, port }: EgressPattern, authority: Authority): boolean {
  return (
    (port === undefined || port === authority.port) && (host === undefined || patternMatches(host, authority.host))
  );
}

/** The policies of the deployment and of the sandbox, compiled. What any of them denies is denied. */
export class EgressRules {
  readonly #policies: readonly { readonly allow: EgressList | undefined; readonly deny: EgressList }[];

  constructor(policies: readonly EgressPolicy[]) {
    this.#policies = policies.map(({ allow, deny }) => ({
      allow: allow.length === 0 ? undefined : new EgressList(allow),
      deny: new EgressList(deny),
    }));
  }

  decide(authority: Authority): EgressDecision {
    for (const [policy, { allow, deny }] of this.#policies.entries()) {
      const denied = deny.find(authority);
      if (denied !== undefined) {
        const explain = `the egress policy denies ${denied.text}`;
        return { kind: "denied", reason: "deny-listed", policy, explain };
      }
      if (allow !== undefined && allow.find(authority) === undefined) {
        return { kind: "denied", reason: "not-allow-listed", policy, explain: "it is not on the egress allow list" };
      }
    }
    return allowed;
  }
}

export type InterceptDecision =
  | { readonly kind: "intercept"; readonly explain: string }
  | { readonly kind: "tunnel"; readonly reason: "host-not-granted" | "tunnel-listed"; readonly explain: string };

export interface InterceptInput {
  /** A grant of the caller, current or retired, matches the host. */
  readonly granted: boolean;
  readonly mode: "granted" | "all";
  /** The host is on the operator's list of hosts never to be opened up. */
  readonly tunnelListed: boolean;
  /** Some policy of this sandbox blocks violations, which only an opened connection can show. */
  readonly blocks: boolean;
}

/** The tunnel list comes first: those are pinned clients, which interception would break. No value is sent there. */
export function decideIntercept(input: InterceptInput): InterceptDecision {
  if (input.tunnelListed) return tunnelListed;
  if (input.granted) return interceptGranted;
  if (input.mode === "all") return interceptAll;
  return input.blocks ? interceptBlocking : notGranted;
}

const allowed: EgressDecision = { kind: "allowed", explain: "no egress policy denies it" };

const interceptGranted: InterceptDecision = { kind: "intercept", explain: "a secret of this sandbox is for this host" };
const interceptAll: InterceptDecision = { kind: "intercept", explain: "every host is intercepted here" };
const interceptBlocking: InterceptDecision = {
  kind: "intercept",
  explain: "violations are blocked, so every host is intercepted",
};
const tunnelListed: InterceptDecision = {
  kind: "tunnel",
  reason: "tunnel-listed",
  explain: "the operator lists this host as one to tunnel",
};
const notGranted: InterceptDecision = {
  kind: "tunnel",
  reason: "host-not-granted",
  explain: "no secret of this sandbox is for this host",
};

/** One list, with the entries for every host aside. */
export class EgressList {
  readonly #byHost: HostMatcher<EgressPattern>;
  readonly #anyHost: readonly EgressPattern[];

  constructor(patterns: readonly EgressPattern[]) {
    const named: [HostPattern, EgressPattern][] = [];
    for (const pattern of patterns) if (pattern.host !== undefined) named.push([pattern.host, pattern]);
    this.#byHost = new HostMatcher(named);
    this.#anyHost = patterns.filter((pattern) => pattern.host === undefined);
  }

  find(authority: Authority): EgressPattern | undefined {
    const covers = (pattern: EgressPattern) => pattern.port === undefined || pattern.port === authority.port;
    return this.#byHost.match(authority.host).find(covers) ?? this.#anyHost.find(covers);
  }
}

function parseAddressPattern(text: string): HostPatternResult {
  const result = parseHost(text);
  if (result.kind === "invalid") return result;
  return { kind: "pattern", pattern: { text, host: result.host, wildcard: false } };
}
