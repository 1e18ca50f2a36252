// A keyswap with everything on, as a user starts it, and what the benchmarks set up in it.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeWorkbench } from "../support/workbench.ts";
import { type Target, trust } from "./load.ts";

export interface Subject extends AsyncDisposable {
  readonly pid: number;
  /** Creates something by the Secret API and answers what it answers. Throws where it is refused. */
  post(path: string, body: object): Promise<unknown>;
  /** A sandbox with these mounts, as the benchmark's clients use it. */
  sandbox(mounts: readonly Readonly<Record<string, string>>[], placeholder: string): Promise<Target>;
}

export interface OriginPeer {
  readonly port: number;
  /** Of its certificate. */
  readonly caPem: string;
}

/** `env`: further settings. */
export async function startSubject(origin: OriginPeer, env: Readonly<Record<string, string>> = {}): Promise<Subject> {
  const bench = makeWorkbench({ KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8", ...env });
  const caFile = join(bench.env.HOME!, "origin-ca.pem");
  writeFileSync(caFile, origin.caPem);
  const keyswap = await bench.start(["start"], { env: { KEYSWAP_UPSTREAM_CA: caFile } });
  // A run that is cut short leaves nothing behind.
  const kill = (): void => void process.kill(keyswap.pid);
  process.once("exit", kill);
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
  return {
    pid: keyswap.pid,
    post,
    sandbox: async (secrets, placeholder) => {
      // The API's own documented answer.
      const { egress } = (await post("/sandbox", { secrets })) as { egress: { proxyUrl: string } };
      const { username, password } = new URL(egress.proxyUrl);
      return {
        port: Number(keyswap.ready.proxy.split(":").at(-1)),
        context: trust(readFileSync(keyswap.ready.ca, "utf8")),
        proxyAuthorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`,
        originPort: origin.port,
        placeholder,
        writesBodies: true,
      };
    },
    [Symbol.asyncDispose]: async () => {
      await keyswap.stop();
      process.off("exit", kill);
      await bench[Symbol.asyncDispose]();
    },
  };
}
