// Changes of grants: the first request after a mount works, a revoked value is never sent, an old one stays scrubbed.

import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { codecs } from "../support/codecs.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { connectThrough, errorOf, openWay, secure, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
const foreign = `dtn_secret_${"b2".repeat(14)}`;
const another = `dtn_secret_${"c3".repeat(14)}`;
let keyswap: TestKeyswap;
let origin: Origin;
let echoed = "";
const clients: WireClient[] = [];

async function start(isPushed: boolean): Promise<void> {
  keyswap = await startKeyswap({ isPushed });
  origin = await startOrigin({
    pki: keyswap.pki,
    names: [host],
    handler: (_request, response) => response.writeHead(200, { "content-type": "text/plain" }).end(echoed),
  });
}

async function stop(): Promise<void> {
  for (const client of clients.splice(0)) client.close();
  await keyswap.close();
  await origin.close();
  expect(keyswap.errors).toEqual([]);
}

async function open(sandbox: MadeSandbox): Promise<WireClient> {
  const client = await connectThrough(keyswap, sandbox, host, origin.port);
  clients.push(client);
  return client;
}

/** What the origin sees of a header with this placeholder. */
async function sent(client: WireClient, secret: Pick<MadeSecret, "placeholder">): Promise<unknown> {
  client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
  expect((await client.read()).status).toBe(200);
  return origin.last().headers["x-key"];
}

