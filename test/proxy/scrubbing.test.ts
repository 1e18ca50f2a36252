// Answers on their way back: a value never reaches the sandbox, and what holds none stays what it was.

import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";
import { type Origin, type OriginHandler, startOrigin } from "../support/origin.ts";
import { type RawConnection, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { connectThrough, fieldValue, type WireAnswer } from "../support/wire-client.ts";

const host = "api.good.test";
const value = 'sk-live/4f9a8b7c6d5e+"quoted"';
let keyswap: TestKeyswap;
let origin: Origin;
let raw: RawOrigin;
let secret: MadeSecret;
let sandbox: MadeSandbox;
let handler: OriginHandler;
let serve: (connection: RawConnection) => Promise<void>;

beforeAll(async () => {
  keyswap = await startKeyswap();
  origin = await startOrigin({
    pki: keyswap.pki,
    names: [host],
    handler: (request, response, seen) => handler(request, response, seen),
  });
  raw = await startRawOrigin({ pki: keyswap.pki, names: [host] }, (connection) => serve(connection));
  secret = await keyswap.secret(value, [host]);
  sandbox = await keyswap.sandbox([secret]);
});

afterAll(async () => {
  await keyswap.close();
  await origin.close();
  await raw.close();
  expect(raw.faults).toEqual([]);
  expect(keyswap.errors).toEqual([]);
});

async function ask(answer: OriginHandler, method = "GET", more = ""): Promise<WireAnswer> {
  handler = answer;
  const client = await connectThrough(keyswap, sandbox, host, origin.port);
  client.send(`${method} / HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`);
  const given = await client.read(method);
  client.close();
  return given;
}

/** What a server answers, byte for byte. */
async function askRaw(bytes: string | readonly string[], method = "GET"): Promise<WireAnswer> {
  serve = async ({ wire, readRequest, socket }) => {
    await readRequest();
    for (const part of typeof bytes === "string" ? [bytes] : bytes) {
      await wire.sendAll(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.end();
  };
  const client = await connectThrough(keyswap, sandbox, host, raw.port);
  client.send(`${method} / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  const given = await client.read(method);
  client.close();
  return given;
}

function everything(answer: WireAnswer): string {
  return JSON.stringify([
    answer.reason,
    answer.fields,
    answer.trailers,
    answer.interim,
    answer.body.toString("latin1"),
  ]);
}

describe("a value in an answer becomes its placeholder", () => {
  it("in header fields, Location and Set-Cookie among them", async () => {
    const answer = await ask((_request, response) => {
      response.setHeader("X-Echo", `key ${value}`);
      response.setHeader("Location", `https://x.test/?k=${encodeURIComponent(value)}`);
      response.setHeader("Set-Cookie", ["a=1", `k=${encodeURIComponent(value)}`, "a=2"]);
      response.end("done");
    });
    expect(fieldValue(answer, "x-echo")).toBe(`key ${secret.placeholder}`);
    expect(fieldValue(answer, "location")).toBe(`https://x.test/?k=${secret.placeholder}`);
    expect(answer.fields.filter(([name]) => name === "Set-Cookie").map(([, text]) => text)).toEqual([
      "a=1",
      `k=${secret.placeholder}`,
      "a=2",
    ]);
  });

  it("in the reason phrase", async () => {
    const answer = await askRaw(`HTTP/1.1 401 bad key ${value}\r\nContent-Length: 0\r\n\r\n`);
    expect(answer.reason).toBe(`bad key ${secret.placeholder}`);
  });

  it("in every spelling that an echo gives it", async () => {
    const spellings = [
      value,
      JSON.stringify(value).slice(1, -1),
      encodeURIComponent(value),
      encodeURIComponent(value).replace(/%../g, (code) => code.toLowerCase()),
      value.replaceAll('"', "&quot;"),
      Buffer.from(value).toString("hex"),
      Buffer.from(value).toString("base64"),
      Buffer.from(`x${value}`).toString("base64"),
      Buffer.from(`xy${value}`).toString("base64url"),
    ];
    const answer = await ask((_request, response) => {
      response.setHeader("Content-Type", "text/plain");
      response.end(spellings.join("\n"));
    });
    const body = answer.body.toString();
    expect(body.split("\n")).toHaveLength(spellings.length);
    for (const spelling of spellings) expect(body).not.toContain(spelling);
    // The characters at base64's borders belong to the neighbours too; the rest is gone.
    for (const at of [0, 1, 2]) {
      const core = Buffer.from("x".repeat(at) + value)
        .toString("base64url")
        .slice(4, -4);
      expect(body.replaceAll("+", "-").replaceAll("/", "_")).not.toContain(core);
    }
  });

  it("in a body with a length, in a chunked one, and in one that ends with the connection", async () => {
    for (const [head, body] of [
      [`Content-Length: ${value.length + 2}\r\n`, `<${value}>`],
      ["Transfer-Encoding: chunked\r\n", `1\r\n<\r\n${value.length.toString(16)}\r\n${value}\r\n1\r\n>\r\n0\r\n\r\n`],
      ["", `<${value}>`],
    ]) {
      const answer = await askRaw(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n${head}\r\n${body}`);
      expect(answer.body.toString()).toBe(`<${secret.placeholder}>`);
    }
  });

  it("where every byte of the body is a chunk and a packet of its own", async () => {
    const parts = [...`{"k":"${value}"}`].map((byte) => `1\r\n${byte}\r\n`);
    const answer = await askRaw([
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
      ...parts,
      "0\r\n\r\n",
    ]);
    expect(answer.body.toString()).toBe(`{"k":"${secret.placeholder}"}`);
  });

  it("in trailers", async () => {
    const answer = await askRaw(
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1 ${value}\r\nX-More: 2\r\n\r\n`,
    );
    expect(answer.body.toString()).toBe("abc");
    expect(answer.trailers).toEqual([
      ["X-Sum", `1 ${secret.placeholder}`],
      ["X-More", "2"],
    ]);
  });

  it("in interim answers", async () => {
    const answer = await askRaw(
      `HTTP/1.1 103 Early Hints\r\nLink: <https://x/${encodeURIComponent(value)}>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`,
    );
    expect(answer.interim).toHaveLength(1);
    expect(everything(answer)).not.toContain(encodeURIComponent(value));
  });

  it("in the head of an answer to HEAD, and of a 304 and a 204", async () => {
    for (const [method, status] of [
      ["HEAD", "200 OK"],
      ["GET", "304 Not Modified"],
      ["GET", "204 No Content"],
    ] as const) {
      const length = status.startsWith("204") ? "" : "Content-Length: 1234\r\n";
      const answer = await askRaw(`HTTP/1.1 ${status}\r\nX-Echo: ${value}\r\nETag: "a"\r\n${length}\r\n`, method);
      expect(fieldValue(answer, "x-echo")).toBe(secret.placeholder);
      expect(fieldValue(answer, "etag")).toBe('"a"');
      expect(fieldValue(answer, "content-length")).toBe(length === "" ? undefined : "1234");
    }
  });

  it("in a long body whose length stays: the form is overwritten", async () => {
    const size = 3 * 1024 * 1024;
    const body = Buffer.alloc(size, "z");
    body.write(value, 2_000_000);
    const answer = await ask((_request, response) => {
      response.writeHead(200, { "content-type": "text/plain", "content-length": size });
      response.end(body);
    });
    expect(fieldValue(answer, "content-length")).toBe(String(size));
    expect(answer.body).toHaveLength(size);
    expect(answer.body.includes(value)).toBe(false);
    expect(answer.body.subarray(0, 2_000_000).equals(body.subarray(0, 2_000_000))).toBe(true);
    const behind = 2_000_000 + value.length;
    expect(answer.body.subarray(behind).equals(body.subarray(behind))).toBe(true);
  });

  it("and the audit names the secret", async () => {
    const own = await keyswap.sandbox([secret]);
    handler = (_request, response) => response.end(value);
    const client = await connectThrough(keyswap, own, host, origin.port);
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await client.read();
    expect(await keyswap.exchanges(own)).toMatchObject([{ scrubbed: [secret.name] }]);
    client.close();
  });
});

