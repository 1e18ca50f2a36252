// Would this request be substituted? The proxy's own decisions, run on a request that somebody describes instead of one
// that was sent: egress policy, interception, then every placeholder in head and body.
//
// What only the network knows is left out, and the one who asks should say so: a name's addresses (internal ones are
// refused, and an address that is given itself is judged here), the destination's certificate, and whether grants are on their way to a proxy.

import type { NotSubstituted, Substitution } from "./audit.ts";
import { describeNotSubstituted } from "./audit-words.ts";
import type { Authority } from "./authority/authority.ts";
import { type Cidr, cidrContains, classifyIp, parseIp } from "./authority/ip.ts";
import { HostMatcher, type HostPattern, patternMatches } from "./authority/pattern.ts";
import { decideIntercept, type EgressPolicy, EgressRules } from "./authority/policy.ts";
import type { SandboxGrants } from "./grants.ts";
import { formatLocation } from "./location.ts";
import type { RequestHead } from "./message.ts";
import { planRequestBody } from "./substitution/body-plan.ts";
import { GrantIndex, type SubstitutionDefaults } from "./substitution/grant-index.ts";
import { substituteHead } from "./substitution/head.ts";
import { SubstitutionScope } from "./substitution/scope.ts";

/** What a deployment decides for all its sandboxes. */
export interface DeploymentRules {
  readonly egress: EgressPolicy;
  readonly defaults: SubstitutionDefaults;
  readonly intercept: "granted" | "all";
  readonly tunnelHosts: readonly HostPattern[];
  readonly plainHttpHosts: readonly HostPattern[];
  /** Internal addresses that may be dialled all the same. */
  readonly allowPrivate: readonly Cidr[];
  /** In bytes. */
  readonly bufferBytes: number;
}

export interface ExplainedRequest {
  readonly authority: Authority;
  /** `target` in origin-form. */
  readonly head: RequestHead;
  readonly body: Buffer;
}

/**
 * `substituted`: every placeholder is written. `partly`: some are. `withheld`: none is, all go out unchanged. `blocked`:
 * one may not be written and the policy refuses the request. `denied`: the egress policy does,
 * or the destination is an internal address. `tunnelled`: the
 * connection is not opened up, so that nothing in it is seen. `nothing`: the request holds no placeholder.
 */
export type ExplainOutcome = "substituted" | "partly" | "withheld" | "blocked" | "denied" | "tunnelled" | "nothing";

/** How one mount of the sandbox bears on the destination. */
export interface ExplainedGrant {
  readonly env: string;
  readonly secret: string;
  readonly allowed: boolean;
  /** The entry of its host list that matched, as given; undefined where none did or the list is empty. */
  readonly pattern: string | undefined;
  readonly unrestricted: boolean;
  /** Where in a request it may be written. */
  readonly locations: readonly string[];
  readonly onViolation: "pass" | "block";
}

export interface Explanation {
  readonly outcome: ExplainOutcome;
  /** One sentence. */
  readonly summary: string;
  /** What happens to the connection, and why. */
  readonly connection: { readonly kind: "denied" | "intercept" | "tunnel" | "plain"; readonly explain: string };
  readonly substituted: readonly Substitution[];
  /** With the reason in words. */
  readonly notSubstituted: readonly (NotSubstituted & { readonly explain: string })[];
  readonly grants: readonly ExplainedGrant[];
}

