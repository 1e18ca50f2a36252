// The audit log: one JSON line per event, written in batches.
//
//   record ─► line, in a block of memory (bounded) ─► every 100 ms or when a block is full ─► writer (file or stderr)
//
// Invariants: `record` never throws, waits or writes; lines are whole and in order, also after a write failed half-way;
// what there was no room for is counted, and the count is written as soon as lines can be written again. An event is a
// line at once: as objects, those of a tenth of a second outlive the young generation, and collecting them was a tenth
// of all work.

import type { AuditEvent } from "../core/audit.ts";
import type { AuditSink, Clock } from "../core/ports.ts";
import { AuditFile, type AuditWriter } from "./audit-file.ts";
import { AuditForwarder } from "./audit-relay.ts";
import { type LineBlock, LineBlocks } from "./line-blocks.ts";
import { settledWithin } from "./settled-within.ts";
import { stderrLines } from "./stderr.ts";
import { isBusy } from "./whole-writer.ts";

/** Stands in the log where events are missing. */
export interface DroppedEvent {
  readonly type: "dropped";
  readonly time: string;
  readonly count: number;
}

export interface AuditLogOptions {
  readonly target:
    | { readonly kind: "file"; readonly path: string }
    | { readonly kind: "stderr" }
    | { readonly kind: "off" };
  readonly clock: Clock;
  /** Told when writing starts to fail and when it works again. */
  readonly report: (message: string, error?: unknown) => void;
  /** Size at which the file is rotated. */
  readonly maxBytes?: number;
  readonly keptFiles?: number;
  /** Events that may wait for the writer. */
  readonly maxQueued?: number;
}

const FLUSH_MS = 100;
const DEFAULT_MAX_BYTES = 64 * 1_048_576;
const DEFAULT_KEPT_FILES = 5;
const DEFAULT_MAX_QUEUED = 65_536;
/** Paths are as long as clients like. */
const MAX_QUEUED_BYTES = 64 * 1_048_576;
/** Pause before a failed write is tried again. */
const RETRY_MS = 500;
/** How long `close` tries to write what is left. */
const CLOSE_MS = 3_000;

/** Rejects with the system's error where the file cannot be opened. */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  return new AuditLog(await openAuditWriter(options), options);
}

/** Undefined: nothing is written. Rejects with the system's error where the file cannot be opened. */
export async function openAuditWriter(
  options: Pick<AuditLogOptions, "target" | "clock" | "maxBytes" | "keptFiles">,
): Promise<AuditWriter | undefined> {
  const { target, clock, maxBytes = DEFAULT_MAX_BYTES, keptFiles = DEFAULT_KEPT_FILES } = options;
  if (target.kind === "off") return undefined;
  if (target.kind === "stderr") return new AuditForwarder((lines) => stderrLines.write(lines));
  return AuditFile.open({ path: target.path, maxBytes, keptFiles, clock });
}

export class AuditLog implements AuditSink {
  readonly #writer: AuditWriter | undefined;
  readonly #clock: Clock;
  readonly #report: AuditLogOptions["report"];
  readonly #maxQueued: number;
  readonly #queue = new LineBlocks();
  /** What is being written, and what is left of it. */
  #block: LineBlock | undefined;
  #rest: Buffer = EMPTY;
  #timer: NodeJS.Timeout | undefined;
  #draining: Promise<void> | undefined;
  #isFailing = false;
  #isClosed = false;
  /** `close` has said what is lost: nothing is written any more. */
  #isGivenUp = false;
  #dropped = 0;
  #droppedUnwritten = 0;

  /** `writer` undefined: events are thrown away. For tests; others use `openAuditLog`. */
  constructor(writer: AuditWriter | undefined, options: Pick<AuditLogOptions, "clock" | "report" | "maxQueued">) {
    this.#writer = writer;
    this.#clock = options.clock;
    this.#report = options.report;
    this.#maxQueued = options.maxQueued ?? DEFAULT_MAX_QUEUED;
  }

