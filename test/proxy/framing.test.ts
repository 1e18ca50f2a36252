// Where messages begin and end, on both legs: the cases that desynchronise naive relays.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { writeAtTurnEnd } from "../../src/proxy/turn-end.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type RawConnection, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { connectThrough, dial, errorOf, fieldValue, type WireClient } from "../support/wire-client.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let origin: RawOrigin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let client: WireClient;
let serve: (connection: RawConnection) => Promise<void>;

beforeAll(async () => {
  keyswap = await startKeyswap({ plainHttpHosts: ["plain.test"] });
  origin = await startRawOrigin({ pki: keyswap.pki, names: [host] }, (connection) => serve(connection));
  secret = await keyswap.secret("the real value", [host, "plain.test"]);
});

beforeEach(async () => {
  serve = answering(ok("fine"));
  client?.close();
  // A sandbox has upstream connections of its own: each test begins without any.
  sandbox = await keyswap.sandbox([secret]);
  client = await connectThrough(keyswap, sandbox, host, origin.port);
});

afterAll(async () => {
  client?.close();
  await keyswap.close();
  await origin.close();
  expect(origin.faults).toEqual([]);
  expect(keyswap.errors).toEqual([]);
});

function ok(body: string, more = ""): string {
  return `HTTP/1.1 200 OK\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** Answers requests without a body, one text after the other, then the last one again and again. */
function answering(...answers: readonly string[]): typeof serve {
  return async ({ wire, readRequest }) => {
    for (let at = 0; at < 1000; at++) {
      await readRequest();
      wire.send(answers[Math.min(at, answers.length - 1)] ?? "");
    }
  };
}

function get(target = "/", more = ""): string {
  return `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`;
}

/** The body of a request that was read by `readRequest`, by its Content-Length or chunks. */
async function readBody({ wire }: RawConnection, fields: readonly (readonly [string, string])[]): Promise<string> {
  const length = fieldValue({ fields }, "content-length");
  if (length !== undefined) return (await wire.readExactly(Number(length))).toString("latin1");
  let body = "";
  for (let chunk = await wire.readChunk(); chunk !== undefined; chunk = await wire.readChunk()) {
    body += chunk.toString("latin1");
  }
  await wire.readTrailers();
  return body;
}

describe("interim answers", () => {
  it("100 and 103 go to the client in their order, before the answer", async () => {
    serve = answering(
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n${ok("done")}`,
    );
    client.send(get());
    const answer = await client.read();
    expect(answer.interim.map(({ status, fields }) => [status, fieldValue({ fields }, "link")])).toEqual([
      [100, undefined],
      [103, "</a>"],
      [103, "</b>"],
    ]);
    expect(answer.body.toString()).toBe("done");
    client.send(get());
    expect((await client.read()).body.toString()).toBe("done");
  });

  it("an interim answer that stands alone is not held back", async () => {
    let goOn = (): void => {};
    const waits = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    serve = async ({ wire, readRequest }) => {
      await readRequest();
      wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
      await waits;
      wire.send(ok("late"));
    };
    client.send(get());
    expect((await client.readHead()).status).toBe(103);
    goOn();
    expect((await client.read()).body.toString()).toBe("late");
  });

  it("an HTTP/1.0 client gets none", async () => {
    serve = answering(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok("done")}`);
    client.send(`GET / HTTP/1.0\r\nHost: ${host}\r\n\r\n`);
    const answer = await client.read();
    expect(answer.interim).toEqual([]);
    expect(answer.body.toString()).toBe("done");
  });

  it("101 that nobody asked for is refused", async () => {
    serve = answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes");
    client.send(get());
    const answer = await client.read();
    expect(answer.status).toBe(502);
    expect(errorOf(answer)).toBe("upstream-malformed");
  });
});

describe("Expect: 100-continue", () => {
  for (const [kind, type, length] of [
    ["a body that is held", "application/json", 20],
    ["a body that is streamed", "application/octet-stream", 2 * 1024 * 1024],
    ["a body that nobody looks into", "image/png", 20],
  ] as const) {
    it(`${kind}: the client is told to go on, the origin gets the whole`, async () => {
      let received = "";
      serve = async (connection) => {
        const request = await connection.readRequest();
        if (fieldValue(request, "expect") !== undefined) connection.wire.send("HTTP/1.1 100 Continue\r\n\r\n");
        received = await readBody(connection, request.fields);
        connection.wire.send(ok("taken"));
      };
      client.send(
        `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\nExpect: 100-continue\r\n\r\n`,
      );
      expect((await client.readHead()).status).toBe(100);
      client.send("x".repeat(length));
      expect((await client.read()).body.toString()).toBe("taken");
      expect(received).toHaveLength(length);
    });
  }

  it.each([
    ["an HTTP/1.0 client", "1.0", "100-continue"],
    ["a client that expects something else", "1.1", "200-ok"],
  ])("%s is not told to go on", async (_who, version, expectation) => {
    serve = async (connection) => {
      await readBody(connection, (await connection.readRequest()).fields);
      connection.wire.send(ok("taken"));
    };
    client.send(
      `POST / HTTP/${version}\r\nHost: ${host}\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nExpect: ${expectation}\r\n\r\nabc`,
    );
    const answer = await client.read();
    expect([answer.interim, answer.body.toString()]).toEqual([[], "taken"]);
  });

  it("a final answer instead of 100 reaches the client, whose body is never sent", async () => {
    serve = async ({ wire, readRequest }) => {
      await readRequest();
      wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    };
    client.send(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: image/png\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n`,
    );
    const answer = await client.read();
    expect(answer.status).toBe(413);
    expect(answer.interim).toEqual([]);
    expect(await client.closed()).toBe("");
  });
});

