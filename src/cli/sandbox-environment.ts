// The environment of a command that runs as a sandbox.

type Environment = Readonly<Record<string, string | undefined>>;

export interface SandboxEnvironment {
  /** With the sandbox's id and token. */
  readonly proxyUrl: string;
  /** Env name → placeholder. */
  readonly placeholders: Readonly<Record<string, string>>;
  /** From the trust bundle. */
  readonly trust: Readonly<Record<string, string>>;
}

/** Goes past the proxy, besides what the caller's NO_PROXY says. */
const DIRECT = ["localhost", "127.0.0.1", "::1"];

/** `before`, changed so that programs go through the proxy, trust it and find placeholders. */
export function sandboxEnvironment(before: Environment, sandbox: SandboxEnvironment): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(before)) {
    // keyswap's own keys and settings are no business of the sandbox.
    if (value !== undefined && !name.startsWith("KEYSWAP_")) env[name] = value;
  }
  // Programs disagree on the spelling.
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]) {
    env[name] = sandbox.proxyUrl;
    env[name.toLowerCase()] = sandbox.proxyUrl;
  }
  const direct = mergeLists(before.NO_PROXY, before.no_proxy, DIRECT.join(","));
  env.NO_PROXY = direct;
  env.no_proxy = direct;
  // Node's own fetch and http follow the variables above only with this one.
  env.NODE_USE_ENV_PROXY = "1";
  return { ...env, ...sandbox.trust, ...sandbox.placeholders };
}

function mergeLists(...lists: readonly (string | undefined)[]): string {
  const entries = lists.flatMap((list) => (list ?? "").split(/[\s,]+/)).filter((entry) => entry !== "");
  return [...new Set(entries)].join(",");
}
