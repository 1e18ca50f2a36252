// A Secret API with things to look at: secrets, sandboxes, proxies, and an hour of traffic. Everything came in by its own
// routes; only the clock was moved.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AuditEvent, ExchangeEvent } from "../../src/core/audit.ts";
import { CertificateAuthority } from "../../src/tls/authority.ts";
import { countTraffic } from "../support/audit-events.ts";
import { startSecretApi, type TestApi } from "../support/secret-api.ts";

export interface Stage {
  readonly api: TestApi;
  /** The console's address. */
  readonly url: string;
  readonly values: readonly string[];
  readonly sandboxes: readonly string[];
  /** Events as a proxy would report them now. */
  report(events: readonly AuditEvent[]): Promise<void>;
  /** A proxy says that it is there. */
  proxyBeats(): Promise<void>;
  close(): Promise<void>;
}

const MINUTE_MS = 60_000;

export async function setStage(): Promise<Stage> {
  let offsetMs = -60 * MINUTE_MS;
  const clock = () => Date.now() + offsetMs;
  const certs = await mkdtemp(join(tmpdir(), "keyswap-stage-"));
  const ca = await CertificateAuthority.open(certs, Date.now);
  const api = await startSecretApi({ clock, version: "0.1.0", caCertificate: () => ca.certificatePem });
  const values: string[] = [];
  const secret = async (name: string, hosts: readonly string[], more: Record<string, unknown> = {}) => {
    const value = `real-value-of-${name.toLowerCase()}-0123456789`;
    values.push(value);
    const answer = await api.call("POST", "/secret", { name, value, hosts, ...more });
    if (answer.status !== 201) throw new Error(answer.text);
  };
  await secret("OPENAI", ["api.openai.com"], { description: "Team account, rotated monthly", locations: ["header"] });
  await secret("ANTHROPIC", ["api.anthropic.com"]);
  await secret("GITHUB_APP", ["*.github.com", "*.githubusercontent.com", "ghcr.io"], {
    description: "Bot for pull requests",
  });
  await secret("STRIPE_TEST", ["api.stripe.com"], { onViolation: "block" });
  await secret("SLACK_WEBHOOK", ["hooks.slack.com"], { locations: ["path"] });
  await secret("INTERNAL_DB", ["db.corp.example"], { description: "Read replica" });
  await secret("LEGACY_TOKEN", []);
  const sandbox = async (name: string, secrets: readonly Record<string, string>[], more = {}) => {
    const answer = await api.call("POST", "/sandbox", { name, secrets, ...more });
    if (answer.status !== 200) throw new Error(answer.text);
    return answer.body.id as string;
  };
  const sandboxes = [
    await sandbox("agent-review", [
      { OPENAI_API_KEY: "OPENAI" },
      { GITHUB_TOKEN: "GITHUB_APP" },
      { SLACK_URL: "SLACK_WEBHOOK" },
    ]),
    await sandbox("agent-billing", [{ STRIPE_KEY: "STRIPE_TEST" }, { OPENAI_API_KEY: "OPENAI" }], {
      onViolation: "block",
    }),
    await sandbox("nightly-build", [{ GH_TOKEN: "GITHUB_APP" }]),
    await sandbox("scratch", []),
  ];
  const report = async (events: readonly AuditEvent[]) => {
    const body = { proxy: "stage", counts: countTraffic(events), events, unsampled: 0, lost: 0 };
    const answer = await api.call("POST", "/egress/events", body, { key: api.proxyKey });
    if (answer.status !== 204) throw new Error(answer.text);
  };
  for (let minute = 60; minute >= 0; minute--) {
    offsetMs = -minute * MINUTE_MS;
    await report(hourOfWork(sandboxes, minute, clock()));
  }
  offsetMs = 0;
  const proxyBeats = async () => {
    const version = await api.store.changes.version();
    for (const [name, heard] of [
      ["gateway-a", version],
      ["gateway-b", version],
    ] as const) {
      const body = {
        id: name,
        name,
        caFingerprint: null,
        heardVersion: String(heard),
        grants: {},
        isComplete: true,
        connections: { bySandbox: { [sandboxes[0]!]: name === "gateway-a" ? 3 : 1 }, others: 0 },
      };
      const answer = await api.call("POST", "/egress/proxies", body, { key: api.proxyKey });
      if (answer.status !== 200) throw new Error(answer.text);
    }
  };
  await proxyBeats();
  return {
    api,
    url: api.url.replace(/\/api$/, "/"),
    values,
    sandboxes,
    report,
    proxyBeats,
    close: async () => {
      await api.close();
      await rm(certs, { recursive: true, force: true });
    },
  };
}

let made = 0;

export function exchange(
  sandbox: string,
  host: string,
  more: Partial<ExchangeEvent> = {},
  at = Date.now(),
): ExchangeEvent {
  made += 1;
  return {
    type: "exchange",
    time: new Date(at).toISOString(),
    id: `stage-${made.toString(36)}`,
    sandbox,
    way: "connect",
    authority: `${host}:443`,
    protocol: "h2",
    method: "GET",
    path: "/",
    status: 200,
    error: undefined,
    requestBytes: 310,
    responseBytes: 4_810,
    firstByteMs: 38 + (made % 40),
    durationMs: 52 + ((made * 37) % 900),
    substituted: [],
    notSubstituted: [],
    scrubbed: [],
    ...more,
  };
}

/** One minute's events: more of them now and then, as work is. */
function hourOfWork([review, billing, build]: readonly string[], minute: number, at: number): AuditEvent[] {
  const wave = Math.round(6 + 5 * Math.sin(minute / 6) + (minute % 7));
  const events: AuditEvent[] = [];
  for (let index = 0; index < wave; index++) {
    const time = at - (wave - index) * 731;
    const openai = {
      substituted: [{ secret: "OPENAI", surface: "header" }],
      method: "POST",
      path: "/v1/chat/completions",
    } as const;
    events.push(exchange(review!, "api.openai.com", openai, time));
    if (index % 3 === 0) {
      events.push(
        exchange(
          build!,
          "api.github.com",
          {
            substituted: [{ secret: "GITHUB_APP", surface: "header" }],
            path: "/repos/acme/web/pulls",
            scrubbed: index % 2 === 0 ? ["GITHUB_APP"] : [],
          },
          time + 90,
        ),
      );
    }
    if (index % 5 === 1) {
      events.push({
        type: "tunnel",
        time: new Date(time + 120).toISOString(),
        id: `tunnel-${minute}-${index}`,
        sandbox: build,
        way: "connect",
        authority: "registry.npmjs.org:443",
        reason: "host-not-granted",
        sentBytes: 2_400,
        receivedBytes: 182_000,
        durationMs: 1_240,
      });
    }
  }
  if (minute % 4 === 0) {
    const withheld = {
      notSubstituted: [{ secret: "OPENAI", surface: "header", reason: "host-not-allowed" }],
      method: "POST",
      path: "/collect",
    } as const;
    events.push(exchange(review!, "telemetry.vendor.example", withheld, at - 300));
  }
  if (minute % 9 === 0) {
    events.push(
      exchange(
        billing!,
        "paste.example",
        {
          notSubstituted: [{ secret: "STRIPE_TEST", surface: "body", reason: "host-not-allowed" }],
          method: "POST",
          path: "/new",
          status: 403,
          error: "violation-blocked",
        },
        at - 200,
      ),
    );
  }
  return events;
}
