// Doctor's checks of this machine and of the configuration.

import { X509Certificate } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, statSync } from "node:fs";
import { connect as connectTcp, createServer, isIP, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { connect as connectTls } from "node:tls";
import type { Config } from "../config/settings.ts";
import { variableName } from "../config/settings.ts";
import { expiryWarning } from "../tls/authority.ts";
import { formatAddress } from "./address.ts";
import { findRunningApi, type RunningApi } from "./api-access.ts";
import { ApiClient, type JsonObject } from "./api-client.ts";
import { CliError } from "./cli-error.ts";
import { codeOf, DataFolder } from "./data-folder.ts";
import type { Finding } from "./finding.ts";
import { missingFolders } from "./make-folder.ts";
import { listSecrets } from "./secret-list.ts";

export function checkDataFolder({ dataDir }: Config): Finding {
  const subject = "data folder";
  const [missing] = missingFolders(dataDir);
  const nearest = missing === undefined ? dataDir : dirname(missing);
  try {
    accessSync(nearest, constants.R_OK | constants.W_OK | constants.X_OK);
    if (nearest === dataDir) return { subject, state: "ok", detail: dataDir };
    return { subject, state: "note", detail: `${dataDir} is made by the first start` };
  } catch (error) {
    const advice = `Give it to the user that runs keyswap, or set ${variableName("dataDir")}.`;
    return { subject, state: "failed", detail: `${dataDir} cannot be written (${codeOf(error)})`, advice };
  }
}

export function checkAuthority({ certsDir }: Config, now: number): readonly Finding[] {
  const [path, keyPath] = [join(certsDir, "ca.pem"), join(certsDir, "ca-key.pem")];
  const subject = "CA";
  if (!existsSync(path)) return [{ subject, state: "note", detail: `${path} is made by the first start` }];
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(readFileSync(path));
  } catch (error) {
    const detail = `${path} cannot be read (${codeOf(error)})`;
    return [{ subject, state: "failed", detail, advice: "Put the certificate back from a backup." }];
  }
  const [from, to] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  const clock: Finding =
    now < from
      ? {
          subject: "clock",
          state: "failed",
          detail: `it says ${new Date(now).toISOString()}, before the CA was made`,
          advice: "Set the clock: nothing that keyswap signs is valid for programs with this time.",
        }
      : { subject: "clock", state: "ok", detail: new Date(now).toISOString() };
  const findings: Finding[] = [clock];
  const end = certificate.validToDate.toISOString().slice(0, 10);
  if (now > to)
    findings.push({ subject, state: "failed", detail: `${path} expired on ${end}`, advice: "Make a new one." });
  else if (expiryWarning({ notAfter: certificate.validToDate }, now) !== undefined)
    findings.push({ subject, state: "note", detail: `${path} expires soon: on ${end}` });
  else findings.push({ subject, state: "ok", detail: `${path}, valid until ${end}` });
  if (existsSync(keyPath) && (statSync(keyPath).mode & 0o077) !== 0) {
    const detail = `${keyPath} can be read by other users`;
    findings.push({ subject: "CA key", state: "failed", detail, advice: `chmod 600 ${keyPath}` });
  }
  return findings;
}

export interface ServiceCheck {
  readonly findings: readonly Finding[];
  /** Undefined where they were not read. */
  readonly secrets: readonly JsonObject[] | undefined;
}

/** Whether a keyswap runs and answers, and its proxy with it; where none runs, whether its ports are free. */
export async function checkService(config: Config): Promise<ServiceCheck> {
  const subject = "Secret API";
  const isRemote = config.secretApiUrl !== undefined;
  let running: RunningApi | undefined;
  try {
    // Nothing runs on a folder that is not there; looking would make it.
    running = isRemote || existsSync(config.dataDir) ? await findRunningApi(config) : undefined;
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    // A machine with a proxy alone has the proxy's key, and need not have one that lists secrets.
    const unasked: Finding = { subject, state: isRemote ? "note" : "failed", detail: `not asked: ${error.message}` };
    return { findings: [unasked, ...(isRemote ? [await checkProxy(config)] : [])], secrets: undefined };
  }
  if (running === undefined) {
    const none: Finding = { subject: "keyswap", state: "note", detail: "none is running" };
    return { findings: [none, ...(await checkPorts(config))], secrets: undefined };
  }
  const proxy = await checkProxy(config);
  const client = new ApiClient(running);
  try {
    const secrets = await listSecrets(client);
    const detail = `${running.url} answers, ${secrets.length} secret${secrets.length === 1 ? "" : "s"}`;
    return { findings: [{ subject, state: "ok", detail }, proxy], secrets };
  } catch (error) {
    const detail = error instanceof Error ? error.message : "no answer";
    const advice = `Check ${variableName("secretApiUrl")} and ${variableName("apiKey")}.`;
    return { findings: [{ subject, state: "failed", detail, advice }, proxy], secrets: undefined };
  } finally {
    client.close();
  }
}

