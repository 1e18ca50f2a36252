// A running service, as `serve` and `run` hold it.

import type { Config } from "../config/settings.ts";

/** Answers a function that puts the configuration into force and names what changed beside settings. */
export type PrepareReload = (config: Config) => Promise<() => readonly string[]>;

/** As the ready line tells them. */
export interface ServiceAddresses {
  readonly proxy?: string;
  /** Transparent ports, and DNS for sandboxes that are steered by it. */
  readonly tls?: string;
  readonly http?: string;
  readonly dns?: string;
  readonly api?: string;
  readonly admin?: string;
  readonly ca?: string;
}

export interface Service {
  readonly addresses: ServiceAddresses;
  /** Rejects when a part ends by itself; never resolves. */
  readonly failed: Promise<never>;
  /** Answers a function that puts a new configuration into force; throws CliError where it cannot be. */
  readonly prepareReload?: PrepareReload | undefined;
  /** Drains for `graceMs` at most, then closes everything. */
  close(graceMs: number): Promise<void>;
}

/** What the parts of one service share while it is put together. */
export interface Assembly {
  /** Closes in reverse order; moved out of reach of a failing start once everything is open. */
  readonly stack: AsyncDisposableStack;
  /** How long the proxy may drain; set just before closing. */
  readonly drain: { graceMs: number };
  /** Grows as listeners come; the dialler refuses to reach any of them. */
  readonly listening: { readonly host: string; readonly port: number }[];
}

export function newAssembly(): Assembly & AsyncDisposable {
  const stack = new AsyncDisposableStack();
  return { stack, drain: { graceMs: 0 }, listening: [], [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** The service made of an assembly in which everything is open. */
export function assembled(
  assembly: Assembly,
  addresses: ServiceAddresses,
  failed: Promise<never>,
  prepareReload?: PrepareReload,
): Service {
  const stack = assembly.stack.move();
  let closed: Promise<void> | undefined;
  return {
    addresses,
    failed,
    prepareReload,
    close: (graceMs) => {
      assembly.drain.graceMs = graceMs;
      closed ??= stack.disposeAsync();
      return closed;
    },
  };
}
