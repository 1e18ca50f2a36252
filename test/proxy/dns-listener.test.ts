// The DNS server that steers sandboxes to the gateway.

import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { decode, encode } from "dns-packet";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answerQuery, DnsListener } from "../../src/proxy/dns-listener.ts";
import { dial } from "../support/wire-client.ts";

const addresses = ["192.0.2.1", "2001:db8::1"];
const logger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
let listener: DnsListener;
let resolver: Resolver;

beforeAll(async () => {
  listener = await DnsListener.open({ listen: { host: "127.0.0.1", port: 0 }, addresses, logger });
  resolver = new Resolver({ timeout: 5000, tries: 1 });
  resolver.setServers([listener.address]);
});
afterAll(() => listener.close());

function ask(type: "A" | "AAAA" | "HTTPS" | "MX" | "PTR", name = "api.example.com"): Buffer {
  return encode({ type: "query", id: 4711, flags: 1 << 8, questions: [{ type: type as "A", name }] });
}

function answered(query: Buffer) {
  const answer = answerQuery(query, addresses);
  return answer === undefined ? undefined : decode(answer);
}

describe("every name", () => {
  it.each(["api.example.com", "single", "deep.er.example.org", "xn--mnchen-3ya.de"])(
    "%s is the gateway",
    async (name) => {
      expect(await resolver.resolve4(name)).toEqual(["192.0.2.1"]);
      expect(await resolver.resolve6(name)).toEqual(["2001:db8::1"]);
    },
  );

  it("has nothing but addresses", async () => {
    await expect(resolver.resolveMx("example.com")).rejects.toMatchObject({ code: "ENODATA" });
    await expect(resolver.resolveTxt("example.com")).rejects.toMatchObject({ code: "ENODATA" });
    expect(answered(ask("HTTPS"))).toMatchObject({ rcode: "NOERROR", answers: [] });
  });

  it("has no address of a family that the gateway lacks", () => {
    const answer = answerQuery(ask("AAAA"), ["192.0.2.1"]);
    expect(decode(answer ?? Buffer.alloc(0))).toMatchObject({ rcode: "NOERROR", answers: [] });
  });

  it("keeps its spelling, its id and the client's wish for recursion", () => {
    const answer = answered(ask("A", "ApI.eXample.COM"));
    expect(answer).toMatchObject({
      id: 4711,
      flag_rd: true,
      flag_ra: true,
      flag_aa: true,
      questions: [{ name: "ApI.eXample.COM", type: "A" }],
      answers: [{ name: "ApI.eXample.COM", type: "A", data: "192.0.2.1" }],
    });
  });
});

it("answers over TCP, several queries on one connection, however they are cut", async () => {
  const port = Number(listener.address.split(":")[1]);
  const client = await dial(port);
  const framed = (query: Buffer) => Buffer.concat([Buffer.of(query.length >> 8, query.length & 0xff), query]);
  for (const byte of Buffer.concat([framed(ask("A")), framed(ask("AAAA"))])) {
    client.send(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  for (const data of addresses) {
    const length = (await client.readExactly(2)).readUInt16BE(0);
    expect(decode(await client.readExactly(length)).answers).toMatchObject([{ data }]);
  }
  client.send(Buffer.of(0xff, 0xff));
  expect(await client.closed()).toBe("");
});

describe("what is no ordinary query", () => {
  it("gets no answer where it is an answer itself, or no message", async () => {
    const answer = answerQuery(ask("A"), addresses) ?? Buffer.alloc(0);
    expect(answerQuery(answer, addresses)).toBeUndefined();
    expect(answerQuery(Buffer.alloc(11), addresses)).toBeUndefined();
    // And the server goes on.
    const socket = createSocket("udp4");
    socket.send(Buffer.from("garbage"), Number(listener.address.split(":")[1]), "127.0.0.1");
    expect(await resolver.resolve4("after.example")).toEqual(["192.0.2.1"]);
    socket.close();
  });

  it("is told what is wrong with it", () => {
    const update = ask("A");
    update.writeUInt16BE(5 << 11, 2);
    expect(answered(update)).toMatchObject({ rcode: "NOTIMP" });
    const two = encode({
      type: "query",
      id: 1,
      questions: ["a.example", "b.example"].map((name) => ({ type: "A" as const, name })),
    });
    expect(answered(two)).toMatchObject({ rcode: "FORMERR" });
    expect(answered(encode({ type: "query", id: 1, questions: [] }))).toMatchObject({ rcode: "FORMERR" });
    const chaos = encode({ type: "query", id: 1, questions: [{ type: "TXT", class: "CH", name: "version.bind" }] });
    expect(answered(chaos)).toMatchObject({ rcode: "REFUSED" });
  });

  it("never throws, never grows by much, and answers only under its id", () => {
    const cut = fc.tuple(fc.nat(80), fc.nat(255)).map(([at, value]) => {
      const query = Buffer.from(ask("A"));
      if (at < query.length) query[at] = value;
      return query;
    });
    const anything = fc.oneof(
      cut,
      fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(anything, (bytes) => {
        const answer = answerQuery(bytes, addresses);
        if (answer === undefined) return;
        expect(answer.readUInt16BE(0)).toBe(bytes.readUInt16BE(0));
        expect(answer.length).toBeLessThanOrEqual(12 + 2 * bytes.length + 64);
      }),
    );
  });
});
