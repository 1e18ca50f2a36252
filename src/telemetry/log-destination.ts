// Where log lines go: a bounded queue before what writes them, so that a reader that stalls does not stall the proxy.

import { settledWithin } from "./settled-within.ts";
import type { WholeWriter } from "./whole-writer.ts";

/** What may wait, in characters; lines beyond it are dropped and counted. */
const MAX_WAITING = 1_048_576;
const FLUSH_DEADLINE_MS = 1_000;

export class LogDestination {
  readonly #writer: WholeWriter;
  #waiting: string[] = [];
  #waitingLength = 0;
  #writing: Promise<void> | undefined;
  #dropped = 0;

  constructor(writer: WholeWriter) {
    this.#writer = writer;
  }

  /** `line` ends with its line feed. */
  write(line: string): void {
    if (this.#waitingLength + line.length > MAX_WAITING) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(line);
    this.#waitingLength += line.length;
    this.#writing ??= this.#writeAll();
  }

  /**
   * Resolves when everything was written, at latest after a second; what nobody has read by then is dropped, also of what others gave
   * to the same writer: it would keep the process from ending. Call it last.
   */
  async flush(): Promise<void> {
    const all = Promise.all([this.#writing, this.#writer.settled()]);
    if (!(await settledWithin(all, FLUSH_DEADLINE_MS))) this.#writer.abandon();
  }

  /** Never rejects: where stderr is closed there is nowhere to complain to. */
  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#waiting.join("");
      [this.#waiting, this.#waitingLength] = [[], 0];
      const text = this.#dropped === 0 ? lines : `${lines}${this.#noteDropped()}`;
      await this.#writer.write(Buffer.from(text, "utf8")).catch(() => {});
    }
    // In the same turn as the last look at what waits: a line that comes later begins anew.
    this.#writing = undefined;
  }

  #noteDropped(): string {
    const note = {
      level: "warn",
      time: new Date().toISOString(),
      dropped: this.#dropped,
      msg: "log lines were dropped",
    };
    this.#dropped = 0;
    return `${JSON.stringify(note)}\n`;
  }
}
