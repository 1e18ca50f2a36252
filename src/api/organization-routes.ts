// /organizations: for the bootstrap key, which then acts in one by X-Daytona-Organization-ID.

import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { Organization, OrganizationStore, Permission } from "../core/store.ts";
import { displayName } from "./fields.ts";
import { notFound, Problem } from "./problem.ts";
import { type AnyRoute, fields, route } from "./route.ts";

const quota = z
  .int("must be a whole number or null")
  .min(0, "must not be negative")
  .max(1_000_000_000, "is too large")
  .nullable();

const createBody = fields({
  name: displayName,
  secretQuota: quota.optional(),
  maxSecretsPerSandbox: quota.optional(),
});
const updateBody = createBody.partial();

const organizationAnswer = z.object({
  id: z.string(),
  name: z.string(),
  secretQuota: z.number().nullable(),
  maxSecretsPerSandbox: z.number().nullable(),
  isDefault: z.boolean(),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});

const tag = "organizations";
const access: readonly Permission[] = ["manage:organizations"];

export function organizationRoutes(store: OrganizationStore): readonly AnyRoute[] {
  const present = (organization: Organization): z.input<typeof organizationAnswer> => ({
    id: organization.id,
    name: organization.name,
    secretQuota: organization.secretQuota,
    maxSecretsPerSandbox: organization.maxSecretsPerSandbox,
    isDefault: organization.id === store.defaultId,
    createdAt: new Date(organization.createdAt).toISOString(),
    updatedAt: new Date(organization.updatedAt).toISOString(),
  });
  const taken = () => new Problem(409, "An organization with this name already exists");

  return [
    route({
      method: "POST",
      path: "/organizations",
      summary: "Create an organization",
      tag,
      access,
      body: createBody,
      status: 201,
      answer: organizationAnswer,
      faults: { 409: "The name is taken" },
      handle: async ({ body, caller }) => {
        const { name, secretQuota = null, maxSecretsPerSandbox = null } = body;
        const organization = await store.create(
          { id: randomUUID(), name, secretQuota, maxSecretsPerSandbox },
          caller.actor,
        );
        if (organization === "name-taken") throw taken();
        return present(organization);
      },
    }),

    route({
      method: "GET",
      path: "/organizations",
      summary: "List organizations",
      tag,
      access,
      status: 200,
      answer: z.array(organizationAnswer),
      handle: async () => (await store.list()).map(present),
    }),

    route({
      method: "GET",
      path: "/organizations/:organizationId",
      summary: "Get an organization",
      tag,
      access,
      status: 200,
      answer: organizationAnswer,
      handle: async ({ params }) => {
        const organization = await store.get(params.organizationId ?? "");
        if (organization === undefined) throw notFound("Organization");
        return present(organization);
      },
    }),

    route({
      method: "PATCH",
      path: "/organizations/:organizationId",
      summary: "Rename an organization or change its quotas; null: no bound",
      tag,
      access,
      body: updateBody,
      status: 200,
      answer: organizationAnswer,
      faults: { 409: "The name is taken" },
      handle: async ({ params, body, caller }) => {
        const patch = {
          ...(body.name === undefined ? {} : { name: body.name }),
          ...(body.secretQuota === undefined ? {} : { secretQuota: body.secretQuota }),
          ...(body.maxSecretsPerSandbox === undefined ? {} : { maxSecretsPerSandbox: body.maxSecretsPerSandbox }),
        };
        const organization = await store.update(params.organizationId ?? "", patch, caller.actor);
        if (organization === "not-found") throw notFound("Organization");
        if (organization === "name-taken") throw taken();
        return present(organization);
      },
    }),
  ];
}
