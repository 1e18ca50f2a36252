import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type ControlOpcode,
  isCloseCode,
  type MessageKind,
  type Opcode,
  opcodes,
  WebSocketReader,
} from "../../../src/core/wire/websocket.ts";
import { writeFrame } from "../../../src/core/wire/websocket-writer.ts";
import { fuzzRuns, fuzzTimeoutMs } from "../../support/fuzz.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

/** What a reader said, message parts joined: the outcome that cuts must not change. */
type Said = readonly (readonly [string, string])[];

function read(isMasked: boolean, chunks: readonly Buffer[], held?: (said: number) => boolean): Said {
  const said: [string, string][] = [];
  let message = "";
  let events = 0;
  const after = (): void => {
    events += 1;
    if (held?.(events)) reader.hold();
  };
  const reader = new WebSocketReader(
    {
      onMessagePart(kind: MessageKind, content: Buffer, ends: boolean) {
        if (content.length === 0 && !ends) throw new Error("an empty part");
        message += content.toString("latin1");
        if (ends) {
          said.push([kind, message]);
          message = "";
        }
        after();
      },
      onControl(opcode: ControlOpcode, payload: Buffer) {
        said.push([String(opcode), payload.toString("latin1")]);
        after();
      },
      onFault(code, detail) {
        said.push([`fault ${code}`, detail]);
      },
    },
    isMasked,
  );
  for (const chunk of chunks) {
    reader.push(chunk);
    if (held !== undefined) while (releases(reader, () => events));
  }
  if (message !== "") said.push(["unfinished", message]);
  return said;
}

/** Releases once; whether that brought anything. */
function releases(reader: WebSocketReader, count: () => number): boolean {
  const before = count();
  reader.release();
  return count() > before;
}

function cut(bytes: Buffer, size: number): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
  return chunks;
}

describe("the examples of RFC 6455 section 5.7", () => {
  test.each([
    ["an unmasked text", false, "81 05 48 65 6c 6c 6f", [["text", "Hello"]]],
    ["a masked text", true, "81 85 37 fa 21 3d 7f 9f 4d 51 58", [["text", "Hello"]]],
    ["fragments", false, "01 03 48 65 6c 80 02 6c 6f", [["text", "Hello"]]],
    ["a ping", false, "89 05 48 65 6c 6c 6f", [["9", "Hello"]]],
    ["its masked pong", true, "8a 85 37 fa 21 3d 7f 9f 4d 51 58", [["10", "Hello"]]],
    ["256 bytes", false, `82 7e 01 00 ${"61".repeat(256)}`, [["binary", "a".repeat(256)]]],
    ["64 KiB", false, `82 7f 00 00 00 00 00 01 00 00 ${"61".repeat(65_536)}`, [["binary", "a".repeat(65_536)]]],
  ] as const)("%s", (_name, isMasked, bytes, said) => {
    expect(read(isMasked, [hex(bytes)])).toEqual(said);
  });
});

describe("is read", () => {
  test.each([
    ["an empty message", "81 00", [["text", ""]]],
    ["a message of empty fragments", "02 00 00 00 80 00", [["binary", ""]]],
    [
      "control frames between fragments",
      "01 01 61 89 00 00 01 62 8a 01 78 80 01 63",
      [
        ["9", ""],
        ["10", "x"],
        ["text", "abc"],
      ],
    ],
    ["a ping of 125 bytes", `89 7d ${"70".repeat(125)}`, [["9", "p".repeat(125)]]],
    [
      "a message of 125, 126 and 65,535 bytes",
      `82 7d ${"61".repeat(125)} 82 7e 00 7e ${"62".repeat(126)} 82 7e ff ff ${"63".repeat(65_535)}`,
      [
        ["binary", "a".repeat(125)],
        ["binary", "b".repeat(126)],
        ["binary", "c".repeat(65_535)],
      ],
    ],
    ["a close without a code", "88 00", [["8", ""]]],
    ["a close with code and reason", "88 05 03 e8 62 79 65", [["8", "\x03\xe8bye"]]],
    ["nothing behind a close", "88 00 81 01 61 ff ff ff", [["8", ""]]],
    ["bytes that are no UTF-8, for their receiver to judge", "81 02 c3 28", [["text", "\xc3\x28"]]],
    ["an unfinished message as far as it came", "01 02 61 62 00 05 63", [["unfinished", "abc"]]],
  ] as const)("%s, whole and a byte at a time", (_name, bytes, said) => {
    expect(read(false, [hex(bytes)])).toEqual(said);
    expect(read(false, cut(hex(bytes), 1))).toEqual(said);
  });
});

