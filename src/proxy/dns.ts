// Names to addresses: hosts file, then DNS with its TTL, then the system's resolver.
//
// DNS is asked with c-ares, off the thread pool. The system's resolver (which also knows search domains, mDNS and the
// like) blocks a thread of that pool, so few run at a time: a flood of names that do not exist must not stop file
// access and cryptography. One look-up is in flight per name, failures are kept shortly, every bound has a name.

import { type LookupAddress, lookup } from "node:dns";
import { Resolver } from "node:dns/promises";
import { LRUCache } from "lru-cache";
import { type Host, isIpLiteral } from "../core/authority/host.ts";
import { type IpAddress, parseIp } from "../core/authority/ip.ts";
import { KeyswapError } from "../core/errors.ts";
import type { Clock } from "../core/ports.ts";
import { FileWatch, HostsFile } from "./hosts-file.ts";

export interface NameResolverOptions {
  readonly clock: Clock;
  /** `address` or `address:port`; default: the system's, followed when /etc/resolv.conf changes. */
  readonly servers?: readonly string[];
  readonly hostsPath?: string;
  /** Default true; false leaves out the last step. */
  readonly useSystem?: boolean;
  /** Bound on one resolution as a caller sees it. */
  readonly timeoutMs?: number;
  /** Bound on names remembered. */
  readonly maxNames?: number;
  /** Bound on resolutions under way. */
  readonly maxPending?: number;
  /** Bound on those that one sandbox has started: its own name servers may never answer. */
  readonly maxPendingPerSandbox?: number;
}

const minTtlMs = 1000;
const maxTtlMs = 300_000;
const failureTtlMs = 1000;
const systemTtlMs = 5000;
/** How long a family's answer waits for the other's (RFC 8305, section 3). */
const resolutionDelayMs = 50;
/** Of the thread pool's four threads. */
const maxSystemLookups = 2;
const maxSystemQueue = 64;
const queryTimeoutMs = 2000;
const queryTries = 2;

/** What a look-up came to, and for how long that holds. */
type Outcome =
  | { readonly kind: "addresses"; readonly addresses: readonly IpAddress[]; readonly ttlMs: number }
  | { readonly kind: "failed"; readonly code: "dns-failed" | "dns-timeout"; readonly detail: string };

interface Entry {
  readonly outcome: Outcome;
  readonly from: number;
  readonly until: number;
}

const loopback = ["127.0.0.1", "::1"].flatMap((text) => parseIp(text) ?? []);

export class NameResolver {
  readonly #clock: Clock;
  readonly #servers: readonly string[] | undefined;
  readonly #hosts: HostsFile;
  readonly #resolvConf: FileWatch;
  readonly #useSystem: boolean;
  readonly #timeoutMs: number;
  readonly #maxPending: number;
  readonly #maxPendingPerSandbox: number;
  readonly #names: LRUCache<string, Entry>;
  readonly #pending = new Map<string, Promise<Outcome>>();
  readonly #pendingOf = new Map<string, number>();
  readonly #system = new Gate(maxSystemLookups, maxSystemQueue);
  #dns: Resolver | undefined;

  constructor(options: NameResolverOptions) {
    this.#clock = options.clock;
    this.#servers = options.servers;
    this.#hosts = new HostsFile(options.hostsPath ?? "/etc/hosts", options.clock);
    this.#resolvConf = new FileWatch("/etc/resolv.conf", options.clock);
    this.#useSystem = options.useSystem ?? true;
    this.#timeoutMs = options.timeoutMs ?? 5000;
    this.#maxPending = options.maxPending ?? 1024;
    this.#maxPendingPerSandbox = options.maxPendingPerSandbox ?? this.#maxPending / 4;
    this.#names = new LRUCache({ max: options.maxNames ?? 4096 });
  }

  /**
   * At least one address, in no particular order of families; at once where it is known. Nothing is said about whether
   * an address may be dialled. Fails with KeyswapError: dns-failed, dns-timeout, overloaded, sandbox-overloaded.
   * `sandboxId`: on whose behalf, where it is on anyone's.
   */
  resolve(host: Host, sandboxId?: string): readonly IpAddress[] | Promise<readonly IpAddress[]> {
    if (isIpLiteral(host)) {
      const ip = parseIp(host);
      return ip === undefined ? Promise.reject(new KeyswapError("host-invalid")) : [ip];
    }
    const listed = this.#hosts.find(host);
    if (listed !== undefined) return listed;
    // Never asked of DNS, which could answer otherwise (RFC 6761, 6.3).
    if (host === "localhost" || host.endsWith(".localhost")) return loopback;

    const known = this.#known(host);
    if (known?.kind === "addresses") return known.addresses;
    if (known !== undefined) return Promise.reject(failure(host, known));
    return this.#wait(host, sandboxId);
  }