describe("an answer before the request was read", () => {
  it("reaches the client, and neither connection is used again", async () => {
    serve = async ({ wire, readRequest, index }) => {
      await readRequest();
      wire.send(ok(`early on ${index}`));
      // Reads nothing of the body.
    };
    const first = origin.connections.length;
    client.send(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: image/png\r\nContent-Length: 50000000\r\n\r\n`);
    client.send(Buffer.alloc(100_000));
    expect((await client.read()).body.toString()).toBe(`early on ${first}`);
    client.send(Buffer.alloc(100_000));
    client.send(get("/smuggled"));
    expect(await client.closed()).toBe("");
    const again = await connectThrough(keyswap, sandbox, host, origin.port);
    again.send(get());
    expect((await again.read()).body.toString()).toBe(`early on ${first + 1}`);
    again.close();
  });
});

describe("answers without a body", () => {
  it("HEAD, 204 and 304 leave the connection in step", async () => {
    serve = answering(
      "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
      "HTTP/1.1 204 No Content\r\n\r\n",
      'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 77\r\n\r\n',
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      ok("last"),
    );
    const before = origin.connections.length;
    client.send(`HEAD / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const head = await client.read("HEAD");
    expect(fieldValue(head, "content-length")).toBe("1000");
    client.send(get());
    const none = await client.read();
    expect([none.status, fieldValue(none, "content-length")]).toEqual([204, undefined]);
    client.send(get());
    const unchanged = await client.read();
    expect([unchanged.status, fieldValue(unchanged, "content-length")]).toEqual([304, "77"]);
    client.send(`HEAD / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect((await client.read("HEAD")).status).toBe(200);
    client.send(get());
    expect((await client.read()).body.toString()).toBe("last");
    expect(origin.connections.length - before).toBe(1);
  });

  it("one that sends a body all the same puts its connection in doubt, and nobody sees those bytes", async () => {
    serve = async ({ wire, readRequest, index }) => {
      for (let i = 0; i < 10; i++) {
        const { line } = await readRequest();
        if (line.startsWith("HEAD")) wire.send(`HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n${ok("smuggled")}`);
        else wire.send(ok(`on ${index}`));
      }
    };
    const first = origin.connections.length;
    client.send(`HEAD / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await client.read("HEAD");
    client.send(get());
    expect((await client.read()).body.toString()).toBe(`on ${first + 1}`);
  });

  it("an empty body in every framing", async () => {
    serve = answering(ok(""), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ok("x"));
    for (const expected of ["", "", "x"]) {
      client.send(get());
      expect((await client.read()).body.toString()).toBe(expected);
    }
  });
});

describe("pipelined requests", () => {
  it("are answered one after the other, in their order", async () => {
    serve = async ({ wire, readRequest }) => {
      for (let i = 0; i < 50; i++) {
        const { line } = await readRequest();
        await new Promise((resolve) => setTimeout(resolve, i % 3));
        wire.send(ok(line));
      }
    };
    client.send(Array.from({ length: 20 }, (_, at) => get(`/${at}`)).join(""));
    for (let at = 0; at < 20; at++) expect((await client.read()).body.toString()).toBe(`GET /${at} HTTP/1.1`);
  });

  it("behind a body, with values in both", async () => {
    const bodies: string[] = [];
    serve = async (connection) => {
      for (let i = 0; i < 10; i++) {
        const request = await connection.readRequest();
        if (request.line.startsWith("POST")) bodies.push(await readBody(connection, request.fields));
        connection.wire.send(ok(`${request.line} ${fieldValue(request, "x-key") === secret.value}`));
      }
    };
    const body = `k=${secret.placeholder}`;
    client.send(
      `POST /a HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}` +
        `POST /b HTTP/1.1\r\nHost: ${host}\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n${get("/c", `X-Key: ${secret.placeholder}\r\n`)}`,
    );
    expect((await client.read()).body.toString()).toBe("POST /a HTTP/1.1 false");
    expect((await client.read()).body.toString()).toBe("POST /b HTTP/1.1 false");
    expect((await client.read()).body.toString()).toBe("GET /c HTTP/1.1 true");
    expect(bodies).toEqual([`k=${secret.value}`, `k=${secret.value}`]);
  });

  it("CONNECT behind another request is answered after it, also where many sockets are written to", async () => {
    const plain = await startRawOrigin({}, (connection) => serve(connection));
    const proof = `Proxy-Authorization: ${sandbox.credentials}\r\n`;
    const own = await dial(keyswap.port);
    // Turns with several writers have each of them wait for the turn's end.
    let crowd = setImmediate(function write() {
      for (let at = 0; at < 2; at++) writeAtTurnEnd({ flushNow() {} });
      crowd = setImmediate(write);
    });
    own.send(
      `GET http://plain.test:${plain.port}/ HTTP/1.1\r\nHost: plain.test:${plain.port}\r\n${proof}\r\n` +
        `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n${proof}\r\n`,
    );
    try {
      expect((await own.read()).body.toString()).toBe("fine");
      expect((await own.readHead()).reason).toBe("Connection established");
    } finally {
      clearImmediate(crowd);
      own.close();
      await plain.close();
    }
  });

  it("are all answered, though the client ends its direction behind them", async () => {
    client.send(get("/1") + get("/2") + get("/3"));
    client.socket.end();
    for (let at = 0; at < 3; at++) expect((await client.read()).body.toString()).toBe("fine");
    expect(await client.closed()).toBe("");
  });

  it("of which the last one is not whole are answered but for that one, though the client ends its direction", async () => {
    client.send(`${get("/1")}GET /2 HTTP/1.1\r\n`);
    client.socket.end();
    expect((await client.read()).body.toString()).toBe("fine");
    expect(await client.closed()).toBe("");
  });

  it("of which the last one's body is not whole: the origin does not take it for whole", async () => {
    serve = async (connection) => {
      for (let i = 0; i < 2; i++) {
        const { fields, line } = await connection.readRequest();
        if (line.startsWith("POST")) await readBody(connection, fields);
        connection.wire.send(ok(line));
      }
    };
    client.send(
      `${get("/1")}POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\nhalf`,
    );
    client.socket.end();
    expect((await client.read()).body.toString()).toBe("GET /1 HTTP/1.1");
    expect(await client.closed()).toBe("");
    expect(await keyswap.exchanges(sandbox, 2)).toMatchObject([{ status: 200 }, { error: "client-closed" }]);
  });

  it("behind one that asks to close are not answered", async () => {
    client.send(get("/", "Connection: close\r\n") + get("/second"));
    const answer = await client.read();
    expect(fieldValue(answer, "connection")).toBe("close");
    expect(await client.closed()).toBe("");
  });
});

describe("the end of connections", () => {
  it("the client's Connection: close is not passed on: the upstream connection lives", async () => {
    const heads: string[] = [];
    serve = async ({ wire, readRequest }) => {
      for (let i = 0; i < 10; i++) {
        heads.push((await readRequest()).text);
        wire.send(ok("x"));
      }
    };
    const before = origin.connections.length;
    for (let i = 0; i < 2; i++) {
      const own = await connectThrough(keyswap, sandbox, host, origin.port);
      own.send(get("/", "Connection: close\r\n"));
      expect((await own.read()).status).toBe(200);
      await own.closed();
    }
    expect(origin.connections.length - before).toBe(1);
    for (const head of heads) expect(head.toLowerCase()).not.toContain("connection:");
  });

  it("the origin's Connection: close is not passed on either: the client's connection lives", async () => {
    serve = async ({ wire, readRequest, socket }) => {
      await readRequest();
      wire.send(ok("once", "Connection: close\r\n"));
      socket.end();
    };
    const before = origin.connections.length;
    for (let i = 0; i < 3; i++) {
      client.send(get());
      const answer = await client.read();
      expect(answer.body.toString()).toBe("once");
      expect(fieldValue(answer, "connection")).toBeUndefined();
    }
    expect(origin.connections.length - before).toBe(3);
  });

  it("fields that Connection names are taken out on both legs", async () => {
    let seen = "";
    serve = async ({ wire, readRequest }) => {
      seen = (await readRequest()).text;
      wire.send(ok("x", "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 2\r\n"));
    };
    client.send(get("/", "Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nX-Other: 2\r\n"));
    const answer = await client.read();
    expect(seen).toBe(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Other: 2\r\n\r\n`);
    expect(answer.fields).toEqual([
      ["X-End", "2"],
      ["Content-Length", "1"],
    ]);
  });

  it("a client that has ended its direction still gets its answer", async () => {
    client.send(get());
    client.socket.end();
    expect((await client.read()).body.toString()).toBe("fine");
  });

  it("a body that the client breaks off never reaches the origin as a whole", async () => {
    let whole = false;
    let ended = (): void => {};
    const over = new Promise<void>((resolve) => {
      ended = resolve;
    });
    serve = async (connection) => {
      try {
        const request = await connection.readRequest();
        await readBody(connection, request.fields);
        whole = true;
      } finally {
        ended();
      }
    };
    client.send(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n`,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.socket.end();
    await over;
    expect(whole).toBe(false);
    const [event] = await keyswap.exchanges(sandbox);
    expect(event).toMatchObject({ error: "client-closed" });
  });
});

describe("HTTP/1.0", () => {
  it("a client without Host is served, and the origin is told which", async () => {
    let seen = "";
    serve = async ({ wire, readRequest }) => {
      seen = (await readRequest()).text;
      wire.send(ok("x"));
    };
    client.send(`GET /old HTTP/1.0\r\nX-Key: ${secret.placeholder}\r\n\r\n`);
    expect((await client.read()).body.toString()).toBe("x");
    expect(seen).toBe(`GET /old HTTP/1.1\r\nHost: ${host}:${origin.port}\r\nX-Key: ${secret.value}\r\n\r\n`);
    expect(await client.closed()).toBe("");
  });

  it("gets a chunked answer without chunks, ended by the connection", async () => {
    serve = answering(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\nX-T: 1\r\n\r\n",
    );
    client.send(`GET / HTTP/1.0\r\nHost: ${host}\r\n\r\n`);
    const answer = await client.read();
    expect(fieldValue(answer, "transfer-encoding")).toBeUndefined();
    expect(answer.body.toString()).toBe("abcdef");
  });

  it("a chunked answer that breaks off is not ended as if it were whole", async () => {
    serve = async ({ wire, readRequest, socket }) => {
      await readRequest();
      wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
      await new Promise((resolve) => setTimeout(resolve, 20));
      socket.destroy();
    };
    const own = await dial(keyswap.port);
    const plain = await startRawOrigin({}, serve);
    own.send(`GET http://plain.test:${plain.port}/ HTTP/1.0\r\nProxy-Authorization: ${sandbox.credentials}\r\n\r\n`);
    const broken = new Promise<boolean>((resolve) => {
      own.socket.on("error", () => resolve(true));
      own.socket.on("end", () => resolve(false));
    });
    expect(await broken).toBe(true);
    own.close();
    await plain.close();
  });

  it("an HTTP/1.0 origin is read until it closes, and its connection not used again", async () => {
    serve = async ({ wire, readRequest, socket }) => {
      await readRequest();
      wire.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold ways");
      socket.end();
    };
    const before = origin.connections.length;
    for (let i = 0; i < 2; i++) {
      client.send(get());
      const answer = await client.read();
      expect(answer.version).toBe("HTTP/1.1");
      expect(answer.body.toString()).toBe("old ways");
    }
    expect(origin.connections.length - before).toBe(2);
  });
});

describe("trailers", () => {
  it("go through in both directions", async () => {
    let trailers: unknown;
    serve = async ({ wire, readRequest }) => {
      const { text } = await readRequest();
      expect(text).toContain("\r\nTE: trailers\r\n");
      await wire.readChunk();
      expect(await wire.readChunk()).toBeUndefined();
      trailers = await wire.readTrailers();
      wire.send(
        "HTTP/1.1 200 OK\r\nTrailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-A: 1\r\nx-b: 2\r\n\r\n",
      );
    };
    client.send(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nTE: trailers\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-Sum: 9\r\nX-Sum: 8\r\n\r\n`,
    );
    const answer = await client.read();
    expect(trailers).toEqual([
      ["x-Sum", "9"],
      ["X-Sum", "8"],
    ]);
    expect(answer.trailers).toEqual([
      ["X-A", "1"],
      ["x-b", "2"],
    ]);
  });

  it("with a placeholder that nobody knows go out once it was looked up", async () => {
    let trailers: unknown;
    serve = async ({ wire, readRequest }) => {
      await readRequest();
      wire.send(ok("a connection to take"));
      await readRequest();
      while ((await wire.readChunk()) !== undefined);
      trailers = await wire.readTrailers();
      wire.send(ok("taken"));
    };
    client.send(get());
    await client.read();
    const unknown = `dtn_secret_${"a".repeat(25)}`;
    client.send(
      `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-key: ${unknown}\r\n\r\n`,
    );
    expect((await client.read()).body.toString()).toBe("taken");
    expect(trailers).toEqual([["x-key", unknown]]);
  });
});
