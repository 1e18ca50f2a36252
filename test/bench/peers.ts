// The processes of the benchmark: the origin, http-proxy, and keyswap with everything on, as a user starts it.

import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { makePki } from "../support/pki.ts";
import { type Target, trust } from "./load.ts";
import { hostName, type OriginSetup, type ProxySetup, secretValue } from "./scenario.ts";
import { startSubject } from "./subject.ts";

export interface Contender {
  readonly name: string;
  /** Undefined: nothing stands between client and origin. */
  readonly pid: number | undefined;
  readonly target: Target;
}

export interface Peers extends AsyncDisposable {
  readonly contenders: readonly Contender[];
}

export async function startPeer(
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
  const keyswap = await startSubject({ port: origin.port, caPem: pki.caPem });
  // The other two see that their channel closes.
  process.once("SIGTERM", () => process.exit(143));
  // The API's own documented answer.
  const secret = (await keyswap.post("/secret", { name: "BENCH", value: secretValue, hosts: [hostName] })) as {
    placeholder: string;
  };

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
        target: await keyswap.sandbox([{ BENCH: "BENCH" }], secret.placeholder),
      },
    ],
    [Symbol.asyncDispose]: async () => {
      origin.child.kill();
      reference.child.kill();
      await keyswap[Symbol.asyncDispose]();
    },
  };
}