describe("fails the connection", () => {
  test.each([
    ["RSV1 without an extension", "c1 00"],
    ["RSV2", "a1 00"],
    ["RSV3", "91 00"],
    ["RSV1 in a continuation", "01 00 40 00"],
    ["a reserved data opcode", "83 00"],
    ["the last reserved data opcode", "87 00"],
    ["a reserved control opcode", "8b 00"],
    ["the last reserved control opcode", "8f 00"],
    ["a continuation of no message", "80 00"],
    ["a continuation behind a whole message", "81 00 80 00"],
    ["a message within a message", "01 01 61 81 01 62"],
    ["a fragmented ping", "09 00"],
    ["a fragmented close", "08 00"],
    ["a ping of 126 bytes", "89 7e 00 7e"],
    ["a length of 125 in 16 bits", "82 7e 00 7d"],
    ["a length of 0 in 16 bits", "82 7e 00 00"],
    ["a length of 65,535 in 64 bits", "82 7f 00 00 00 00 00 00 ff ff"],
    ["a negative length", "82 7f 80 00 00 00 00 00 00 00"],
    ["a masked frame of a server", "81 81 00 00 00 00 61"],
    ["half a close code", "88 01 03"],
    ["half a close code, told by the length alone", "88 01"],
    ["close code 999", "88 02 03 e7"],
    ["close code 1005", "88 02 03 ed"],
    ["close code 1006", "88 02 03 ee"],
    ["close code 1015", "88 02 03 f7"],
    ["close code 2999", "88 02 0b b7"],
    ["close code 5000", "88 02 13 88"],
  ])("%s", (_name, bytes) => {
    const whole = read(false, [hex(bytes), hex("81 01 7a")]);
    expect(whole.map(([what]) => what)).toContain("fault 1002");
    expect(read(false, cut(hex(bytes), 1))).toEqual(whole);
  });

  test("a length beyond what can be counted", () => {
    expect(read(false, [hex("82 7f 00 20 00 00 00 00 00 00")]).at(-1)?.[0]).toBe("fault 1009");
  });

  test.each([
    ["beyond what can be counted", "82 ff 00 20 00 00 00 00 00 00", "fault 1009"],
    ["in more bytes than it needs", "82 fe 00 7d", "fault 1002"],
  ])("a length %s, without waiting for the key", (_name, bytes, fault) => {
    expect(read(true, [hex(bytes)]).at(-1)?.[0]).toBe(fault);
  });

  test("an unmasked frame of a client", () => {
    expect(read(true, [hex("81 01 61")])).toEqual([["fault 1002", "a client's frame is not masked"]]);
  });

  test("as soon as its first two bytes are there", () => {
    expect(read(false, [hex("c2 7f")])).toHaveLength(1);
  });
});

test("close codes that may be sent", () => {
  const allowed = [1000, 1001, 1002, 1003, 1007, 1011, 1013, 1014, 3000, 3999, 4000, 4999];
  for (const code of allowed) expect([code, isCloseCode(code)]).toEqual([code, true]);
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535]) {
    expect([code, isCloseCode(code)]).toEqual([code, false]);
  }
});

interface Sent {
  readonly bytes: Buffer;
  readonly said: Said;
}

