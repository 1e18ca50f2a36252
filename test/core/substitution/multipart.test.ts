import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Emit } from "../../../src/core/message.ts";
import type { RequestTransform } from "../../../src/core/substitution/body-text.ts";
import { MultipartTransform, type PartHead } from "../../../src/core/substitution/multipart.ts";
import { cutsOf, run, scopeFor } from "./requests.ts";

/** Puts brackets around a part and writes it in upper case. */
class Bracket implements RequestTransform {
  changed = false;
  #begun = false;

  push(chunk: Buffer, emit: Emit): undefined {
    this.#begin(emit);
    emit(Buffer.from(chunk.toString("latin1").toUpperCase(), "latin1"));
    this.changed = true;
  }

  end(emit: Emit): undefined {
    this.#begin(emit);
    emit(Buffer.from("]"));
  }

  #begin(emit: Emit): void {
    if (!this.#begun) emit(Buffer.from("["));
    this.#begun = true;
  }
}

function rewrite(body: string, boundary = "x", cuts: readonly number[] = [], heads: PartHead[] = []): string {
  const transform = new MultipartTransform(boundary, (head) => {
    heads.push(head);
    return head.contentType === "skip/it" ? undefined : new Bracket();
  });
  return run(transform, Buffer.from(body, "latin1"), scopeFor([]), cuts).toString("latin1");
}

describe("multipart bodies", () => {
  it("are taken apart by their delimiters", () => {
    expect(rewrite("pre\r\n--x\r\nA: b\r\n\r\none\r\n--x  \r\n\r\ntwo\r\n--x--\r\npost")).toBe(
      "pre\r\n--x\r\nA: b\r\n\r\n[ONE\r]\n--x  \r\n\r\n[TWO\r]\n--x--\r\npost",
    );
    expect(rewrite("--x\r\n\r\n\r\n--x--")).toBe("--x\r\n\r\n[\r]\n--x--");
    expect(rewrite("--x\r\n\r\n\n--x--")).toBe("--x\r\n\r\n[]\n--x--");
  });

  it("may hold what looks like a delimiter", () => {
    expect(rewrite("--x\r\n\r\na--x\r\n--xy\r\n--x-\r\n--\r\n\n--x--")).toBe(
      "--x\r\n\r\n[A--X\r\n--XY\r\n--X-\r\n--\r\n]\n--x--",
    );
  });

  it("pass where they have no delimiter, or another one", () => {
    for (const body of ["", "no parts", "--y\r\n\r\none\r\n--y--", "--x", "--x--", "\r\n--x\r\nhead only"]) {
      expect(rewrite(body)).toBe(body);
    }
  });

  it("pass where a head or a delimiter's line is beyond its bound", () => {
    const head = `--x\r\n${"A: b\r\n".repeat(3000)}\r\none\r\n--x--`;
    expect(rewrite(head)).toBe(head);
    const line = `--x${" ".repeat(2000)}\r\n\r\none\r\n--x--`;
    expect(rewrite(line)).toBe(line);
  });

  it("tell what their parts are", () => {
    const heads: PartHead[] = [];
    const body =
      '--x\r\ncontent-disposition: form-data;\r\n name="a\\"b"; filename=c\r\nCONTENT-TYPE:text/plain \r\n\r\n1\r\n--x\r\nContent-Length: 1\r\nContent-Type: skip/it\r\n\r\n2\r\n--x--';
    expect(rewrite(body, "x", [], heads)).toContain(
      "[1\r]\n--x\r\nContent-Length: 1\r\nContent-Type: skip/it\r\n\r\n2\r\n--x--",
    );
    expect(heads).toEqual([
      { contentType: "text/plain", name: 'a"b', hasLength: false },
      { contentType: "skip/it", name: undefined, hasLength: true },
    ]);
  });

  it("come out the same for any cut, and whole where no part changes", () => {
    const parts = fc.constantFrom(
      "--x",
      "\r\n--x",
      "\n--x\n",
      "--x--",
      "\r\n",
      "\n\n",
      "\r\n\r\n",
      "a",
      "-",
      "\r\n--",
      "Content-Type: skip/it\r\n",
      "y",
      " ",
    );
    const input = fc
      .array(parts, { maxLength: 20 })
      .map((all) => all.join(""))
      .chain((body) => fc.record({ body: fc.constant(body), cuts: cutsOf(body.length) }));
    fc.assert(
      fc.property(input, ({ body, cuts }) => {
        const whole = rewrite(body);
        expect(rewrite(body, "x", cuts)).toBe(whole);
        expect(whole.replace(/[[\]]/g, "").toLowerCase()).toBe(body.toLowerCase());
      }),
      { numRuns: 1000 },
    );
  });
});
