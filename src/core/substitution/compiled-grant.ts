// A grant made ready for use: its literal as bytes, its locations, and its value written for each context (once).

import type { Grant, Location, OnViolation, Surface } from "../grants.ts";
import { encodeValue, type ValueContext } from "./encodings.ts";
import { parsePlaceholder } from "./placeholder.ts";

export class CompiledGrant {
  readonly grant: Grant;
  /** The placeholder's bytes. */
  readonly literal: Buffer;
  /** Lookup key among placeholders of our grammar; undefined for a caller's own. */
  readonly key: string | undefined;
  readonly onViolation: OnViolation;
  readonly #locations: readonly Location[];
  readonly #bytes = new Map<ValueContext, Buffer | undefined>();
  readonly #texts = new Map<ValueContext, string | undefined>();

  constructor(grant: Grant, locations: readonly Location[], onViolation: OnViolation) {
    this.grant = grant;
    this.literal = Buffer.from(grant.placeholder, "latin1");
    const parsed = parsePlaceholder(grant.placeholder);
    this.key = parsed.kind === "placeholder" ? parsed.key : undefined;
    this.onViolation = onViolation;
    this.#locations = locations;
  }

  /** Whether the value may be written at this part of this surface; `part` undefined: a place that has no name. */
  allows(surface: Surface, part: string | undefined): boolean {
    for (const location of this.#locations) {
      if (location.surface === surface && (location.part === undefined || location.part === part)) return true;
    }
    return false;
  }

  /** Whether the value may be written anywhere on this surface. */
  allowsSome(surface: Surface): boolean {
    return this.#locations.some((location) => location.surface === surface);
  }

  /** Whether it takes the name of the place to decide. */
  isNarrow(surface: Surface): boolean {
    return this.#locations.some((location) => location.surface === surface && location.part !== undefined);
  }

  /** The value as this context's bytes, or undefined where it cannot be written there. Never write into the result. */
  bytes(context: ValueContext): Buffer | undefined {
    if (this.#bytes.has(context)) return this.#bytes.get(context);
    const bytes = encodeValue(this.grant.value.reveal(), context);
    this.#bytes.set(context, bytes);
    return bytes;
  }

  /** JSON has to escape something in the value. */
  get needsJsonEscapes(): boolean {
    const inJson = this.bytes("json");
    return inJson !== undefined && !inJson.equals(this.grant.value.reveal());
  }

  /** As `bytes`, one Latin-1 character per byte. */
  text(context: ValueContext): string | undefined {
    if (this.#texts.has(context)) return this.#texts.get(context);
    const text = this.bytes(context)?.toString("latin1");
    this.#texts.set(context, text);
    return text;
  }
}
