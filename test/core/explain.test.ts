import { describe, expect, it } from "vitest";
import { parseAuthority } from "../../src/core/authority/authority.ts";
import { parseCidr } from "../../src/core/authority/ip.ts";
import { type HostPattern, parseHostPattern } from "../../src/core/authority/pattern.ts";
import { parseEgressPattern } from "../../src/core/authority/policy.ts";
import { type DeploymentRules, explain } from "../../src/core/explain.ts";
import type { Grant, SandboxGrants } from "../../src/core/grants.ts";
import { grant, parseLocation, placeholder, request } from "./substitution/requests.ts";

const rules: DeploymentRules = {
  egress: { allow: [], deny: [] },
  defaults: { locations: ["header", "basic", "path", "query", "body"].map(parseLocation), onViolation: "pass" },
  intercept: "granted",
  tunnelHosts: [],
  plainHttpHosts: [],
  allowPrivate: [],
  bufferBytes: 1024,
};
const A = placeholder("a");
const openai = grant("OPENAI", "real-value-0123456789", { placeholder: A, hosts: ["*.good.test"] });

function pattern(text: string): HostPattern {
  const result = parseHostPattern(text);
  if (result.kind !== "pattern") throw new Error(result.detail);
  return result.pattern;
}

function ask(
  url: string,
  fields: readonly (readonly [string, string])[],
  options: {
    body?: string;
    rules?: Partial<DeploymentRules>;
    grants?: readonly Grant[];
    sandbox?: Partial<SandboxGrants>;
  } = {},
) {
  const [, scheme, host, target] = /^(https?):\/\/([^/]+)(.*)$/.exec(url)!;
  const parsed = parseAuthority(host!, scheme as "https" | "http"); // The pattern lets only these through.
  if (parsed.kind !== "authority") throw new Error(parsed.detail);
  const head = request(target === "" ? "/" : target!, ...fields);
  const grants: SandboxGrants = {
    sandboxId: "s",
    version: "1",
    tokenHash: undefined,
    sources: [],
    onViolation: undefined,
    egress: { allow: [], deny: [] },
    grants: options.grants ?? [openai],
    retired: [],
    ...options.sandbox,
  };
  return explain({ authority: parsed.authority, head, body: Buffer.from(options.body ?? "") }, grants, {
    ...rules,
    ...options.rules,
  });
}

const bearer = [["Authorization", `Bearer ${A}`]] as const;

describe("an explanation", () => {
  it("says where a value goes, and which entry of the list let it", () => {
    const answer = ask("https://api.good.test/v1", bearer);
    expect(answer).toMatchObject({
      outcome: "substituted",
      summary: "The value of OPENAI goes out to api.good.test.",
      connection: { kind: "intercept" },
      substituted: [{ secret: "OPENAI", surface: "header" }],
      grants: [{ secret: "OPENAI", allowed: true, pattern: "*.good.test", unrestricted: false }],
    });
  });

  it("names the list that does not have the host", () => {
    const answer = ask("https://api.evil.test/", bearer, { rules: { intercept: "all" } });
    expect(answer.outcome).toBe("withheld");
    expect(answer.summary).toBe("Nothing is substituted: host api.evil.test is not on OPENAI's list.");
    expect(answer.grants[0]).toMatchObject({ allowed: false, pattern: undefined });
  });

  it("says that a host without a grant is not opened up at all", () => {
    const answer = ask("https://api.evil.test/", bearer);
    expect(answer).toMatchObject({ outcome: "tunnelled", connection: { kind: "tunnel" }, substituted: [] });
    expect(ask("https://api.good.test/", bearer, { rules: { tunnelHosts: [pattern("*.good.test")] } })).toMatchObject({
      outcome: "tunnelled",
      substituted: [],
    });
  });

  it("finds placeholders in query, path and body, and judges each place", () => {
    const narrow = grant("OPENAI", "v", { placeholder: A, hosts: ["api.good.test"], locations: ["query:key"] });
    const answer = ask(`https://api.good.test/${A}?key=${A}`, [["Content-Type", "application/json"]], {
      body: JSON.stringify({ a: A }),
      grants: [narrow],
    });
    expect(answer.outcome).toBe("partly");
    expect(answer.substituted).toEqual([{ secret: "OPENAI", surface: "query" }]);
    expect(answer.notSubstituted.map(({ surface, explain: words }) => [surface, words])).toEqual([
      ["path", "OPENAI may not be written into the path"],
      ["body", "OPENAI may not be written into the body"],
    ]);
  });

  it("finds a placeholder of nobody's in head and body", () => {
    const Q = placeholder("q");
    const answer = ask("https://api.good.test/", [["X-Key", Q]], { body: `key ${Q}` });
    expect(answer.notSubstituted.map(({ surface, reason }) => [surface, reason])).toEqual([
      ["header", "unknown-placeholder"],
      ["body", "unknown-placeholder"],
    ]);
  });

  it("tells a refusal by the egress policy, the deployment's or the sandbox's", () => {
    const parsed = parseEgressPattern("*.good.test");
    if (parsed.kind !== "pattern") throw new Error(parsed.detail);
    const deny = { allow: [], deny: [parsed.pattern] };
    for (const options of [{ rules: { egress: deny } }, { sandbox: { egress: deny } }]) {
      const answer = ask("https://api.good.test/", bearer, options);
      expect(answer).toMatchObject({ outcome: "denied", connection: { kind: "denied" }, substituted: [] });
      expect(answer.summary).toContain("denies *.good.test");
    }
  });

  it.each([
    ["169.254.169.254", "metadata"],
    ["10.1.2.3", "private"],
    ["[::1]", "loopback"],
    ["[::ffff:127.0.0.1]", "loopback"],
    ["0x7f.1", "loopback"],
  ])("refuses the internal address %s as the proxy does, unless it is listed", (host, kind) => {
    const grants = [grant("ANY", "real-value-0123456789", { placeholder: A, hosts: [] })];
    const answer = ask(`https://${host}/`, bearer, { grants });
    expect(answer).toMatchObject({ outcome: "denied", connection: { kind: "denied" }, substituted: [] });
    expect(answer.summary).toContain(`(${kind})`);
    const allowPrivate = ["0.0.0.0/0", "::/0"].flatMap((text) => parseCidr(text) ?? []);
    expect(ask(`https://${host}/`, bearer, { grants, rules: { allowPrivate } }).outcome).toBe("substituted");
  });

  it("lets a public address be one", () => {
    const grants = [grant("ANY", "real-value-0123456789", { placeholder: A, hosts: ["8.8.8.8"] })];
    expect(ask("https://8.8.8.8/", bearer, { grants }).outcome).toBe("substituted");
  });

  it("tells that violations are blocked", () => {
    const answer = ask("https://api.evil.test/", bearer, { sandbox: { onViolation: "block" } });
    expect(answer).toMatchObject({ outcome: "blocked", connection: { kind: "intercept" } });
  });

  it("keeps values from plain HTTP unless the host is listed", () => {
    expect(ask("http://api.good.test/", bearer)).toMatchObject({ outcome: "withheld", connection: { kind: "plain" } });
    const listed = ask("http://api.good.test/", bearer, { rules: { plainHttpHosts: [pattern("api.good.test")] } });
    expect(listed.outcome).toBe("substituted");
  });

  it("tells a request without placeholders, and never holds a value", () => {
    const answer = ask("https://api.good.test/", [["X-A", "b"]], { body: "text" });
    expect(answer.outcome).toBe("nothing");
    expect(JSON.stringify(ask("https://api.good.test/", bearer))).not.toContain("real-value");
  });
});