  #known(host: Host): Outcome | undefined {
    const entry = this.#names.get(host);
    if (entry === undefined) return undefined;
    const now = this.#clock();
    return now >= entry.from && now < entry.until ? entry.outcome : undefined;
  }

  async #wait(host: Host, sandboxId: string | undefined): Promise<readonly IpAddress[]> {
    let pending = this.#pending.get(host);
    if (pending === undefined) {
      if (this.#pending.size >= this.#maxPending) throw new KeyswapError("overloaded", "too many names to resolve");
      const started = sandboxId === undefined ? 0 : (this.#pendingOf.get(sandboxId) ?? 0);
      if (started >= this.#maxPendingPerSandbox) throw new KeyswapError("sandbox-overloaded", "names to resolve");
      pending = this.#start(host, sandboxId);
    }
    const outcome = await withDeadline(pending, this.#timeoutMs);
    if (outcome === undefined) throw new KeyswapError("dns-timeout", host);
    if (outcome.kind === "failed") throw failure(host, outcome);
    return outcome.addresses;
  }

  /** Answers as early as possible; what is remembered is the whole answer, even where every caller gave up on it. */
  #start(host: Host, sandboxId: string | undefined): Promise<Outcome> {
    const early = Promise.withResolvers<Outcome>();
    const whole = this.#lookUp(host, early.resolve).then((outcome) => {
      early.resolve(outcome);
      const from = this.#clock();
      const ttlMs = outcome.kind === "addresses" ? outcome.ttlMs : failureTtlMs;
      this.#names.set(host, { outcome, from, until: from + ttlMs });
    });
    // `#lookUp` does not reject; were it to, the callers must not hang and the name must not stay pending.
    whole.catch(early.reject).finally(() => {
      this.#pending.delete(host);
      this.#count(sandboxId, -1);
    });
    this.#pending.set(host, early.promise);
    this.#count(sandboxId, 1);
    return early.promise;
  }

  #count(sandboxId: string | undefined, change: 1 | -1): void {
    if (sandboxId === undefined) return;
    const count = (this.#pendingOf.get(sandboxId) ?? 0) + change;
    if (count === 0) this.#pendingOf.delete(sandboxId);
    else this.#pendingOf.set(sandboxId, count);
  }

  async #lookUp(host: Host, early: (outcome: Outcome) => void): Promise<Outcome> {
    const dns = this.#resolver();
    const found: Answer[] = [];
    let timer: NodeJS.Timeout | undefined;
    const query = async (
      answers: Promise<readonly { address: string; ttl: number }[]>,
    ): Promise<string | undefined> => {
      try {
        const answer = readAnswers(await answers);
        if (answer === undefined) return "ENODATA";
        found.push(answer);
        timer ??= setTimeout(() => early(merge(found)), resolutionDelayMs);
        return undefined;
      } catch (error) {
        return codeOf(error);
      }
    };
    const codes = await Promise.all([
      query(dns.resolve6(host, { ttl: true })),
      query(dns.resolve4(host, { ttl: true })),
    ]);
    clearTimeout(timer);
    if (found.length > 0) return merge(found);

    const timedOut = codes.includes("ETIMEOUT");
    const dnsFailure: Outcome = {
      kind: "failed",
      code: timedOut ? "dns-timeout" : "dns-failed",
      detail: codes[1] ?? "ENODATA",
    };
    if (!this.#useSystem) return dnsFailure;
    const system = await this.#system.run(() => lookUpSystem(host));
    return system?.kind === "addresses" ? system : dnsFailure;
  }

  #resolver(): Resolver {
    const changed = this.#servers === undefined && this.#resolvConf.hasChanged();
    if (this.#dns === undefined || changed) {
      this.#dns = new Resolver({ timeout: queryTimeoutMs, tries: queryTries });
      if (this.#servers !== undefined) this.#dns.setServers(this.#servers);
    }
    return this.#dns;
  }
}

interface Answer {
  readonly addresses: readonly IpAddress[];
  readonly ttlMs: number;
}

function readAnswers(records: readonly { address: string; ttl: number }[]): Answer | undefined {
  const addresses = records.flatMap(({ address }) => parseIp(address) ?? []);
  if (addresses.length === 0) return undefined;
  return { addresses, ttlMs: Math.min(...records.map(({ ttl }) => ttl)) * 1000 };
}

function merge(answers: readonly Answer[]): Outcome {
  const ttlMs = Math.min(...answers.map((answer) => answer.ttlMs));
  return {
    kind: "addresses",
    addresses: answers.flatMap((answer) => answer.addresses),
    ttlMs: Math.min(Math.max(ttlMs, minTtlMs), maxTtlMs),
  };
}

function lookUpSystem(host: Host): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  lookup(host, { all: true, order: "verbatim" }, (error, found: LookupAddress[] = []) => {
    // An address with a zone id is of one link only and is passed over.
    const addresses = found.flatMap(({ address }) => parseIp(address) ?? []);
    if (addresses.length > 0) resolve({ kind: "addresses", addresses, ttlMs: systemTtlMs });
    else resolve({ kind: "failed", code: "dns-failed", detail: error === null ? "ENODATA" : codeOf(error) });
  });
  return promise;
}

function failure(host: Host, outcome: Outcome & { kind: "failed" }): KeyswapError {
  return new KeyswapError(outcome.code, `${host}: ${outcome.detail}`);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}

async function withDeadline<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Lets a few run at a time and a bounded number wait; answers undefined for the rest. */
class Gate {
  readonly #maxRunning: number;
  readonly #maxWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(maxRunning: number, maxWaiting: number) {
    this.#maxRunning = maxRunning;
    this.#maxWaiting = maxWaiting;
  }

  async run<T>(task: () => Promise<T>): Promise<T | undefined> {
    if (this.#running >= this.#maxRunning) {
      if (this.#waiting.length >= this.#maxWaiting) return undefined;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      // Whoever ends hands its place over, so the count stays.
      await promise;
    } else {
      this.#running += 1;
    }
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
