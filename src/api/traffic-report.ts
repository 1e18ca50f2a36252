// POST /egress/events: what proxies report of their traffic. Strict: what is shown to people came through this schema, and
// a field that it does not know is dropped. An event goes to the organization of its sandbox.

import { LRUCache } from "lru-cache";
import { z } from "zod";
import type { AuditEvent } from "../core/audit.ts";
import { type ErrorCode, errorTable } from "../core/errors.ts";
import type { Clock } from "../core/ports.ts";
import { type NotSubstitutedReason, notSubstitutedReasons } from "../core/reasons.ts";
import type { Permission, Store } from "../core/store.ts";
import { MAX_COUNTS, type TrafficCount } from "../core/traffic.ts";
import type { Caller } from "./caller.ts";
import { plainText } from "./fields.ts";
import { type AnyRoute, fields, route } from "./route.ts";
import type { TrafficBooks } from "./traffic-book.ts";

const access: readonly Permission[] = ["resolve:secrets"];
const MAX_EVENTS = 1_000;
/** Bound on each of an event's lists. */
const MAX_NAMES = 64;
const MAX_KNOWN_SANDBOXES = 20_000;
/** For sandboxes that do not exist: one may be made under any id at any time. */
const UNKNOWN_MS = 5_000;
const KNOWN_MS = 600_000;

const name = plainText.max(256, "is too long");
const count = z.number("must be a number").min(0, "must not be negative").max(Number.MAX_SAFE_INTEGER, "is too large");
const surface = z.enum(["header", "basic", "path", "query", "body", "base64"]);
// Keys of the tables: each is a non-empty list of literals.
const errorCode = z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]]);
const reason = z.enum(Object.keys(notSubstitutedReasons) as [NotSubstitutedReason, ...NotSubstitutedReason[]]);

const common = {
  time: z.iso.datetime("must be a date and time"),
  id: name,
  sandbox: name.optional(),
  way: z.enum(["connect", "absolute", "socks5", "tls", "http"]),
  authority: name.optional(),
};

const exchange = z.object({
  ...common,
  type: z.literal("exchange"),
  protocol: z.enum(["http/1.1", "h2", "websocket"]),
  method: name,
  path: plainText.max(1_024, "is too long"),
  status: z.int().min(100).max(999).optional(),
  error: errorCode.optional(),
  requestBytes: count,
  responseBytes: count,
  firstByteMs: z.number().optional(),
  durationMs: z.number(),
  substituted: z.array(z.object({ secret: name, surface })).max(MAX_NAMES),
  notSubstituted: z.array(z.object({ secret: name.optional(), surface: surface.optional(), reason })).max(MAX_NAMES),
  // A sandbox may have more secrets than are shown: the list is cut, so that the report need not be refused.
  scrubbed: z
    .array(name)
    .max(1_000)
    .transform((names) => names.slice(0, MAX_NAMES)),
});

const tunnel = z.object({
  ...common,
  type: z.literal("tunnel"),
  reason: z.enum(["host-not-granted", "tunnel-listed", "not-http"]),
  error: errorCode.optional(),
  sentBytes: count,
  receivedBytes: count,
  durationMs: z.number(),
});

const refusal = z.object({ ...common, type: z.literal("refusal"), error: errorCode, detail: name.optional() });

const reportBody = fields({
  proxy: name,
  counts: z
    .array(
      z.object({
        sandbox: name.optional(),
        authority: name.optional(),
        events: count,
        substituted: count,
        withheld: count,
        refused: count,
        failed: count,
        tunnelled: count,
        scrubbed: count,
        secrets: z.array(name).max(100),
      }),
    )
    .max(MAX_COUNTS, `must have at most ${MAX_COUNTS} entries`),
  events: z.array(z.discriminatedUnion("type", [exchange, tunnel, refusal])).max(MAX_EVENTS),
  unsampled: count,
  lost: count,
});

/** What is missing in the books of this process. */
export interface Missing {
  /** Counted by proxies and not sent as events. */
  unsampled: number;
  /** Not counted either. */
  lost: number;
}

export function trafficReportRoute(store: Store, clock: Clock, books: TrafficBooks, missing: Missing): AnyRoute {
  const owners = new OwnerFinder(store, clock);
  return route({
    method: "POST",
    path: "/egress/events",
    summary: "A proxy's report of its traffic: counts of all, a sample of the events",
    tag: "proxies",
    access,
    body: reportBody,
    status: 204,
    handle: async ({ body, caller }) => {
      missing.unsampled += body.unsampled;
      missing.lost += body.lost;
      const parts = new Map<string, { counts: TrafficCount[]; events: AuditEvent[] }>();
      const partOf = async (sandbox: string | undefined) => {
        const organization = await owners.find(caller, sandbox);
        if (organization === undefined) return undefined;
        const known = parts.get(organization);
        if (known !== undefined) return known;
        const part = { counts: [], events: [] };
        parts.set(organization, part);
        return part;
      };
      // zod gives absent fields as absent; the types of audit events say undefined, which reads alike.
      for (const each of body.counts) (await partOf(each.sandbox))?.counts.push(each as TrafficCount);
      for (const each of body.events) (await partOf(each.sandbox))?.events.push(each as AuditEvent);
      for (const [organization, part] of parts) books.of(organization).add(clock(), part.counts, part.events);
    },
  });
}

/** Whose a sandbox is. Remembered past its end: the last exchanges are reported after it. */
class OwnerFinder {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #known = new LRUCache<string, { readonly organizationId: string | undefined }>({ max: MAX_KNOWN_SANDBOXES });

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Undefined where the caller has no business with it, or it does not exist. */
  async find(caller: Caller, sandbox: string | undefined): Promise<string | undefined> {
    // What a proxy could not attribute is shown where its own credential belongs.
    if (sandbox === undefined) return caller.sandboxId === null ? caller.organizationId : undefined;
    if (caller.sandboxId !== null && caller.sandboxId !== sandbox) return undefined;
    let known = this.#known.get(sandbox);
    if (known === undefined) {
      const found = await this.#store.egress.find(sandbox, this.#clock());
      known = { organizationId: found?.organizationId };
      this.#known.set(sandbox, known, { ttl: found === undefined ? UNKNOWN_MS : KNOWN_MS });
    }
    const { organizationId } = known;
    return caller.everyOrganization || organizationId === caller.organizationId ? organizationId : undefined;
  }
}
