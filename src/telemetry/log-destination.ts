// Where log lines go: a descriptor, written on the thread pool, so that a reader that stalls does not stall the proxy.

import { write } from "node:fs";

/** What may wait, in characters; lines beyond it are dropped and counted. */
const MAX_WAITING = 1_048_576;
/** Pause after the descriptor was busy (a full pipe). */
const BUSY_MS = 20;
const FLUSH_DEADLINE_MS = 1_000;

export class LogDestination {
  readonly #fd: number;
  #waiting: string[] = [];
  #waitingLength = 0;
  #writing: Promise<void> | undefined;
  #dropped = 0;
  /** The last moment to write has passed: a reader that is still not there is not waited for. */
  #isAbandoned = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: string): void {
    if (this.#waitingLength + line.length > MAX_WAITING) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(line);
    this.#waitingLength += line.length;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when everything was written, at latest after a second; what nobody has read by then is dropped. Call it last. */
  async flush(): Promise<void> {
    if (this.#writing === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#isAbandoned = true;
        resolve();
      }, FLUSH_DEADLINE_MS);
    });
    await Promise.race([this.#writing, deadline]);
    clearTimeout(timer);
  }

  /** Never rejects: where stderr is closed there is nowhere to complain to. */
  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const lines = this.#waiting.join("");
      [this.#waiting, this.#waitingLength] = [[], 0];
      const text = this.#dropped === 0 ? lines : `${lines}${this.#noteDropped()}`;
      let rest = Buffer.from(text, "utf8");
      while (rest.length > 0) rest = rest.subarray(await this.#writeSome(rest));
    }
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

  /** How much was written; all of it where writing is hopeless. */
  #writeSome(bytes: Buffer): Promise<number> {
    return new Promise((resolve) => {
      write(this.#fd, bytes, (error, written) => {
        if (error === null) resolve(written);
        else if (error.code === "EAGAIN" && !this.#isAbandoned) setTimeout(() => resolve(0), BUSY_MS);
        else resolve(bytes.length);
      });
    });
  }
}
