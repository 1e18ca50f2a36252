// What a command sent through the proxy, in a few lines at its end.

import type { AuditEvent } from "../core/audit.ts";
import { describeError, describeNotSubstituted, hostOf } from "../core/audit-words.ts";

/** Sentences beyond this are counted together. */
const MAX_SENTENCES = 10;

/** Counts events; holds as many sentences as there are different ones, bounded. */
export class RunSummary {
  #exchanges = 0;
  #tunnels = 0;
  readonly #substituted = new Map<string, number>();
  readonly #scrubbed = new Map<string, number>();
  readonly #sentences = new Map<string, number>();
  #others = 0;

  add(event: AuditEvent): void {
    if (event.type === "tunnel") this.#tunnels += 1;
    if (event.type === "exchange") this.#addExchange(event);
    if (event.error !== undefined) {
      const host = hostOf(event.authority);
      this.#say(`${host === undefined ? "" : `${host}: `}${describeError(event.error, undefined)}`);
    }
  }

  /** Lines without an end of line; the first one counts. */
  lines(): readonly string[] {
    const counts = [
      count(this.#exchanges, "exchange"),
      count(this.#tunnels, "tunnel"),
      `substituted: ${list(this.#substituted)}`,
      ...(this.#scrubbed.size === 0 ? [] : [`scrubbed: ${list(this.#scrubbed)}`]),
    ];
    const sentences = [...this.#sentences].map(([text, times]) => (times === 1 ? text : `${text} (${times} times)`));
    return [
      counts.join(", "),
      ...sentences,
      ...(this.#others === 0 ? [] : [`and ${this.#others} more: see the audit log`]),
    ];
  }

  #addExchange(event: Extract<AuditEvent, { type: "exchange" }>): void {
    this.#exchanges += 1;
    for (const { secret } of event.substituted) increase(this.#substituted, secret);
    for (const secret of event.scrubbed) increase(this.#scrubbed, secret);
    const host = hostOf(event.authority);
    for (const entry of event.notSubstituted) this.#say(`not substituted: ${describeNotSubstituted(entry, host)}`);
  }

  #say(sentence: string): void {
    if (this.#sentences.has(sentence) || this.#sentences.size < MAX_SENTENCES) increase(this.#sentences, sentence);
    else this.#others += 1;
  }
}

function increase(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function list(counts: ReadonlyMap<string, number>): string {
  if (counts.size === 0) return "nothing";
  return [...counts].map(([name, times]) => (times === 1 ? name : `${name} ${times} times`)).join(", ");
}
