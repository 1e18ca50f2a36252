// Transparent mode for real: a sandbox in a network namespace of its own, whose traffic the rules of deploy/gateway redirect
// to keyswap. The gateway is a namespace too, so nothing of the machine's own network is touched:
//
//   sandbox 10.213.7.2 ── veth ── 10.213.7.1 gateway (keyswap, its origin on loopback) ── veth ── 198.51.100.1 outside

import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makePki } from "../support/pki.ts";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "../..");
const peer = join(root, "test/support/gateway-peer.ts");
const script = join(root, "deploy/gateway/sandbox-namespace");
const tag = randomBytes(2).toString("hex");
const [gateway, box, wan] = [`g${tag}`, `s${tag}`, `w${tag}`];
const subnet = "10.213.7";
const outside = "198.51.100.1";
const ports = { tls: 8443, http: 8088, dns: 8053, proxy: 8080, api: 8181 };
const value = "the real value of this test";
const apiKey = `dtn_${randomBytes(32).toString("hex")}`;

/** Why this machine cannot do it; undefined where it can. */
function findObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  for (const tool of ["ip", "nft", "nsenter", "curl"]) {
    if (spawnSync(tool, ["--version"], { stdio: "ignore" }).error !== undefined) return `${tool} is not installed`;
  }
  const trial = `t${tag}`;
  const made = spawnSync("ip", ["netns", "add", trial], { encoding: "utf8" });
  if (made.status !== 0) return `no network namespaces: ${made.stderr.trim()}`;
  const rules = "table inet t { chain c { type nat hook prerouting priority dstnat; tcp dport 443 redirect to :1; }; }";
  const ruled = spawnSync("nsenter", [`--net=/run/netns/${trial}`, "nft", "-f", "-"], {
    input: rules,
    encoding: "utf8",
  });
  spawnSync("ip", ["netns", "delete", trial]);
  return ruled.status === 0 ? undefined : `nftables cannot redirect here: ${ruled.stderr.trim().split("\n")[0]}`;
}

const obstacle = findObstacle();
const children: ChildProcess[] = [];
let folder: string;
let secret: { readonly name: string; readonly placeholder: string };

/** Runs in a namespace, with its own /etc/hosts and /etc/resolv.conf. */
async function inside(namespace: string, command: string, ...args: string[]): Promise<string> {
  const env = { PATH: process.env.PATH ?? "", HOME: folder };
  const { stdout } = await run("ip", ["netns", "exec", namespace, command, ...args], { env });
  return stdout.trim();
}

/** Runs with a namespace's network alone. */
async function at(namespace: string, command: string, ...args: string[]): Promise<void> {
  await run("nsenter", [`--net=/run/netns/${namespace}`, command, ...args]);
}

/** Starts a program in a namespace; resolves with its first line. */
function launch(namespace: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const child = spawn("ip", ["netns", "exec", namespace, process.execPath, ...args], {
    env: { PATH: process.env.PATH ?? "", HOME: folder, ...env },
    cwd: folder,
  });
  children.push(child);
  let [stdout, stderr] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    stderr += part;
  });
  return new Promise((done, fail) => {
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      stdout += part;
      if (stdout.includes("\n")) done(stdout.slice(0, stdout.indexOf("\n")));
    });
    child.on("close", (code) => fail(new Error(`ended with ${code} before it was ready:\n${stderr}`)));
  });
}

async function api(path: string, body: object): Promise<Record<string, string>> {
  const url = `http://127.0.0.1:${ports.api}/api${path}`;
  const headers = ["-H", `Authorization: Bearer ${apiKey}`, "-H", "Content-Type: application/json"];
  return JSON.parse(
    await inside(gateway, "curl", "-q", "-sS", "--fail-with-body", ...headers, "-d", JSON.stringify(body), url),
  );
}

/** curl in the sandbox, which knows of no proxy. */
function curl(...args: string[]): Promise<string> {
  const trust = ["--cacert", join(folder, "certs/ca.pem"), "-H", `X-Key: ${secret.placeholder}`];
  return inside(box, "curl", "-q", "-sS", "--max-time", "20", ...trust, ...args);
}

function probe(protocol: "tcp" | "udp", host: string, port: number, from = box): Promise<string> {
  return inside(from, process.execPath, peer, "probe", protocol, host, String(port));
}

const reversed = (text: string): string => [...text].reverse().join("");

