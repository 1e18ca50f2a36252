import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { transformMessage } from "../../../src/core/substitution/body-plan.ts";
import type { SubstitutionScope } from "../../../src/core/substitution/scope.ts";
import { Scrubber } from "../../../src/core/substitution/scrubber.ts";
import { WebSocketMessages } from "../../../src/core/substitution/websocket-messages.ts";
import type { MessageKind } from "../../../src/core/wire/websocket.ts";
import { fuzzRuns, fuzzTimeoutMs } from "../../support/fuzz.ts";
import { cutsOf, grant, placeholder, scopeFor } from "./requests.ts";
import { sessionOf } from "./scrub-support.ts";

const token = grant("TOKEN", 'a "b"');
const bytes = grant("BYTES", Buffer.of(0xff, 0xfe, 0x41));
const equal = grant("EQUAL", "e".repeat(41));

interface Fragment {
  readonly kind: MessageKind;
  readonly payload: string;
  readonly begins: boolean;
  readonly ends: boolean;
}

/** What goes out for messages in these pieces. Keys that are asked for stay unknown, and are noted. */
function rewrite(
  scope: SubstitutionScope,
  kind: MessageKind,
  pieces: readonly (readonly [string, boolean])[],
  maxHeldBytes = 1000,
): { readonly fragments: readonly Fragment[]; readonly keys: readonly string[] } {
  const fragments: Fragment[] = [];
  const keys: string[] = [];
  const messages = new WebSocketMessages(
    (what, beginning) => transformMessage(what, beginning, scope),
    maxHeldBytes,
    (what, payload, begins, ends) => fragments.push({ kind: what, payload: payload.toString("latin1"), begins, ends }),
  );
  for (const [piece, ends] of pieces) {
    let key = messages.push(kind, Buffer.from(piece, "latin1"), ends);
    for (; key !== undefined; key = messages.resume()) {
      keys.push(key);
      scope.markAsked(key);
    }
  }
  return { fragments, keys };
}

const whole = (kind: MessageKind, payload: string): Fragment => ({ kind, payload, begins: true, ends: true });
const textOf = (fragments: readonly Fragment[]): string => fragments.map(({ payload }) => payload).join("");

describe("a message up to the bound", () => {
  test("goes out as one frame, however it was fragmented", () => {
    const text = `x ${token.placeholder} y`;
    for (let at = 1; at < text.length; at++) {
      const { fragments } = rewrite(scopeFor([token]), "text", [
        [text.slice(0, at), false],
        [text.slice(at), true],
      ]);
      expect(fragments).toEqual([whole("text", 'x a "b" y')]);
    }
  });

  test("has nothing of it sent before it is whole", () => {
    expect(
      rewrite(scopeFor([token]), "text", [
        ["abc", false],
        ["", false],
      ]).fragments,
    ).toEqual([]);
  });

  test("may be empty", () => {
    expect(rewrite(scopeFor([token]), "binary", [["", true]]).fragments).toEqual([whole("binary", "")]);
  });

  test("is judged anew once a key was looked up, all of it", () => {
    const [one, two] = [placeholder("x"), placeholder("y")];
    const { fragments, keys } = rewrite(scopeFor([token]), "text", [[`${token.placeholder} ${one} ${two}`, true]]);
    expect(keys).toEqual([one.slice(11, 36), two.slice(11, 36)]);
    expect(fragments).toEqual([whole("text", `a "b" ${one} ${two}`)]);
  });

  test("follows another one", () => {
    const pieces = ["one", token.placeholder, "", "four"].map((text) => [text, true] as const);
    expect(textOf(rewrite(scopeFor([token]), "text", pieces).fragments)).toBe('onea "b"four');
  });
});

