// Proxies tell what they hold, and whoever made a sandbox asks whether they are ready for it.
//
// A proxy that hears the changes fetches what changed before it uses it, so it need not hold a sandbox's grants to be
// ready for it: it has to have heard of the sandbox's last change.

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
  /** The last report: the proxy ends. */
  isLeaving: z.boolean().optional(),
}).refine(({ grants }) => Object.keys(grants).length <= MAX_REPORTED_SANDBOXES, "too many sandboxes");

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
      }),
    ),
  })
  .meta({ title: "SandboxReadiness" });

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
        const organizationId = caller.everyOrganization ? null : caller.organizationId;
        if (isLeaving === true) await store.proxies.leave(organizationId, report.id);
        else {
          const version = heardVersion === null ? null : Number(heardVersion);
          const heard = Number.isSafeInteger(version) ? version : null;
          await store.proxies.report({ ...report, organizationId, heardVersion: heard, seenAt: clock() });
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
        const proxies = reports.map((report) => ({
          id: report.id,
          name: report.name,
          seenAt: new Date(report.seenAt).toISOString(),
          state: stateOf(report, id, version),
          version: report.grants[id] ?? null,
        }));
        const ready = proxies.length > 0 && proxies.every(({ state }) => state !== "behind");
        return { sandboxId: id, version: String(version), ready, proxies };
      },
    }),
  ];
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
