// The console at `/`: its page and its files, with a policy that lets it load and reach nothing but this server.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Asset, type ConsoleAssets, consoleAssets } from "./console-assets.ts";

/** Templates go into the page by lit's own policy alone. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types lit-html",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
} as const;

const FOR_EVER = "public, max-age=31536000, immutable";

export function registerConsole(app: FastifyInstance): void {
  app.get("/", async (request, reply) => {
    const { index, etag } = consoleAssets();
    reply.headers({ ...HEADERS, "cache-control": "no-cache", etag });
    if (request.headers["if-none-match"] === etag) return reply.code(304).send();
    return send(request, reply, index);
  });
  app.get<{ Params: { "*": string } }>("/assets/*", async (request, reply) => {
    const found = fileAt(consoleAssets(), request.params["*"]);
    if (found === undefined) return reply.callNotFound();
    reply.headers({ ...HEADERS, "cache-control": FOR_EVER });
    return send(request, reply, found);
  });
}

function fileAt(assets: ConsoleAssets, path: string): Asset | undefined {
  return assets.files.get(path);
}

function send(request: FastifyRequest, reply: FastifyReply, found: Asset): FastifyReply {
  const accepted = request.headers["accept-encoding"] ?? "";
  reply.type(found.type).header("vary", "accept-encoding");
  // Only what a browser says; `;q=0` is written by none.
  for (const coding of ["br", "gzip"] as const) {
    if (new RegExp(`\\b${coding}\\b`).test(accepted))
      return reply.header("content-encoding", coding).send(found[coding]);
  }
  return reply.send(found.plain);
}
