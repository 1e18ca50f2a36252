import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ScrubByteRanges, ScrubPart } from "../../../src/core/substitution/scrub-part.ts";
import { Scrubber } from "../../../src/core/substitution/scrubber.ts";
import { PatternSet } from "../../../src/core/substitution/search.ts";
import { grantOf, run, sessionOf } from "./scrub-support.ts";

const value = "0123456789abcdefghij";
const set = new PatternSet([[Buffer.from(value), "x"]]);
const standIn = (_: string, length: number) => Buffer.alloc(length, "#");

function partOf(start: boolean, end: boolean): ScrubPart<string> {
  return new ScrubPart(set, standIn, { start, end });
}

describe("ScrubPart", () => {
  it("masks the piece of a value at an edge that cuts, of three bytes or more", () => {
    const scrub = (text: string) => run(partOf(true, true), Buffer.from(text)).toString();
    const rest = ` ${"-".repeat(20)}`;
    expect(scrub(`56789abcdefghij${rest}`)).toBe(`***************${rest}`);
    expect(scrub(`hij${rest}`)).toBe(`***${rest}`);
    expect(scrub(`ij${rest}`)).toBe(`ij${rest}`);
    expect(scrub(`${rest} 012`)).toBe(`${rest} ***`);
    expect(scrub(`${rest} 01`)).toBe(`${rest} 01`);
    expect(scrub(`hij ${value} 0123`)).toBe(`*** ${"#".repeat(20)} ****`);
    expect(scrub(value)).toBe("#".repeat(20));
    expect(scrub("")).toBe("");
  });

  it("leaves an edge alone that is the whole's own", () => {
    const rest = "-".repeat(20);
    expect(run(partOf(false, true), Buffer.from(`hij${rest}012`)).toString()).toBe(`hij${rest}***`);
    expect(run(partOf(true, false), Buffer.from(`hij${rest}012`)).toString()).toBe(`***${rest}012`);
    expect(run(partOf(false, false), Buffer.from("hij rest 012")).toString()).toBe("hij rest 012");
  });

  it("masks all of a cut part in which a value would not fit", () => {
    const everywhere = [1, 2, 3, 4, 5];
    for (const [start, end] of [
      [true, true],
      [true, false],
      [false, true],
    ] as const) {
      for (const text of ["34", "rest", "x".repeat(19)]) {
        expect(run(partOf(start, end), Buffer.from(text)).toString()).toBe("*".repeat(text.length));
        expect(run(partOf(start, end), Buffer.from(text), everywhere).toString()).toBe("*".repeat(text.length));
      }
      expect(run(partOf(start, end), Buffer.from("x".repeat(20)), everywhere).toString()).toBe("x".repeat(20));
    }
    expect(run(partOf(true, true), Buffer.alloc(0)).length).toBe(0);
  });

  it("finds a whole value that begins within what looks like a piece", () => {
    const both = new PatternSet([
      [Buffer.from("xyz-abcabc"), "1"],
      [Buffer.from("abc-0123456789"), "2"],
    ]);
    const part = new ScrubPart(both, standIn, { start: true, end: false });
    expect(run(part, Buffer.from("abc-0123456789 rest")).toString()).toBe(`${"*".repeat(14)} rest`);
  });

  it("keeps the length and shows no piece of a cut value, wherever it is cut and however it comes", () => {
    const whole = Buffer.from(`before ${value} between ${value} after`);
    const bound = fc.nat(whole.length - 1);
    fc.assert(
      fc.property(bound, bound, fc.array(fc.nat(80), { maxLength: 10 }), (a, b, cuts) => {
        const first = Math.min(a, b);
        const last = Math.max(a, b);
        const part = whole.subarray(first, last + 1);
        const scrubbed = run(partOf(first > 0, last + 1 < whole.length), part, cuts);
        expect(scrubbed.length).toBe(part.length);
        expect(scrubbed.toString()).not.toMatch(/[0-9]{3}|89a|9ab|[a-j](?<=abc|bcd|cde|def|efg|fgh|ghi|hij)/);
        expect(scrubbed).toEqual(run(partOf(first > 0, last + 1 < whole.length), part));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("ScrubByteRanges", () => {
  const filler = "-".repeat(20);
  const whole = `${filler}before ${value} between ${value} after`;

  function multipart(...ranges: [number, number][]): string {
    const parts = ranges.map(([first, last]) => {
      const head = `--sep\r\nContent-Type: text/plain\r\nContent-Range: bytes ${first}-${last}/${whole.length}\r\n\r\n`;
      return `${head}${whole.slice(first, last + 1)}\r\n`;
    });
    return `${parts.join("")}--sep--\r\n`;
  }

  it("masks the edges of every part and keeps all lengths", () => {
    const body = multipart([0, 36], [37, 60], [61, whole.length - 1]);
    const scrubbed = run(new ScrubByteRanges(set, standIn), Buffer.from(body)).toString();
    expect(scrubbed.length).toBe(body.length);
    expect(scrubbed).toContain(`\r\n\r\n${filler}before **********\r\n--sep`);
    expect(scrubbed).toContain("\r\n\r\n********** between *****\r\n--sep");
    expect(scrubbed).toContain("\r\n\r\n*************** after\r\n--sep--");
    expect(scrubbed.replace(/\r\n\r\n[^\r]*/g, "")).toBe(body.replace(/\r\n\r\n[^\r]*/g, ""));
  });

  it("comes out the same however it is cut", () => {
    const body = Buffer.from(multipart([0, 36], [30, 50], [25, 60], [61, whole.length - 1]));
    const expected = run(new ScrubByteRanges(set, standIn), body);
    fc.assert(
      fc.property(fc.array(fc.nat(body.length), { maxLength: 30 }), (cuts) => {
        expect(run(new ScrubByteRanges(set, standIn), body, cuts)).toEqual(expected);
      }),
    );
    const everywhere = Array.from({ length: body.length }, (_, i) => i);
    expect(run(new ScrubByteRanges(set, standIn), body, everywhere)).toEqual(expected);
  });

  it("does not mistake content for a delimiter", () => {
    const content = "a\r\n--sep\r\nContent-Range: bytes 0-3/9\r\n\r\nb 012";
    const body = `--sep\r\nContent-Range: bytes 5-${4 + content.length}/999\r\n\r\n${content}\r\n--sep--\r\n`;
    const scrubbed = run(new ScrubByteRanges(set, standIn), Buffer.from(body)).toString();
    expect(scrubbed).toBe(body.replace("b 012", "b ***"));
  });

  it("finds a whole value that made-up parts would cut", () => {
    for (const length of [1, 2, 10, 19]) {
      const body = `--sep\r\nContent-Range: bytes 0-${length - 1}/${length}\r\n\r\n${value}\r\n\r\n rest`;
      const scrubbed = run(new ScrubByteRanges(set, standIn), Buffer.from(body)).toString();
      expect(scrubbed).toBe(body.replace(value, "#".repeat(20)));
    }
  });

  it("still scrubs whole values where it cannot read the parts", () => {
    const filler = "y".repeat(20_000);
    for (const body of [
      `--sep\r\nX: y\r\n\r\nno range ${value}\r\n--sep--`,
      `${value}${filler}${value}`,
      `no head at all ${value}`,
    ]) {
      const scrubbed = run(new ScrubByteRanges(set, standIn), Buffer.from(body)).toString();
      expect(scrubbed).toBe(body.replaceAll(value, "#".repeat(20)));
    }
  });

  it("is what a Scrubber uses for parts", () => {
    const scrubber = new Scrubber([grantOf("S", value)]);
    const dots = ".".repeat(scrubber.longestForm);
    const part = scrubber.body("in-place", sessionOf(), { kind: "part", start: true, end: true });
    expect(run(part, Buffer.from(`abcdefghij${dots}01234`)).toString()).toBe(`**********${dots}*****`);
    const ranges = scrubber.body("in-place", sessionOf(), { kind: "byteranges" });
    expect(run(ranges, Buffer.from(multipart([0, 36]))).toString()).toContain("\r\n\r\n*****");
  });
});
