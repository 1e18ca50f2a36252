import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseIp } from "../../../src/core/authority/ip.ts";
import { type ErrorCode, errorTable } from "../../../src/core/errors.ts";
import {
  parseSocksCredentials,
  parseSocksGreeting,
  parseSocksMethod,
  parseSocksReply,
  parseSocksRequest,
  parseSocksVerdict,
  socksMethods,
  socksReplies,
  socksReplyFor,
  writeSocksConnect,
  writeSocksCredentials,
  writeSocksGreeting,
  writeSocksMethod,
  writeSocksReply,
  writeSocksVerdict,
} from "../../../src/core/wire/socks5.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

/** Name, parser and one whole message each. */
const parsers = [
  ["greeting", parseSocksGreeting, hex("05 02 00 02")],
  ["credentials", parseSocksCredentials, hex("01 02 6964 05 746f6b656e")],
  ["request by name", parseSocksRequest, hex("05 01 00 03 06 612e74657374 01bb")],
  ["request by IPv4", parseSocksRequest, hex("05 01 00 01 c0000201 0050")],
  ["request by IPv6", parseSocksRequest, hex("05 01 00 04 20010db8000000000000000000000001 01bb")],
  ["method", parseSocksMethod, hex("05 02")],
  ["verdict", parseSocksVerdict, hex("01 00")],
  ["reply", parseSocksReply, hex("05 00 00 01 00000000 0000")],
] as const;

describe("every parser", () => {
  test.each(parsers)("of a %s waits for the last byte, and takes no byte of what follows", (_name, parse, whole) => {
    for (let length = 0; length < whole.length; length++) {
      expect(parse(whole.subarray(0, length))).toEqual({ kind: "incomplete" });
    }
    const alone = parse(whole);
    expect(alone).toMatchObject({ kind: "message", length: whole.length });
    expect(parse(Buffer.concat([whole, hex("0501")]))).toEqual(alone);
  });

  test.each(parsers)("of a %s never throws, and never claims more than there is", (_name, parse, whole) => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
    const damaged = fc
      .tuple(fc.nat(whole.length - 1), fc.nat(255))
      .map(([at, value]) => Buffer.concat([whole.subarray(0, at), Buffer.of(value), whole.subarray(at + 1)]));
    fc.assert(
      fc.property(fc.oneof(bytes, damaged), (input) => {
        const parsed = parse(input);
        if (parsed.kind === "message") expect(parsed.length).toBeLessThanOrEqual(input.length);
      }),
    );
  });

  test.each(parsers)("of a %s sticks to its first verdict as more arrives", (_name, parse, whole) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(whole.length), (tail, kept) => {
        const input = Buffer.concat([whole.subarray(0, kept), tail]);
        let verdict: unknown;
        for (let length = 0; length <= input.length; length++) {
          const parsed = parse(input.subarray(0, length));
          // A refusal whose address is of unknown length takes all there is.
          const settled = parsed.kind === "message" ? { kind: parsed.kind, message: parsed.message } : parsed;
          if (verdict !== undefined) expect(settled).toEqual(verdict);
          else if (parsed.kind !== "incomplete") verdict = settled;
        }
      }),
    );
  });
});

