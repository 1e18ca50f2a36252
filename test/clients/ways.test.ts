// Every way in × HTTP version × what may happen to a placeholder, with the real curl.

import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isInstalled } from "../support/client-hello.ts";
import { curl } from "../support/curl.ts";
import { type Http2Origin, startHttp2Origin } from "../support/http2-peers.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { makePki } from "../support/pki.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let origin: Http2Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;

const gateway = () => `127.0.0.1:${keyswap.addresses.tls?.split(":").at(-1)}`;
const proxyAt = (scheme: string) => `${scheme}://${sandbox.id}:${sandbox.token}@127.0.0.1:${keyswap.port}`;

/** curl's arguments for a way to a host's port 443. */
const ways: readonly (readonly [string, (name: string) => readonly string[]])[] = [
  ["CONNECT", () => ["--proxy", proxyAt("http")]],
  ["CONNECT over TLS", () => ["--proxy", proxyAt("https"), "--proxy-cacert", keyswap.caPath]],
  ["SOCKS5 by name", () => ["--proxy", proxyAt("socks5h")]],
  ["SOCKS5 by address", (name) => ["--proxy", proxyAt("socks5"), "--resolve", `${name}:443:127.66.66.66`]],
  ["transparent", (name) => ["--connect-to", `${name}:443:${gateway()}`]],
];

beforeAll(async () => {
  const pki = makePki();
  origin = await startHttp2Origin({ pki, names: [host, "evil.test"], speaks: "both" });
  // Tells whether the value came, and shows it.
  origin.handler = (response, seen) => {
    const key = seen.fields.find(([name]) => name.toLowerCase() === "x-key")?.[1] ?? "";
    response.setHeader("content-type", "text/plain");
    response.end(`${seen.protocol} ${key === secret.value} ${key}`);
  };
  keyswap = await startKeyswap({
    pki,
    upstreamPorts: { 443: origin.port },
    options: { tlsListen: { host: "127.0.0.1", port: 0 } },
  });
  secret = await keyswap.secret("the real value of a secret", [host]);
  sandbox = await keyswap.sandbox([secret], { sources: ["127.0.0.1/32"] });
  await keyswap.heard();
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
});

const isMissing = !isInstalled("curl");

describe.skipIf(isMissing)(`curl${isMissing ? " (not installed)" : ""}`, () => {
  describe.each(ways)("by %s", (_name, argumentsFor) => {
    it.each(["--http1.1", "--http2"])("%s substitutes, and scrubs the echo", async (version) => {
      const args = [version, ...argumentsFor(host), "--cacert", keyswap.caPath];
      const answer = await curl([...args, "-H", `X-Key: ${secret.placeholder}`, `https://${host}/`]);
      expect(answer).toMatchObject({ code: 0, stderr: "" });
      expect(answer.body).toMatch(/ true /);
      expect(answer.body).not.toContain(secret.value);
    });

    it.each(["--http1.1", "--http2"])("%s leaves the placeholder alone on another host", async (version) => {
      const ca = `${keyswap.caPath}.origin`;
      await writeFile(ca, keyswap.pki.caPem);
      const args = [version, ...argumentsFor("evil.test"), "--cacert", ca];
      const answer = await curl([...args, "-H", `X-Key: ${secret.placeholder}`, "https://evil.test/"]);
      const protocol = version === "--http2" ? "h2" : "http/1.1";
      expect(answer).toMatchObject({ code: 0, body: `${protocol} false ${secret.placeholder}` });
    });
  });
});
