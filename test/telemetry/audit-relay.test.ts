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