  /** Events lost since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  record(event: AuditEvent): void {
    if (this.#writer === undefined) return;
    if (this.#isClosed || this.#queue.lines >= this.#maxQueued || this.#queue.bytes >= MAX_QUEUED_BYTES) {
      this.#dropped += 1;
      this.#droppedUnwritten += 1;
      return;
    }
    const isFull = this.#queue.add(JSON.stringify(event));
    if (this.#draining !== undefined) return;
    if (this.#timer === undefined) this.#timer = setTimeout(this.#startDrain, FLUSH_MS);
    // Brought forward, but not into this call: the caller is in the middle of an exchange.
    if (isFull) this.#timer = this.#replaceTimer(0);
  }

  /** Writes what waits, for a few seconds at most. Events recorded afterwards are dropped. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await settledWithin(this.#writeRest(), CLOSE_MS);
    this.#isGivenUp = true;
    clearTimeout(this.#timer);
    const lost = this.#queue.lines + this.#rest.toString("latin1").split("\n").length - 1;
    if (lost > 0) {
      this.#dropped += lost;
      this.#report(`${lost} audit events could not be written before the end`);
    }
    this.#queue.clear();
    try {
      await this.#writer?.close();
    } catch (error) {
      this.#report("the audit log could not be closed", error);
    }
  }

  async #writeRest(): Promise<void> {
    while (this.#hasWork() && !this.#isGivenUp) {
      this.#startDrain();
      await this.#draining;
      if (this.#hasWork()) await pause(FLUSH_MS);
    }
  }

  #replaceTimer(delayMs: number): NodeJS.Timeout {
    clearTimeout(this.#timer);
    return setTimeout(this.#startDrain, delayMs);
  }

  #hasWork(): boolean {
    return this.#writer !== undefined && (this.#queue.lines > 0 || this.#rest.length > 0 || this.#droppedUnwritten > 0);
  }

  readonly #startDrain = (): void => {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#draining !== undefined || this.#writer === undefined || !this.#hasWork()) return;
    this.#draining = this.#drain(this.#writer).finally(() => {
      this.#draining = undefined;
      if (!this.#isClosed && this.#hasWork()) this.#timer = this.#replaceTimer(this.#isFailing ? RETRY_MS : FLUSH_MS);
    });
  };

  /**
   * Never rejects. Writes the oldest block, full or not, then full ones: writing the few lines that came during the last write
   * would go on without end under load, a tenth of all work. Ends early where a write failed.
   */
  async #drain(writer: AuditWriter): Promise<void> {
    try {
      do {
        if (this.#rest.length === 0) {
          // Kept before anything can fail, so that nothing of it is lost or written twice.
          this.#block = this.#nextBlock();
          this.#rest = this.#block.content;
          await writer.prepare(this.#rest.length);
        }
        while (this.#rest.length > 0) {
          if (this.#isGivenUp) return;
          this.#rest = this.#rest.subarray(await writer.writeSome(this.#rest));
        }
        if (this.#block !== undefined) this.#queue.giveBack(this.#block);
        this.#block = undefined;
        if (this.#isFailing) this.#report("the audit log is written again");
        this.#isFailing = false;
      } while (this.#queue.hasFull || (this.#isClosed && this.#hasWork()));
    } catch (error) {
      if (isBusy(error)) return;
      if (!this.#isFailing) this.#report("the audit log cannot be written", error);
      this.#isFailing = true;
    }
  }

  #nextBlock(): LineBlock {
    if (this.#droppedUnwritten > 0) {
      const time = new Date(this.#clock()).toISOString();
      const dropped: DroppedEvent = { type: "dropped", time, count: this.#droppedUnwritten };
      this.#queue.add(JSON.stringify(dropped));
      this.#droppedUnwritten = 0;
    }
    return this.#queue.take();
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
