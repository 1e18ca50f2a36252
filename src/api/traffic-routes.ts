// /traffic: what happened on the wire lately, for people. Each API process shows what proxies reported to it.

import { z } from "zod";
import type { Clock } from "../core/ports.ts";
import type { Permission, Store } from "../core/store.ts";
import type { Callers } from "./caller.ts";
import { limit } from "./paging.ts";
import { Problem } from "./problem.ts";
import { type AnyRoute, fields, route } from "./route.ts";
import { matcherOf, presentEvent, trafficFilter, trafficItem, trafficNumbers } from "./traffic-answer.ts";
import { KEPT_MINUTES, TrafficBooks } from "./traffic-book.ts";
import { type Missing, trafficReportRoute } from "./traffic-report.ts";
import { TrafficStream } from "./traffic-stream.ts";

const access: readonly Permission[] = ["read:audit_logs", "manage:secrets"];
const tag = "traffic";
const MAX_STREAMS = 200;
const DEFAULT_ITEMS = 100;
const TOP_HOSTS = 12;

const listQuery = fields({
  ...trafficFilter,
  limit: limit.optional(),
  before: z
    .string("must be given once")
    .regex(/^\d{1,15}$/, "must be the seq of an item")
    .transform(Number)
    .optional(),
});

const summaryQuery = fields({
  minutes: z
    .string("must be given once")
    .regex(/^\d{1,3}$/, `must be a number from 1 to ${KEPT_MINUTES}`)
    .transform(Number)
    .refine((count) => count >= 1 && count <= KEPT_MINUTES, `must be a number from 1 to ${KEPT_MINUTES}`)
    .optional(),
});

const missingAnswer = z.object({ unsampled: z.number(), lost: z.number() });

export class Traffic {
  readonly books: TrafficBooks;
  readonly routes: readonly AnyRoute[];
  readonly missing: Missing;
  readonly #streams = new Set<TrafficStream>();

  constructor(store: Store, clock: Clock, callers: Callers) {
    const books = new TrafficBooks(clock());
    this.books = books;
    const missing: Missing = { unsampled: 0, lost: 0 };
    this.missing = missing;
    const since = () => new Date(books.since).toISOString();
    this.routes = [
      trafficReportRoute(store, clock, books, missing),

      route({
        method: "GET",
        path: "/traffic",
        summary: "The latest exchanges, tunnels and refusals, newest first, each with its decisions in words",
        tag,
        access,
        query: listQuery,
        status: 200,
        answer: z.object({
          items: z.array(trafficItem),
          nextBefore: z.number().nullable(),
          since: z.iso.datetime().meta({ description: "Since when this process keeps traffic." }),
          missing: missingAnswer,
        }),
        handle: async ({ query, caller }) => {
          const count = query.limit ?? DEFAULT_ITEMS;
          const found = books.of(caller.organizationId).latest(count, query.before, matcherOf(query));
          const nextBefore = found.length < count ? null : (found.at(-1)?.seq ?? null);
          return { items: found.map(presentEvent), nextBefore, since: since(), missing };
        },
      }),

      route({
        method: "GET",
        path: "/traffic/summary",
        summary: "Numbers per minute and the busiest hosts; complete, also where events are sampled",
        tag,
        access,
        query: summaryQuery,
        status: 200,
        answer: z.object({
          since: z.iso.datetime(),
          minutes: z.array(trafficNumbers.extend({ time: z.iso.datetime() })),
          hosts: z.array(trafficNumbers.extend({ authority: z.string() })),
          missing: missingAnswer,
        }),
        handle: async ({ query, caller }) => {
          const book = books.of(caller.organizationId);
          const [now, minutes] = [clock(), query.minutes ?? 60];
          return {
            since: since(),
            minutes: book.timeline(now, minutes).map((each) => ({ ...each, time: new Date(each.time).toISOString() })),
            hosts: book.topHosts(now, minutes, TOP_HOSTS),
            missing,
          };
        },
      }),

      route({
        method: "GET",
        path: "/traffic/stream",
        summary: "Server-sent events: traffic as it is reported, at most 200 events a second, the rest counted",
        tag,
        access,
        query: fields(trafficFilter),
        status: 200,
        answer: z.string().meta({ description: "text/event-stream: hello, traffic, beat" }),
        handle: async ({ query, caller, request, reply }) => {
          if (this.#streams.size >= MAX_STREAMS) throw new Problem(503, "Too many traffic streams are open");
          reply.hijack();
          const stream: TrafficStream = new TrafficStream({
            reply,
            book: books.of(caller.organizationId),
            matches: matcherOf(query),
            stillAllowed: async () => {
              const again = await callers.again(request.headers).catch(() => undefined);
              return again !== undefined && access.some((permission) => again.permissions.has(permission));
            },
            ended: () => this.#streams.delete(stream),
          });
          this.#streams.add(stream);
          stream.start({ since: since() });
          return reply;
        },
      }),
    ];
  }

  close(): void {
    for (const stream of this.#streams) stream.end();
  }
}
