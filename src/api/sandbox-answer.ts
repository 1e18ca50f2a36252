// A sandbox as Daytona's clients read it.

import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { SandboxRecord } from "../core/store.ts";
import { placeholderEnvironment } from "./proxy-settings.ts";

export const sandboxAnswer = z
  .object({
    id: z.string(),
    organizationId: z.string(),
    name: z.string(),
    user: z.string(),
    env: z.record(z.string(), z.string()).meta({ description: "The mounted secrets' placeholders." }),
    labels: z.record(z.string(), z.string()),
    public: z.boolean(),
    networkBlockAll: z.boolean(),
    domainAllowList: z.string().optional(),
    target: z.string(),
    cpu: z.number(),
    gpu: z.number(),
    memory: z.number(),
    disk: z.number(),
    toolboxProxyUrl: z.string(),
    state: z.string(),
    desiredState: z.string(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    autoDestroyAt: z.iso.datetime().optional(),
    secrets: z.array(z.record(z.string(), z.string())),
    sources: z.array(z.string()),
    onViolation: z.enum(["pass", "block"]).nullable(),
    egressPolicy: z.object({ allow: z.array(z.string()), deny: z.array(z.string()) }),
    expiresAt: z.iso.datetime().nullable(),
  })
  .meta({ title: "Sandbox" });

export const egressAnswer = z.object({
  proxyUrl: z.string().meta({ description: "With the sandbox's token, which is shown this once." }),
  caCertificate: z.string(),
  env: z.record(z.string(), z.string()),
});

/** A sandbox with all the fields that the Python, Go and Java clients insist on. */
export function presentSandbox(sandbox: SandboxRecord, request: FastifyRequest): z.input<typeof sandboxAnswer> {
  const { attributes } = sandbox;
  const attribute = <T extends string | number | boolean>(name: string, otherwise: T): T => {
    const value = attributes[name];
    // Attributes were written from the checked body: each has its fallback's type.
    return value === undefined ? otherwise : (value as T);
  };
  const expiresAt = sandbox.expiresAt === null ? null : new Date(sandbox.expiresAt).toISOString();
  return {
    id: sandbox.id,
    organizationId: sandbox.organizationId,
    name: sandbox.name,
    user: attribute("user", "daytona"),
    env: placeholderEnvironment(sandbox.mounts),
    labels: { ...sandbox.labels },
    public: attribute("public", false),
    networkBlockAll: false,
    ...(sandbox.egress.allow.length === 0 ? {} : { domainAllowList: sandbox.egress.allow.join(",") }),
    target: attribute("target", "local"),
    cpu: attribute("cpu", 1),
    gpu: attribute("gpu", 0),
    memory: attribute("memory", 1),
    disk: attribute("disk", 1),
    ...("snapshot" in attributes ? { snapshot: attribute("snapshot", "") } : {}),
    toolboxProxyUrl: toolboxUrl(request),
    state: "started",
    desiredState: "started",
    createdAt: new Date(sandbox.createdAt).toISOString(),
    updatedAt: new Date(sandbox.updatedAt).toISOString(),
    ...(expiresAt === null ? {} : { autoDestroyAt: expiresAt }),
    secrets: sandbox.mounts.map((mount) => ({ [mount.env]: mount.secretName })),
    sources: [...sandbox.sources],
    onViolation: sandbox.onViolation,
    egressPolicy: { allow: [...sandbox.egress.allow], deny: [...sandbox.egress.deny] },
    expiresAt,
  };
}

export function toolboxUrl(request: FastifyRequest): string {
  return `${request.protocol}://${request.host}/api/toolbox`;
}