describe("content codings of answers", () => {
  const codings = {
    gzip: [gzipSync, gunzipSync],
    deflate: [deflateSync, inflateSync],
    // At its default level it would take a minute.
    br: [
      (bytes: Buffer | string) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
      brotliDecompressSync,
    ],
    zstd: [zstdCompressSync, zstdDecompressSync],
  } as const;

  for (const [name, [encode, decode]] of Object.entries(codings)) {
    it(`${name} with a length, and chunked`, async () => {
      for (const chunked of [false, true]) {
        const coded = encode(`<${value}>`);
        const answer = await ask((_request, response) => {
          response.setHeader("Content-Type", "text/plain");
          response.setHeader("Content-Encoding", name);
          if (chunked) {
            response.write(coded.subarray(0, 5));
            response.end(coded.subarray(5));
          } else response.end(coded);
        });
        expect(fieldValue(answer, "content-encoding")).toBe(name);
        expect(decode(answer.body).toString()).toBe(`<${secret.placeholder}>`);
      }
    });

    it(`${name} stays byte for byte where nothing is found`, async () => {
      for (const chunked of [false, true]) {
        const coded = encode("nothing in it ".repeat(1000));
        const answer = await ask((_request, response) => {
          response.setHeader("Content-Type", "text/plain");
          response.setHeader("Content-Encoding", name);
          if (chunked) response.write(coded.subarray(0, 5));
          response.end(chunked ? coded.subarray(5) : coded);
        });
        expect(answer.body.equals(coded)).toBe(true);
      }
    });

    it(`${name} longer than the buffer is coded anew as a stream`, async () => {
      const text = Buffer.alloc(3 * 1024 * 1024);
      for (let at = 0, word = 1; at < text.length; at += 4) {
        word = (Math.imul(word, 1_103_515_245) + 12_345) | 0;
        text.writeInt32LE(word & 0x3f3f3f3f, at);
      }
      text.write(value, 2_500_000);
      const answer = await ask((_request, response) => {
        response.writeHead(200, { "content-type": "text/plain", "content-encoding": name, etag: '"v1"' });
        response.end(encode(text));
      });
      const decoded = decode(answer.body);
      expect(decoded.includes(value)).toBe(false);
      expect(decoded.includes(secret.placeholder)).toBe(true);
      expect(decoded.length).toBe(text.length - value.length + secret.placeholder.length);
      expect(fieldValue(answer, "etag")).toBe('"v1"');
    });
  }

  it("a coding that cannot be read is refused with 502", async () => {
    const answer = await ask((_request, response) => {
      response.setHeader("Content-Encoding", "x-secret-sauce");
      response.end(value);
    });
    expect(answer.status).toBe(502);
    expect(fieldValue(answer, "keyswap-error")).toBe("coding-unreadable");
  });

  it("and is not asked for", async () => {
    let asked: string | undefined;
    await ask(
      (request, response) => {
        asked = request.headers["accept-encoding"];
        response.end();
      },
      "GET",
      "Accept-Encoding: gzip, dcb, br;q=0.5\r\n",
    );
    expect(asked).toBe("gzip, br;q=0.5");
  });

  it("gzip of the same line over and over is read to its end", async () => {
    const text = Buffer.alloc(16 * 1024 * 1024);
    text.write(value, text.length - 100);
    const answer = await ask((_request, response) => {
      response.setHeader("Content-Type", "text/plain");
      response.setHeader("Content-Encoding", "gzip");
      response.end(gzipSync(text, { level: 9 }));
    });
    const shown = gunzipSync(answer.body);
    expect(shown.includes(value)).toBe(false);
    expect(shown.length).toBe(text.length - value.length + secret.placeholder.length);
  });

  it("an answer that breaks off inside its coding is not passed for whole", async () => {
    const coded = gzipSync(Buffer.alloc(4 * 1024 * 1024, "ab"), { level: 0 });
    serve = async ({ wire, readRequest, socket }) => {
      await readRequest();
      wire.send(
        `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: ${coded.length}\r\n\r\n`,
      );
      await wire.sendAll(coded.subarray(0, coded.length / 2));
      socket.end();
    };
    const client = await connectThrough(keyswap, sandbox, host, raw.port);
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await expect(client.read()).rejects.toThrow("closed");
    client.close();
  });
});

