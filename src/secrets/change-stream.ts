// Listens to the Secret API's changes for as long as the proxy lives: connects, watches for silence, reconnects with
// backoff and resumes from the last version heard. What is heard goes to the listener at once, in order.

import { createParser } from "eventsource-parser";
import type { Clock } from "../core/ports.ts";
import { backoffMs } from "./backoff.ts";
import { type Changed, ChangePosition } from "./change-position.ts";
import type { ChangesAnswer } from "./client.ts";
import type { SecretsLogger } from "./logger.ts";
import type { Timers } from "./timers.ts";
import { parseChangeMessage } from "./wire.ts";

export interface ChangeListener {
  /** Something came in while current: what is known is known to be right now. */
  heard(now: number): void;
  /** This has changed. */
  changed(what: Changed): void;
  /** Anything may have changed. */
  gap(): void;
  /** Whether every change up to now has been heard. Called when that turns. */
  currentTurned(current: boolean): void;
}

export interface ChangeStreamOptions {
  open(since: string | undefined, signal: AbortSignal): Promise<ChangesAnswer>;
  readonly listener: ChangeListener;
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly logger: SecretsLogger;
  /** A connection without a byte for this long is dead. */
  readonly silenceMs: number;
  /** When to look again for a stream that the API does not have. */
  readonly absentRetryMs: number;
}

/** "absent": the API has no change stream; TTLs apply. */
export type StreamState = "off" | "connecting" | "live" | "absent";

const firstRetryMs = 250;
const maxRetryMs = 10_000;
/** Bound on one event: a rotated secret may be mounted in very many sandboxes. */
const maxEventChars = 8 * 1024 * 1024;

export class ChangeStream {
  readonly #options: ChangeStreamOptions;
  readonly #position = new ChangePosition();
  #state: StreamState = "off";
  #running: Promise<void> | undefined;
  readonly #opening = new AbortController();
  /** Ends what the loop waits for. */
  #interrupt: () => void = ignore;
  #isCurrent = false;

  constructor(options: ChangeStreamOptions) {
    this.#options = options;
  }

  get state(): StreamState {
    return this.#state;
  }

  get #closed(): boolean {
    return this.#opening.signal.aborted;
  }

  get version(): string | undefined {
    return this.#position.version;
  }

  start(): void {
    if (this.#running === undefined && !this.#closed) this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#opening.abort();
    this.#interrupt();
    await this.#running;
    this.#state = "off";
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#closed) {
      const outcome = await this.#connect();
      if (this.#closed) return;
      // A connection that carried something starts the count anew.
      failures = outcome.wasCurrent ? 1 : failures + 1;
      const absent = outcome.kind === "absent";
      if (absent !== (this.#state === "absent") || outcome.wasCurrent || failures === 1) {
        this.#options.logger.warn({ reason: outcome.detail }, "change stream: not connected");
      }
      this.#state = absent ? "absent" : "connecting";
      const { absentRetryMs, random } = this.#options;
      await this.#sleep(absent ? absentRetryMs : backoffMs(failures, firstRetryMs, maxRetryMs, random));
    }
  }

  /** One connection from its opening to its end. Never rejects. */
  async #connect(): Promise<{ kind: "ended" | "absent"; wasCurrent: boolean; detail: string }> {
    if (this.#state !== "absent") this.#state = "connecting";
    const answer = await this.#options.open(this.#position.version, this.#opening.signal);
    if (answer.kind === "absent") return { kind: "absent", wasCurrent: false, detail: "the API has none" };
    if (answer.kind === "failed") return { kind: "ended", wasCurrent: false, detail: answer.detail };
    if (this.#closed) {
      answer.close();
      return { kind: "ended", wasCurrent: false, detail: "closed" };
    }

    let ended = "the API ended it";
    const end = (detail: string) => {
      ended = detail;
      answer.close();
    };
    this.#interrupt = () => end("closed");
    let wasCurrent = false;
    let broken = false;
    const parser = createParser({
      maxBufferSize: maxEventChars,
      onEvent: (event) => {
        if (broken) return;
        const detail = this.#take(event.event, event.data);
        wasCurrent ||= this.#isCurrent;
        if (detail === undefined) return;
        broken = true;
        end(detail);
      },
      onError: (error) => {
        // Odd fields are legal in an event stream; only a flood is not.
        if (error.type === "max-buffer-size-exceeded") end("an event beyond the bound");
      },
    });
    const decoder = new TextDecoder();
    const { clock, timers, silenceMs, listener } = this.#options;
    const startWatch = () => timers.after(silenceMs, () => end(`silent for ${silenceMs} ms`));
    let stopWatch = startWatch();
    try {
      for await (const chunk of answer.chunks) {
        if (this.#closed || broken) break;
        stopWatch();
        stopWatch = startWatch();
        parser.feed(decoder.decode(chunk, { stream: true }));
        if (this.#isCurrent) listener.heard(clock());
      }
    } catch {
      // Reset, closed by us, or cut: `ended` says what we know.
    } finally {
      stopWatch();
      answer.close();
      this.#interrupt = ignore;
      this.#position.disconnect();
      this.#turn();
    }
    return { kind: "ended", wasCurrent, detail: ended };
  }

  /** Returns why the connection has to be dropped, if it has to. */
  #take(event: string | undefined, data: string): string | undefined {
    const { listener } = this.#options;
    const message = parseChangeMessage(event, data);
    if (message.kind === "malformed") {
      // It said that something changed, but not what.
      listener.gap();
      return `an event is ${message.detail}`;
    }
    const conclusion = this.#position.take(message.value);
    switch (conclusion.kind) {
      case "nothing":
        break;
      case "gap":
        listener.gap();
        break;
      case "changed":
        listener.changed(conclusion);
        break;
      case "broken":
        listener.gap();
        return conclusion.detail;
      default:
        return conclusion satisfies never;
    }
    // After the consequences: nobody may take what is marked for current.
    this.#turn();
    return undefined;
  }

  #turn(): void {
    if (this.#position.current === this.#isCurrent) return;
    this.#isCurrent = this.#position.current;
    if (this.#isCurrent) {
      this.#state = "live";
      this.#options.logger.info({ version: this.#position.version }, "change stream: live");
      this.#options.listener.heard(this.#options.clock());
    }
    this.#options.listener.currentTurned(this.#isCurrent);
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        this.#interrupt = ignore;
        resolve();
      };
      const cancel = this.#options.timers.after(ms, done);
      this.#interrupt = done;
    });
  }
}

function ignore(): void {}