describe("a client's messages", () => {
  test("offer methods", () => {
    expect(parseSocksGreeting(hex("05 03 00 01 02"))).toMatchObject({ message: [0, 1, 2], length: 5 });
    expect(parseSocksGreeting(hex("05 00"))).toMatchObject({ kind: "malformed" });
    expect(parseSocksGreeting(hex("04 01"))).toMatchObject({ kind: "malformed" });
  });

  test("name a user and a password in UTF-8, up to 255 bytes each", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", minLength: 1 }),
        fc.string({ unit: "binary", minLength: 1 }),
        (username, password) => {
          const written = writeSocksCredentials({ username, password });
          if (written === undefined) {
            expect(Math.max(Buffer.byteLength(username), Buffer.byteLength(password))).toBeGreaterThan(255);
            return;
          }
          expect(parseSocksCredentials(written)).toEqual({
            kind: "message",
            message: { username, password },
            length: written.length,
          });
        },
      ),
    );
    expect(writeSocksCredentials({ username: "", password: "p" })).toBeUndefined();
    expect(writeSocksCredentials({ username: "u".repeat(256), password: "p" })).toBeUndefined();
  });

  test("name a destination in each of the three forms", () => {
    expect(parseSocksRequest(hex("05 01 00 03 06 612e74657374 01bb"))).toEqual({
      kind: "message",
      message: { command: "connect", address: { kind: "name", text: "a.test" }, port: 443 },
      length: 13,
    });
    expect(parseSocksRequest(hex("05 01 00 01 c0000201 0050"))).toMatchObject({
      message: { address: { kind: "ip", text: "192.0.2.1" }, port: 80 },
    });
    expect(parseSocksRequest(hex("05 01 00 04 20010db8000000000000000000000001 01bb"))).toMatchObject({
      message: { address: { kind: "ip", text: "2001:db8::1" }, port: 443 },
    });
    // What is mapped is the address that a socket would reach.
    expect(parseSocksRequest(hex("05 01 00 04 00000000000000000000ffff7f000001 01bb"))).toMatchObject({
      message: { address: { kind: "ip", text: "127.0.0.1" } },
    });
  });

  test("ask for other commands and types of address, which the caller refuses", () => {
    expect(parseSocksRequest(hex("05 02 00 01 c0000201 0050"))).toMatchObject({ message: { command: "bind" } });
    expect(parseSocksRequest(hex("05 03 00 01 00000000 0000"))).toMatchObject({
      message: { command: "udp-associate", port: 0 },
    });
    expect(parseSocksRequest(hex("05 09 00 01 c0000201 0050"))).toMatchObject({ message: { command: "unknown" } });
    expect(parseSocksRequest(hex("05 01 00 02 c000"))).toMatchObject({ message: { address: { kind: "unknown" } } });
    expect(parseSocksRequest(hex("05 01 00 03 00 01bb"))).toMatchObject({ kind: "malformed" });
    expect(parseSocksRequest(hex("04 01 00 50 c0000201 00"))).toMatchObject({ kind: "malformed" });
  });

  test("are written as they are read", () => {
    expect(parseSocksGreeting(writeSocksGreeting([0, 2]))).toMatchObject({ message: [0, 2] });
    for (const text of ["192.0.2.1", "2001:db8::1"]) {
      const written = writeSocksConnect(text, parseIp(text), 8443);
      expect(parseSocksRequest(written)).toMatchObject({
        message: { command: "connect", address: { kind: "ip", text }, port: 8443 },
        length: written.length,
      });
    }
    expect(parseSocksRequest(writeSocksConnect("a.test", undefined, 65_535))).toMatchObject({
      message: { address: { kind: "name", text: "a.test" }, port: 65_535 },
    });
  });
});

describe("a server's messages", () => {
  test("are read as they are written", () => {
    expect(parseSocksMethod(writeSocksMethod(socksMethods.password))).toMatchObject({ message: 2 });
    expect(parseSocksVerdict(writeSocksVerdict(true))).toMatchObject({ message: true });
    expect(parseSocksVerdict(writeSocksVerdict(false))).toMatchObject({ message: false });
    for (const code of Object.values(socksReplies)) {
      expect(parseSocksReply(writeSocksReply(code))).toMatchObject({ message: code, length: 10 });
    }
  });

  test("may tell a bound address by name or as IPv6", () => {
    expect(parseSocksReply(hex("05 00 00 03 01 61 0001"))).toMatchObject({ message: 0, length: 8 });
    expect(parseSocksReply(hex("05 00 00 04 00000000000000000000000000000001 0001"))).toMatchObject({ length: 22 });
  });

  test("may refuse without an address, but not succeed without one", () => {
    expect(parseSocksReply(hex("05 02"))).toMatchObject({ kind: "message", message: 2 });
    expect(parseSocksReply(hex("05 00 00 00"))).toMatchObject({ kind: "malformed" });
    expect(parseSocksReply(hex("04 00"))).toMatchObject({ kind: "malformed" });
  });
});

test("every error has a reply, and none of them says that it worked", () => {
  for (const code of Object.keys(errorTable) as ErrorCode[]) expect(socksReplyFor(code)).toBeGreaterThan(0);
  expect(socksReplyFor("egress-denied")).toBe(socksReplies.notAllowed);
  expect(socksReplyFor("connect-refused")).toBe(socksReplies.refused);
  expect(socksReplyFor("dns-failed")).toBe(socksReplies.hostUnreachable);
  expect(socksReplyFor("internal")).toBe(socksReplies.failure);
});
