// Who speaks from which source address, for transparent ports: the API's map, cached by the same rules as grants.

import type { Clock } from "../core/ports.ts";
import { CachedAnswer, type Unavailable } from "./cached-answer.ts";
import type { SecretApiClient } from "./client.ts";
import type { Freshness } from "./freshness.ts";
import { SourceMap } from "./source-map.ts";

export type SourceAnswer =
  | { readonly kind: "sandbox"; readonly sandboxId: string }
  | { readonly kind: "unknown-source" }
  | Unavailable;

interface HeldMap {
  readonly kind: "sources";
  readonly map: SourceMap;
}

const unknownSource: SourceAnswer = { kind: "unknown-source" };
/** An API without such a map is looked at again after this time. */
const absentLifeMs = 15_000;

export class SourceTable {
  readonly #cached: CachedAnswer<HeldMap>;
  readonly #clock: Clock;

  constructor(client: Pick<SecretApiClient, "fetchSources">, freshness: Freshness, clock: Clock) {
    this.#clock = clock;
    this.#cached = new CachedAnswer<HeldMap>({
      freshness,
      clock,
      fetch: async (etag) => {
        const answer = await client.fetchSources(etag);
        switch (answer.kind) {
          case "answer":
            return { kind: "new", answer: { kind: "sources", map: new SourceMap(answer.value) }, etag: answer.etag };
          case "absent":
            return {
              kind: "new",
              answer: { kind: "sources", map: new SourceMap([]) },
              etag: undefined,
              lifeMs: absentLifeMs,
            };
          case "not-modified":
            return { kind: "same" };
          case "failed":
            return answer;
          default:
            return answer satisfies never;
        }
      },
      replaced() {},
      settled() {},
    });
  }

  /** At once where the map is cached. Never rejects. */
  sandboxForAddress(address: string): SourceAnswer | Promise<SourceAnswer> {
    const held = this.#cached.get(this.#clock());
    return held instanceof Promise ? held.then((each) => answerFor(each, address)) : answerFor(held, address);
  }

  /** The map has changed. */
  touch(): void {
    this.#cached.touch();
  }
}

function answerFor(held: HeldMap | Unavailable, address: string): SourceAnswer {
  if (held.kind === "unavailable") return held;
  const sandboxId = held.map.find(address);
  return sandboxId === undefined ? unknownSource : { kind: "sandbox", sandboxId };
}
