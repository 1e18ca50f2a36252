// Who is calling, where to, and whether that may be: everything that is decided before a value could go out.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  egressPattern,
  type MadeSandbox,
  type MadeSecret,
  startKeyswap,
  type TestKeyswap,
} from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import {
  askConnect,
  connectThrough,
  dial,
  errorOf,
  fieldValue,
  openWay,
  secure,
  type WireClient,
} from "../support/wire-client.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let origin: Origin;
let plain: Origin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
const clients: WireClient[] = [];

beforeAll(async () => {
  keyswap = await startKeyswap({
    plainHttpHosts: ["plain.test"],
    tunnelHosts: ["tunnelled.test"],
    options: { egress: { allow: [], deny: [egressPattern("denied.test")] } },
  });
  origin = await startOrigin({ pki: keyswap.pki, names: [host, "evil.test", "tunnelled.test"] });
  plain = await startOrigin({});
  secret = await keyswap.secret("the real value", [host, "plain.test", "rare.test", "tunnelled.test"]);
});

beforeEach(async () => {
  origin.seen.length = 0;
  plain.seen.length = 0;
  sandbox = await keyswap.sandbox([secret]);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  await plain.close();
  expect(keyswap.errors).toEqual([]);
});

function kept(client: WireClient): WireClient {
  clients.push(client);
  return client;
}

async function connect(name = host, port = origin.port): Promise<WireClient> {
  return kept(await connectThrough(keyswap, sandbox, name, port));
}

/** A CONNECT; null shows no credentials. */
async function ask(target: string, credentials: string | null = sandbox.credentials) {
  const { answer, client } = await askConnect(keyswap, target, credentials ?? undefined);
  kept(client);
  return { answer, client };
}

/** A request in absolute-form on the proxy port. */
async function absolute(url: string, more = "", hostField = new URL(url).host) {
  const client = kept(await dial(keyswap.port));
  client.send(`GET ${url} HTTP/1.1\r\nHost: ${hostField}\r\n${more}\r\n`);
  return { answer: await client.read(), client };
}

function proof(credentials = sandbox.credentials): string {
  return `Proxy-Authorization: ${credentials}\r\n`;
}

function basic(id: string, token: string): string {
  return `Basic ${Buffer.from(`${id}:${token}`).toString("base64")}`;
}

