// Where in the sequence of changes a proxy is, without I/O: messages in, conclusions out. The one question is whether
// something may have been missed. Versions are opaque, so they are compared for equality only.
//
// "Current" means: every change up to now has been heard. After a reconnect with `since` that holds once the version of the
// greeting has been reached, or at once where nothing had happened.

import type { ChangeMessage } from "./wire.ts";

/** What a change names. */
export type Changed = Pick<ChangeMessage & { readonly kind: "change" }, "sandboxes" | "placeholder" | "sources">;

/** "gap": anything may have changed unheard. */
export type Conclusion =
  | { readonly kind: "nothing" }
  | { readonly kind: "gap" }
  | ({ readonly kind: "changed" } & Changed)
  /** The messages make no sense: drop the connection. */
  | { readonly kind: "broken"; readonly detail: string };

const nothing: Conclusion = { kind: "nothing" };
const gap: Conclusion = { kind: "gap" };

export class ChangePosition {
  #version: string | undefined;
  #greeted = false;
  #current = false;
  /** The version to be reached before we are current. */
  #awaited: string | undefined;
  /** A heartbeat's version that no change had brought before. */
  #unexplained: string | undefined;

  /** The last version heard; what to resume from. */
  get version(): string | undefined {
    return this.#version;
  }

  get current(): boolean {
    return this.#current;
  }

  /** The connection is gone. What was heard stays, for resuming. */
  disconnect(): void {
    this.#greeted = false;
    this.#current = false;
    this.#awaited = undefined;
    this.#unexplained = undefined;
  }

  take(message: ChangeMessage): Conclusion {
    if (message.kind === "other") return nothing;
    if (message.kind === "hello") return this.#greeted ? broken("a second greeting") : this.#greet(message.version);
    if (!this.#greeted) return broken("no greeting");
    switch (message.kind) {
      case "change":
        this.#reach(message.version);
        return {
          kind: "changed",
          sandboxes: message.sandboxes,
          sources: message.sources,
          ...(message.placeholder === undefined ? {} : { placeholder: message.placeholder }),
        };
      case "heartbeat":
        return this.#beat(message.version);
      case "reset":
        this.#version = message.version ?? this.#awaited ?? this.#version;
        this.#settle();
        return gap;
      default:
        return message satisfies never;
    }
  }

  #greet(version: string): Conclusion {
    this.#greeted = true;
    if (this.#version === undefined) {
      // The first time: what was fetched before may have changed before we listened.
      this.#version = version;
      this.#settle();
      return gap;
    }
    if (this.#version === version) this.#settle();
    else this.#awaited = version;
    return nothing;
  }

  #reach(version: string): void {
    this.#version = version;
    this.#unexplained = undefined;
    if (this.#awaited === undefined || this.#awaited === version) this.#settle();
  }

  /**
   * A heartbeat may overtake a change that is being sent, so one version that no change brought is let pass; if nothing has
   * explained it by the next heartbeat, something was missed. The same goes for a resumption that never got to its end.
   */
  #beat(version: string): Conclusion {
    if (version === this.#version) {
      this.#settle();
      return nothing;
    }
    if (this.#unexplained === undefined) {
      this.#unexplained = version;
      return nothing;
    }
    this.#version = version;
    this.#settle();
    return gap;
  }

  #settle(): void {
    this.#current = true;
    this.#awaited = undefined;
    this.#unexplained = undefined;
  }
}

function broken(detail: string): Conclusion {
  return { kind: "broken", detail };
}
