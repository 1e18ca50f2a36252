// GET /changes: server-sent events that tell proxies which sandboxes changed.
//
//   hello      {"version"}                        first: the version to be reached before the proxy is current
//   change     {"version","sandboxes","sources"}  one for every version after `since`; with "placeholder" where a secret
//                                                 is mounted in too many sandboxes to name them
//   reset      {"version"}                        everything may have changed
//   heartbeat  {"version"}                        every 5 s
//
// A caller that does not say `Prefer: secrets-in-changes` would not know what a change's placeholder means and go on using
// what it holds: it is told to reset instead.
//
// A caller of one organization, or bound to one sandbox, hears of every version, but of no one else's sandboxes.

import type { FastifyReply } from "fastify";
import { z } from "zod";
import type { Change, ChangeLog, Permission } from "../core/store.ts";
import type { Caller, Callers } from "./caller.ts";
import type { ChangeHub, HubEvent } from "./change-hub.ts";
import { Problem } from "./problem.ts";
import { type AnyRoute, fields, route } from "./route.ts";

const HEARTBEAT_MS = 5_000;
/** Of the deployment's proxy key. Made keys have as many together besides, so that they never take a place of its. */
const MAX_STREAMS = 1_000;
const MAX_STREAMS_OF_KEY = 500;
/** Of a key that is bound to one sandbox: whoever runs in it may know it. */
export const MAX_STREAMS_OF_BOUND_KEY = 16;
/** A proxy that does not read is cut off; it resumes where it was. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
const BATCH = 500;
/** RFC 7240: who does not know it ignores it, callers and APIs alike. */
const SECRETS_PREFERENCE = "secrets-in-changes";

const tag = "proxies";
const access: readonly Permission[] = ["resolve:secrets"];
const query = fields({ since: z.string("must be given once").max(32).optional() });

export class ChangeStreams {
  readonly #open = new Set<ChangeStream>();
  readonly #hub: ChangeHub;
  readonly #log: ChangeLog;
  readonly #callers: Callers;

  constructor(hub: ChangeHub, log: ChangeLog, callers: Callers) {
    this.#hub = hub;
    this.#log = log;
    this.#callers = callers;
  }