describe("against an API whose changes are not heard", () => {
  beforeAll(() => start(false));
  afterAll(stop);
  afterEach(() => vi.restoreAllMocks());

  it("an unknown placeholder forces one refresh: the first request after a mount works", async () => {
    const first = await keyswap.secret("the first value", [host]);
    const second = await keyswap.secret("the second value", [host]);
    const sandbox = await keyswap.sandbox([first]);
    const client = await open(sandbox);
    expect(await sent(client, first)).toBe(first.value);
    await keyswap.mount(sandbox, [first, second]);
    const resolve = vi.spyOn(keyswap.api.store.egress, "resolve");
    expect(await sent(client, second)).toBe(second.value);
    expect(resolve).toHaveBeenCalledTimes(1);
    expect(await sent(client, second)).toBe(second.value);
    expect(resolve).toHaveBeenCalledTimes(1);
  });

  it("wherever it stands: in a body that is held, and in the middle of one that is streamed", async () => {
    for (const length of [10, 3_000_000]) {
      const first = await keyswap.secret("the first value", [host]);
      const second = await keyswap.secret("the second value", [host]);
      const sandbox = await keyswap.sandbox([first]);
      const client = await open(sandbox);
      await sent(client, first);
      await keyswap.mount(sandbox, [first, second]);
      const body = `${"x".repeat(length)}${second.placeholder}${"y".repeat(length)}`;
      client.send(
        `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      expect((await client.read()).status).toBe(200);
      expect(origin.last().body.toString()).toBe(body.replace(second.placeholder, second.value));
    }
  });

  it.each(["", "gzip"])("unknown placeholders in a streamed body do not stop it: %j", async (coding) => {
    const secret = await keyswap.secret("a value of another length", [host]);
    const { placeholder } = secret;
    // As long when it is coded: beyond the bound on what is held.
    const fill = randomBytes(1_000_000).toString("hex");
    const body = `${placeholder} ${foreign} ${fill} ${another} ${fill} ${foreign} ${fill} ${placeholder}`;
    const sent = Buffer.from(body.replaceAll(placeholder, secret.value));
    const bytes = codecs.encode(coding, Buffer.from(body));
    const field = coding === "" ? "" : `Content-Encoding: ${coding}\r\n`;
    const client = await open(await keyswap.sandbox([secret]));
    // The first key is asked for; those behind it, and all of them the second time, are answered at once.
    for (let round = 0; round < 2; round++) {
      client.send(
        `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\n${field}Content-Length: ${bytes.length}\r\n\r\n`,
      );
      client.send(bytes);
      expect((await client.read()).status).toBe(200);
      expect(codecs.decode(coding, origin.last().body).equals(sent)).toBe(true);
    }
  });

  it("a coded body goes on after a lookup that its first bytes needed", async () => {
    const body = `${foreign} ${randomBytes(1_000_000).toString("hex")}`;
    const bytes = codecs.encode("gzip", Buffer.from(body));
    const client = await open(await keyswap.sandbox([await keyswap.secret("a value of another length", [host])]));
    // A connection that is made later would have the client go on, too.
    await sent(client, { placeholder: "none" });
    const refresh = vi.spyOn(keyswap.grants, "refresh");
    client.send(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: ${bytes.length}\r\n\r\n`,
    );
    client.send(bytes.subarray(0, 20_000));
    await vi.waitFor(() => expect(refresh).toHaveBeenCalled());
    client.send(bytes.subarray(20_000));
    expect((await client.read()).status).toBe(200);
    expect(codecs.decode("gzip", origin.last().body).toString() === body).toBe(true);
  });

  it("made-up placeholders do not make it ask again and again", async () => {
    const secret = await keyswap.secret("the real value", [host]);
    const client = await open(await keyswap.sandbox([secret]));
    await sent(client, secret);
    const resolve = vi.spyOn(keyswap.api.store.egress, "resolve");
    for (let i = 0; i < 5; i++) expect(await sent(client, { placeholder: foreign })).toBe(foreign);
    const many = Array.from({ length: 60 }, (_, at) => `dtn_secret_${String(at).padStart(28, "0")}`);
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${many.join(" ")}\r\n\r\n`);
    expect((await client.read()).status).toBe(200);
    expect(resolve.mock.calls.length).toBeLessThanOrEqual(2);
  });
});

it("where changes are polled, a tunnel ends once its host came to be granted", { timeout: 30_000 }, async () => {
  const polling = await startKeyswap({ isPushed: false, cacheTtlMs: 1_000 });
  const destination = await startOrigin({ pki: polling.pki, names: [host] });
  try {
    const secret = await polling.secret("the real value", [host]);
    const sandbox = await polling.sandbox([]);
    const way = await openWay(polling, sandbox, `${host}:${destination.port}`);
    await secure(way, { ca: polling.pki.caPem, serverName: host });
    expect(polling.proxy.counts.tunnels).toBe(1);
    // Nothing asks for this sandbox from here on.
    await polling.mount(sandbox, [secret]);
    await vi.waitFor(() => expect(polling.proxy.counts.tunnels).toBe(0), { timeout: 20_000 });
  } finally {
    await polling.close();
    await destination.close();
  }
});

describe("against an API whose changes are heard", () => {
  beforeAll(() => start(true));
  afterAll(stop);

  it("what was written is in force for the request that follows the answer", async () => {
    const outcomes: unknown[] = [];
    const wanted: unknown[] = [];
    for (let round = 0; round < 25; round++) {
      const secret = await keyswap.secret(`first value ${round}`, ["elsewhere.test"]);
      const sandbox = await keyswap.sandbox([]);
      // A host that nothing was granted for is tunnelled, so each step decides anew how to connect.
      outcomes.push(
        await open(sandbox)
          .then((client) => sent(client, secret))
          .catch(() => "tunnelled"),
      );
      await keyswap.mount(sandbox, [secret]);
      await keyswap.update(secret, { hosts: [host] });
      const client = await open(sandbox);
      outcomes.push(await sent(client, secret));
      await keyswap.rotate(secret, `second value ${round}`);
      outcomes.push(await sent(client, secret));
      await keyswap.mount(sandbox, []);
      outcomes.push(await sent(client, secret));
      wanted.push("tunnelled", `first value ${round}`, `second value ${round}`, secret.placeholder);
    }
    expect(outcomes).toEqual(wanted);
  });

  it("a rotated value is sent at once on connections that are open, and the old one stays scrubbed", async () => {
    const secret = await keyswap.secret("the old real value", [host]);
    const client = await open(await keyswap.sandbox([secret]));
    expect(await sent(client, secret)).toBe("the old real value");
    await keyswap.rotate(secret, "the new real value");
    await keyswap.heard();
    await vi.waitFor(async () => expect(await sent(client, secret)).toBe("the new real value"));
    echoed = "<the old real value><the new real value>";
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect((await client.read()).body.toString()).toBe(`<${secret.placeholder}><${secret.placeholder}>`);
    echoed = "";
  });

  it("a value is never sent after its detachment or deletion was heard, and still scrubbed", async () => {
    for (const revoke of ["detach", "delete"]) {
      const secret = await keyswap.secret(`revoked by ${revoke}`, [host]);
      const sandbox = await keyswap.sandbox([secret]);
      const client = await open(sandbox);
      expect(await sent(client, secret)).toBe(secret.value);
      if (revoke === "detach") await keyswap.mount(sandbox, []);
      else await keyswap.deleteSecret(secret);
      await keyswap.heard();
      for (const own of [client, await open(sandbox)]) {
        expect(await sent(own, secret)).toBe(secret.placeholder);
        echoed = `<${secret.value}>`;
        own.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
        expect((await own.read()).body.toString()).not.toContain(secret.value);
        echoed = "";
      }
    }
  });

  it("a sandbox that is deleted gets 407 on connections that are open", async () => {
    const secret = await keyswap.secret("the real value", [host]);
    const sandbox = await keyswap.sandbox([secret]);
    const client = await open(sandbox);
    await sent(client, secret);
    await keyswap.deleteSandbox(sandbox);
    await keyswap.heard();
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    const answer = await client.read();
    expect([answer.status, errorOf(answer)]).toEqual([407, "proxy-auth-required"]);
  });

  it("two secrets with one value: the answer shows the placeholder that the request carried", async () => {
    const [a, b] = [await keyswap.secret("one and the same", [host]), await keyswap.secret("one and the same", [host])];
    const client = await open(await keyswap.sandbox([a, b]));
    echoed = "<one and the same>";
    for (const secret of [a, b]) {
      client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
      expect((await client.read()).body.toString()).toBe(`<${secret.placeholder}>`);
    }
    echoed = "";
  });
});
