// The stream of traffic, read by fetch because EventSource sends no headers of ours. It comes again by itself after a
// break, ever more slowly.

import { createParser } from "eventsource-parser";
import { consoleHeaders } from "./api.ts";
import type { TrafficItem, TrafficNumbers } from "./api-types.ts";

export interface TrafficMessage {
  readonly items: readonly TrafficItem[];
  /** Matching events that were not sent. */
  readonly skipped: number;
  readonly numbers: TrafficNumbers;
}

export type FeedState = "connecting" | "live" | "broken";

export interface FeedListener {
  message(message: TrafficMessage): void;
  state(state: FeedState): void;
}

const RETRY_MS = 1_000;
const MAX_RETRY_MS = 15_000;
/** The API says that it lives every 5 s. */
const SILENCE_MS = 15_000;

export class Feed {
  readonly #listener: FeedListener;
  #abort = new AbortController();
  #retryMs = RETRY_MS;
  #timer: number | undefined;
  #silence: number | undefined;

  constructor(listener: FeedListener) {
    this.#listener = listener;
  }

  /** Follows what matches this query from now on. */
  open(query: string): void {
    this.close();
    this.#abort = new AbortController();
    this.#listener.state("connecting");
    void this.#read(query, this.#abort);
  }

  close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#abort.abort();
  }

  async #read(query: string, abort: AbortController): Promise<void> {
    try {
      const response = await fetch(`/api/traffic/stream${query}`, {
        headers: consoleHeaders,
        credentials: "same-origin",
        signal: abort.signal,
      });
      if (!response.ok || response.body === null) throw new Error("no stream");
      this.#listener.state("live");
      this.#retryMs = RETRY_MS;
      const parser = createParser({
        onEvent: ({ event, data }) => {
          // The API's own form.
          if (event === "traffic" && !abort.signal.aborted) this.#listener.message(JSON.parse(data) as TrafficMessage);
        },
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        clearTimeout(this.#silence);
        this.#silence = setTimeout(() => abort.abort("silent"), SILENCE_MS);
        const { done, value } = await reader.read();
        if (done) break;
        parser.feed(value);
      }
    } catch {
      // Told below: whatever it was, the stream has ended.
    }
    clearTimeout(this.#silence);
    // Ended by `close`, and not by silence: somebody else reads now, or nobody.
    if (abort.signal.aborted && abort.signal.reason !== "silent") return;
    this.#listener.state("broken");
    this.#timer = setTimeout(() => this.open(query), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }
}