describe("whoever is not an authenticated sandbox gets 407", () => {
  it("on CONNECT, in absolute-form, with any credential that is not its own", async () => {
    const other = await keyswap.sandbox([]);
    const wrong = [
      null,
      basic(sandbox.id, "wrong"),
      basic(sandbox.id, ""),
      basic(sandbox.id, other.token),
      basic("nobody", sandbox.token),
      basic("", sandbox.token),
      `Bearer ${sandbox.token}`,
      "Basic !!!",
      "Basic",
    ];
    for (const credentials of wrong) {
      const { answer } = await ask(`${host}:${origin.port}`, credentials);
      expect([credentials, answer.status]).toEqual([credentials, 407]);
      expect(errorOf(answer)).toBe("proxy-auth-required");
      expect(fieldValue(answer, "proxy-authenticate")).toMatch(/^Basic realm="/);
      const field = credentials === null ? "" : proof(credentials);
      const { answer: plainly } = await absolute(`http://plain.test:${plain.port}/`, field);
      expect([credentials, plainly.status]).toEqual([credentials, 407]);
    }
    expect(origin.seen).toEqual([]);
    expect(plain.seen).toEqual([]);
  });

  it("and so does a sandbox once it is deleted", async () => {
    expect((await ask(`${host}:${origin.port}`)).answer.status).toBe(200);
    await keyswap.deleteSandbox(sandbox);
    await keyswap.heard();
    expect((await ask(`${host}:${origin.port}`)).answer.status).toBe(407);
  });

  it("credentials for the proxy never reach the origin", async () => {
    await absolute(`http://plain.test:${plain.port}/`, proof());
    expect(plain.last().headers).not.toHaveProperty("proxy-authorization");
    expect(JSON.stringify(keyswap.audit)).not.toContain(sandbox.token);
  });
});

describe("one authority", () => {
  it("another Host gets 421, and the origin hears nothing", async () => {
    for (const name of ["evil.test", `${host}:1`, `x.${host}`, "127.0.0.1", `${host}.evil.test`]) {
      const client = await connect();
      client.send(`GET / HTTP/1.1\r\nHost: ${name}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
      const answer = await client.read();
      expect([name, answer.status]).toEqual([name, 421]);
      expect(errorOf(answer)).toBe("authority-mismatch");
      const { answer: absolutely } = await absolute(`http://plain.test:${plain.port}/`, proof(), name);
      expect([name, absolutely.status]).toEqual([name, 421]);
    }
    expect(origin.seen).toEqual([]);
    expect(plain.seen).toEqual([]);
  });

  it("spellings of the same Host pass as they are", async () => {
    for (const name of [host, host.toUpperCase(), `${host}:${origin.port}`, `${host}.`]) {
      const client = await connect();
      client.send(`GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
      expect([name, (await client.read()).status]).toEqual([name, 200]);
      expect(origin.last().headers.host).toBe(name);
    }
  });

  it("two Host fields, and none, are refused", async () => {
    for (const fields of [`Host: ${host}\r\nHost: ${host}\r\n`, `Host: ${host}\r\nHost: evil.test\r\n`, ""]) {
      const client = await connect();
      client.send(`GET / HTTP/1.1\r\n${fields}X-A: 1\r\n\r\n`);
      expect((await client.read()).status).toBe(400);
    }
    expect(origin.seen).toEqual([]);
  });

  it("a later request on the same connection is judged anew", async () => {
    const client = await connect();
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\nGET / HTTP/1.1\r\nHost: evil.test\r\n\r\n`);
    expect((await client.read()).status).toBe(200);
    expect((await client.read()).status).toBe(421);
  });

  it("a wrong SNI gets a TLS alert, and no leaf is minted", async () => {
    const before = keyswap.leaves.minted;
    for (const serverName of ["evil.test", `x.${host}`, "rare.test"]) {
      const way = kept(await openWay(keyswap, sandbox, `${host}:${origin.port}`));
      await expect(secure(way, { ca: keyswap.caPem, serverName })).rejects.toThrow(/unrecognized.name/i);
    }
    expect(keyswap.leaves.minted).toBe(before);
    expect(keyswap.audit.at(-1)).toMatchObject({ type: "refusal", error: "authority-mismatch", sandbox: sandbox.id });
  });

  it("no SNI: the CONNECT target", async () => {
    const way = kept(await openWay(keyswap, sandbox, `${host}:${origin.port}`));
    const client = kept(await secure(way, { ca: keyswap.caPem, serverName: "", checkedName: host }));
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expect((await client.read()).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe(secret.value);
  });

  it("CONNECT to an address with a named SNI: the name counts, and the address is not dialled", async () => {
    // Nobody answers at this address (RFC 5737).
    const way = kept(await openWay(keyswap, sandbox, `203.0.113.7:${origin.port}`));
    const client = kept(await secure(way, { ca: keyswap.caPem, serverName: host }));
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expect((await client.read()).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe(secret.value);
    expect(await keyswap.exchanges(sandbox)).toMatchObject([{ authority: `${host}:${origin.port}` }]);
  });

  it("CONNECT inside an intercepted connection is refused", async () => {
    const client = await connect();
    client.send(`CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n`);
    expect((await client.read()).status).toBe(400);
  });
});

describe("plain HTTP", () => {
  it("never gets a value", async () => {
    const url = `http://${host}:${plain.port}/?k=${secret.placeholder}`;
    const { answer } = await absolute(url, `${proof()}X-Key: ${secret.placeholder}\r\n`);
    expect(answer.status).toBe(200);
    expect(plain.last().headers["x-key"]).toBe(secret.placeholder);
    expect(plain.last().url).toBe(`/?k=${secret.placeholder}`);
    const [event] = await keyswap.exchanges(sandbox);
    expect(event?.substituted).toEqual([]);
    expect(event?.notSubstituted).toContainEqual({ secret: secret.name, surface: "header", reason: "plain-http" });
  });

  it("nor inside of CONNECT", async () => {
    const way = kept(await openWay(keyswap, sandbox, `${host}:${plain.port}`));
    way.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expect((await way.read()).status).toBe(200);
    expect(plain.last().headers["x-key"]).toBe(secret.placeholder);
  });

  it("unless the operator lists the host", async () => {
    await absolute(`http://plain.test:${plain.port}/`, `${proof()}X-Key: ${secret.placeholder}\r\n`);
    expect(plain.last().headers["x-key"]).toBe(secret.value);
  });

  it("goes to the origin in origin-form, whatever the path", async () => {
    for (const [target, seen] of [
      ["", "/"],
      ["?q=1", "/?q=1"],
      ["/a%2Fb//c?x=http://y/", "/a%2Fb//c?x=http://y/"],
    ]) {
      const client = kept(await dial(keyswap.port));
      client.send(
        `GET http://plain.test:${plain.port}${target} HTTP/1.1\r\nHost: plain.test:${plain.port}\r\n${proof()}\r\n`,
      );
      expect((await client.read()).status).toBe(200);
      expect(plain.last().url).toBe(seen);
    }
  });
});

describe("where nobody may go", () => {
  it("private addresses are refused, for exchanges and for tunnels", async () => {
    const strict = await startKeyswap({ allowPrivate: [] });
    const key = await strict.secret("the real value", [host]);
    const own = await strict.sandbox([key]);
    const client = kept(await connectThrough(strict, own, host, origin.port));
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const answer = await client.read();
    expect([answer.status, errorOf(answer)]).toEqual([403, "address-private"]);
    for (const target of ["evil.test", "localhost"]) {
      const refused = await askConnect(strict, `${target}:${origin.port}`, own.credentials);
      kept(refused.client);
      expect([target, refused.answer.status, errorOf(refused.answer)]).toEqual([target, 403, "address-private"]);
    }
    expect(origin.seen).toEqual([]);
    await strict.close();
  });

  it("the proxy's own port is refused by every name", async () => {
    for (const name of ["evil.test", "localhost"]) {
      const { answer } = await ask(`${name}:${keyswap.port}`);
      expect([name, answer.status, errorOf(answer)]).toEqual([name, 403, "address-own"]);
    }
  });

  it("hosts that the deployment or the sandbox denies are refused", async () => {
    const { answer } = await ask(`denied.test:${origin.port}`);
    expect([answer.status, errorOf(answer)]).toEqual([403, "egress-denied"]);
    const narrow = await keyswap.sandbox([secret], {
      egressPolicy: { allow: ["*.good.test"], deny: ["other.good.test"] },
    });
    const codes: Record<string, number> = {};
    for (const name of [host, "other.good.test", "evil.test"]) {
      codes[name] = (await ask(`${name}:${origin.port}`, narrow.credentials)).answer.status;
    }
    expect(codes).toEqual({ [host]: 200, "other.good.test": 403, "evil.test": 403 });
  });

  it("TRACE gets 405", async () => {
    const client = await connect();
    client.send(`TRACE / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    const answer = await client.read();
    expect([answer.status, errorOf(answer)]).toEqual([405, "method-not-allowed"]);
    expect(origin.seen).toEqual([]);
  });

  it("what is neither TLS nor HTTP is refused on a granted host", async () => {
    const way = kept(await openWay(keyswap, sandbox, `${host}:${plain.port}`));
    way.send(Buffer.from([0x00, 0x01, 0x02, 0x03, 0x04]));
    await way.closed();
    await vi.waitFor(() => expect(keyswap.audit.at(-1)).toMatchObject({ type: "refusal", error: "not-http" }));
  });

  it("targets that are no host and port are refused with 400", async () => {
    for (const target of [
      "evil.test",
      "evil.test:",
      "evil.test:0",
      "evil.test:99999",
      "a b:1",
      "[::1:443",
      "user@evil.test:1",
    ]) {
      const client = kept(await dial(keyswap.port));
      client.send(`CONNECT ${target} HTTP/1.1\r\nHost: x\r\n${proof()}\r\n`);
      expect([target, (await client.read()).status]).toEqual([target, 400]);
    }
    const { answer } = await absolute("http://plain.test/", proof());
    expect(answer.status).toBe(502);
    const client = kept(await dial(keyswap.port));
    client.send(`GET / HTTP/1.1\r\nHost: plain.test\r\n${proof()}\r\n`);
    expect((await client.read()).status).toBe(400);
  });
});

describe("destinations that fail", () => {
  async function failure(name: string, port: number) {
    const client = await connect(name, port);
    client.send(`GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
    const answer = await client.read();
    return [answer.status, errorOf(answer)];
  }

  it("a port where nobody listens, a certificate for another name, plain HTTP where TLS should be", async () => {
    const unused = await startOrigin({});
    await unused.close();
    expect(await failure(host, unused.port)).toEqual([502, "connect-refused"]);
    expect(await failure("rare.test", origin.port)).toEqual([502, "upstream-certificate"]);
    expect(await failure(host, plain.port)).toEqual([502, "upstream-tls"]);
  });

  it("the audit does not say that a value was written where there was nobody to send it to", async () => {
    const client = await connect("rare.test", origin.port);
    client.send(`GET / HTTP/1.1\r\nHost: rare.test\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expect((await client.read()).status).toBe(502);
    await vi.waitFor(() => expect(keyswap.audit.at(-1)).toMatchObject({ authority: `rare.test:${origin.port}` }));
    expect(keyswap.audit.at(-1)).toMatchObject({ error: "upstream-certificate", substituted: [] });
  });

  it("a name that does not exist", async () => {
    const nowhere = await keyswap.secret("some value here", ["nowhere.test"]);
    sandbox = await keyswap.sandbox([nowhere]);
    const [status, code] = await failure("nowhere.test", 443);
    expect([502, 504]).toContain(status);
    expect(["dns-failed", "dns-timeout"]).toContain(code);
  });

  it("the client's connection lives on after it", async () => {
    const client = await connect(host, plain.port);
    for (let i = 0; i < 3; i++) {
      client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      expect((await client.read()).status).toBe(502);
    }
  });
});

describe("blind tunnels", () => {
  it("a host that no secret is meant for keeps its own certificate and sees the placeholder", async () => {
    const way = kept(await openWay(keyswap, sandbox, `evil.test:${origin.port}`));
    const client = kept(await secure(way, { ca: keyswap.pki.caPem, serverName: "evil.test" }));
    client.send(`GET /${secret.placeholder} HTTP/1.1\r\nHost: evil.test\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expect((await client.read()).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe(secret.placeholder);
    client.close();
    await vi.waitFor(() =>
      expect(keyswap.audit.find((event) => event.type === "tunnel" && event.sandbox === sandbox.id)).toMatchObject({
        authority: `evil.test:${origin.port}`,
        reason: "host-not-granted",
      }),
    );
  });

  it("a listed host is tunnelled although a secret is meant for it", async () => {
    const way = kept(await openWay(keyswap, sandbox, `tunnelled.test:${origin.port}`));
    const client = kept(await secure(way, { ca: keyswap.pki.caPem, serverName: "tunnelled.test" }));
    client.send(`GET / HTTP/1.1\r\nHost: tunnelled.test\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expect((await client.read()).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe(secret.placeholder);
  });

  it("is closed once a secret for its host is mounted; the next connection is opened up", async () => {
    const way = kept(await openWay(keyswap, sandbox, `evil.test:${origin.port}`));
    const client = kept(await secure(way, { ca: keyswap.pki.caPem, serverName: "evil.test" }));
    const late = await keyswap.secret("mounted later on", ["evil.test"]);
    await keyswap.mount(sandbox, [secret, late]);
    await client.closed();
    const next = await connect("evil.test");
    next.send(`GET / HTTP/1.1\r\nHost: evil.test\r\nX-Key: ${late.placeholder}\r\n\r\n`);
    expect((await next.read()).status).toBe(200);
    expect(origin.last().headers["x-key"]).toBe(late.value);
  });

  it.each([
    ["its sandbox's egress policy denies the host by now", { egressPolicy: { deny: ["evil.test"] } }],
    ["its sandbox blocks violations by now, which a blind tunnel would hide", { onViolation: "block" }],
  ])("is closed once %s", async (_, change) => {
    const changed = await keyswap.sandbox([secret]);
    const way = kept(await openWay(keyswap, changed, `evil.test:${origin.port}`));
    const client = kept(await secure(way, { ca: keyswap.pki.caPem, serverName: "evil.test" }));
    const before = kept(await openWay(keyswap, sandbox, `evil.test:${origin.port}`));
    expect((await keyswap.api.call("PATCH", `/sandbox/${changed.id}`, change)).status).toBe(200);
    await client.closed();
    expect(before.isEnded).toBe(false);
  });

  it("a client that resets in the middle harms nobody", async () => {
    for (let i = 0; i < 5; i++) {
      const way = await openWay(keyswap, sandbox, `evil.test:${origin.port}`);
      way.send(Buffer.from([0x16, 0x03, 0x01]));
      way.socket.resetAndDestroy();
    }
    await keyswap.settled();
  });
});
