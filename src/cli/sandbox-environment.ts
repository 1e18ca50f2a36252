// The environment of a command that runs as a sandbox.

type Environment = Readonly<Record<string, string | undefined>>;

export interface SandboxEnvironment {
  /** With the sandbox's id and token. */
  readonly proxyUrl: string;
  /** Env name → placeholder. */
  readonly placeholders: Readonly<Record<string, string>>;
  /** From the trust bundle. */
  readonly trust: Readonly<Record<string, string>>;
  /** A PKCS#12 file with the roots to trust. */
  readonly javaTrustStore: string;
  /** Of this machine's loopback; absent where the JVM cannot be served. */
  readonly javaPort: number | undefined;
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
  env.JAVA_TOOL_OPTIONS = [before.JAVA_TOOL_OPTIONS ?? "", ...javaOptions(sandbox, direct)].join(" ").trim();
  return { ...env, ...sandbox.trust, ...sandbox.placeholders };
}

/** The JVM reads none of the variables. `http:` goes past the proxy: its port for the JVM takes CONNECT alone. */
function javaOptions({ javaTrustStore, javaPort }: SandboxEnvironment, direct: string): readonly string[] {
  const properties: Record<string, string | number> = {
    "javax.net.ssl.trustStore": javaTrustStore,
    "javax.net.ssl.trustStoreType": "PKCS12",
  };
  if (javaPort !== undefined) {
    properties["https.proxyHost"] = "127.0.0.1";
    properties["https.proxyPort"] = javaPort;
    // The name is right: it holds for https as well. A star stands where others have none; address ranges are not known.
    properties["http.nonProxyHosts"] = direct.split(",").map(javaPattern).join("|");
  }
  return Object.entries(properties).map(([name, value]) => `-D${name}=${value}`);
}

function javaPattern(entry: string): string {
  return entry.includes(":") ? `[${entry}]` : entry.replace(/^\./, "*.");
}

function mergeLists(...lists: readonly (string | undefined)[]): string {
  const entries = lists.flatMap((list) => (list ?? "").split(/[\s,]+/)).filter((entry) => entry !== "");
  return [...new Set(entries)].join(",");
}
