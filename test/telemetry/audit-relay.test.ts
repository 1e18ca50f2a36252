import { expect, test } from "vitest";
import type { AuditWriter } from "../../src/telemetry/audit-file.ts";
import { AuditCollector, AuditForwarder } from "../../src/telemetry/audit-relay.ts";

/** Takes a few bytes at a time; `faults` of its writes fail. */
class SlowWriter implements AuditWriter {
  text = "";
  writes = 0;
  readonly #faults: ReadonlySet<number>;

  constructor(...faults: readonly number[]) {
    this.#faults = new Set(faults);
  }

  async prepare(): Promise<void> {}

  async writeSome(bytes: Buffer): Promise<number> {
    this.writes += 1;
    await new Promise((done) => setImmediate(done));
    if (this.#faults.has(this.writes)) throw new Error("ENOSPC");
    const part = bytes.subarray(0, 3);
    this.text += part.toString();
    return part.length;
  }

  async close(): Promise<void> {}
}

const busy = Object.assign(new Error("try again"), { code: "EAGAIN" });

test("batches of several workers stay whole, in the order in which they came", async () => {
  const writer = new SlowWriter();
  const collector = new AuditCollector(writer);
  const workers = [1, 2].map(() => new AuditForwarder((bytes) => collector.write(bytes)));
  const written = await Promise.all(workers.map((worker, at) => worker.writeSome(Buffer.from(`line of ${at}\n`))));
  expect(written).toEqual([10, 10]);
  await collector.close();
  expect(writer.text).toBe("line of 0\nline of 1\n");
});

test("a write that fails in the middle is gone on with before anything else is written", async () => {
  const writer = new SlowWriter(2);
  const collector = new AuditCollector(writer);
  const both = Promise.all([collector.write(Buffer.from("first line\n")), collector.write(Buffer.from("second\n"))]);
  await both;
  expect(writer.text).toBe("first line\nsecond\n");
});

test("a batch of which nothing was written is told to be given again", async () => {
  const writer = new SlowWriter(1);
  const collector = new AuditCollector(writer);
  await expect(collector.write(Buffer.from("first\n"))).rejects.toThrow("ENOSPC");
  await collector.write(Buffer.from("first\n"));
  expect(writer.text).toBe("first\n");
});

test("a batch that the end cuts in the middle is the last: nothing follows half a line", async () => {
  const writer = new SlowWriter();
  const writeSome = writer.writeSome.bind(writer);
  // The pipe has room for the beginning of the first batch, and for all of the second, which is shorter than a page.
  writer.writeSome = (bytes) => (bytes.toString() === "st line\n" ? Promise.reject(busy) : writeSome(bytes));
  const collector = new AuditCollector(writer);
  const both = Promise.allSettled(["first line\n", "second\n"].map((line) => collector.write(Buffer.from(line))));
  while (writer.text === "") await new Promise((done) => setImmediate(done));
  await collector.close();
  expect((await both).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(writer.text).toBe("fir");
});
