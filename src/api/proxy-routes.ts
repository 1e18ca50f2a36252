// Proxies tell what they hold and what is open, and whoever made a sandbox asks whether they are ready for it.
//
// A proxy that hears the changes fetches what changed before it uses it, so it need not hold a sandbox's grants to be
// ready for it: it has to have heard of the sandbox's last change. One whose credential is bound to a sandbox serves no
// other, so what it says counts for that one alone.

import { X509Certificate } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../core/ports.ts";
import type { Permission, ProxyReport, Store } from "../core/store.ts";
import { notFound } from "./problem.ts";
import { type AnyRoute, fields, route } from "./route.ts";

const resolve: readonly Permission[] = ["resolve:secrets"];
const read: readonly Permission[] = ["write:sandboxes", "delete:sandboxes"];

/** Proxies report every 10 s; one that was silent for longer is gone. */
export const PROXY_SILENCE_MS = 35_000;
/** Bound on the sandboxes of one report: those that were used last. */
export const MAX_REPORTED_SANDBOXES = 1_000;
/** Bound on the sandboxes of one question. */
const MAX_ASKED = 100;
const maxAskedChars = MAX_ASKED * 257;

const reportBody = fields({
  id: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/),
  name: z.string().min(1).max(255),
  caFingerprint: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  /** The version of the changes up to which everything was heard; null while the stream is not live. */
  heardVersion: z.string().max(32).nullable(),
  /** Version by sandbox id. */
  grants: z.record(z.string().max(256), z.string().max(64)),
  /** The grants are all that the proxy holds. */
  isComplete: z.boolean(),
  /** Absent from a proxy that does not count them. */
  connections: z
    .object({
      /** Open connections by sandbox id, the busiest sandboxes. */
      bySandbox: z
        .record(z.string().max(256), z.number().int().min(1))
        .refine((counts) => Object.keys(counts).length <= MAX_REPORTED_SANDBOXES, "too many sandboxes"),
      /** All of sandboxes that are not listed. */
      others: z.number().int().min(0),
    })
    .optional(),
  /** The last report: the proxy ends. */
  isLeaving: z.boolean().optional(),
}).refine(({ grants }) => Object.keys(grants).length <= MAX_REPORTED_SANDBOXES, "too many sandboxes");

/** Sandbox ids with commas between them. */
const askedIds = z
  .string("must be given once")
  .max(maxAskedChars, "is too long")
  .refine((text) => !text.includes("\0"), "must not hold NUL")
  .transform((text) => text.split(",").filter((id) => id !== ""))
  .refine((ids) => ids.length <= MAX_ASKED, `must have at most ${MAX_ASKED} ids`);

const readiness = z
  .object({
    sandboxId: z.string(),
    version: z.string(),
    ready: z.boolean(),
    proxies: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        seenAt: z.string(),
        state: z.enum(["loaded", "on-demand", "behind"]),
        version: z.string().nullable(),
        connections: z.number().nullable().meta({
          description: "Open when it was seen; null: it does not tell of this sandbox.",
        }),
      }),
    ),
  })
  .meta({ title: "SandboxReadiness" });

const presence = z
  .object({
    sandboxId: z.string(),
    connections: z.number().meta({ description: "Open at all proxies together, as far as they told." }),
    isComplete: z.boolean().meta({ description: "Every proxy told of this sandbox's connections." }),
    proxies: z.number(),
    readyProxies: z.number(),
  })
  .meta({ title: "SandboxPresence" });

