// See start. Environment: BENCH_PORT, BENCH_WORK, BENCH_SECRET, BENCH_HOSTS, BENCH_ORIGIN_CA.

import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

function need(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

interface Ready {
  readonly proxy: string;
  readonly api: string;
  readonly ca: string;
}

const root = join(import.meta.dirname, "../../../..");
const work = need("BENCH_WORK");
const data = join(work, "data");
mkdirSync(data, { recursive: true });
const keyswap = spawn(process.execPath, [join(root, "src/main.ts"), "start"], {
  stdio: ["ignore", "pipe", "inherit"],
  env: {
    PATH: process.env.PATH,
    HOME: work,
    KEYSWAP_DATA_DIR: data,
    KEYSWAP_CERTS_DIR: join(work, "certs"),
    KEYSWAP_PROXY_LISTEN: `127.0.0.1:${need("BENCH_PORT")}`,
    KEYSWAP_API_LISTEN: "127.0.0.1:0",
    KEYSWAP_ADMIN_LISTEN: "127.0.0.1:0",
    KEYSWAP_UPSTREAM_CA: need("BENCH_ORIGIN_CA"),
    KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8",
  },
});
process.on("SIGTERM", () => keyswap.kill("SIGTERM"));
keyswap.on("exit", (code) => process.exit(code ?? 1));

const line = await new Promise<string>((resolve) => createInterface(keyswap.stdout).once("line", resolve));
const ready = JSON.parse(line) as Ready;
const key = readFileSync(join(data, "api-key"), "utf8").trim();

async function post(path: string, body: object): Promise<Record<string, unknown>> {
  const answer = await fetch(ready.api + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`POST ${path}: ${answer.status}`);
  return (await answer.json()) as Record<string, unknown>;
}

const secret = await post("/secret", { name: "BENCH", value: need("BENCH_SECRET"), hosts: [need("BENCH_HOSTS")] });
const sandbox = await post("/sandbox", { secrets: [{ BENCH: "BENCH" }] });
const proxyUrl = new URL((sandbox.egress as { proxyUrl: string }).proxyUrl);
process.stdout.write(
  `${JSON.stringify({
    port: Number(need("BENCH_PORT")),
    ca: ready.ca,
    mode: "mitm",
    subst: ["header", "body"],
    version: `node ${process.version}`,
    note: "everything on: audit, scrubbing, authority and address checks, limits",
    placeholder: secret.placeholder,
    proxy_auth: `${proxyUrl.username}:${proxyUrl.password}`,
  })}\n`,
);