function checkPorts(config: Config): Promise<readonly Finding[]> {
  const keys = ["proxyListen", "apiListen", "adminListen", "tlsListen", "httpListen"] as const;
  const given = keys.flatMap((key) => (config[key] === undefined ? [] : [{ key, address: config[key] }]));
  return Promise.all(
    given.map(async ({ key, address }): Promise<Finding> => {
      const subject = `port ${formatAddress(address)}`;
      const fault = await tryListen(address);
      if (fault === undefined) return { subject, state: "ok", detail: "free" };
      return { subject, state: "failed", detail: `cannot be taken (${fault})`, advice: `Set ${variableName(key)}.` };
    }),
  );
}

/**
 * Whether the proxy that goes with a Secret API takes connections. One whose place was never said is this machine's own
 * and has to; a URL that is meant for sandboxes need not lead anywhere from here, and neither has a machine whose API is
 * elsewhere to run a proxy.
 */
async function checkProxy(config: Config): Promise<Finding> {
  const { configuredProxyUrl } = await import("./compose.ts");
  const own = DataFolder.open(config.dataDir).readRunRecord()?.proxy;
  const isElsewhere = config.secretApiUrl !== undefined;
  const url = own === undefined || isElsewhere ? configuredProxyUrl(config) : `http://${own}`;
  const subject = `proxy ${url}`;
  const fault = await tryReach(new URL(url));
  if (fault === undefined) return { subject, state: "ok", detail: "takes connections" };
  const detail = `takes no connections from here (${fault})`;
  if (isElsewhere || config.proxyUrl !== undefined) return { subject, state: "note", detail };
  const advice = `Start keyswap proxy, or set ${variableName("proxyUrl")} to where sandboxes reach one.`;
  return { subject, state: "failed", detail, advice };
}

function tryReach({ protocol, hostname, port }: URL): Promise<string | undefined> {
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  return faultOf(connectTcp({ host, port: Number(port || (protocol === "https:" ? 443 : 80)) }), "connect");
}

/** Why a connection does not come about, as it tells by `event` that it has; it is not kept. */
function faultOf(socket: Socket, event: "connect" | "secureConnect"): Promise<string | undefined> {
  return new Promise((resolve) => {
    const end = (fault?: string) => {
      socket.destroy();
      resolve(fault);
    };
    socket.setTimeout(REACH_TIMEOUT_MS, () => end(`no answer in ${REACH_TIMEOUT_MS / 1000} s`));
    socket.on("error", (error) => end(codeOf(error)));
    socket.on(event, () => end());
  });
}

function tryListen(address: { readonly host: string; readonly port: number }): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", (error) => resolve(codeOf(error)));
    server.listen(address.port, address.host, () => server.close(() => resolve(undefined)));
  });
}

const MAX_HOSTS = 5;
const REACH_TIMEOUT_MS = 5_000;

/** Whether hosts that secrets are for can be reached from here, directly, with a certificate that this machine trusts. */
export async function checkHosts(
  config: Config,
  secrets: readonly JsonObject[] | undefined,
): Promise<readonly Finding[]> {
  const subject = "upstream";
  if (config.upstreamProxy !== undefined) return [{ subject, state: "skipped", detail: "a parent proxy is set" }];
  if (secrets === undefined) return [{ subject, state: "skipped", detail: "secrets were not read" }];
  const named = secrets.flatMap(({ hosts }) => (Array.isArray(hosts) ? hosts.map(String) : []));
  const hosts = [...new Set(named)].filter((host) => !host.startsWith("*.")).slice(0, MAX_HOSTS);
  if (hosts.length === 0) return [{ subject, state: "skipped", detail: "no secret names a host to try" }];
  const extra = config.upstreamCa === undefined ? undefined : readFileSync(config.upstreamCa, "utf8");
  return Promise.all(
    hosts.map(async (host): Promise<Finding> => {
      const fault = await tryConnect(host, extra);
      if (fault === undefined) return { subject: `upstream ${host}`, state: "ok", detail: "TLS to port 443" };
      return { subject: `upstream ${host}`, state: "note", detail: `not reached from here (${fault})` };
    }),
  );
}

function tryConnect(host: string, extraCa: string | undefined): Promise<string | undefined> {
  // An address is no name that SNI could hold (RFC 6066, section 3); Node refuses one. IPv6 is on no host list.
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const ca = extraCa === undefined ? {} : { ca: extraCa };
  return faultOf(connectTls({ host, port: 443, ...servername, ...ca }), "secureConnect");
}
