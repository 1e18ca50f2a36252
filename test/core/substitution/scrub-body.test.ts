import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ScrubBody } from "../../../src/core/substitution/scrub-body.ts";
import { PatternSet } from "../../../src/core/substitution/search.ts";
import { cutAt, run } from "./scrub-support.ts";

const set = new PatternSet([
  [Buffer.from("secret-one"), "<1>"],
  [Buffer.from("secret-one-longer"), "<longer>"],
  [Buffer.from("another"), "<2>"],
]);

function bodyOf(patterns: PatternSet<string>, minCutBytes = 0): ScrubBody<string> {
  return new ScrubBody(patterns, (text) => Buffer.from(text), minCutBytes);
}

/** What comes out after each chunk. */
function outputs(chunks: readonly string[]): string[] {
  const body = bodyOf(set);
  const texts: string[] = [];
  for (const chunk of chunks) {
    let text = "";
    body.push(Buffer.from(chunk, "latin1"), (bytes) => {
      text += bytes.toString("latin1");
    });
    texts.push(text);
  }
  let text = "";
  body.end((bytes) => {
    text += bytes.toString("latin1");
  });
  return [...texts, text];
}

describe("ScrubBody", () => {
  it("lets a chunk pass whole, as the object it was", () => {
    const chunk = Buffer.from("data: nothing to see\n\n");
    const emitted: Buffer[] = [];
    bodyOf(set).push(chunk, (bytes) => emitted.push(bytes));
    expect(emitted).toHaveLength(1);
    expect(emitted[0]).toBe(chunk);
  });

  it("holds only what may become a match", () => {
    expect(outputs(["data: x\n\n", "data: sec", "ond\n\n"])).toEqual(["data: x\n\n", "data: ", "second\n\n", ""]);
    expect(outputs(["a secret-one", "-long", "er b"])).toEqual(["a ", "", "<longer> b", ""]);
    expect(outputs(["a secret-one", "-long b"])).toEqual(["a ", "<1>-long b", ""]);
    expect(outputs(["a secret-one"])).toEqual(["a ", "<1>"]);
    expect(outputs(["a secre"])).toEqual(["a ", "secre"]);
    expect(outputs(["ano", "", "ther", ""])).toEqual(["", "", "<2>", "", ""]);
  });

  it("finds a match of which each byte comes alone", () => {
    expect(outputs([..."xsecret-one-longeranother!"]).join("")).toBe("x<longer><2>!");
  });

  it("does not write again into what it has emitted", () => {
    const body = bodyOf(set);
    const emitted: Buffer[] = [];
    const emit = (bytes: Buffer) => emitted.push(bytes);
    for (const chunk of ["..sec", "ond sec", "ond anoth", "ing secret-on", "ly"]) body.push(Buffer.from(chunk), emit);
    body.end(emit);
    expect(Buffer.concat(emitted).toString()).toBe("..second second anothing secret-only");
  });

  it("comes out the same however the input is cut", () => {
    const pattern = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 3, maxLength: 8 });
    const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 120 });
    fc.assert(
      fc.property(
        fc.array(pattern, { maxLength: 6 }),
        text,
        fc.array(fc.nat(120), { maxLength: 20 }),
        (words, input, cuts) => {
          const patterns = new PatternSet(words.map((word) => [Buffer.from(word), `<${word}>`] as const));
          const longestFirst = words.toSorted((a, b) => b.length - a.length);
          let expected = "";
          for (let at = 0; at < input.length; ) {
            const hit = longestFirst.find((word) => input.startsWith(word, at));
            expected += hit === undefined ? input[at] : `<${hit}>`;
            at += hit?.length ?? 1;
          }
          expect(run(bodyOf(patterns), Buffer.from(input), cuts).toString()).toBe(expected);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("holds exactly the possible start of a match after every chunk", () => {
    const pattern = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 3, maxLength: 8 });
    const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 60 });
    fc.assert(
      fc.property(pattern, text, fc.array(fc.nat(60), { maxLength: 10 }), (word, input, cuts) => {
        const body = bodyOf(new PatternSet([[Buffer.from(word), word]]));
        let taken = "";
        let out = "";
        for (const chunk of cutAt(Buffer.from(input), cuts)) {
          taken += chunk.toString();
          body.push(chunk, (bytes) => {
            out += bytes.toString();
          });
          const held = taken.slice(out.length);
          expect(out).toBe(taken.slice(0, out.length));
          expect(held.length < word.length && word.startsWith(held)).toBe(true);
          // Nothing longer was free to be held: no earlier place begins the word, but behind a match.
          if (!taken.includes(word)) {
            for (let at = 0; at < out.length; at++) {
              expect(word.length > taken.length - at && word.startsWith(taken.slice(at))).toBe(false);
            }
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("masks the beginning of a match that the end cuts, from the given length on", () => {
    const cut = (text: string) => run(bodyOf(set, 3), Buffer.from(text), [4, 9]).toString();
    expect(cut("begin secret-on")).toBe("begin *********");
    expect(cut("begin sec")).toBe("begin ***");
    expect(cut("begin se")).toBe("begin se");
    expect(cut("begin secret-one")).toBe("begin <1>");
    expect(cut("begin secret-one-l")).toBe("begin ************");
    expect(cut("another sec")).toBe("<2> ***");
    expect(cut("whole another")).toBe("whole <2>");
  });
});
