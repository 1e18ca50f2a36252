// Real gRPC clients and servers on both ends of the proxy: all four kinds of calls, metadata, trailers and messages.

import { request } from "node:https";
import { type ClientDuplexStream, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { GrpcClient, type GrpcServer, grpcService, startGrpcServer } from "../support/grpc-peers.ts";
import { type Http2Origin, startHttp2Origin, tunnelTls } from "../support/http2-peers.ts";
import { type MadeSandbox, type MadeSecret, startKeyswap, type TestKeyswap } from "../support/keyswap.ts";

const host = "api.good.test";
let keyswap: TestKeyswap;
let sandbox: MadeSandbox;
/** As long as its placeholder. */
let equal: MadeSecret;
let longer: MadeSecret;
let server: GrpcServer;
let client: GrpcClient;

beforeAll(async () => {
  keyswap = await startKeyswap();
  const probe = await keyswap.secret("short", [host]);
  equal = await keyswap.secret("v".repeat(probe.placeholder.length), [host]);
  longer = await keyswap.secret("a value of another length", [host]);
  expect(equal.placeholder.length).toBe(equal.value.length);
  sandbox = await keyswap.sandbox([equal, longer]);
  server = await startGrpcServer(keyswap, host, equal.value);
  client = new GrpcClient(keyswap, sandbox, host, server.port);
});

beforeEach(() => {
  server.metadata.length = 0;
  server.messages.length = 0;
  server.cancelled.length = 0;
});

afterAll(async () => {
  client?.close();
  server?.close();
  await keyswap.close();
  expect(keyswap.errors).toEqual([]);
});

function failureOf(call: Promise<unknown>): Promise<ServiceError> {
  return call.then(
    () => expect.fail("it did not fail"),
    (reason: ServiceError) => reason,
  );
}

describe("unary calls", () => {
  it("substitute in metadata and scrub it in the answer's head and trailers", async () => {
    const answer = await client.unary("hello", `Bearer ${longer.placeholder}`);
    expect(server.metadata[0]?.get("x-key")).toEqual([`Bearer ${longer.value}`]);
    expect(answer.message.toString()).toBe("hello");
    expect(answer.initial.get("x-echo")).toEqual([`Bearer ${longer.placeholder}`]);
    expect(answer.trailing.get("x-after")).toEqual([`Bearer ${longer.placeholder}`]);
    const [event] = (await keyswap.exchanges(sandbox)).slice(-1);
    expect(event).toMatchObject({ protocol: "h2", method: "POST", path: grpcService.unary.path, status: 200 });
  });

  it("substitute in messages where lengths are equal, and nowhere else", async () => {
    const answer = await client.unary(`\n${equal.placeholder}|${longer.placeholder}`);
    expect(server.messages[0]?.toString()).toBe(`\n${equal.value}|${longer.placeholder}`);
    expect(answer.message.toString()).toBe(`\n${equal.placeholder}|${longer.placeholder}`);
    const [event] = (await keyswap.exchanges(sandbox)).slice(-1);
    expect(event?.notSubstituted).toContainEqual(expect.objectContaining({ reason: "length-differs" }));
  });

  it("send an unknown placeholder in metadata as it is, and say so", async () => {
    const unknown = `dtn_secret_${"z".repeat(40)}`;
    await client.unary("hello", unknown);
    expect(server.metadata[0]?.get("x-key")).toEqual([unknown]);
    const [event] = (await keyswap.exchanges(sandbox)).slice(-1);
    expect(event?.notSubstituted).toContainEqual(expect.objectContaining({ reason: "unknown-placeholder" }));
  });

  it("fail with the server's status, scrubbed", async () => {
    const error = await failureOf(client.unary("fail"));
    expect(error.code).toBe(status.FAILED_PRECONDITION);
    expect(error.details).toBe(`no ${equal.placeholder}`);
    expect(error.metadata.get("x-why")).toEqual([equal.placeholder]);
  });

  it("end at their deadline, on both sides", async () => {
    const error = await failureOf(client.unary("never", undefined, { deadline: Date.now() + 300 }));
    expect(error.code).toBe(status.DEADLINE_EXCEEDED);
    await expect.poll(() => server.cancelled).toEqual(["unary"]);
  });

  it("carry messages of 16 MiB", async () => {
    const message = Buffer.alloc(16 * 1024 * 1024, "0123456789abcdef");
    const answer = await client.unary(message);
    expect(answer.message.equals(message)).toBe(true);
  });

  it("run many at a time", async () => {
    const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => client.unary(`n${i}`)));
    expect(answers.map(({ message }) => message.toString())).toEqual(Array.from({ length: 300 }, (_, i) => `n${i}`));
  });
});

