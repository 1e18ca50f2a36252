import { Duplex } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BatchWriter } from "../../src/proxy/batch-writer.ts";

/** Takes everything; each write as it came. */
class Sink extends Duplex {
  readonly writes: Buffer[] = [];

  override _read(): void {}
  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.writes.push(Buffer.from(bytes));
    done();
  }

  get text(): string {
    return Buffer.concat(this.writes).toString("latin1");
  }
}

/** The content of a chunked body, checked on the way; what stands around it is left out. */
function dechunk(text: string): string {
  let content = "";
  let at = 0;
  while (at < text.length) {
    const lineEnd = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    content += text.slice(lineEnd + 2, lineEnd + 2 + size);
    expect(text.slice(lineEnd + 2 + size, lineEnd + 4 + size)).toBe("\r\n");
    at = lineEnd + 4 + size;
  }
  return content;
}

const piece = fc.oneof(
  { weight: 20, arbitrary: fc.string({ unit: fc.constantFrom("a", "\xff", "\n"), maxLength: 40 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 300_000 }).map((length) => "x".repeat(length)) },
);

describe("a batch writer", () => {
  it("writes all there was in its order, however it was flushed", () => {
    const step = fc.tuple(fc.constantFrom("text", "bytes", "flush"), piece);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const sink = new Sink();
        const writer = new BatchWriter(sink);
        let wanted = "";
        for (const [kind, content] of steps) {
          if (kind === "text") writer.text(content);
          else if (kind === "bytes") writer.bytes(Buffer.from(content, "latin1"));
          else writer.flushNow();
          if (kind !== "flush") wanted += content;
        }
        writer.flushNow();
        expect(sink.text === wanted).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("makes one chunk of what comes between two writes", () => {
    fc.assert(
      fc.property(fc.array(fc.array(piece, { maxLength: 60 }), { maxLength: 6 }), (batches) => {
        const sink = new Sink();
        const writer = new BatchWriter(sink);
        for (const batch of batches) {
          for (const content of batch) writer.chunk(Buffer.from(content, "latin1"));
          writer.flushNow();
        }
        expect(dechunk(sink.text) === batches.flat().join("")).toBe(true);
      }),
      { numRuns: 60 },
    );
    const sink = new Sink();
    const writer = new BatchWriter(sink);
    for (const content of ["one", "two"]) writer.chunk(Buffer.from(content));
    writer.text("after");
    writer.flushNow();
    expect(sink.writes.map(String)).toEqual(["6\r\nonetwo\r\nafter"]);
  });

  it("gathers what one turn brings into one write, which is out by the turn's end", async () => {
    const sink = new Sink();
    const writer = new BatchWriter(sink);
    for (const content of ["one ", "two ", "three"]) {
      writer.text(content);
      expect(writer.flush()).toBe(true);
    }
    expect(sink.writes).toEqual([]);
    await new Promise(setImmediate);
    expect(sink.writes.map(String)).toEqual(["one two three"]);
  });

  it("begins anew after a write of very many pieces", () => {
    const sink = new Sink();
    const writer = new BatchWriter(sink);
    for (let round = 0; round < 3; round++) {
      for (let at = 0; at < 500; at++) writer.text(`${at},`);
      writer.flushNow();
      writer.bytes(Buffer.from(`round ${round};`));
      writer.flushNow();
    }
    const numbers = Array.from({ length: 500 }, (_, at) => `${at},`).join("");
    expect(sink.text).toBe([0, 1, 2].map((round) => `${numbers}round ${round};`).join(""));
    expect(sink.writes).toHaveLength(6);
  });

  it("writes nothing to a socket that is gone or ended, and ends once", () => {
    const gone = new Sink();
    gone.on("error", () => {});
    const writer = new BatchWriter(gone);
    writer.text("late");
    gone.destroy();
    writer.flushNow();
    expect(gone.writes).toEqual([]);

    const sink = new Sink();
    const ending = new BatchWriter(sink);
    ending.text("last");
    ending.end();
    ending.end();
    ending.text("too late");
    ending.flushNow();
    expect(sink.text).toBe("last");
    expect(sink.writableEnded).toBe(true);
  });
});