describe("a value is written", () => {
  test.each([
    ['{"k":"P"}', '{"k":"a \\"b\\""}'],
    ['["P"]', '["a \\"b\\""]'],
    ['"P"', '"a \\"b\\""'],
    [' \n{"k":"P"}', ' \n{"k":"a \\"b\\""}'],
    ['42["e","P"]', '42["e","a \\"b\\""]'],
    ['451-/admin,12["e","P"]', '451-/admin,12["e","a \\"b\\""]'],
    ["P", 'a "b"'],
    ["login P now", 'login a "b" now'],
    ["12 P", '12 a "b"'],
    ["a[P]", 'a[a "b"]'],
  ])("in %s as its beginning says", (sent, received) => {
    const { fragments } = rewrite(scopeFor([token]), "text", [[sent.replace("P", token.placeholder), true]]);
    expect(textOf(fragments)).toBe(received);
  });

  test("only where it is UTF-8, in text", () => {
    const scope = scopeFor([bytes]);
    expect(textOf(rewrite(scope, "text", [[bytes.placeholder, true]]).fragments)).toBe(bytes.placeholder);
    expect(scope.notSubstituted).toEqual([{ secret: "BYTES", surface: "body", reason: "unwritable-value" }]);
  });

  test("only at equal length, in binary", () => {
    const scope = scopeFor([token, equal]);
    const sent = `\0${token.placeholder}${equal.placeholder}`;
    expect(textOf(rewrite(scope, "binary", [[sent, true]]).fragments)).toBe(`\0${token.placeholder}${"e".repeat(41)}`);
    expect(scope.notSubstituted).toEqual([{ secret: "TOKEN", surface: "body", reason: "length-differs" }]);
  });
});

describe("a message beyond the bound", () => {
  test("goes on as fragments as it comes, and ends with the last one", () => {
    const { fragments } = rewrite(
      scopeFor([token]),
      "text",
      [
        ["x".repeat(9), false],
        [`yy${token.placeholder.slice(0, 20)}`, false],
        [`${token.placeholder.slice(20)}z`, false],
        ["", true],
      ],
      10,
    );
    expect(fragments).toEqual([
      { kind: "text", payload: "xxxxxxxxxyy", begins: true, ends: false },
      { kind: "text", payload: 'a "b"z', begins: false, ends: false },
      { kind: "text", payload: "", begins: false, ends: true },
    ]);
  });

  test("that comes at once is one frame", () => {
    expect(rewrite(scopeFor([token]), "text", [["x".repeat(50), true]], 10).fragments).toEqual([
      whole("text", "x".repeat(50)),
    ]);
  });

  test("waits for a key in its middle, and at its end", () => {
    const unknown = placeholder("u");
    const { fragments, keys } = rewrite(
      scopeFor([token]),
      "text",
      [
        [`x ${unknown} y`, false],
        [unknown, true],
      ],
      10,
    );
    expect(keys).toEqual([unknown.slice(11, 36)]);
    expect(textOf(fragments)).toBe(`x ${unknown} y${unknown}`);
    expect(fragments.map(({ begins, ends }) => [begins, ends])).toEqual([
      [true, false],
      ...Array.from({ length: fragments.length - 2 }, () => [false, false]),
      [false, true],
    ]);
  });
});

describe("scrubbing", () => {
  test("is the same with other transforms", () => {
    const scrubber = new Scrubber([grant("TOKEN", "a-real-value")]);
    const session = sessionOf();
    const out: string[] = [];
    const messages = new WebSocketMessages(
      (kind) => scrubber.body(kind === "text" ? "exact" : "in-place", session),
      1000,
      (_kind, payload) => out.push(payload.toString()),
    );
    messages.push("text", Buffer.from("<a-real"), false);
    messages.push("text", Buffer.from("-value>"), true);
    messages.push("binary", Buffer.from("<a-real-value>"), true);
    expect(out).toEqual([`<${token.placeholder}>`, `<${token.placeholder.slice(0, 12)}>`]);
    expect(session.names).toEqual(["TOKEN", "TOKEN"]);
  });
});

test(
  "neither fragments nor the bound change what a message becomes",
  () => {
    const part = fc.constantFrom(
      token.placeholder,
      equal.placeholder,
      placeholder("q"),
      "dtn_secret_",
      "{",
      '"',
      "x",
      "\\u0064",
    );
    const message = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(
        fc.constantFrom("text" as const, "binary" as const),
        message.chain((text) => fc.tuple(fc.constant(text), cutsOf(text.length))),
        // Where a text is JSON is told by its beginning, so all of that has to be there.
        fc.integer({ min: 256, max: 400 }),
        (kind, [text, cuts], bound) => {
          const expected = textOf(rewrite(scopeFor([token, equal]), kind, [[text, true]]).fragments);
          const places = [0, ...cuts, text.length];
          const pieces = places
            .slice(1)
            .map((end, index) => [text.slice(places[index], end), index === places.length - 2] as const);
          const { fragments } = rewrite(scopeFor([token, equal]), kind, pieces, bound);
          expect(textOf(fragments)).toBe(expected);
          expect(fragments.filter(({ begins }) => begins)).toHaveLength(1);
          expect(fragments.findIndex(({ ends }) => ends)).toBe(fragments.length - 1);
        },
      ),
      fuzzRuns(300),
    );
  },
  fuzzTimeoutMs,
);