describe("compressed messages", () => {
  let compressed: GrpcServer;
  let compressing: GrpcClient;

  beforeAll(async () => {
    compressed = await startGrpcServer(keyswap, host, equal.value, true);
    compressing = new GrpcClient(keyswap, sandbox, host, compressed.port, true);
  });

  afterAll(() => {
    compressing?.close();
    compressed?.close();
  });

  it("are substituted and scrubbed", async () => {
    const text = (key: string): string => `${"many words ".repeat(20)}${key}|${longer.placeholder}`;
    const answer = await compressing.unary(text(equal.placeholder));
    expect(compressed.messages[0]?.toString()).toBe(text(equal.value));
    expect(answer.message.toString()).toBe(text(equal.placeholder));
    const [event] = (await keyswap.exchanges(sandbox)).slice(-1);
    expect(event?.substituted).toEqual([{ secret: equal.name, surface: "body" }]);
    expect(event?.scrubbed).toEqual([equal.name]);
  });

  it("are not waited for one by one", async () => {
    const call = compressing.chat();
    const answers = call[Symbol.asyncIterator]();
    for (const end of ["", "dtn_secret_ab", " and more"]) {
      call.write(Buffer.from(equal.placeholder + end));
      expect(String((await answers.next()).value)).toBe(equal.placeholder + end);
      expect(compressed.messages.at(-1)?.toString()).toBe(equal.value + end);
    }
    call.end();
    expect((await answers.next()).done).toBe(true);
  });
});

describe("streams in one direction", () => {
  it("from the client", async () => {
    const parts = Array.from({ length: 50 }, (_, i) => Buffer.alloc(100_000, i));
    const answer = await client.upload([...parts, Buffer.from(equal.placeholder)]);
    expect(answer.toString()).toBe(String(50 * 100_000 + equal.placeholder.length));
    expect(server.messages.at(-1)?.toString()).toBe(equal.value);
  });

  it.each([
    [40, 200_000],
    [10_000, 50],
  ])("from the server: %i messages of %i bytes, in order", async (count, size) => {
    let next = 0;
    for await (const message of client.download(`${count}x${size}`)) {
      expect(message.length).toBe(size);
      expect(message.readUInt32BE()).toBe(next);
      next += 1;
    }
    expect(next).toBe(count);
  });

  it("from a server whose client has had enough", async () => {
    const call = client.download("100000x10000");
    call.on("error", () => {});
    await new Promise((resolve) => call.once("data", resolve));
    call.cancel();
    await expect.poll(() => server.cancelled).toEqual(["download"]);
  });
});

