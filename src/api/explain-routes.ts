// POST /explain: would this request be substituted? The decisions are core's, on the grants as the store has them now.
// Values take part in the decision (some cannot be written everywhere) and stay here.

import { z } from "zod";
import { parseAuthority } from "../core/authority/authority.ts";
import { isIpLiteral } from "../core/authority/host.ts";
import { parseCidr } from "../core/authority/ip.ts";
import { type HostPattern, parseHostPattern } from "../core/authority/pattern.ts";
import { type EgressPattern, parseEgressPattern } from "../core/authority/policy.ts";
import type { DeploymentRules, Explanation } from "../core/explain.ts";
import type { Grant, Location, SandboxGrants } from "../core/grants.ts";
import { parseLocation } from "../core/location.ts";
import { type Field, makeField, type RequestHead } from "../core/message.ts";
import type { Clock } from "../core/ports.ts";
import { SecretValue } from "../core/secret-value.ts";
import type { EgressRecord, Permission, SecretRecord, Store } from "../core/store.ts";
import { secretName } from "./fields.ts";
import { queryText } from "./paging.ts";
import { notFound, Problem } from "./problem.ts";
import { type AnyRoute, fields, route } from "./route.ts";

const access: readonly Permission[] = ["manage:secrets", "write:sandboxes"];
const MAX_FIELDS = 100;
const MAX_UNKNOWN = 10;

const explainBody = fields({
  /** Id or name. */
  sandbox: queryText.optional(),
  secret: secretName.optional(),
  url: z.string("must be a URL").max(16_384, "is too long"),
  method: z
    .string("must be a method")
    .regex(/^[A-Za-z][A-Za-z-]{0,31}$/, "must be a method")
    .default("GET"),
  headers: z
    .array(
      z.object({
        name: z.string("must be a string").regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/, "must be a header's name"),
        value: z.string("must be a string").max(65_536, "is too long"),
      }),
      "must be an array of {name, value}",
    )
    .max(MAX_FIELDS, `must have at most ${MAX_FIELDS} entries`)
    .default([]),
  body: z.string("must be a string").max(262_144, "is too long").default(""),
});

const explainAnswer = z
  .object({
    outcome: z.enum(["substituted", "partly", "withheld", "blocked", "denied", "tunnelled", "nothing"]),
    summary: z.string(),
    authority: z.string(),
    connection: z.object({ kind: z.enum(["denied", "intercept", "tunnel", "plain"]), explain: z.string() }),
    substituted: z.array(z.object({ secret: z.string(), surface: z.string() })),
    notSubstituted: z.array(
      z.object({
        secret: z.string().optional(),
        surface: z.string().optional(),
        reason: z.string(),
        explain: z.string(),
      }),
    ),
    grants: z.array(
      z.object({
        env: z.string(),
        secret: z.string(),
        allowed: z.boolean(),
        pattern: z.string().optional(),
        unrestricted: z.boolean(),
        locations: z.array(z.string()),
        onViolation: z.enum(["pass", "block"]),
      }),
    ),
    assumed: z.array(z.string()).meta({ description: "What was taken for granted because nobody can know it here." }),
  })
  .meta({ title: "Explanation" });

/** `rules`: those of this process as they are now; a proxy elsewhere may be set otherwise. */
export function explainRoutes(store: Store, clock: Clock, rules: () => DeploymentRules): readonly AnyRoute[] {
  return [
    route({
      method: "POST",
      path: "/explain",
      summary: "Would this request be substituted, and if not, which rule says so; nothing is sent",
      tag: "service",
      access,
      body: explainBody,
      status: 200,
      answer: explainAnswer,
      handle: async ({ body, caller }): Promise<z.input<typeof explainAnswer>> => {
        const { grants, assumed } = await grantsFor(store, clock, caller.organizationId, body);
        const unknown = new Set<string>();
        const fill = placeholdersIn(grants.grants, unknown);
        const { authority, target } = parseUrl(fill(body.url));
        const hasAddress = isIpLiteral(authority.host) ? "" : "a public address and ";
        assumed.unshift(`the destination has ${hasAddress}a certificate that verifies`);
        const given = body.headers.map(({ name, value }) => makeField(name, fill(value)));
        const bodyText = fill(body.body);
        const asked = grants.grants.find((grant) => grant.name === body.secret);
        const holds = (text: string) => grants.grants.some((grant) => text.includes(grant.placeholder));
        const isNamed = holds(target) || holds(bodyText) || given.some((field) => holds(field.value));
        const tried: Field[] = [];
        if (asked !== undefined && !isNamed && !given.some(({ value }) => /^basic /i.test(value))) {
          tried.push(makeField("Authorization", `Bearer ${asked.placeholder}`));
          assumed.push(`${asked.name} is sent as a Bearer token`);
        }
        for (const env of unknown) assumed.push(`$${env} is sent as it stands: it is no mount`);
        const head: RequestHead = {
          method: body.method.toUpperCase(),
          target,
          minor: 1,
          fields: [makeField("Host", authority.host), ...given, ...tried],
        };
        const request = { authority, head, body: Buffer.from(bodyText, "utf8") };
        // Loaded when somebody asks: it is all of substitution.
        const { explain } = await import("../core/explain.ts");
        return {
          ...present(explain(request, grants, rules())),
          authority: `${authority.host}:${authority.port}`,
          assumed,
        };
      },
    }),
  ];
}

function present(explanation: Explanation): Omit<z.input<typeof explainAnswer>, "authority" | "assumed"> {
  return {
    ...explanation,
    substituted: [...explanation.substituted],
    notSubstituted: [...explanation.notSubstituted],
    grants: explanation.grants.map(({ pattern, locations, ...grant }) => ({
      ...grant,
      locations: [...locations],
      ...(pattern === undefined ? {} : { pattern }),
    })),
  };
}