  readonly route: AnyRoute = route({
    method: "GET",
    path: "/changes",
    summary: "Server-sent events: which sandboxes changed",
    tag,
    access,
    query,
    status: 200,
    answer: z.string().meta({ description: "text/event-stream: hello, change, reset, heartbeat" }),
    handle: async ({ query, caller, request, reply }) => {
      const since = sinceOf(request.headers["last-event-id"] ?? query.since);
      // A proxy that connects to this replica after a write at another one is greeted with that write's version.
      await this.#hub.catchUp();
      if (this.#hub.version === undefined) throw new Problem(503, "Changes cannot be followed at the moment");
      if (!this.#hasPlaceFor(caller)) throw new Problem(503, "Too many change streams are open");
      reply.hijack();
      const stillAllowed = async () => {
        try {
          const again = await this.#callers.again(request.headers);
          return again.permissions.has("resolve:secrets");
        } catch {
          return false;
        }
      };
      const listener = { caller, readsSecrets: prefersSecrets(request.headers.prefer), stillAllowed };
      const stream = new ChangeStream(reply, listener, this.#hub, () => this.#open.delete(stream));
      this.#open.add(stream);
      await stream.start(since, this.#log);
      return reply;
    },
  });

  close(): void {
    for (const stream of this.#open) stream.end();
  }

  #hasPlaceFor({ key, sandboxId }: Caller): boolean {
    const rivals = [...this.#open].filter((stream) => (stream.keyId === undefined) === (key === undefined));
    if (rivals.length >= MAX_STREAMS) return false;
    if (key === undefined) return true;
    const share = sandboxId === null ? MAX_STREAMS_OF_KEY : MAX_STREAMS_OF_BOUND_KEY;
    return rivals.filter((stream) => stream.keyId === key.id).length < share;
  }
}

/** Who listens. */
interface Listener {
  readonly caller: Caller;
  /** It knows what a change's placeholder means. */
  readonly readsSecrets: boolean;
  readonly stillAllowed: () => Promise<boolean>;
}

class ChangeStream {
  readonly #reply: FastifyReply;
  readonly #listener: Listener;
  readonly #hub: ChangeHub;
  readonly #ended: () => void;
  #sent = 0;
  /** Events that come while the past is being read. */
  #held: HubEvent[] | undefined = [];
  #unlisten: () => void = () => undefined;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(reply: FastifyReply, listener: Listener, hub: ChangeHub, ended: () => void) {
    this.#reply = reply;
    this.#listener = listener;
    this.#hub = hub;
    this.#ended = ended;
  }

  /** Undefined: the deployment's proxy key. */
  get keyId(): string | undefined {
    return this.#listener.caller.key?.id;
  }

  async start(since: number | "unknown" | undefined, log: ChangeLog): Promise<void> {
    const { raw } = this.#reply;
    raw.on("error", () => this.end());
    raw.on("close", () => this.end());
    raw.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
      ...(this.#listener.readsSecrets ? { "preference-applied": SECRETS_PREFERENCE } : {}),
    });
    this.#unlisten = this.#hub.listen((event) => this.#take(event));
    const version = this.#hub.version ?? 0;
    this.#write("hello", version, { version: String(version) }, false);
    this.#sent = version;
    if (since === "unknown") this.#reset(version);
    else if (since !== undefined && since !== version) await this.#replay(since, version, log);
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const event of held) this.#take(event);
    this.#heartbeat = setInterval(() => void this.#beat(), HEARTBEAT_MS).unref();
    if (raw.destroyed || raw.writableEnded) this.end();
  }

  end(): void {
    this.#unlisten();
    clearInterval(this.#heartbeat);
    this.#ended();
    if (!this.#reply.raw.writableEnded) this.#reply.raw.end();
  }

  /** Sends what happened after `since` up to `until`; what is newer comes from the hub. */
  async #replay(since: number, until: number, log: ChangeLog): Promise<void> {
    try {
      for (let at = since; at < until; ) {
        const answer = await log.since(at, BATCH);
        if (answer.kind === "too-old") return this.#reset(until);
        for (const change of answer.changes) if (change.version <= until) this.#send(change);
        const last = answer.changes.at(-1);
        if (last === undefined) return;
        at = last.version;
      }
      if (since > until) this.#reset(until);
    } catch {
      this.end();
    }
  }

  #take(event: HubEvent): void {
    if (this.#held !== undefined) {
      this.#held.push(event);
      return;
    }
    switch (event.kind) {
      case "lost":
        this.end();
        return;
      case "reset":
        this.#reset(event.version);
        return;
      case "change":
        // Versions that the replay has sent already.
        if (event.change.version > this.#sent) this.#send(event.change);
        return;
      default:
        event satisfies never;
    }
  }

  #send(change: Change): void {
    const { readsSecrets, caller } = this.#listener;
    const { everyOrganization, organizationId, sandboxId } = caller;
    this.#sent = Math.max(this.#sent, change.version);
    const concerns = everyOrganization || change.organizationId === organizationId;
    const isWide = concerns && change.sandboxes === null;
    // One sandbox's proxy is told of no secret that may be others': its own sandbox is all it has to ask for.
    if (isWide && sandboxId === null && (change.placeholder === null || !readsSecrets)) {
      this.#reset(change.version);
      return;
    }
    const wide = sandboxId === null ? [] : [sandboxId];
    const named = concerns ? (change.sandboxes ?? wide) : [];
    this.#write("change", change.version, {
      version: String(change.version),
      sandboxes: sandboxId === null ? named : named.filter((id) => id === sandboxId),
      sources: concerns && sandboxId === null && change.sources,
      ...(isWide && sandboxId === null ? { placeholder: change.placeholder } : {}),
    });
  }

  #reset(version: number): void {
    this.#sent = version;
    this.#write("reset", version, { version: String(version) });
  }

  /** A credential that was revoked or has expired stops being told. */
  async #beat(): Promise<void> {
    if (!(await this.#listener.stillAllowed())) return this.end();
    const version = this.#hub.version;
    if (version !== undefined) this.#write("heartbeat", version, { version: String(version) }, false);
  }

  #write(event: string, id: number, data: unknown, withId = true): void {
    const { raw } = this.#reply;
    if (raw.destroyed || raw.writableEnded) return;
    raw.write(`${withId ? `id: ${id}\n` : ""}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    if (raw.writableLength > MAX_UNREAD_BYTES) raw.destroy();
  }
}

function prefersSecrets(prefer: string | string[] | undefined): boolean {
  const preferences = [prefer ?? []].flat().join(",").split(",");
  return preferences.some((each) => each.trim().toLowerCase() === SECRETS_PREFERENCE);
}

/** A version is a number here, but any other text is only one that we do not know. */
function sinceOf(text: string | string[] | undefined): number | "unknown" | undefined {
  if (text === undefined || text === "") return undefined;
  return typeof text === "string" && /^\d{1,15}$/.test(text) ? Number(text) : "unknown";
}