/** No value and nothing of the request but names stands in what this returns. */
export function explain(request: ExplainedRequest, grants: SandboxGrants, rules: DeploymentRules): Explanation {
  const { authority } = request;
  const index = new GrantIndex(grants, rules.defaults);
  const view = index.forHost(authority.host);
  const explained = explainGrants(authority, grants, rules, index.onViolation);
  const result = (outcome: ExplainOutcome, connection: Explanation["connection"], scope?: SubstitutionScope) => ({
    outcome,
    connection,
    substituted: scope?.substituted ?? [],
    notSubstituted: (scope?.notSubstituted ?? []).map((entry) => ({
      ...entry,
      explain: describeNotSubstituted(entry, authority.host),
    })),
    grants: explained,
  });

  const egress = new EgressRules([rules.egress, grants.egress]).decide(authority);
  const refusal = egress.kind === "denied" ? egress.explain : internalAddress(authority, rules);
  if (refusal !== undefined) {
    const denied = result("denied", { kind: "denied", explain: refusal });
    return { ...denied, summary: `The request is refused: ${refusal}.` };
  }

  const secure = authority.scheme === "https" || matches(rules.plainHttpHosts, authority);
  const scope = new SubstitutionScope(view, { secure });
  substitute(request, scope, rules.bufferBytes);

  const connection = connectionOf(request, view.granted, index.onViolation, rules);
  if (connection.kind === "tunnel") {
    const tunnelled = result("tunnelled", connection, scope);
    const summary = `Nothing is substituted: the connection is relayed unopened, because ${connection.explain}.`;
    return { ...tunnelled, substituted: [], summary };
  }
  const written = scope.substituted.length;
  const left = scope.notSubstituted;
  if (scope.blocked) {
    return { ...result("blocked", connection, scope), summary: `The request is refused with 403: ${reasonsOf()}.` };
  }
  if (written === 0 && left.length === 0) {
    return {
      ...result("nothing", connection, scope),
      summary: "The request holds no placeholder, so it goes out as is.",
    };
  }
  if (left.length === 0) {
    const names = [...new Set(scope.substituted.map(({ secret }) => secret))].join(", ");
    const summary = `The value of ${names} goes out to ${authority.host}.`;
    return { ...result("substituted", connection, scope), summary };
  }
  if (written === 0) {
    return { ...result("withheld", connection, scope), summary: `Nothing is substituted: ${reasonsOf()}.` };
  }
  return { ...result("partly", connection, scope), summary: `Some placeholders go out unchanged: ${reasonsOf()}.` };

  function reasonsOf(): string {
    return [...new Set(left.map((entry) => describeNotSubstituted(entry, authority.host)))].join("; ");
  }
}

/** Why an address may not be dialled; undefined for one that may, and for every name. */
function internalAddress({ host }: Authority, { allowPrivate }: DeploymentRules): string | undefined {
  const ip = parseIp(host);
  const kind = ip === undefined ? "public" : classifyIp(ip);
  if (ip === undefined || kind === "public" || allowPrivate.some((cidr) => cidrContains(cidr, ip))) return undefined;
  return `${host} is an internal address (${kind}), and the operator does not list it as one that may be dialled`;
}

function connectionOf(
  request: ExplainedRequest,
  granted: boolean,
  onViolation: "pass" | "block",
  rules: DeploymentRules,
): Explanation["connection"] {
  if (request.authority.scheme === "http") return { kind: "plain", explain: "plain HTTP is always read" };
  const decision = decideIntercept({
    granted,
    mode: rules.intercept,
    tunnelListed: matches(rules.tunnelHosts, request.authority),
    blocks: onViolation === "block",
  });
  return { kind: decision.kind, explain: decision.explain };
}

/** Runs the whole request through; what is written stays here and is thrown away. */
function substitute({ head, body }: ExplainedRequest, scope: SubstitutionScope, bufferBytes: number): void {
  for (;;) {
    const result = substituteHead(head, scope);
    if (result.kind === "done") break;
    // Nobody is asked: the grants at hand are all there are.
    for (const key of result.keys) scope.markAsked(key);
  }
  if (body.length === 0) return;
  const plan = planRequestBody(head, body.length, scope, { bufferBytes });
  // A coded body would have to be decoded, which the core does not do: describe the request without its coding.
  if (plan.kind === "untouched" || plan.codings.length > 0) return;
  const drop = () => {};
  for (let key = plan.transform.push(body, drop); key !== undefined; key = plan.transform.push(EMPTY, drop)) {
    scope.markAsked(key);
  }
  for (let key = plan.transform.end(drop); key !== undefined; key = plan.transform.end(drop)) scope.markAsked(key);
}

const EMPTY = Buffer.alloc(0);

function explainGrants(
  authority: Authority,
  grants: SandboxGrants,
  rules: DeploymentRules,
  onViolation: "pass" | "block",
): readonly ExplainedGrant[] {
  return grants.grants.map((grant) => {
    const pattern = grant.hosts.find((each) => patternMatches(each, authority.host));
    const unrestricted = grant.hosts.length === 0;
    return {
      env: grant.env,
      secret: grant.name,
      allowed: unrestricted || pattern !== undefined,
      pattern: pattern?.text,
      unrestricted,
      locations: (grant.locations ?? rules.defaults.locations).map(formatLocation),
      onViolation: grant.onViolation ?? onViolation,
    };
  });
}

function matches(patterns: readonly HostPattern[], authority: Authority): boolean {
  return new HostMatcher(patterns.map((pattern) => [pattern, true] as const)).match(authority.host).length > 0;
}
