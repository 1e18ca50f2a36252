import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HpackDecoder } from "../../../src/core/http2/hpack-decoder.ts";

const limits = { maxHeadBytes: 64 * 1024, maxFields: 200 };

function decoder(...hexes: string[]) {
  const made = new HpackDecoder(limits);
  return hexes.map((hex) => {
    const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
    return made.decode(bytes, 0, bytes.length);
  });
}

const first = [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com"];
const second = [...first, "cache-control", "no-cache"];
const third = [
  ...[":method", "GET", ":scheme", "https", ":path", "/index.html", ":authority", "www.example.com"],
  ...["custom-key", "custom-value"],
];
const location = ["location", "https://www.example.com"];

describe("vectors of RFC 7541 appendix C", () => {
  it.each([
    [
      "C.2.1: literal with indexing",
      "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      ["custom-key", "custom-header"],
    ],
    ["C.2.2: literal without", "040c 2f73 616d 706c 652f 7061 7468", [":path", "/sample/path"]],
    ["C.2.3: never indexed", "1008 7061 7373 776f 7264 0673 6563 7265 74", ["password", "secret"]],
    ["C.2.4: indexed", "82", [":method", "GET"]],
  ])("%s", (_name, hex, list) => {
    expect(decoder(hex)).toEqual([list]);
  });

  it.each([
    [
      "C.3: requests",
      [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
    ],
    [
      "C.4: requests with Huffman codes",
      [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    ],
  ])("%s", (_name, hexes) => {
    expect(decoder(...hexes)).toEqual([first, second, third]);
  });

  it("C.6: answers with Huffman codes and a table of 256 bytes", () => {
    const date = "Mon, 21 Oct 2013 20:13:21 GMT";
    expect(
      decoder(
        // The size is told first.
        "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      ),
    ).toEqual([
      [":status", "302", "cache-control", "private", "date", date, ...location],
      [":status", "307", "cache-control", "private", "date", date, ...location],
      [
        ...[":status", "200", "cache-control", "private", "date", "Mon, 21 Oct 2013 20:13:22 GMT", ...location],
        ...["content-encoding", "gzip"],
        ...["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
      ],
    ]);
  });
});

describe("what is malformed", () => {
  it.each([
    ["index 0", "80"],
    ["an index beyond the tables", "be"],
    ["a name's index beyond the tables", "7e0161"],
    ["an integer without an end", "ffffffffffff7f"],
    ["an integer that is cut off", "ff"],
    ["a string that is cut off", "400a6375"],
    ["a string without a value", "400161"],
    ["a table larger than was allowed", "3fe21f"],
    ["a table's size behind a field", "8220"],
    ["EOS in a string", "408161 84ffffffff".replace(" ", "")],
  ])("%s", (_name, hex) => {
    expect(decoder(hex)).toEqual(["malformed"]);
  });

  it("any bytes: they are read or refused, never more than the bounds say", () => {
    const shared = new HpackDecoder({ maxHeadBytes: 500, maxFields: 5 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const decoded = shared.decode(Buffer.from(bytes), 0, bytes.length);
        if (typeof decoded === "string") return;
        expect(decoded.length).toBeLessThanOrEqual(10);
        expect(decoded.join("").length + 16 * decoded.length).toBeLessThanOrEqual(500);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe("bounds", () => {
  it.each([
    ["bytes", { maxHeadBytes: 150, maxFields: 200 }],
    ["fields", { maxHeadBytes: 1_000, maxFields: 3 }],
  ])("on %s: the head is too large, and the next one is read with the same tables", (_name, bound) => {
    const made = new HpackDecoder(bound);
    const large = Buffer.from("82868441 0f7777772e6578616d706c652e636f6d".replace(" ", ""), "hex");
    expect(made.decode(large, 0, large.length)).toBe("too-large");
    const next = Buffer.from([0xbe]);
    expect(made.decode(next, 0, 1)).toEqual([":authority", "www.example.com"]);
  });
});