describe("what holds nothing stays what it was", () => {
  it("binary bodies, framing, case and order of fields", async () => {
    const body = Buffer.from(Array.from({ length: 512 }, (_, at) => at & 255)).toString("latin1");
    const answer = await askRaw(
      `HTTP/1.1 200 Fine \xe9\r\nx-B: 2\r\nX-a: 1\r\nContent-Type: application/octet-stream\r\nX-latin: caf\xe9\r\nContent-length: 512\r\nx-b: 3\r\n\r\n${body}`,
    );
    expect(answer.reason).toBe("Fine \xe9");
    expect(answer.fields).toEqual([
      ["x-B", "2"],
      ["X-a", "1"],
      ["Content-Type", "application/octet-stream"],
      ["X-latin", "caf\xe9"],
      ["Content-length", "512"],
      ["x-b", "3"],
    ]);
    expect(answer.body.toString("latin1")).toBe(body);
  });

  it("a redirect goes to the client, who decides", async () => {
    const answer = await ask((_request, response) => response.writeHead(302, { location: "/next" }).end());
    expect(answer.status).toBe(302);
    expect(origin.seen.filter(({ url }) => url === "/next")).toEqual([]);
  });
});

describe("a type of messages", () => {
  /** A value whose last byte made-up lengths cut off. */
  const body = Buffer.concat([Buffer.from([0, 0, 0, 0, value.length + 1]), Buffer.from(`ab${value} and the rest`)]);

  it.each([
    ["GET", ""],
    ["POST", "\0\0\0\0\0"],
  ])("does not cut a value in two, in an answer to %s", async (method, sent) => {
    const cut = 5 + 2 + value.length - 1;
    const firstSeen = Promise.withResolvers<void>();
    serve = async ({ wire, readRequest, socket }) => {
      await readRequest();
      await wire.sendAll(`HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nContent-Length: ${body.length}\r\n\r\n`);
      await wire.sendAll(body.subarray(0, cut));
      await firstSeen.promise;
      await wire.sendAll(body.subarray(cut));
      socket.end();
    };
    const client = await connectThrough(keyswap, sandbox, host, raw.port);
    client.send(
      `${method} / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Type: application/grpc\r\nContent-Length: ${sent.length}\r\n\r\n${sent}`,
    );
    expect((await client.readHead()).status).toBe(200);
    expect((await client.readExactly(7)).subarray(5).toString()).toBe("ab");
    firstSeen.resolve();
    const seen = await client.closed();
    expect(seen.includes(value.slice(0, 4))).toBe(false);
    client.close();
  });
});