export function proxyRoutes(store: Store, clock: Clock, caCertificate: () => string): readonly AnyRoute[] {
  return [
    route({
      method: "POST",
      path: "/egress/proxies",
      summary: "A proxy tells which grants it holds; the answer has the fingerprint of the CA that sandboxes are told",
      tag: "proxies",
      access: resolve,
      body: reportBody,
      status: 200,
      answer: z.object({ caFingerprint: z.string().nullable() }),
      handle: async ({ body: { isLeaving, heardVersion, ...report }, caller }) => {
        const { sandboxId } = caller;
        const proxy = {
          id: report.id,
          organizationId: caller.everyOrganization ? null : caller.organizationId,
          sandboxId,
        };
        if (isLeaving === true) await store.proxies.leave(proxy);
        else {
          const version = heardVersion === null ? null : Number(heardVersion);
          const heard = Number.isSafeInteger(version) ? version : null;
          const told = sandboxId === null ? report : narrowedTo(sandboxId, report);
          await store.proxies.report({ ...told, ...proxy, heardVersion: heard, seenAt: clock() });
        }
        return { caFingerprint: fingerprintOf(caCertificate()) };
      },
    }),

    route({
      method: "GET",
      path: "/sandbox/:sandboxId/ready",
      summary: "Whether every proxy has the sandbox's present grants, or will have them at its next request",
      tag: "sandboxes",
      access: read,
      status: 200,
      answer: readiness,
      handle: async ({ params, caller }) => {
        const sandbox = await store.sandboxes.get(caller.organizationId, params.sandboxId ?? "");
        if (sandbox === undefined) throw notFound("Sandbox");
        const { id, version } = sandbox;
        const reports = await store.proxies.list(caller.organizationId, clock() - PROXY_SILENCE_MS);
        const proxies = reports.filter(serving(id)).map((report) => ({
          id: report.id,
          name: report.name,
          seenAt: new Date(report.seenAt).toISOString(),
          state: stateOf(report, id, version),
          version: report.grants[id] ?? null,
          connections: connectionsOf(report, id),
        }));
        const ready = proxies.length > 0 && proxies.every(({ state }) => state !== "behind");
        return { sandboxId: id, version: String(version), ready, proxies };
      },
    }),

    route({
      method: "GET",
      path: "/console/presence",
      summary: "For some sandboxes: what they have open, and how many proxies are ready for them",
      tag: "console",
      access: read,
      query: fields({ ids: askedIds }),
      status: 200,
      answer: z.object({ items: z.array(presence) }),
      handle: async ({ query, caller }) => {
        const [reports, ...sandboxes] = await Promise.all([
          store.proxies.list(caller.organizationId, clock() - PROXY_SILENCE_MS),
          ...query.ids.map((id) => store.sandboxes.get(caller.organizationId, id)),
        ]);
        const items = sandboxes.flatMap((sandbox) => (sandbox === undefined ? [] : [presenceOf(reports, sandbox)]));
        return { items };
      },
    }),
  ];
}

/** What is said of other sandboxes is not kept. */
function narrowedTo<Report extends Pick<ProxyReport, "grants" | "connections">>(
  sandboxId: string,
  report: Report,
): Report {
  const { grants, connections } = report;
  return {
    ...report,
    grants: onlyOf(sandboxId, grants),
    ...(connections === undefined
      ? {}
      : { connections: { ...connections, bySandbox: onlyOf(sandboxId, connections.bySandbox) } }),
  };
}

function onlyOf<T>(sandboxId: string, map: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(map).filter(([id]) => id === sandboxId));
}

function serving(id: string): (report: ProxyReport) => boolean {
  return ({ sandboxId }) => sandboxId === null || sandboxId === id;
}

function presenceOf(
  everyReport: readonly ProxyReport[],
  { id, version }: { readonly id: string; readonly version: number },
): z.input<typeof presence> {
  const reports = everyReport.filter(serving(id));
  const counts = reports.map((report) => connectionsOf(report, id));
  return {
    sandboxId: id,
    connections: counts.reduce<number>((sum, count) => sum + (count ?? 0), 0),
    isComplete: !counts.includes(null),
    proxies: reports.length,
    readyProxies: reports.filter((report) => stateOf(report, id, version) !== "behind").length,
  };
}

/** Null where the proxy did not say, or has others than it listed. */
function connectionsOf({ connections }: ProxyReport, id: string): number | null {
  if (connections === undefined) return null;
  return connections.bySandbox[id] ?? (connections.others === 0 ? 0 : null);
}

function stateOf(report: ProxyReport, id: string, version: number): "loaded" | "on-demand" | "behind" {
  const held = report.grants[id];
  if (held === String(version)) return "loaded";
  if (report.heardVersion !== null && report.heardVersion >= version) return "on-demand";
  return held === undefined && report.isComplete ? "on-demand" : "behind";
}

/** SHA-256 of the certificate in lower-case hex; null where there is none. */
function fingerprintOf(pem: string): string | null {
  try {
    return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
  } catch {
    return null;
  }
}
