// Scrubs one message that may go on for long by the grants of the moment: what is written into the other direction
// follows them, and may come back in the midst of it.

import type { BodyTransform, Emit } from "../message.ts";
import type { ScrubMode } from "./scrub-body.ts";
import type { Scrubber, ScrubSession } from "./scrubber.ts";

export class FollowingScrub implements BodyTransform {
  readonly #current: () => Scrubber;
  readonly #mode: Exclude<ScrubMode, "sniffed">;
  readonly #session: ScrubSession;
  #scrubber: Scrubber;
  #body: BodyTransform;

  /** `current`: each scrubber finds what those before it do. */
  constructor(current: () => Scrubber, mode: Exclude<ScrubMode, "sniffed">, session: ScrubSession) {
    this.#current = current;
    this.#mode = mode;
    this.#session = session;
    this.#scrubber = current();
    this.#body = this.#scrubber.body(mode, session);
  }

  push(chunk: Buffer, emit: Emit): string | undefined {
    const scrubber = this.#current();
    if (scrubber !== this.#scrubber) {
      const last = this.#body;
      const next = scrubber.body(this.#mode, this.#session);
      this.#scrubber = scrubber;
      this.#body = next;
      // The beginning of a value that was held is held by the next one.
      last.end((held) => next.push(held, emit));
    }
    return this.#body.push(chunk, emit);
  }

  end(emit: Emit): string | undefined {
    return this.#body.end(emit);
  }
}