interface Asked {
  readonly sandbox?: string | undefined;
  readonly secret?: string | undefined;
}

async function grantsFor(
  store: Store,
  clock: Clock,
  organizationId: string,
  { sandbox, secret }: Asked,
): Promise<{ grants: SandboxGrants; assumed: string[] }> {
  const assumed: string[] = [];
  if (sandbox !== undefined) {
    const known = await store.sandboxes.get(organizationId, sandbox);
    const record = known === undefined ? undefined : await store.egress.resolve(known.id, clock());
    if (record === undefined) throw notFound("Sandbox");
    if (secret !== undefined && !record.grants.some(({ name }) => name === secret)) {
      throw new Problem(400, "secret: is not mounted in this sandbox, so nothing could be substituted; mount it first");
    }
    return { grants: grantsOf(record), assumed };
  }
  if (secret === undefined) throw new Problem(400, "sandbox: name a sandbox, or a secret to try by itself");
  const record = await findByName(store, organizationId, secret);
  assumed.push("a sandbox that mounts this secret alone, and a value that can be written anywhere");
  return { grants: grantsOfSecret(record), assumed };
}

/** Names are unique, but the store finds parts of them: few secrets have a name within theirs. */
async function findByName(store: Store, organizationId: string, name: string): Promise<SecretRecord> {
  let after: { readonly value: string; readonly id: string } | undefined;
  for (;;) {
    const page = await store.secrets.list(organizationId, { limit: 200, sort: "name", order: "asc", name, after });
    const found = page.items.find((secret) => secret.name === name);
    if (found !== undefined) return found;
    const last = page.items.at(-1);
    if (!page.more || last === undefined) throw notFound("Secret");
    after = { value: last.name, id: last.id };
  }
}

function grantsOf(record: EgressRecord): SandboxGrants {
  return {
    sandboxId: record.sandboxId,
    version: String(record.version),
    tokenHash: record.tokenHash,
    sources: record.sources.flatMap((text) => parseCidr(text) ?? []),
    onViolation: record.onViolation ?? undefined,
    egress: { allow: record.egress.allow.map(egressPattern), deny: record.egress.deny.map(egressPattern) },
    grants: record.grants.map((grant) => ({
      ...grant,
      hosts: grant.hosts.map(hostPattern),
      locations: grant.locations?.map(location) ?? undefined,
      onViolation: grant.onViolation ?? undefined,
    })),
    retired: [],
  };
}

function grantsOfSecret(secret: SecretRecord): SandboxGrants {
  const grant: Grant = {
    env: secret.name,
    name: secret.name,
    placeholder: secret.placeholder,
    value: new SecretValue(secret.name, "x".repeat(secret.placeholder.length)),
    hosts: secret.hosts.map(hostPattern),
    locations: secret.locations?.map(location) ?? undefined,
    onViolation: secret.onViolation ?? undefined,
  };
  return {
    sandboxId: "",
    version: "",
    tokenHash: undefined,
    sources: [],
    onViolation: undefined,
    egress: { allow: [], deny: [] },
    grants: [grant],
    retired: [],
  };
}

/**
 * `$ENV` and `${ENV}` stand for a mount's placeholder, as a shell in the sandbox would have it. What is spelled like a
 * variable and is no mount goes to `unknown`, a few at most: lower case is JSON's (`$ref`) and others' own.
 */
function placeholdersIn(grants: readonly Grant[], unknown: Set<string>): (text: string) => string {
  const byEnv = new Map(grants.map((grant) => [grant.env, grant.placeholder]));
  return (text) =>
    text.replace(/\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))/g, (whole, braced?: string, bare?: string) => {
      const env = braced ?? bare ?? "";
      const placeholder = byEnv.get(env);
      if (placeholder === undefined && unknown.size < MAX_UNKNOWN && /^[A-Z_][A-Z\d_]{0,63}$/.test(env))
        unknown.add(env);
      return placeholder ?? whole;
    });
}

function parseUrl(text: string) {
  const match = /^(?:([a-z][a-z\d+.-]*):\/\/)?([^/?#]+)([/?][^#]*)?(?:#.*)?$/i.exec(text.trim());
  if (match?.[1] !== undefined && !/^https?$/i.test(match[1])) {
    throw new Problem(400, "url: must be http or https, as https://api.example.com/path");
  }
  const scheme = match?.[1]?.toLowerCase() === "http" ? "http" : "https";
  const parsed = parseAuthority(match?.[2] ?? "", scheme);
  if (match === null || parsed.kind === "invalid") {
    const detail = parsed.kind === "invalid" && match !== null ? `: ${parsed.detail}` : "";
    throw new Problem(400, `url: must be as https://api.example.com/path${detail}`);
  }
  const rest = match[3] ?? "/";
  // As it would stand on the wire, so that no character of another alphabet is taken for a byte.
  const target = encodeURI(rest.startsWith("?") ? `/${rest}` : rest).replaceAll("%25", "%");
  return { authority: parsed.authority, target };
}

// What the store holds was checked when it was written: a text that does not parse is a broken promise.

function hostPattern(text: string): HostPattern {
  const result = parseHostPattern(text);
  if (result.kind === "invalid") throw new TypeError("the store holds a host pattern that is none");
  return result.pattern;
}

function egressPattern(text: string): EgressPattern {
  const result = parseEgressPattern(text);
  if (result.kind === "invalid") throw new TypeError("the store holds an egress pattern that is none");
  return result.pattern;
}

function location(text: string): Location {
  const result = parseLocation(text);
  if (result.kind === "invalid") throw new TypeError("the store holds a location that is none");
  return result.location;
}
