import { describe, expect, test } from "vitest";
import { opcodes } from "../../../src/core/wire/websocket.ts";
import { closePayload, writeFrame } from "../../../src/core/wire/websocket-writer.ts";

const key = Buffer.of(0x37, 0xfa, 0x21, 0x3d);
const bytesOf = (...args: Parameters<typeof writeFrame>): string => Buffer.concat(writeFrame(...args)).toString("hex");

describe("a frame", () => {
  test("of a server is the RFC's example", () => {
    expect(bytesOf(opcodes.text, Buffer.from("Hello"), { isFinal: true })).toBe("810548656c6c6f");
    expect(bytesOf(opcodes.text, Buffer.from("Hel"), { isFinal: false })).toBe("010348656c");
    expect(bytesOf(opcodes.continuation, Buffer.from("lo"), { isFinal: true })).toBe("80026c6f");
  });

  test("of a client is masked", () => {
    expect(bytesOf(opcodes.text, Buffer.from("Hello"), { isFinal: true, key })).toBe("818537fa213d7f9f4d5158");
  });

  test.each([
    [125, "827d"],
    [126, "827e007e"],
    [65_535, "827effff"],
    [65_536, "827f0000000000010000"],
  ])("of %i bytes has its length in the shortest form", (length, head) => {
    expect(writeFrame(opcodes.binary, Buffer.alloc(length), { isFinal: true })[0].toString("hex")).toBe(head);
  });

  test("leaves the payload that it was given alone", () => {
    const payload = Buffer.from("a".repeat(100));
    writeFrame(opcodes.binary, payload, { isFinal: true, key });
    expect(payload.toString()).toBe("a".repeat(100));
  });
});

describe("a close frame's payload", () => {
  test("is a code and a reason", () => {
    expect(closePayload(1008, "no").toString("hex")).toBe("03f06e6f");
    expect(closePayload(1001).toString("hex")).toBe("03e9");
  });

  test("fits into a control frame", () => {
    expect(closePayload(1008, "x".repeat(500))).toHaveLength(125);
  });
});