describe("both ways at once", () => {
  function statusOf(call: ClientDuplexStream<Buffer, Buffer>): Promise<number> {
    call.on("error", () => {});
    return new Promise((resolve) => call.on("status", ({ code }) => resolve(code)));
  }

  it("each message is answered before the next one is sent", async () => {
    const call = client.chat();
    const answers = call[Symbol.asyncIterator]();
    for (let i = 0; i < 20; i++) {
      call.write(Buffer.from(`m${i}`));
      expect(String((await answers.next()).value)).toBe(`m${i}`);
    }
    call.end();
    expect((await answers.next()).done).toBe(true);
  });

  it("what may be the start of a placeholder does not hold a message back", async () => {
    const call = client.chat();
    const answers = call[Symbol.asyncIterator]();
    for (const end of ["", "dtn_", "dtn_secret_abc", equal.value.slice(0, 3)]) {
      call.write(Buffer.from(equal.placeholder + end));
      expect(String((await answers.next()).value)).toBe(equal.placeholder + end);
      expect(server.messages.at(-1)?.toString()).toBe(equal.value + end);
    }
    call.end();
    expect((await answers.next()).done).toBe(true);
  });

  it("what is written and scrubbed follows the grants while the call goes on", async () => {
    const rotated = await keyswap.secret("r".repeat(equal.value.length), [host]);
    const itsSandbox = await keyswap.sandbox([rotated]);
    const itsClient = new GrpcClient(keyswap, itsSandbox, host, server.port);
    const call = itsClient.chat();
    const answers = call[Symbol.asyncIterator]();
    const expectSent = async (value: string): Promise<void> => {
      await keyswap.heard();
      call.write(Buffer.from(rotated.placeholder));
      expect(String((await answers.next()).value)).toBe(rotated.placeholder);
      expect(server.messages.at(-1)?.toString()).toBe(value);
    };
    await expectSent(rotated.value);
    await keyswap.rotate(rotated, "s".repeat(equal.value.length));
    await expectSent("s".repeat(equal.value.length));
    await keyswap.mount(itsSandbox, []);
    await expectSent(rotated.placeholder);
    call.end();
    expect((await answers.next()).done).toBe(true);
    itsClient.close();
  });

  it("10,000 messages come back in order", async () => {
    const call = client.chat();
    let next = 0;
    const done = new Promise<void>((resolve, reject) => {
      call.on("data", (message: Buffer) => {
        if (message.readUInt32BE() !== next) reject(new Error(`message ${message.readUInt32BE()} instead of ${next}`));
        next += 1;
      });
      call.on("end", resolve);
      call.on("error", reject);
    });
    for (let i = 0; i < 10_000; i++) {
      const message = Buffer.alloc(40);
      message.writeUInt32BE(i);
      call.write(message);
    }
    call.end();
    await done;
    expect(next).toBe(10_000);
  });

  it("the server may leave while the client still could send", async () => {
    const call = client.chat();
    const ended = statusOf(call);
    call.on("data", () => {});
    call.write(Buffer.from("leave"));
    expect(await ended).toBe(status.OK);
  });

  it("a server that breaks off is heard", async () => {
    const call = client.chat();
    const ended = statusOf(call);
    call.on("data", () => {});
    call.write(Buffer.from("break"));
    expect(await ended).toBe(status.ABORTED);
  });

  it("a client that cancels is heard", async () => {
    const call = client.chat();
    const ended = statusOf(call);
    call.write(Buffer.from("m"));
    await new Promise((resolve) => call.once("data", resolve));
    call.cancel();
    expect(await ended).toBe(status.CANCELLED);
    await expect.poll(() => server.cancelled).toEqual(["chat"]);
  });
});

describe("gRPC-Web over HTTP/1.1", () => {
  let origin: Http2Origin;

  beforeAll(async () => {
    origin = await startHttp2Origin({ pki: keyswap.pki, names: [host], speaks: "http/1.1" });
  });

  afterAll(() => origin?.close());

  function framed(flags: number, text: string): Buffer {
    const prefix = Buffer.alloc(5);
    prefix.writeUInt8(flags);
    prefix.writeUInt32BE(text.length, 1);
    return Buffer.concat([prefix, Buffer.from(text)]);
  }

  it("substitutes in messages, and scrubs messages and trailers", async () => {
    origin.handler = (response, seen) => {
      response.writeHead(200, { "content-type": "application/grpc-web+proto" });
      response.write(seen.body);
      response.end(framed(0x80, `grpc-status: 9\r\ngrpc-message: ${longer.value}\r\n`));
    };
    const body = framed(0, `\n${equal.placeholder}`);
    const socket = await tunnelTls(keyswap, sandbox, host, origin.port, ["http/1.1"]);
    const answer = await new Promise<Buffer>((resolve, reject) => {
      const headers = { host, "content-type": "application/grpc-web+proto", "content-length": body.length };
      const asked = request({ host, method: "POST", path: "/t.T/Unary", headers, createConnection: () => socket });
      asked.on("error", reject);
      asked.on("response", (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("end", () => resolve(Buffer.concat(parts)));
      });
      asked.end(body);
    });
    socket.destroy();
    expect(origin.last().body).toEqual(framed(0, `\n${equal.value}`));
    const masked = longer.placeholder.slice(0, longer.value.length);
    expect(answer.subarray(0, body.length)).toEqual(body);
    expect(answer.subarray(body.length)).toEqual(framed(0x80, `grpc-status: 9\r\ngrpc-message: ${masked}\r\n`));
  });
});
