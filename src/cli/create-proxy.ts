// keyswap as a part of another program, or of its tests: `createProxy` of the package.
//
//   settings ─► a folder of its own (unless one is named) ─► composeStart ─► sandboxes, secrets, events

import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../config/faults.ts";
import { loadConfig } from "../config/load.ts";
import { type SettingKey, variableName } from "../config/settings.ts";
import type { ExchangeEvent, RefusalEvent, TunnelEvent } from "../core/audit.ts";
import { SecretService } from "../sdk/secret-service.ts";
import { openPrivateKeyswap } from "./private-keyswap.ts";
import { registerSandbox, type SandboxRules } from "./registered-sandbox.ts";

export type { ExchangeEvent, RefusalEvent, SettingKey, TunnelEvent };

type SettingValue = string | number | boolean | readonly (string | number)[];

export interface ProxyOptions {
  /**
   * Settings by the names of docs/configuration.md in a configuration file's spelling, camel case: `upstreamCa`,
   * `allowPrivate`. Ports are free ones and there is no admin port unless said here; logs are warnings and worse. `workers` is
   * refused: it is one process, the program's.
   */
  readonly settings?: Readonly<Partial<Record<SettingKey, SettingValue>>>;
}

export interface ProxyEvents {
  exchange: [ExchangeEvent];
  tunnel: [TunnelEvent];
  refusal: [RefusalEvent];
  /** A part ended by itself: close it. */
  failed: [unknown];
}

export interface EmbeddedSandbox extends AsyncDisposable {
  /** With the sandbox's id and token. */
  readonly proxyUrl: string;
  /** PEM. */
  readonly caCertificate: string;
  /** Variable → placeholder. */
  readonly placeholders: Readonly<Record<string, string>>;
}

/** Events are told when an exchange, tunnel or refusal is over; none holds a value. */
export interface EmbeddedProxy extends EventEmitter<ProxyEvents>, AsyncDisposable {
  /** `host:port` of the proxy port. */
  readonly address: string;
  /** Of the Secret API, with `/api`. */
  readonly apiUrl: string;
  readonly secrets: SecretService;
  /**
   * Registers a sandbox that mounts these secrets (variable → name of a secret) until it is disposed of. Rejects with a
   * CliError where a secret does not exist.
   */
  createSandbox(mounts?: Readonly<Record<string, string>>, rules?: SandboxRules): Promise<EmbeddedSandbox>;
  /** Lets exchanges end for `graceMs` at most, then closes everything. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Starts a proxy with its own Secret API. Without `dataDir` in the settings nothing is kept: its folder is removed when it
 * closes. Rejects with an error whose message names every fault of the settings, or what could not be opened.
 */
export async function createProxy({ settings = {} }: ProxyOptions = {}): Promise<EmbeddedProxy> {
  await using stack = new AsyncDisposableStack();
  const folder = settings.dataDir === undefined ? mkdtempSync(join(tmpdir(), "keyswap-")) : undefined;
  if (folder !== undefined) stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const own: typeof settings =
    folder === undefined ? {} : { dataDir: join(folder, "data"), certsDir: join(folder, "certs"), audit: "off" };
  const config = await loadConfig({ command: "run", flags: new Map(), env: asVariables({ ...own, ...settings }) });
  // Whatever this machine's `auto` would be.
  if (settings.workers !== undefined && String(settings.workers) !== "1") {
    const problem = "createProxy runs in one process, the program's own; leave it out, or run keyswap start --workers";
    throw new ConfigError([{ name: variableName("workers"), problem }]);
  }
  const events = new EventEmitter<ProxyEvents>();
  const keyswap = await openPrivateKeyswap(config, {
    shared: folder === undefined,
    observe: (event) => {
      if (event.type === "exchange") events.emit("exchange", event);
      else if (event.type === "tunnel") events.emit("tunnel", event);
      else events.emit("refusal", event);
    },
    onFailed: (error) => events.emit("failed", error),
  });
  let graceMs = 0;
  stack.defer(() => keyswap.close(graceMs));
  const { proxy, apiUrl, apiKey, client } = keyswap;
  const secrets = new SecretService({ apiUrl, apiKey: apiKey.reveal().toString("utf8") });
  const owned = stack.move();
  let closed: Promise<void> | undefined;
  const close = (grace = 0) => {
    graceMs = grace;
    closed ??= owned.disposeAsync();
    return closed;
  };
  return Object.assign(events, {
    address: proxy,
    apiUrl,
    secrets,
    createSandbox: (mounts: Readonly<Record<string, string>> = {}, rules: SandboxRules = {}) => {
      const list = Object.entries(mounts).map(([env, secret]) => ({ env, secret }));
      return registerSandbox(client, list, rules);
    },
    close,
    [Symbol.asyncDispose]: () => close(),
  });
}

function asVariables(settings: NonNullable<ProxyOptions["settings"]>): Record<string, string> {
  const entries = Object.entries(settings) as [SettingKey, SettingValue][]; // its keys are settings
  return Object.fromEntries(
    entries.map(([key, value]) => [variableName(key), Array.isArray(value) ? value.join(",") : String(value)]),
  );
}