/** Well-formed traffic and what a reader has to say to it. */
function traffic(isMasked: boolean): fc.Arbitrary<Sent> {
  const payload = fc.oneof(
    { arbitrary: fc.uint8Array({ maxLength: 200 }), weight: 6 },
    fc.integer({ min: 120, max: 135 }).map((length) => new Uint8Array(length).fill(7)),
    fc.constantFrom(65_535, 65_536, 70_000).map((length) => new Uint8Array(length).fill(9)),
  );
  const control = fc.tuple(fc.constantFrom(opcodes.ping, opcodes.pong), fc.uint8Array({ maxLength: 125 }));
  const message = fc.record({
    kind: fc.constantFrom("text" as const, "binary" as const),
    // Each fragment may be followed by a control frame.
    fragments: fc.array(fc.tuple(payload, fc.option(control)), { minLength: 1, maxLength: 4 }),
  });
  return fc
    .tuple(fc.array(message, { maxLength: 4 }), fc.uint8Array({ minLength: 4, maxLength: 4 }))
    .map(([messages, seed]) => {
      const parts: Buffer[] = [];
      const said: [string, string][] = [];
      const key = isMasked ? Buffer.from(seed) : undefined;
      const write = (opcode: Opcode, content: Uint8Array, isFinal: boolean): void => {
        parts.push(...writeFrame(opcode, Buffer.from(content), { isFinal, key }));
      };
      for (const { kind, fragments } of messages) {
        let text = "";
        fragments.forEach(([content, between], index) => {
          const ends = index === fragments.length - 1;
          write(index > 0 ? opcodes.continuation : opcodes[kind], content, ends);
          text += Buffer.from(content).toString("latin1");
          if (ends) said.push([kind, text]);
          if (between === null) return;
          write(between[0], between[1], true);
          said.push([String(between[0]), Buffer.from(between[1]).toString("latin1")]);
        });
      }
      return { bytes: Buffer.concat(parts), said };
    });
}

describe("properties", () => {
  test.each([true, false])(
    "what was written is read, however it is cut (masked: %s)",
    (isMasked) => {
      fc.assert(
        fc.property(traffic(isMasked), fc.integer({ min: 1, max: 40_000 }), ({ bytes, said }, size) => {
          expect(read(isMasked, cut(bytes, size))).toEqual(said);
        }),
        fuzzRuns(100),
      );
    },
    fuzzTimeoutMs,
  );

  test(
    "a reader that is held after every event says the same",
    () => {
      fc.assert(
        fc.property(traffic(true), fc.integer({ min: 1, max: 300 }), ({ bytes, said }, size) => {
          expect(read(true, cut(bytes, size), () => true)).toEqual(said);
        }),
        fuzzRuns(30),
      );
    },
    fuzzTimeoutMs,
  );

  test(
    "any bytes are read or refused, never thrown at, and cuts change nothing",
    () => {
      fc.assert(
        fc.property(
          fc.boolean(),
          fc.uint8Array({ maxLength: 300 }),
          fc.integer({ min: 1, max: 20 }),
          (isMasked, bytes, size) => {
            const whole = read(isMasked, [Buffer.from(bytes)]);
            expect(read(isMasked, cut(Buffer.from(bytes), size))).toEqual(whole);
          },
        ),
        fuzzRuns(500),
      );
    },
    fuzzTimeoutMs,
  );

  test(
    "a byte that is changed anywhere is read or refused",
    () => {
      fc.assert(
        fc.property(traffic(true), fc.nat(), fc.integer({ min: 1, max: 255 }), ({ bytes }, at, flip) => {
          if (bytes.length === 0) return;
          const changed = Buffer.from(bytes);
          changed[at % changed.length]! ^= flip;
          expect(() => read(true, cut(changed, 1000))).not.toThrow();
        }),
        fuzzRuns(100),
      );
    },
    fuzzTimeoutMs,
  );
});
