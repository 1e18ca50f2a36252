// The settings of the ways in, and of the way out through a parent.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigError } from "../../src/config/faults.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/settings.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-config-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function load(env: Record<string, string>): Promise<Config> {
  return loadConfig({ command: "start", flags: new Map(), env, cwd: folder, home: folder });
}

async function problems(env: Record<string, string>): Promise<readonly string[]> {
  const error = await load(env).catch((reason: unknown) => reason);
  if (!(error instanceof ConfigError)) throw new Error("no fault");
  return error.faults.map(({ name, problem }) => `${name} ${problem}`);
}

test("lists are read entry by entry", async () => {
  const config = await load({
    KEYSWAP_PROXY_PROTOCOL_FROM: "10.0.0.5, fd00::/8",
    KEYSWAP_RAW_HOSTS: "github.com:22,*.lab.example:5432",
    KEYSWAP_DNS_LISTEN: "0.0.0.0:53",
    KEYSWAP_DNS_ANSWER: "10.200.0.1,FD00::1",
    KEYSWAP_UPSTREAM_PROXY: "socks5://me:secret@proxy.example:1080",
    KEYSWAP_UPSTREAM_NO_PROXY: ".lab.example,host.example:8443,10.0.0.0/8,[::1],*",
  });
  expect(config.proxyProtocolFrom.map(({ text }) => text)).toEqual(["10.0.0.5/32", "fd00::/8"]);
  expect(config.rawHosts.map(({ host, port }) => [host?.host, port])).toEqual([
    ["github.com", 22],
    ["lab.example", 5432],
  ]);
  expect(config.dnsAnswer).toEqual(["10.200.0.1", "fd00::1"]);
  expect(config.upstreamNoProxy.map((rule) => (rule.kind === "cidr" ? rule.cidr.text : rule.pattern.text))).toEqual([
    "*.lab.example",
    "host.example:8443",
    "10.0.0.0/8",
    "::1/128",
    "*",
  ]);
});

test.each([
  [{ KEYSWAP_RAW_HOSTS: "github.com" }, "has no port"],
  [{ KEYSWAP_PROXY_PROTOCOL_FROM: "balancer.example" }, "is not an address range"],
  [{ KEYSWAP_DNS_LISTEN: "127.0.0.1:53", KEYSWAP_DNS_ANSWER: "gateway" }, "is not an IP address"],
  [{ KEYSWAP_DNS_LISTEN: "0.0.0.0:53" }, "KEYSWAP_DNS_ANSWER has to say"],
  [{ KEYSWAP_DNS_LISTEN: "localhost:53" }, "KEYSWAP_DNS_ANSWER has to say"],
  [{ KEYSWAP_UPSTREAM_NO_PROXY: "a.example" }, "needs KEYSWAP_UPSTREAM_PROXY"],
  [
    { KEYSWAP_UPSTREAM_PROXY: "http://proxy.example", KEYSWAP_UPSTREAM_NO_PROXY: "a b" },
    "neither an address range nor a host pattern",
  ],
])("%j is refused", async (env, problem) => {
  const found = await problems(env);
  expect(found).toHaveLength(1);
  expect(found[0]).toContain(problem);
});

test("the proxy's certificate and its key go together", async () => {
  const path = join(folder, "pem");
  writeFileSync(path, "");
  expect(await problems({ KEYSWAP_PROXY_CERT: path })).toEqual([
    "KEYSWAP_PROXY_CERT needs KEYSWAP_PROXY_CERT_KEY as well",
  ]);
  expect(await problems({ KEYSWAP_PROXY_CERT_KEY: path })).toEqual([
    "KEYSWAP_PROXY_CERT_KEY needs KEYSWAP_PROXY_CERT as well",
  ]);
});

test("name servers are addresses, with a port or without", async () => {
  const { dnsServers } = await load({ KEYSWAP_DNS_SERVERS: "10.0.0.53, 127.0.0.1:5353, [FD00::53]:5353, fd00::1" });
  expect(dnsServers).toEqual(["10.0.0.53", "127.0.0.1:5353", "[fd00::53]:5353", "fd00::1"]);
  for (const wrong of ["dns.example", "10.0.0.53:0", "10.0.0.53:65536", "[10.0.0.53"]) {
    expect(await problems({ KEYSWAP_DNS_SERVERS: wrong })).toEqual([
      `KEYSWAP_DNS_SERVERS "${wrong}" is not an IP address, with or without a port`,
    ]);
  }
});
