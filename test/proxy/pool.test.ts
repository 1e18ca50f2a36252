// Upstream connections: kept, shared with nobody, given up when in doubt.

import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type RawConnection, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { ConnectionClosed, connectThrough, errorOf, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let origin: RawOrigin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let client: WireClient;
let serve: (connection: RawConnection) => Promise<void>;
let first: number;

beforeAll(async () => {
  keyswap = await startKeyswap({ limits: { halfClosedTimeoutMs: 100 } });
  origin = await startRawOrigin({ pki: keyswap.pki, names: [host] }, (connection) => serve(connection));
  secret = await keyswap.secret("the real value", [host]);
});

beforeEach(async () => {
  client?.close();
  sandbox = await keyswap.sandbox([secret]);
  client = await connectThrough(keyswap, sandbox, host, origin.port);
  first = origin.connections.length;
});

afterAll(async () => {
  client?.close();
  await keyswap.close();
  await origin.close();
  expect(origin.faults).toEqual([]);
  expect(keyswap.errors).toEqual([]);
});

function ok(body: string): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

function get(target = "/"): string {
  return `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
}

function withBody(method: string, body: string): string {
  return `${method} / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

/** Answers once on each connection; at the second request the first connection breaks without a word. */
function stale(onSecond: (connection: RawConnection) => void, seen: string[] = []): typeof serve {
  return async (connection) => {
    const { wire, readRequest, index } = connection;
    for (let i = 0; i < 10; i++) {
      const { text } = await readRequest();
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      const body = (await wire.readExactly(length)).toString("latin1");
      if (index === first && i === 1) {
        onSecond(connection);
        return;
      }
      seen.push(`${text.slice(0, text.indexOf(" "))} ${body}`);
      wire.send(ok(`on ${index - first}`));
    }
  };
}

describe("a pooled connection that turns out to be closed", () => {
  for (const [how, breakOff] of [
    ["ended", ({ socket }: RawConnection) => socket.end()],
    ["destroyed", ({ socket }: RawConnection) => socket.destroy()],
  ] as const) {
    it(`${how}: GET is sent again on a fresh one`, async () => {
      serve = stale(breakOff);
      client.send(get());
      expect((await client.read()).body.toString()).toBe("on 0");
      client.send(get());
      expect((await client.read()).body.toString()).toBe("on 1");
    });

    it(`${how}: PUT with a body that was held is sent again, whole`, async () => {
      const seen: string[] = [];
      serve = stale(breakOff, seen);
      client.send(get());
      await client.read();
      client.send(withBody("PUT", `k=${secret.placeholder}`));
      expect((await client.read()).body.toString()).toBe("on 1");
      expect(seen).toEqual(["GET ", `PUT k=${secret.value}`]);
    });

    it(`${how}: POST is not sent again; the connection closes as it would without a proxy, and there is no 502`, async () => {
      const seen: string[] = [];
      serve = stale(breakOff, seen);
      client.send(get());
      await client.read();
      client.send(withBody("POST", "pay=100"));
      await expect(client.read()).rejects.toThrow(ConnectionClosed);
      expect(client.unread).toBe("");
      expect(seen).toEqual(["GET "]);
    });
  }

  it("closed while it was idle: nobody notices", async () => {
    serve = stale(() => {});
    client.send(get());
    await client.read();
    origin.connections[first]?.socket.end();
    await vi.waitFor(() => expect(origin.connections[first]?.wire.isEnded).toBe(true));
    client.send(withBody("POST", "pay=100"));
    expect((await client.read()).body.toString()).toBe("on 1");
  });
});

describe("a fresh connection that breaks", () => {
  it("before an answer: 502, not sent again", async () => {
    serve = async ({ readRequest, socket }) => {
      await readRequest();
      socket.destroy();
    };
    client.send(get());
    const answer = await client.read();
    expect([answer.status, errorOf(answer)]).toEqual([502, "upstream-closed"]);
    expect(origin.connections.length - first).toBe(1);
  });

  for (const [framing, bytes] of [
    ["a length", "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2000000\r\n\r\nabc"],
    ["chunks", "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
  ] as const) {
    it(`in the middle of a body with ${framing}: the client does not take it for whole`, async () => {
      serve = async ({ wire, readRequest, socket }) => {
        await readRequest();
        await wire.sendAll(bytes);
        await new Promise((resolve) => setTimeout(resolve, 20));
        socket.destroy();
      };
      client.send(get());
      await expect(client.read()).rejects.toThrow(ConnectionClosed);
      expect(await keyswap.exchanges(sandbox)).toMatchObject([{ error: "upstream-closed" }]);
    });
  }
});

describe("an answer that is held for its length and breaks off", () => {
  it("becomes a 502", async () => {
    serve = async ({ wire, readRequest, socket }) => {
      await readRequest();
      await wire.sendAll("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
      socket.destroy();
    };
    client.send(get());
    const answer = await client.read();
    expect([answer.status, errorOf(answer)]).toEqual([502, "upstream-closed"]);
  });
});

describe("connections in doubt are not used again", () => {
  it("one that sends bytes nobody asked for", async () => {
    serve = async ({ wire, readRequest, index }) => {
      await readRequest();
      wire.send(ok(`on ${index - first}`));
      await new Promise((resolve) => setTimeout(resolve, 20));
      wire.send(ok("poison"));
      await readRequest();
      wire.send(ok("poisoned connection"));
    };
    client.send(get());
    expect((await client.read()).body.toString()).toBe("on 0");
    await vi.waitFor(() => expect(origin.connections[first]?.wire.isEnded).toBe(true));
    client.send(get());
    expect((await client.read()).body.toString()).toBe("on 1");
  });

  it("one that answers twice at once", async () => {
    serve = async ({ wire, readRequest, index }) => {
      for (let i = 0; i < 3; i++) {
        await readRequest();
        wire.send(ok(`on ${index - first}`) + ok("poison"));
      }
    };
    for (const expected of ["on 0", "on 1", "on 2"]) {
      client.send(get());
      expect((await client.read()).body.toString()).toBe(expected);
    }
  });

  it("one that was closed because of an answer in a coding that nobody reads", async () => {
    serve = async ({ wire, readRequest, index }) => {
      for (let i = 0; i < 3; i++) {
        const { line } = await readRequest();
        if (!line.startsWith("GET /coded")) wire.send(ok(`on ${index - first}`));
        else wire.send("HTTP/1.1 200 OK\r\nContent-Encoding: x-unknown\r\nContent-Length: 2\r\n\r\nok");
      }
    };
    // The second one finds what the first one left, in the same turn.
    client.send(get("/coded") + withBody("POST", "").replace("Content-Type: text/plain\r\n", ""));
    expect((await client.read()).status).toBe(502);
    expect((await client.read()).body.toString()).toBe("on 1");
  });

  it("one whose client went away in the middle of an answer", async () => {
    serve = async ({ wire, readRequest, index }) => {
      for (let i = 0; i < 3; i++) {
        const { line } = await readRequest();
        if (!line.startsWith("GET /long")) wire.send(ok(`on ${index - first}`));
        else wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\npart");
      }
    };
    client.send(get("/long"));
    await client.readHead();
    client.socket.destroy();
    await vi.waitFor(() => expect(origin.connections[first]?.wire.isEnded).toBe(true), { timeout: 10_000 });
    client = await connectThrough(keyswap, sandbox, host, origin.port);
    client.send(get());
    expect((await client.read()).body.toString()).toBe("on 1");
  });
});

describe("pools", () => {
  it("serve one sandbox's connections one after the other with one upstream connection", async () => {
    serve = stale(() => {});
    first = -1;
    const before = origin.connections.length;
    for (let i = 0; i < 3; i++) {
      const own = await connectThrough(keyswap, sandbox, host, origin.port);
      own.send(get());
      await own.read();
      own.close();
    }
    expect(origin.connections.length - before).toBe(1);
  });

  it("never lend a sandbox what another one opened", async () => {
    serve = stale(() => {});
    first = -1;
    const before = origin.connections.length;
    client.send(get());
    await client.read();
    const other = await connectThrough(keyswap, await keyswap.sandbox([secret]), host, origin.port);
    other.send(get());
    await other.read();
    other.close();
    expect(origin.connections.length - before).toBe(2);
  });

  it("requests at the same time get connections of their own, and their own answers", async () => {
    first = -1;
    serve = async ({ wire, readRequest }) => {
      for (let i = 0; i < 50; i++) {
        const { line } = await readRequest();
        await new Promise((resolve) => setTimeout(resolve, 1 + (i % 4)));
        wire.send(ok(line));
      }
    };
    const clients = await Promise.all(
      Array.from({ length: 8 }, () => connectThrough(keyswap, sandbox, host, origin.port)),
    );
    await Promise.all(
      clients.map(async (own, at) => {
        for (let i = 0; i < 20; i++) {
          own.send(get(`/${at}/${i}`));
          expect((await own.read()).body.toString()).toBe(`GET /${at}/${i} HTTP/1.1`);
        }
        own.close();
      }),
    );
  });

  it("as many requests at once, over and over, take no new connections, and few are kept afterwards", async () => {
    first = -1;
    const count = 80;
    let held: (() => void)[] = [];
    serve = async ({ wire, readRequest }) => {
      for (;;) {
        const { line } = await readRequest();
        held.push(() => wire.send(ok(line)));
        if (held.length < count) continue;
        // All answers at once: for a moment all connections are free.
        for (const answer of held) answer();
        held = [];
      }
    };
    const before = origin.connections.length;
    const clients = await Promise.all(
      Array.from({ length: count }, () => connectThrough(keyswap, sandbox, host, origin.port)),
    );
    for (let i = 0; i < 4; i++) {
      for (const own of clients) own.send(get(`/${i}`));
      for (const own of clients) expect((await own.read()).body.toString()).toBe(`GET /${i} HTTP/1.1`);
    }
    for (const own of clients) own.close();
    expect(origin.connections.length - before).toBe(count);
    const opened = origin.connections.slice(before);
    await vi.waitFor(() => expect(opened.filter(({ wire }) => !wire.isEnded).length).toBe(64), 10_000);
  });

  it("a request that waits for a new connection goes out on one that another request gives back", async () => {
    first = -1;
    const arrived = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    serve = async ({ wire, readRequest }) => {
      for (let i = 0; i < 2; i++) {
        const { line } = await readRequest();
        arrived.resolve();
        await answer.promise;
        wire.send(ok(line));
      }
    };
    // The first connection gets through; others are taken and not answered, as by a destination that is overloaded.
    const waiting = Promise.withResolvers<void>();
    const sockets: Socket[] = [];
    const gate = createServer((socket) => {
      sockets.push(socket.on("error", () => {}));
      if (sockets.length > 1) return waiting.resolve();
      const onward = connect(origin.port, "127.0.0.1").on("error", () => {});
      socket.pipe(onward).pipe(socket);
    });
    await new Promise<void>((resolve) => gate.listen(0, "127.0.0.1", resolve));
    const { port } = gate.address() as AddressInfo;
    const clients = [
      await connectThrough(keyswap, sandbox, host, port),
      await connectThrough(keyswap, sandbox, host, port),
    ];
    try {
      clients[0]?.send(get("/first"));
      await arrived.promise;
      clients[1]?.send(get("/second"));
      await waiting.promise;
      answer.resolve();
      expect((await clients[0]?.read())?.body.toString()).toBe("GET /first HTTP/1.1");
      expect((await clients[1]?.read())?.body.toString()).toBe("GET /second HTTP/1.1");
      expect(sockets.length).toBe(2);
    } finally {
      for (const own of clients) own.close();
      for (const socket of sockets) socket.destroy();
      gate.close();
    }
  });

  it("who goes from one authority to the next keeps connections to the last ones", async () => {
    const own = await startKeyswap({ limits: { maxAuthorities: 3 } });
    const origins: RawOrigin[] = [];
    try {
      const mine = await own.secret("another value", [host]);
      const walker = await own.sandbox([mine]);
      const answer = async ({ wire, readRequest }: RawConnection): Promise<void> => {
        for (;;) {
          await readRequest();
          wire.send(ok("here"));
        }
      };
      const visit = async (at: number): Promise<void> => {
        const wire = await connectThrough(own, walker, host, origins[at]!.port);
        wire.send(get());
        expect((await wire.read()).body.toString()).toBe("here");
        wire.close();
      };
      for (let at = 0; at < 6; at++) {
        origins.push(await startRawOrigin({ pki: own.pki, names: [host] }, answer));
        await visit(at);
        // A clock of milliseconds tells who was first.
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      const open = () => origins.map(({ connections }) => connections.filter(({ wire }) => !wire.isEnded).length);
      await vi.waitFor(() => expect(open()).toEqual([0, 0, 0, 1, 1, 1]));
      // The one that is used is not the next to go.
      await visit(3);
      await visit(0);
      await vi.waitFor(() => expect(open()).toEqual([1, 0, 0, 1, 0, 1]));
    } finally {
      await own.close();
      for (const { close } of origins) await close();
    }
  });
});
