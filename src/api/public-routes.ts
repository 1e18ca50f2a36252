// What anyone may ask: whether the API is there, and the certificate that sandboxes are to trust.

import { z } from "zod";
import type { Store } from "../core/store.ts";
import { type AnyRoute, route } from "./route.ts";

export function publicRoutes(store: Store, caCertificate: () => string): readonly AnyRoute[] {
  return [
    route({
      method: "GET",
      path: "/health",
      summary: "Whether the API and its store answer",
      tag: "service",
      access: "public",
      status: 200,
      answer: z.object({ status: z.literal("ok") }),
      faults: { 503: "The store does not answer" },
      handle: async () => {
        await store.check();
        return { status: "ok" };
      },
    }),
    route({
      method: "GET",
      path: "/ca",
      summary: "The certificate authority's certificate, PEM",
      tag: "service",
      access: "public",
      status: 200,
      answer: z.string(),
      handle: async ({ reply }) => {
        reply.type("application/x-pem-file");
        return caCertificate();
      },
    }),
  ];
}
