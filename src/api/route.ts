// One way to define a route: who may call it, what it takes, what it answers. The OpenAPI document is written from the
// same definitions. Credentials are judged before a body is read.

import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { Permission } from "../core/store.ts";
import { type Caller, type Callers, requirePermission } from "./caller.ts";
import { notFound, Problem } from "./problem.ts";

export type Access = "public" | "any-credential" | readonly Permission[];

/** For the document. */
export const tooManyWrong = "Too many wrong credentials were shown from this address";

export interface RouteDefinition<Query, Body> {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below /api, with `:name` parameters. */
  readonly path: string;
  readonly summary: string;
  readonly tag: string;
  /** `public`, any credential, or one that has any of these permissions. */
  readonly access: Access;
  readonly query?: z.ZodType<Query>;
  readonly body?: z.ZodType<Body>;
  readonly status: 200 | 201 | 204;
  /** For the document. */
  readonly answer?: z.ZodType;
  /** For the document: statuses beyond the usual ones. */
  readonly faults?: Readonly<Record<number, string>>;
  handle(input: RouteInput<Query, Body>): Promise<unknown>;
}

export interface RouteInput<Query, Body> {
  /** Path parameters by name. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  /** Throws for public routes. */
  readonly caller: Caller;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** A definition whose types are only known to itself. */
export type AnyRoute = RouteDefinition<unknown, unknown>;

export function route<Query = undefined, Body = undefined>(definition: RouteDefinition<Query, Body>): AnyRoute {
  // `query` and `body` are given to `handle` only after the definition's own schemas have parsed them.
  return definition as unknown as AnyRoute;
}

/** `onKnown`: told of each request whose caller is known. */
export function register(
  app: FastifyInstance,
  callers: Callers,
  definition: AnyRoute,
  onKnown: (request: FastifyRequest) => void,
): void {
  const known = new WeakMap<FastifyRequest, Caller>();
  app.route({
    method: definition.method,
    url: `/api${definition.path}`,
    onRequest: async (request) => {
      if (definition.access === "public") return;
      const caller = await callers.of(request.headers, request.ip);
      onKnown(request);
      if (definition.access !== "any-credential") requirePermission(caller, definition.access);
      known.set(request, caller);
    },
    handler: async (request, reply) => {
      const answer = await definition.handle({
        params: parseParams(request.params),
        query: definition.query === undefined ? undefined : parse(definition.query, request.query, "Query"),
        body: definition.body === undefined ? undefined : parse(definition.body, request.body, "Request body"),
        get caller(): Caller {
          const caller = known.get(request);
          if (caller === undefined) throw new TypeError("a public route has no caller");
          return caller;
        },
        request,
        reply,
      });
      if (reply.sent) return reply;
      // A handler that answers for itself (304) has set its own status.
      if (reply.statusCode === 200) reply.code(definition.status);
      return definition.status === 204 || answer === undefined ? reply.send() : answer;
    },
  });
}

/** Throws 400 with our own words joined by ", ", never with what was sent. */
export function parse<T>(schema: z.ZodType<T>, data: unknown, what: string): T {
  if (what === "Request body" && (typeof data !== "object" || data === null || Array.isArray(data)))
    throw new Problem(400, "Request body must be a JSON object");
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  throw new Problem(400, [...new Set(result.error.issues.map(describe))].join(", "));
}

/** zod's own messages name types and bounds, never input; path segments may be keys that a caller chose. */
function describe(issue: z.core.$ZodIssue): string {
  const at = issue.path
    .map((part) => (typeof part === "number" ? `[${part}]` : knownField(part) ? `.${String(part)}` : "[…]"))
    .join("")
    .replace(/^\./, "");
  return at === "" ? issue.message : `${at}: ${issue.message}`;
}

function knownField(part: PropertyKey): boolean {
  return typeof part === "string" && fieldNames.has(part);
}

const fieldNames = new Set<string>();

/** An object schema whose field names may stand in messages. */
export function fields<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape> {
  for (const name of Object.keys(shape)) fieldNames.add(name);
  return z.object(shape) as z.ZodObject<Shape>;
}

function parseParams(params: unknown): Readonly<Record<string, string>> {
  // The router gives a flat object of decoded strings.
  const record = params as Readonly<Record<string, string>>;
  // No id or name of ours holds NUL, and PostgreSQL takes it in no text.
  for (const value of Object.values(record)) if (value.includes("\0")) throw notFound("Resource");
  return record;
}
