// /master-keys: which keys values are sealed under, and changing the current one while the store is in use. For the
// bootstrap key alone. A key itself is in no answer.

import { z } from "zod";
import type { Clock } from "../core/ports.ts";
import type { MasterKeyRotation, Permission, Store } from "../core/store.ts";
import { type AnyRoute, route } from "./route.ts";

const tag = "master keys";
const access: readonly Permission[] = ["manage:organizations"];

/** `rotate`: seals all values under the newest key, making one first where keyswap keeps its own. */
export function masterKeyRoutes(
  store: Store,
  clock: Clock,
  rotate: () => Promise<MasterKeyRotation>,
): readonly AnyRoute[] {
  return [
    route({
      method: "GET",
      path: "/master-keys",
      summary: "Which master keys the store's values are sealed under",
      tag,
      access,
      status: 200,
      answer: z.array(
        z.object({
          id: z.string(),
          createdAt: z.iso.datetime(),
          isCurrent: z.boolean(),
          values: z.number().meta({ description: "How many values are sealed under it." }),
        }),
      ),
      handle: async () =>
        (await store.masterKeys()).map((key) => ({ ...key, createdAt: new Date(key.createdAt).toISOString() })),
    }),

    route({
      method: "POST",
      path: "/master-keys/rotate",
      summary: "Seal every value under the current master key, online",
      tag,
      access,
      status: 200,
      answer: z.object({ current: z.string(), resealed: z.number(), retired: z.array(z.string()) }),
      handle: async ({ caller }) => {
        const rotation = await rotate();
        await store.audit.record([
          {
            time: clock(),
            organizationId: caller.organizationId,
            actor: caller.actor,
            action: "master_key.rotate",
            targetType: "master_key",
            targetId: rotation.current,
            targetName: null,
            details: { resealed: rotation.resealed, retired: rotation.retired },
          },
        ]);
        return rotation;
      },
    }),
  ];
}
