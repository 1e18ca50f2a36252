// GET /traffic/stream: server-sent events for people who watch.
//
//   hello    {"since","seq"}                     first
//   traffic  {"items","skipped","numbers"}       four times a second, where something happened
//   beat     {}                                  every 5 s: the stream lives
//
// Eyes read slower than proxies work: of each quarter of a second at most 50 matching events are sent, and `skipped` says
// how many more there were. `numbers` counts everything of the organization since the last message, whatever the filter.

import type { FastifyReply } from "fastify";
import type { AuditEvent } from "../core/audit.ts";
import { addTraffic, noTraffic } from "../core/traffic.ts";
import { presentEvent } from "./traffic-answer.ts";
import type { Arrival, BookedEvent, TrafficBook } from "./traffic-book.ts";

const TICK_MS = 250;
export const MAX_ITEMS_PER_TICK = 50;
const BEAT_MS = 5_000;
/** A reader that does not keep up loses events, and is told how many; past this it is cut off. */
const MAX_UNREAD_BYTES = 1024 * 1024;

export interface TrafficStreamOptions {
  readonly reply: FastifyReply;
  readonly book: TrafficBook;
  readonly matches: (event: AuditEvent) => boolean;
  readonly stillAllowed: () => Promise<boolean>;
  readonly ended: () => void;
}

export class TrafficStream {
  readonly #options: TrafficStreamOptions;
  #items: BookedEvent[] = [];
  #skipped = 0;
  #numbers = noTraffic();
  #unlisten: () => void = () => undefined;
  #tick: NodeJS.Timeout | undefined;
  #beat: NodeJS.Timeout | undefined;

  constructor(options: TrafficStreamOptions) {
    this.#options = options;
  }

  /** The reply must be hijacked. */
  start(hello: unknown): void {
    const { raw } = this.#options.reply;
    raw.on("error", () => this.end());
    raw.on("close", () => this.end());
    raw.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-accel-buffering": "no",
    });
    this.#write("hello", hello);
    this.#unlisten = this.#options.book.listen((arrival) => this.#take(arrival));
    this.#beat = setInterval(() => void this.#check(), BEAT_MS).unref();
    if (raw.destroyed) this.end();
  }

  end(): void {
    this.#unlisten();
    clearTimeout(this.#tick);
    this.#tick = undefined;
    clearInterval(this.#beat);
    this.#options.ended();
    if (!this.#options.reply.raw.writableEnded) this.#options.reply.raw.end();
  }

  #take({ items, numbers }: Arrival): void {
    addTraffic(this.#numbers, numbers);
    for (const item of items) {
      if (!this.#options.matches(item.event)) continue;
      if (this.#items.length < MAX_ITEMS_PER_TICK) this.#items.push(item);
      else this.#skipped += 1;
    }
    this.#tick ??= setTimeout(() => this.#flush(), TICK_MS).unref();
  }

  #flush(): void {
    this.#tick = undefined;
    const { raw } = this.#options.reply;
    if (raw.writableLength > MAX_UNREAD_BYTES) {
      raw.destroy();
      return;
    }
    // A reader that has not taken the last message gets the next one's numbers alone.
    const behind = raw.writableNeedDrain;
    const items = behind ? [] : this.#items.map(presentEvent);
    const skipped = this.#skipped + (behind ? this.#items.length : 0);
    this.#write("traffic", { items, skipped, numbers: this.#numbers });
    this.#items = [];
    this.#skipped = 0;
    this.#numbers = noTraffic();
  }

  /** A credential that was revoked or has expired stops being told. */
  async #check(): Promise<void> {
    if (await this.#options.stillAllowed()) this.#write("beat", {});
    else this.end();
  }

  #write(event: string, data: unknown): void {
    const { raw } = this.#options.reply;
    if (raw.destroyed || raw.writableEnded) return;
    raw.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }
}
