// /console: what the console shows beyond the contract: secrets with where they are mounted and when they were last used,
// for those too who may not manage them; and the state of everything.

import { X509Certificate } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../core/ports.ts";
import type { Permission, SecretRecord, Store } from "../core/store.ts";
import type { ChangeHub } from "./change-hub.ts";
import { nextCursor, pageQuery, toPageQuery } from "./paging.ts";
import { notFound } from "./problem.ts";
import { PROXY_SILENCE_MS } from "./proxy-routes.ts";
import { type AnyRoute, route } from "./route.ts";
import { present, secretAnswer } from "./secret-routes.ts";
import type { TrafficBook } from "./traffic-book.ts";
import type { Traffic } from "./traffic-routes.ts";

const tag = "console";
/** Metadata alone: whoever mounts secrets, or audits, has to know which there are. */
const read: readonly Permission[] = ["manage:secrets", "write:sandboxes", "read:audit_logs"];
const MAX_MOUNTS = 100;

const secretRow = secretAnswer.extend({
  mounts: z.number().meta({ description: "In how many sandboxes it is mounted." }),
  lastUsedAt: z.iso.datetime().nullable().meta({ description: "As far as it was reported to this process." }),
});

const secretDetail = secretRow.extend({
  mountedIn: z.array(z.object({ sandboxId: z.string(), sandboxName: z.string(), env: z.string() })),
});

const statusAnswer = z.object({
  version: z.string(),
  node: z.string(),
  startedAt: z.iso.datetime(),
  store: z.object({ kind: z.enum(["sqlite", "postgres"]), answers: z.boolean(), answerMs: z.number() }),
  changesVersion: z.string().nullable(),
  proxyUrl: z.string(),
  ca: z
    .object({
      subject: z.string(),
      fingerprint: z.string(),
      notBefore: z.iso.datetime(),
      notAfter: z.iso.datetime(),
    })
    .nullable(),
  proxies: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      seenAt: z.iso.datetime(),
      behind: z.number().nullable().meta({ description: "Changes not heard of; null: it hears none." }),
      sandboxes: z.number(),
      hasSameCa: z.boolean().nullable(),
    }),
  ),
  traffic: z.object({ unsampled: z.number(), lost: z.number() }),
});

export interface ConsoleRouteOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly hub: ChangeHub;
  readonly traffic: Traffic;
  readonly version: string;
  readonly proxyUrl: () => string;
  readonly caCertificate: () => string;
}

export function consoleRoutes(options: ConsoleRouteOptions): readonly AnyRoute[] {
  const { store, clock, traffic } = options;
  const rowOf = (secret: SecretRecord, mounts: number, book: TrafficBook): z.input<typeof secretRow> => {
    const usedAt = book.secretUsedAt(secret.name);
    return { ...present(secret), mounts, lastUsedAt: usedAt === undefined ? null : new Date(usedAt).toISOString() };
  };

  return [
    route({
      method: "GET",
      path: "/console/secrets",
      summary: "Secrets in pages, with where they are mounted and when they were last used",
      tag,
      access: read,
      query: pageQuery,
      status: 200,
      answer: z.object({ items: z.array(secretRow), total: z.number(), nextCursor: z.string().nullable() }),
      handle: async ({ query, caller }) => {
        const wanted = toPageQuery(query);
        const page = await store.secrets.list(caller.organizationId, wanted);
        const counts = await store.secrets.mountCounts(page.items.map(({ id }) => id));
        const book = traffic.books.of(caller.organizationId);
        return {
          items: page.items.map((secret) => rowOf(secret, counts.get(secret.id) ?? 0, book)),
          total: page.total,
          nextCursor: nextCursor(page, wanted),
        };
      },
    }),

    route({
      method: "GET",
      path: "/console/secrets/:secretId",
      summary: "One secret, with the sandboxes that mount it",
      tag,
      access: read,
      status: 200,
      answer: secretDetail,
      handle: async ({ params, caller }) => {
        const id = params.secretId ?? "";
        const secret = await store.secrets.get(caller.organizationId, id);
        if (secret === undefined) throw notFound("Secret");
        const [counts, mountedIn] = await Promise.all([
          store.secrets.mountCounts([id]),
          store.secrets.mountedIn(caller.organizationId, id, MAX_MOUNTS),
        ]);
        return { ...rowOf(secret, counts.get(id) ?? 0, traffic.books.of(caller.organizationId)), mountedIn };
      },
    }),

    route({
      method: "GET",
      path: "/console/status",
      summary: "The state of the API, its store, the certificate authority and the proxies",
      tag,
      access: "any-credential",
      status: 200,
      answer: statusAnswer,
      handle: async ({ caller }): Promise<z.input<typeof statusAnswer>> => {
        const started = performance.now();
        const answers = await store.check().then(
          () => true,
          () => false,
        );
        const answerMs = performance.now() - started;
        const changesVersion = options.hub.version;
        const ca = describeCa(options.caCertificate());
        const reports = answers ? await store.proxies.list(caller.organizationId, clock() - PROXY_SILENCE_MS) : [];
        return {
          version: options.version,
          node: process.version,
          startedAt: new Date(traffic.books.since).toISOString(),
          store: { kind: store.kind, answers, answerMs },
          changesVersion: changesVersion === undefined ? null : String(changesVersion),
          proxyUrl: options.proxyUrl(),
          ca: ca?.shown ?? null,
          proxies: reports.map((report) => ({
            id: report.id,
            name: report.name,
            seenAt: new Date(report.seenAt).toISOString(),
            behind:
              report.heardVersion === null || changesVersion === undefined
                ? null
                : Math.max(0, changesVersion - report.heardVersion),
            sandboxes: Object.keys(report.grants).length,
            hasSameCa: report.caFingerprint === null || ca === undefined ? null : report.caFingerprint === ca.hex,
          })),
          traffic: { ...traffic.missing },
        };
      },
    }),
  ];
}

function describeCa(pem: string) {
  try {
    const certificate = new X509Certificate(pem);
    return {
      hex: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
      shown: {
        subject: certificate.subject.replaceAll("\n", ", "),
        fingerprint: certificate.fingerprint256,
        notBefore: certificate.validFromDate.toISOString(),
        notAfter: certificate.validToDate.toISOString(),
      },
    };
  } catch {
    // There is none yet, or it cannot be read.
    return undefined;
  }
}
