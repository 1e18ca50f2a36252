// A private keyswap, a TLS origin on this machine, and one secret that is meant for it: through these each runtime sends a
// real request, as `keyswap run` would let it. All of it is thrown away afterwards.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { loadConfig } from "../config/load.ts";
import { CertificateAuthority } from "../tls/authority.ts";
import { LeafCache } from "../tls/leaf-cache.ts";
import { inShell, type Runtime } from "./doctor-runtimes.ts";
import type { Finding } from "./finding.ts";
import { openJavaPort } from "./java-port.ts";
import { openPrivateKeyswap, type PrivateKeyswap } from "./private-keyswap.ts";
import { registerSandbox } from "./registered-sandbox.ts";
import { sandboxEnvironment } from "./sandbox-environment.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";
import { makeTrustBundle } from "./trust-bundle.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Trial extends AsyncDisposable {
  /** Lets the runtime send its request and says whether the real value arrived. */
  try(runtime: Runtime): Promise<Finding>;
}

/** A cold compiler takes its time. */
const TRIAL_TIMEOUT_MS = 120_000;
const HOST = "doctor.localhost";
const VARIABLE = "DOCTOR_TOKEN";

/** Throws CliError where the trial cannot be set up. */
export async function openTrial(before: Environment): Promise<Trial> {
  await using stack = new AsyncDisposableStack();
  const folder = makeTemporaryFolder("keyswap-doctor-");
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const value = randomBytes(24).toString("base64url");
  const origin = stack.use(await openOrigin(join(folder, "origin")));
  const audit = join(folder, "audit.jsonl");
  const { client } = stack.use(await openTrialKeyswap(folder, origin.caPath, audit));
  await client.call("POST", "/secret", { name: "DOCTOR", value, hosts: [HOST] });
  const sandbox = stack.use(await registerSandbox(client, [{ env: VARIABLE, secret: "DOCTOR" }], {}));
  const trust = stack.use(makeTrustBundle(sandbox.caCertificate, before));
  const java = stack.use((await openJavaPort(sandbox.proxyUrl)) ?? noPort);
  const env = sandboxEnvironment(before, { ...sandbox, ...trust, trust: trust.env, javaPort: java.port });
  // The origin's name is one that clients would otherwise reach directly.
  for (const name of ["NO_PROXY", "no_proxy"]) delete env[name];
  const placeholder = env[VARIABLE]!;
  const owned = stack.move();
  return {
    async try(runtime) {
      const { name, command, runs = command, advice } = runtime;
      if (!isOnPath(command, before)) return { subject: name, state: "skipped", detail: "not found" };
      const path = `/${encodeURIComponent(name)}`;
      const url = `https://${HOST}:${origin.port}${path}`;
      const source = runtime.source?.(url);
      const file = source === undefined ? "" : join(folder, source.name);
      if (source !== undefined) writeFileSync(file, source.text);
      const auditedBefore = countLines(audit);
      const args = runtime.args(url, file).map((arg) => arg.replace(inShell, placeholder));
      const version = await run(command, runtime.versionArgs, { ...env, ...runtime.env });
      const outcome = await run(runs, args, { ...env, ...runtime.env });
      const detail = version.output.split("\n").find((line) => /\d/.test(line) && !line.startsWith("Picked up")) ?? "";
      const seen = origin.seen.get(path);
      if (seen === `Bearer ${value}`) return { subject: name, state: "ok", detail: detail.trim() };
      const reason = seen === undefined ? outcome.reason : "its request arrived without the secret";
      const said = outcome.output.replaceAll(value, "***").replaceAll(placeholder, "…").trim().split("\n").at(-1);
      const way = await cameThrough(audit, auditedBefore);
      return {
        subject: name,
        state: "failed",
        detail: `${detail.trim()}: ${way ? "used the proxy, but" : "did not use the proxy:"} ${reason}${said ? ` (${said.slice(0, 200)})` : ""}`,
        advice: `Set ${advice}.`,
      };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const noPort = { port: undefined, [Symbol.asyncDispose]: async () => {} };

async function openOrigin(folder: string) {
  const authority = await CertificateAuthority.open(folder, Date.now);
  const leaves = new LeafCache(authority, { maxLeaves: 1, clock: Date.now });
  const seen = new Map<string, string | undefined>();
  const server = createServer(
    { SNICallback: (_name, answer) => answer(null, leaves.contextFor(HOST)) },
    (request, response) => {
      // git asks below the path that it was given.
      const [path = ""] = /^\/[^/?]*/.exec(request.url ?? "") ?? [];
      seen.set(path, request.headers.authorization);
      response.end("ok\n");
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    // A server that listens on a host has an address of this form.
    port: (server.address() as AddressInfo).port,
    caPath: authority.certificatePath,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function openTrialKeyswap(folder: string, upstreamCa: string, audit: string): Promise<PrivateKeyswap> {
  const env = {
    KEYSWAP_DATA_DIR: join(folder, "data"),
    KEYSWAP_CERTS_DIR: join(folder, "certs"),
    KEYSWAP_PROXY_LISTEN: "127.0.0.1:0",
    KEYSWAP_API_LISTEN: "127.0.0.1:0",
    KEYSWAP_UPSTREAM_CA: upstreamCa,
    KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8,::1",
    KEYSWAP_AUDIT: audit,
    KEYSWAP_LOG_LEVEL: "error",
  };
  return openPrivateKeyswap(await loadConfig({ command: "run", flags: new Map(), env, home: folder }));
}

function isOnPath(command: string, { PATH = "" }: Environment): boolean {
  return PATH.split(delimiter).some((folder) => folder !== "" && existsSync(join(folder, command)));
}

function run(command: string, args: readonly string[], env: Record<string, string>) {
  return new Promise<{ readonly reason: string; readonly output: string }>((resolve) => {
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"], timeout: TRIAL_TIMEOUT_MS });
    let output = "";
    const keep = (part: Buffer) => {
      output = (output + part.toString("utf8")).slice(-4096);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", (error) => resolve({ reason: error.message, output }));
    child.on("close", (code, signal) => resolve({ reason: `it ended with ${signal ?? code}`, output }));
  });
}

/** Audit events are written in batches. */
const AUDIT_WAIT_MS = 1_500;

/** Whether the proxy has heard of the request. */
async function cameThrough(audit: string, linesBefore: number): Promise<boolean> {
  const until = Date.now() + AUDIT_WAIT_MS;
  while (countLines(audit) <= linesBefore && Date.now() < until) await new Promise((done) => setTimeout(done, 50));
  return countLines(audit) > linesBefore;
}

function countLines(path: string): number {
  return existsSync(path) ? readFileSync(path, "latin1").split("\n").length - 1 : 0;
}
