// /session: sign in to the console with an API key, see who one is, sign out.

import { z } from "zod";
import { type Caller, type Callers, hashToken } from "./caller.ts";
import { Problem } from "./problem.ts";
import { type AnyRoute, fields, route, tooManyWrong } from "./route.ts";
import { requireSameOrigin, type Sessions, sessionCookie } from "./sessions.ts";

const tag = "console";

const signInBody = fields({
  apiKey: z
    .string("must be an API key")
    .transform((text) => text.trim())
    .refine((text) => /^[\x21-\x7e]{1,4096}$/.test(text), "must be an API key"),
});

const sessionAnswer = z.object({
  name: z.string().meta({ description: "The API key's name." }),
  organizationId: z.string(),
  permissions: z.array(z.string()),
  version: z.string(),
});

export function sessionRoutes(sessions: Sessions, callers: Callers, version: string): readonly AnyRoute[] {
  const present = (caller: Caller): z.input<typeof sessionAnswer> => ({
    name: caller.actor.name,
    organizationId: caller.organizationId,
    permissions: [...caller.permissions].filter((each) => each !== "resolve:secrets").sort(),
    version,
  });
  return [
    route({
      method: "POST",
      path: "/session",
      summary: "Sign in to the console: the answer sets a cookie that stands for the API key",
      tag,
      access: "public",
      body: signInBody,
      status: 200,
      answer: sessionAnswer,
      faults: {
        401: "The key is not known",
        403: "Not asked by the console itself, or a proxy's credential",
        429: tooManyWrong,
      },
      handle: async ({ body, request, reply }) => {
        // Nobody is to be signed in by another site, either.
        requireSameOrigin(request.headers);
        const keyHash = hashToken(body.apiKey);
        const caller = await callers.signIn(keyHash, request.ip);
        if (caller.kind === "proxy") throw new Problem(403, "This is a proxy's credential; sign in with an API key");
        sessions.close(request.headers.cookie);
        // The browser's word for how it got here: behind a balancer that ends TLS, ours would be wrong.
        const isSecure = request.headers.origin?.startsWith("https://") ?? request.protocol === "https";
        reply.header("set-cookie", sessionCookie(sessions.open(keyHash), isSecure));
        return present(caller);
      },
    }),

    route({
      method: "GET",
      path: "/session",
      summary: "Who is signed in",
      tag,
      access: "any-credential",
      status: 200,
      answer: sessionAnswer,
      handle: async ({ caller }) => present(caller),
    }),

    route({
      method: "DELETE",
      path: "/session",
      summary: "Sign out",
      tag,
      access: "public",
      status: 204,
      handle: async ({ request, reply }) => {
        requireSameOrigin(request.headers);
        sessions.close(request.headers.cookie);
        reply.header("set-cookie", sessionCookie(undefined, false));
      },
    }),
  ];
}