async function setUp(): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), "keyswap-gateway-"));
  const pki = makePki();
  const { certPem, keyPem } = pki.issue(["api.good.test", "plain.test", "evil.test"]);
  for (const [name, text] of Object.entries({ "cert.pem": certPem, "key.pem": keyPem, "origin-ca.pem": pki.caPem })) {
    writeFileSync(join(folder, name), text);
  }
  // What the gateway resolves; sandboxes have no such file.
  mkdirSync(`/etc/netns/${gateway}`, { recursive: true });
  writeFileSync(`/etc/netns/${gateway}/hosts`, "127.0.0.1 localhost api.good.test plain.test evil.test\n");
  for (const name of [gateway, wan]) await run("ip", ["netns", "add", name]);
  await run("ip", ["-n", gateway, "link", "set", "lo", "up"]);
  await at(gateway, script, "up", box, subnet, ...[ports.tls, ports.http, ports.dns, ports.proxy].map(String));
  // A gateway that would forward, if the rules let it.
  await run("ip", ["-n", gateway, "link", "add", "wan0", "type", "veth", "peer", "name", "eth0", "netns", wan]);
  await run("ip", ["-n", gateway, "address", "add", "198.51.100.2/24", "dev", "wan0"]);
  await run("ip", ["-n", gateway, "link", "set", "wan0", "up"]);
  await run("ip", ["-n", wan, "address", "add", `${outside}/24`, "dev", "eth0"]);
  await run("ip", ["-n", wan, "link", "set", "eth0", "up"]);
  await run("ip", ["-n", wan, "route", "add", "default", "via", "198.51.100.2"]);
  await at(gateway, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward");
  await launch(wan, [peer, "outside", outside]);
  await launch(gateway, [peer, "origin", join(folder, "cert.pem"), join(folder, "key.pem")]);
  const address = (port: number): string => `${subnet}.1:${port}`;
  await launch(gateway, [join(root, "src/main.ts"), "start"], {
    KEYSWAP_DATA_DIR: join(folder, "data"),
    KEYSWAP_CERTS_DIR: join(folder, "certs"),
    KEYSWAP_PROXY_LISTEN: address(ports.proxy),
    KEYSWAP_TLS_LISTEN: address(ports.tls),
    KEYSWAP_HTTP_LISTEN: address(ports.http),
    KEYSWAP_DNS_LISTEN: address(ports.dns),
    // On all addresses, so that only the rules keep the sandbox away from it.
    KEYSWAP_API_LISTEN: `0.0.0.0:${ports.api}`,
    KEYSWAP_ADMIN_LISTEN: "off",
    KEYSWAP_API_KEY: apiKey,
    KEYSWAP_UPSTREAM_CA: join(folder, "origin-ca.pem"),
    KEYSWAP_ALLOW_PRIVATE: "127.0.0.0/8",
    KEYSWAP_PLAIN_HTTP_HOSTS: "plain.test",
  });
  const made = await api("/secret", { name: "KEY", value, hosts: ["api.good.test", "plain.test"] });
  secret = { name: made.name ?? "", placeholder: made.placeholder ?? "" };
  await api("/sandbox", { secrets: [{ KEY: secret.name }], sources: [`${subnet}.2/32`] });
}

async function tearDown(): Promise<void> {
  const ends = children
    .filter(({ exitCode }) => exitCode === null)
    .map((child) => new Promise((end) => child.once("close", end)));
  for (const child of children) child.kill("SIGTERM");
  await Promise.all(ends);
  await at(gateway, script, "down", box).catch(() => {});
  for (const name of [gateway, wan]) await run("ip", ["netns", "delete", name]).catch(() => {});
  rmSync(`/etc/netns/${gateway}`, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
}

describe.skipIf(obstacle !== undefined)(
  `a sandbox behind the gateway${obstacle === undefined ? "" : ` (${obstacle})`}`,
  () => {
    beforeAll(setUp, 60_000);
    afterAll(tearDown, 30_000);

    test("gets the substitution by DNS, without a word of a proxy", async () => {
      const answer = JSON.parse(await curl("https://api.good.test/"));
      expect(answer).toEqual({ host: "api.good.test", key: reversed(value) });
    });

    test("gets it as well where it knows the host's address", async () => {
      const answer = JSON.parse(await curl("--resolve", `api.good.test:443:${outside}`, "https://api.good.test/"));
      expect(answer.key).toBe(reversed(value));
    });

    test("gets it by plain HTTP where the operator lists the host", async () => {
      expect(JSON.parse(await curl("http://plain.test/")).key).toBe(reversed(value));
    });

    test("reaches other hosts without it", async () => {
      const ca = ["--cacert", join(folder, "origin-ca.pem")];
      const answer = JSON.parse(
        await inside(box, "curl", "-q", "-sS", ...ca, "-H", `X-Key: ${secret.placeholder}`, "https://evil.test/"),
      );
      expect(answer.key).toBe(reversed(secret.placeholder));
      const events = readFileSync(join(folder, "data/audit.jsonl"), "utf8");
      expect(events).not.toContain(value);
    });

    test("leaves by no other road", async () => {
      // The probes do reach what is not behind the rules.
      expect(await probe("tcp", outside, 22, gateway)).toBe("outside");
      expect(await probe("udp", outside, 443, gateway)).toBe("outside");
      expect(await probe("tcp", outside, 22)).toBe("refused");
      expect(await probe("udp", outside, 443)).toBe("refused");
      // Redirected, and no TLS: closed by keyswap, not answered from outside.
      expect(await probe("tcp", outside, 443)).not.toBe("outside");
    });

    test("cannot reach the Secret API", async () => {
      expect(await probe("tcp", `${subnet}.1`, ports.api)).toBe("refused");
    });

    test("with another source address is nobody", async () => {
      await run("ip", ["-n", box, "address", "add", `${subnet}.9/24`, "dev", "eth0"]);
      await expect(curl("--interface", `${subnet}.9`, "https://api.good.test/")).rejects.toThrow(/alert|TLS|SSL/i);
    });

    test("would leave without the rules", async () => {
      await at(gateway, "nft", "delete", "table", "inet", `keyswap_${box}`);
      expect(await probe("tcp", outside, 22)).toBe("outside");
    });
  },
);
