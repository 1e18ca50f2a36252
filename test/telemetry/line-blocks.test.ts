import fc from "fast-check";
import { expect, test } from "vitest";
import { LineBlocks } from "../../src/telemetry/line-blocks.ts";

function takeAll(blocks: LineBlocks): string {
  let text = "";
  while (blocks.lines > 0) {
    const block = blocks.take();
    text += block.content.toString("utf8");
    blocks.giveBack(block);
  }
  return text;
}

const anyLine = fc.string({ unit: "binary", maxLength: 200 }).map((text) => text.toWellFormed().replaceAll("\n", "x"));

test("gives every line back in order, whatever is added while blocks are taken", () => {
  fc.assert(
    fc.property(fc.array(fc.array(anyLine, { maxLength: 30 }), { maxLength: 20 }), (rounds) => {
      const blocks = new LineBlocks();
      for (const lines of rounds) {
        for (const line of lines) blocks.add(line);
        expect(blocks.lines).toBe(lines.length);
        expect(takeAll(blocks)).toBe(lines.map((line) => `${line}\n`).join(""));
        expect([blocks.lines, blocks.bytes]).toEqual([0, 0]);
      }
    }),
  );
});

test("says when a block is full, and takes a line that is longer than one", () => {
  const blocks = new LineBlocks();
  const line = "€".repeat(1_000);
  let added = 0;
  do added += 1;
  while (!blocks.add(line));
  const long = "y".repeat(200_000);
  expect(blocks.add(long)).toBe(true);
  expect(blocks.bytes).toBe(added * 3_001 + 200_001);
  const first = blocks.take();
  expect([first.lines, first.content.length]).toEqual([added - 1, (added - 1) * 3_001]);
  expect(takeAll(blocks)).toBe(`${line}\n${long}\n`);
});

test("forgets what is cleared, and has nothing to give where nothing waits", () => {
  const blocks = new LineBlocks();
  blocks.add("a");
  blocks.clear();
  expect([blocks.lines, blocks.bytes]).toEqual([0, 0]);
  expect(() => blocks.take()).toThrow("no line waits");
});
