// What programs import from the package: a proxy of their own, and the client for secrets.

import type { EmbeddedProxy, ProxyOptions } from "./cli/create-proxy.ts";

export type {
  EmbeddedProxy,
  EmbeddedSandbox,
  ExchangeEvent,
  ProxyEvents,
  ProxyOptions,
  RefusalEvent,
  SettingKey,
  TunnelEvent,
} from "./cli/create-proxy.ts";
export * from "./sdk/errors.ts";
export { SecretService } from "./sdk/secret-service.ts";
export type { SecretServiceOptions } from "./sdk/transport.ts";
export type * from "./sdk/types.ts";

/**
 * Starts a proxy with its own Secret API in this process:
 *
 *     await using keyswap = await createProxy();
 *     await keyswap.secrets.create({ name: "API", value, hosts: ["api.example.com"] });
 *     await using sandbox = await keyswap.createSandbox({ API_KEY: "API" });
 *     keyswap.on("exchange", (event) => console.log(event.authority, event.substituted));
 *
 * Without `dataDir` in the settings nothing is kept. Rejects where a setting has a fault or something cannot be opened.
 */
export async function createProxy(options: ProxyOptions = {}): Promise<EmbeddedProxy> {
  // Who wants the client alone does not load a proxy.
  return (await import("./cli/create-proxy.ts")).createProxy(options);
}
