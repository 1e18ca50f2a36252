// TLS to the proxy itself: `https://` proxy URLs.

import { createSecureContext } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { curl } from "../support/curl.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { makePki } from "../support/pki.ts";
import { socksLogin, socksName } from "../support/socks-client.ts";
import { dial, secure, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let origin: Origin;
let plain: Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;

beforeAll(async () => {
  keyswap = await startKeyswap({ plainHttpHosts: ["plain.test"] });
  origin = await startOrigin({ pki: keyswap.pki, names: [host, "evil.test"] });
  plain = await startOrigin({});
  secret = await keyswap.secret("the real value", [host, "plain.test"]);
  sandbox = await keyswap.sandbox([secret]);
});

beforeEach(() => {
  origin.seen.length = 0;
  plain.seen.length = 0;
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  await plain.close();
  expect(keyswap.errors).toEqual([]);
});

/** A TLS connection to the proxy itself. */
async function toProxy(serverName: string, ca = keyswap.caPem, at: TestKeyswap = keyswap): Promise<WireClient> {
  return secure(await dial(at.port, { allowHalfOpen: true }), { ca, serverName });
}

function connectText(target: string): string {
  return `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: ${sandbox.credentials}\r\n\r\n`;
}

describe("inside of TLS", () => {
  it("CONNECT opens a way, in which TLS is intercepted", async () => {
    const way = await toProxy("gateway.example");
    way.send(connectText(`${host}:${origin.port}`));
    expect((await way.readHead()).status).toBe(200);
    const inside = await secure(way, { ca: keyswap.caPem, serverName: host });
    const big = "x".repeat(300_000);
    inside.send(
      `POST / HTTP/1.1\r\nHost: ${host}:${origin.port}\r\nX-Key: ${secret.placeholder}\r\nContent-Length: ${big.length}\r\n\r\n${big}`,
    );
    expect((await inside.read()).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe("the real value");
    expect(origin.last().body.length).toBe(big.length);
    inside.close();
  });

  it("CONNECT to a host that is not granted is relayed blind", async () => {
    const way = await toProxy("gateway.example");
    way.send(connectText(`evil.test:${origin.port}`));
    expect((await way.readHead()).status).toBe(200);
    const inside = await secure(way, { ca: keyswap.pki.caPem, serverName: "evil.test" });
    inside.send(`GET / HTTP/1.1\r\nHost: evil.test\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expect((await inside.read()).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe(secret.placeholder);
    inside.close();
  });

  it("absolute-form requests are exchanges", async () => {
    const way = await toProxy("gateway.example");
    const url = `http://plain.test:${plain.port}/`;
    way.send(
      `GET ${url} HTTP/1.1\r\nHost: plain.test:${plain.port}\r\nX-Key: ${secret.placeholder}\r\nProxy-Authorization: ${sandbox.credentials}\r\n\r\n`,
    );
    expect((await way.read()).status).toBe(200);
    expect(plain.last().headers["x-key"]).toBe("the real value");
    way.close();
  });

  it("SOCKS5 works too", async () => {
    const way = await toProxy("gateway.example");
    way.send(Buffer.concat([Buffer.of(5, 1, 2), socksLogin(sandbox), socksName(host, origin.port)]));
    expect((await way.readExactly(14)).toString("hex")).toBe("0502010005000001000000000000");
    way.close();
  });

  it("TLS is not taken twice", async () => {
    const way = await toProxy("gateway.example");
    await expect(secure(way, { ca: keyswap.caPem, serverName: "gateway.example" })).rejects.toThrow();
  });
});

describe("the certificate", () => {
  it("is a leaf for the name that the client asks for", async () => {
    const way = await toProxy("any.name.example");
    way.close();
    await expect(toProxy("any.name.example", makePki().caPem)).rejects.toThrow(/certificate/);
  });

  it("is the operator's own where there is one", async () => {
    const pki = makePki();
    const { certPem, keyPem } = pki.issue(["gateway.example"]);
    const context = createSecureContext({ cert: certPem, key: keyPem });
    const other = await startKeyswap({ proxyCertificate: context });
    try {
      (await toProxy("gateway.example", pki.caPem, other)).close();
      expect(other.leaves.minted).toBe(0);
    } finally {
      await other.close();
    }
  });

  it("is not minted without end for strangers", async () => {
    // Time stands still: on a busy machine this takes long enough for what may be minted to grow.
    const now = Date.now();
    const other = await startKeyswap({ clock: () => now });
    try {
      let refused = 0;
      let known = "";
      for (let i = 0; i < 130; i++) {
        const name = `name${i}.example`;
        const way = await toProxy(name, other.caPem, other).catch(() => undefined);
        if (way === undefined) refused += 1;
        else known = name;
        way?.close();
      }
      expect(refused).toBeGreaterThan(0);
      const refusals = other.audit.filter((event) => event.type === "refusal" && event.error === "overloaded");
      expect(refusals).toHaveLength(refused);
      // A name that has its leaf goes on.
      (await toProxy(known, other.caPem, other)).close();
    } finally {
      await other.close();
    }
  });
});

describe("what is no TLS in the end", () => {
  it("is closed", async () => {
    const client = await dial(keyswap.port);
    client.send(Buffer.from("160301000401020304", "hex"));
    expect(await client.closed()).toBe("");
    client.close();
  });
});

it("curl --proxy https:// substitutes, by the proxy's address", async () => {
  const answer = await curl([
    ...["--proxy", `https://${sandbox.id}:${sandbox.token}@127.0.0.1:${keyswap.port}`],
    ...["--proxy-cacert", keyswap.caPath, "--cacert", keyswap.caPath],
    ...["-H", `X-Key: ${secret.placeholder}`, `https://${host}:${origin.port}/`],
  ]);
  expect(answer).toMatchObject({ code: 0, body: '{"ok":true}' });
  expect(origin.last().headers["x-key"]).toBe("the real value");
});
