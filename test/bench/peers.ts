// The processes of the benchmark: the origin, http-proxy, and keyswap with everything on, as a user starts it.

import { type ChildProcess, fork } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makePki } from "../support/pki.ts";
import { makeWorkbench } from "../support/workbench.ts";
import { type Target, trust } from "./load.ts";
import { hostName, type OriginSetup, type ProxySetup, secretValue } from "./scenario.ts";

export interface Contender {
  readonly name: string;
  /** Undefined: nothing stands between client and origin. */
  readonly pid: number | undefined;
  readonly target: Target;
}

export interface Peers extends AsyncDisposable {
  readonly contenders: readonly Contender[];
}

async function startPeer(
  file: string,
  setup: OriginSetup | ProxySetup,
): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(join(import.meta.dirname, file), {
    // http-proxy calls what Node has deprecated.
    execArgv: ["--no-deprecation"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  child.send(setup);
  const { port } = await new Promise<{ port: number }>((resolve, reject) => {
    child.once("message", (message) => resolve(message as { port: number })); // its own word
    child.once("exit", (code) => reject(new Error(`${file} ended with ${code}`)));
  });
  return { child, port };
}

export async function startPeers(): Promise<Peers> {
  const pki = makePki();
  const { certPem: cert, keyPem: key } = pki.issue([hostName]);
  const fixed = "dtn_secret_0123456789abcdefghijklmno";
  const origin = await startPeer("origin-peer.ts", { cert, key });
  const setup = { cert, key, ca: pki.caPem, port: origin.port, placeholder: fixed, secret: secretValue };
  const reference = await startPeer("http-proxy-peer.ts", setup);
  const bench = makeWorkbench({ KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8" });
  const caFile = join(bench.env.HOME!, "origin-ca.pem");
  writeFileSync(caFile, pki.caPem);
  let isStopped = false;
  const keyswap = await bench.start(["start"], { env: { KEYSWAP_UPSTREAM_CA: caFile } });
  // A run that is cut short leaves nothing behind; the other two see that their channel closes.
  process.once("exit", () => {
    if (!isStopped) process.kill(keyswap.pid);
  });
  process.once("SIGTERM", () => process.exit(143));
  const apiKey = readFileSync(join(bench.dataDir, "api-key"), "utf8").trim();
  const post = async (path: string, body: object): Promise<unknown> => {
    const answer = await fetch(`${keyswap.ready.api}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  // The API's own documented answers.
  const secret = (await post("/secret", { name: "BENCH", value: secretValue, hosts: [hostName] })) as {
    placeholder: string;
  };
  const sandbox = (await post("/sandbox", { secrets: [{ BENCH: "BENCH" }] })) as { egress: { proxyUrl: string } };
  const { username, password } = new URL(sandbox.egress.proxyUrl);
  const credentials = Buffer.from(`${username}:${password}`).toString("base64");

  const originTrust = trust(pki.caPem);
  const common = { originPort: origin.port, placeholder: fixed, writesBodies: false };
  return {
    contenders: [
      { name: "direct", pid: undefined, target: { ...common, port: origin.port, context: originTrust } },
      {
        name: "http-proxy",
        pid: reference.child.pid,
        target: { ...common, port: reference.port, context: originTrust },
      },
      {
        name: "keyswap",
        pid: keyswap.pid,
        target: {
          port: Number(keyswap.ready.proxy.split(":").at(-1)),
          context: trust(readFileSync(keyswap.ready.ca, "utf8")),
          proxyAuthorization: `Basic ${credentials}`,
          originPort: origin.port,
          placeholder: secret.placeholder,
          writesBodies: true,
        },
      },
    ],
    [Symbol.asyncDispose]: async () => {
      origin.child.kill();
      reference.child.kill();
      await keyswap.stop();
      isStopped = true;
      await bench[Symbol.asyncDispose]();
    },
  };
}
