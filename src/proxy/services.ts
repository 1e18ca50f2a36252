// What every connection of one proxy shares, and the compiled form of a sandbox's grants, made once per version.

import { hash } from "node:crypto";
import type { SecureContext } from "node:tls";
import { Allowances, perMinute } from "../core/allowance.ts";
import { type Authority, formatAuthority } from "../core/authority/authority.ts";
import { HostMatcher } from "../core/authority/pattern.ts";
import { EgressList, EgressRules } from "../core/authority/policy.ts";
import { flatten } from "../core/flat-text.ts";
import type { SandboxGrants } from "../core/grants.ts";
import { Newcomers } from "../core/newcomers.ts";
import type { Clock } from "../core/ports.ts";
import { Rfc3339Writer } from "../core/rfc3339.ts";
import { GrantIndex } from "../core/substitution/grant-index.ts";
import { ScrubberCache } from "../core/substitution/scrubber-cache.ts";
import { Deadlines } from "./deadlines.ts";
import { HeldBytes } from "./held-bytes.ts";
import { Occupancy } from "./occupancy.ts";
import type { Logger, ProxyOptions, ProxyParts } from "./options.ts";
import { UpstreamPool } from "./upstream-pool.ts";

/** A sandbox's grants, ready for decisions. */
export interface CompiledGrants {
  readonly grants: SandboxGrants;
  readonly index: GrantIndex;
  readonly egress: EgressRules;
}

export class Services {
  #options: ProxyOptions;
  /** What clients that speak TLS to the proxy are shown, where it is configured. */
  proxyCertificate: SecureContext | undefined;
  readonly parts: ProxyParts;
  readonly scrubbers = new ScrubberCache();
  /** For deadlines and durations: it never jumps. */
  readonly clock: Clock;
  readonly logger: Logger;
  readonly deadlines: Deadlines;
  readonly pool: UpstreamPool;
  readonly occupancy: Occupancy;
  readonly newcomers: Newcomers;
  /** Wrong credentials, by address. */
  readonly logins: Allowances;
  /** Certificates that were made, by sandbox. */
  readonly minting: Allowances;
  readonly held: HeldBytes;
  /** Set once the proxy drains: answers ask clients to close. */
  draining = false;
  /** Of the fixed sandbox's token, in the form of SandboxGrants.tokenHash. */
  fixedTokenHash: string | undefined;

  #plainHttp = new HostMatcher<true>([]);
  #tunnelHosts = new HostMatcher<true>([]);
  #rawHosts = new EgressList([]);
  #compiled = new WeakMap<SandboxGrants, CompiledGrants>();
  readonly #times = new Rfc3339Writer();
  readonly #idPrefix: string;
  #ids = 0;
  #grantChanges = 0;

  constructor(parts: ProxyParts) {
    this.parts = parts;
    this.#options = parts.options;
    this.proxyCertificate = parts.proxyCertificate;
    this.clock = parts.clock;
    this.logger = parts.logger;
    this.deadlines = new Deadlines(parts.clock);
    this.pool = new UpstreamPool({
      dialler: parts.dialler,
      message: parts.options.limits.message,
      maxIdlePerAuthority: parts.options.limits.maxIdlePerAuthority,
      maxAuthoritiesPerSandbox: parts.options.limits.maxAuthorities,
      maxPerSandbox: parts.options.limits.maxSandboxConnections,
      idleMs: parts.options.limits.upstreamIdleMs,
      stallMs: parts.options.limits.stallTimeoutMs,
      clock: parts.clock,
      deadlines: this.deadlines,
    });
    this.options = parts.options;
    const { limits } = parts.options;
    this.occupancy = new Occupancy(limits.maxSandboxConnections);
    this.newcomers = new Newcomers(limits.maxNewcomers);
    this.logins = new Allowances(perMinute(limits.maxFailedLogins, parts.clock));
    this.minting = new Allowances(perMinute(limits.maxMints, parts.clock));
    this.held = new HeldBytes(limits.maxHeldBytes);
    // Several processes may write one log, and may have started within the same millisecond.
    this.#idPrefix = `${parts.clock().toString(36)}${process.pid.toString(36)}-`;
  }

  get options(): ProxyOptions {
    return this.#options;
  }

  /** From now on every decision is by these; addresses and limits stay. */
  set options(options: ProxyOptions) {
    this.#options = options;
    this.#grantChanges += 1;
    const fixedToken = options.fixedSandbox?.token;
    this.fixedTokenHash = fixedToken === undefined ? undefined : `sha256:${hash("sha256", fixedToken, "hex")}`;
    this.#plainHttp = new HostMatcher(options.plainHttpHosts.map((pattern) => [pattern, true]));
    this.#tunnelHosts = new HostMatcher(options.tunnelHosts.map((pattern) => [pattern, true]));
    this.#rawHosts = new EgressList(options.rawHosts ?? []);
    this.#compiled = new WeakMap();
  }

  /** Grants were replaced. */
  grantsChanged(): void {
    this.#grantChanges += 1;
  }

  /** Another number each time that grants were replaced, and twice a second in any case: then they are judged again. */
  get grantsMoment(): number {
    return this.#grantChanges + this.deadlines.sweeps;
  }

  /** An id for an audit event. */
  nextId(): string {
    this.#ids += 1;
    return flatten(this.#idPrefix + this.#ids.toString(36));
  }

  /** A moment of `clock` as RFC 3339, by the clock on the wall as it is now. */
  timeOf(moment: number): string {
    const { wallClock = Date.now } = this.parts;
    return this.#times.write(wallClock() - (this.clock() - moment));
  }

  compile(grants: SandboxGrants): CompiledGrants {
    const known = this.#compiled.get(grants);
    if (known !== undefined) return known;
    const made = {
      grants,
      index: new GrantIndex(grants, this.options.defaults),
      egress: new EgressRules([this.options.egress, grants.egress]),
    };
    this.#compiled.set(grants, made);
    return made;
  }

  /** Whether a value may go to this destination at all: over TLS, or because the operator lists the host. */
  isSecure(authority: Authority): boolean {
    return authority.scheme === "https" || this.#plainHttp.match(authority.host).length > 0;
  }

  isTunnelListed(authority: Authority): boolean {
    return this.#tunnelHosts.match(authority.host).length > 0;
  }

  /** Whether the operator lets what is neither TLS nor HTTP pass there, granted or not. */
  isRawListed(authority: Authority): boolean {
    return this.#rawHosts.find(authority) !== undefined;
  }

  /** For audit events. */
  describe(authority: Authority | undefined): string | undefined {
    return authority === undefined ? undefined : formatAuthority(authority);
  }
}
