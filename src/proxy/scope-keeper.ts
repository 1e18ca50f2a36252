// Keeps the SubstitutionScope of one exchange: made when the sandbox's grants are there and let it go on, brought up to date
// when a placeholder had to be looked up, or when an exchange goes on for long.

import type { ErrorCode } from "../core/errors.ts";
import type { GrantsAnswer } from "../core/ports.ts";
import { SubstitutionScope } from "../core/substitution/scope.ts";
import { failedLogin, tokenMatches } from "./identify.ts";
import type { Route } from "./route.ts";
import type { CompiledGrants, Services } from "./services.ts";

export interface ScopeKeeperOwner {
  /** Answers that come later are of no use any more. */
  readonly ended: boolean;
  /** Whether what is written from now on may follow the grants; it may not where what comes back would not be scrubbed of it. */
  readonly followsGrants: boolean;
  /** The sandbox may not go on. */
  onScopeRefused(code: ErrorCode, detail: string | undefined): void;
  /** A callback threw. */
  onScopeCrash(error: unknown): void;
}

export class ScopeKeeper {
  readonly #owner: ScopeKeeperOwner;
  readonly #services: Services;
  readonly #route: Route;
  #compiled: CompiledGrants | undefined;
  #scope: SubstitutionScope | undefined;
  /** Services.grantsMoment of the last judgement. */
  #judgedAt = -1;

  constructor(owner: ScopeKeeperOwner, services: Services, route: Route) {
    this.#owner = owner;
    this.#services = services;
    this.#route = route;
  }

  /** Undefined until the exchange was let in. */
  get scope(): SubstitutionScope | undefined {
    return this.#scope;
  }

  /** Lets the exchange in: `then` hears the scope, at once where grants are cached. */
  begin(then: (scope: SubstitutionScope) => void): void {
    // Before they are asked for: what changes until they are there is looked at again.
    this.#judgedAt = this.#services.grantsMoment;
    this.#whenGranted(this.#services.parts.grants.get(this.#route.sandboxId), (compiled) => {
      if (!this.#admits(compiled)) return;
      this.#compiled = compiled;
      const { authority } = this.#route;
      this.#scope = new SubstitutionScope(compiled.index.forHost(authority.host), {
        secure: this.#services.isSecure(authority),
      });
      then(this.#scope);
    });
  }

  /** The grants may have changed since: judges the sandbox again, at once where they are cached. */
  renew(then: () => void): void {
    this.#whenGranted(this.#services.parts.grants.get(this.#route.sandboxId), (compiled) => {
      if (compiled !== this.#compiled) {
        if (!this.#admits(compiled)) return;
        this.#take(compiled);
      }
      then();
    });
  }

  /** The same without waiting: what is not at hand changes nothing yet. */
  renewAtHand(): void {
    const moment = this.#services.grantsMoment;
    if (moment === this.#judgedAt) return;
    this.#judgedAt = moment;
    const answer = this.#services.parts.grants.get(this.#route.sandboxId);
    if (answer instanceof Promise || answer.kind === "unavailable") return;
    this.#whenGranted(answer, (compiled) => {
      if (compiled !== this.#compiled && this.#admits(compiled)) this.#take(compiled);
    });
  }

  /** Has keys looked up one after the other, then goes on. What stays unknown is nobody's. */
  lookUp(keys: readonly string[], then: () => void): void {
    const [key, ...others] = keys;
    if (key === undefined) {
      then();
      return;
    }
    const answer = this.#services.parts.grants.refresh(this.#route.sandboxId, key);
    this.#whenGranted(this.#inTime(answer), (compiled) => {
      // An answer may have begun in the meantime.
      if (this.#owner.followsGrants) this.#take(compiled);
      this.#scope?.markAsked(key);
      this.lookUp(others, then);
    });
  }

  #take(compiled: CompiledGrants): void {
    this.#compiled = compiled;
    if (this.#scope !== undefined) this.#scope.view = compiled.index.forHost(this.#route.authority.host);
  }

  #admits(compiled: CompiledGrants): boolean {
    const { authority, token } = this.#route;
    if (token !== undefined && !tokenMatches(token, compiled.grants.tokenHash)) {
      this.#owner.onScopeRefused(failedLogin(this.#services, this.#route.address), undefined);
      return false;
    }
    if (compiled.egress.decide(authority).kind === "denied") {
      this.#owner.onScopeRefused("egress-denied", undefined);
      return false;
    }
    return true;
  }

  /** A lookup may take a bounded time; then the grants at hand decide. */
  #inTime(answer: GrantsAnswer | Promise<GrantsAnswer>): GrantsAnswer | Promise<GrantsAnswer> {
    const compiled = this.#compiled;
    if (!(answer instanceof Promise) || compiled === undefined) return answer;
    const { promise, resolve } = Promise.withResolvers<GrantsAnswer>();
    const timer = setTimeout(
      () => resolve({ kind: "grants", grants: compiled.grants }),
      this.#services.options.limits.lookupTimeoutMs,
    );
    void answer.then((value) => {
      clearTimeout(timer);
      resolve(value);
    });
    return promise;
  }

  #whenGranted(answer: GrantsAnswer | Promise<GrantsAnswer>, then: (compiled: CompiledGrants) => void): void {
    if (answer instanceof Promise) {
      void answer
        .then((value) => this.#whenGranted(value, then))
        .catch((error: unknown) => this.#owner.onScopeCrash(error));
      return;
    }
    if (this.#owner.ended) return;
    switch (answer.kind) {
      case "grants":
        then(this.#services.compile(answer.grants));
        break;
      case "unknown-sandbox":
        this.#owner.onScopeRefused(failedLogin(this.#services, this.#route.address), undefined);
        break;
      case "unavailable":
        this.#owner.onScopeRefused("grants-unavailable", answer.detail);
        break;
      default:
        answer satisfies never;
    }
  }
}