describe("ranges", () => {
  /** Serves one file, and parts of it. */
  async function serveFile({ wire, readRequest, socket }: RawConnection, file: Buffer, name = "range"): Promise<void> {
    const { fields } = await readRequest();
    const asked = fields.findLast(([key]) => key.toLowerCase() === name)?.[1];
    const [, from = "0", to = ""] = /^bytes=(\d+)-(\d*)$/.exec(asked ?? "") ?? [];
    const first = Number(from);
    const last = to === "" ? file.length - 1 : Math.min(Number(to), file.length - 1);
    const part = file.subarray(first, last + 1);
    const range = `Content-Range: bytes ${first}-${last}/${file.length}\r\n`;
    const head = asked === undefined ? "200 OK\r\n" : `206 Partial Content\r\n${range}`;
    await wire.sendAll(`HTTP/1.1 ${head}Connection: close\r\nContent-Length: ${part.length}\r\n\r\n`);
    await wire.sendAll(part);
    socket.end();
  }

  it("show what was asked for of the whole file, as it looks scrubbed in place", async () => {
    const file = Buffer.from(`${"-".repeat(2000)}${value}${"=".repeat(2000)}${value.slice(0, 12)}${"#".repeat(2000)}`);
    serve = (connection) => serveFile(connection, file);
    const client = await connectThrough(keyswap, sandbox, host, raw.port);
    const ask = async (range: string): Promise<WireAnswer> => {
      client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n${range}\r\n`);
      return client.read();
    };
    const whole = file.toString().replace(value, secret.placeholder.slice(0, value.length));
    for (const [first, last] of [
      [2000, 2001],
      [2010, 2010],
      [0, 2004],
      [2005, 3000],
      [0, 4000 + value.length + 11],
      [4000 + value.length, 4000 + value.length + 5],
    ] as const) {
      const answer = await ask(`Range: bytes=${first}-${last}\r\n`);
      expect(answer.status).toBe(206);
      expect(answer.body.toString()).toBe(whole.slice(first, last + 1));
      expect(fieldValue(answer, "content-range")).toBe(`bytes ${first}-${last}/${file.length}`);
      expect(fieldValue(answer, "content-length")).toBe(String(last - first + 1));
    }
    const beyond = await ask(`Range: bytes=${file.length}-\r\n`);
    expect(beyond.status).toBe(416);
    expect(fieldValue(beyond, "content-range")).toBe(`bytes */${file.length}`);
    expect(beyond.body).toHaveLength(0);
    client.close();
  });

  it("several parts are not asked for, one without a coding", async () => {
    const asked: unknown[] = [];
    for (const range of ["bytes=0-3,6-9", "bytes=0-"]) {
      await ask(
        (request, response) => {
          asked.push([request.headers.range, request.headers["accept-encoding"]]);
          response.end();
        },
        "GET",
        `Range: ${range}\r\nAccept-Encoding: gzip\r\n`,
      );
    }
    expect(asked).toEqual([
      [undefined, "gzip"],
      ["bytes=0-", "identity"],
    ]);
  });

  it.each([
    ["x-ms-range", "x-ms-range", (first: number) => `x-ms-range: bytes=${first}-${first + 1}\r\n`],
    ["the last of two", "range", (first: number) => `Range: bytes=0-999\r\nRange: bytes=${first}-${first + 1}\r\n`],
  ])("no pieces of a value come by %s", async (_, name, rangeOf) => {
    const file = Buffer.from(`${"-".repeat(400)}${value}${"-".repeat(400)}`);
    serve = (connection) => serveFile(connection, file, name);
    const client = await connectThrough(keyswap, sandbox, host, raw.port);
    for (const first of [400, 402]) {
      client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n${rangeOf(first)}\r\n`);
      const body = (await client.read()).body.toString();
      expect(body).not.toBe(value.slice(first - 400, first - 398));
      expect(body).not.toContain(value);
    }
    client.close();
  });

  it("a value that a part's edge cuts is masked", async () => {
    const body = `${value.slice(8)} ${"-".repeat(200)} ${value.slice(0, -4)}`;
    const answer = await askRaw(
      `HTTP/1.1 206 Partial Content\r\nContent-Type: text/plain\r\nContent-Range: bytes 1000-${999 + body.length}/99999\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(answer.status).toBe(206);
    expect(answer.body).toHaveLength(body.length);
    expect(answer.body.toString()).not.toContain(value.slice(8));
    expect(answer.body.toString()).not.toContain(value.slice(0, -4));
    expect(answer.body.toString()).toContain("-".repeat(200));
  });

  it("parts of multipart/byteranges keep their lengths, their cut edges masked", async () => {
    const parts = [`${value.slice(8)} ${"-".repeat(100)}`, `${"=".repeat(100)} ${value} ${value.slice(0, -4)}`];
    const heads = parts.map(
      (part, at) =>
        `\r\n--x\r\nContent-Type: text/plain\r\nContent-Range: bytes ${5000 * at + 1000}-${5000 * at + 999 + part.length}/99999\r\n\r\n`,
    );
    const body = `${heads[0]}${parts[0]}${heads[1]}${parts[1]}\r\n--x--\r\n`;
    const answer = await askRaw(
      `HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(answer.status).toBe(206);
    expect(answer.body).toHaveLength(body.length);
    const shown = answer.body.toString();
    expect(shown.startsWith(`${heads[0]}${"*".repeat(value.length - 8)} ${"-".repeat(100)}${heads[1]}`)).toBe(true);
    expect(shown).not.toContain(value.slice(0, -4));
    expect(shown.endsWith("\r\n--x--\r\n")).toBe(true);
  });

  it("a part whose type says that it is many is one part", async () => {
    const body = `\r\n--x\r\nContent-Range: bytes 0-19/20\r\n\r\n${value}${"-".repeat(200)}`;
    const answer = await askRaw(
      `HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Range: bytes 0-${body.length - 1}/99999\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(answer.status).toBe(206);
    expect(answer.body).toHaveLength(body.length);
    expect(answer.body.toString().includes(value.slice(0, 20))).toBe(false);
  });

  it("a part without a value is byte for byte what it was", async () => {
    const body = "0123456789abcdef".repeat(100);
    const answer = await askRaw(
      `HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1000-2599/99999\r\nETag: "v7"\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(answer.body.toString()).toBe(body);
    expect(fieldValue(answer, "etag")).toBe('"v7"');
    expect(fieldValue(answer, "content-range")).toBe("bytes 1000-2599/99999");
  });
});
