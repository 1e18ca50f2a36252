// What a sandbox's environment needs to go out through the proxy.

import type { Mount } from "../core/store.ts";

/** `http://<id>:<token>@host:port`. The port always stands: curl takes 1080 for a proxy without one. */
export function proxyUrlFor(base: string, sandboxId: string, token: string): string {
  const url = new URL(base);
  const port = url.port !== "" ? url.port : url.protocol === "https:" ? "443" : "80";
  return `${url.protocol}//${encodeURIComponent(sandboxId)}:${encodeURIComponent(token)}@${url.hostname}:${port}`;
}

/** Programs disagree on the spelling, so both are set; loopback stays direct. */
export function proxyEnvironment(proxyUrl: string): Record<string, string> {
  const noProxy = "localhost,127.0.0.1,::1";
  return {
    HTTP_PROXY: proxyUrl,
    HTTPS_PROXY: proxyUrl,
    ALL_PROXY: proxyUrl,
    NO_PROXY: noProxy,
    http_proxy: proxyUrl,
    https_proxy: proxyUrl,
    all_proxy: proxyUrl,
    no_proxy: noProxy,
    // Node's own fetch and http take the variables above only with this one.
    NODE_USE_ENV_PROXY: "1",
  };
}

/** Each mount's variable holds the placeholder. */
export function placeholderEnvironment(mounts: readonly Mount[]): Record<string, string> {
  return Object.fromEntries(mounts.map((mount) => [mount.env, mount.placeholder]));
}
