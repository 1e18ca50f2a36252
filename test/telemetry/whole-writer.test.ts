import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DescriptorParts, WholeWriter } from "../../src/telemetry/whole-writer.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "keyswap-lines-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const line = (letter: string, length: number) => Buffer.from(`${letter.repeat(length - 1)}\n`);
/** More than a pipe holds. */
const long = line("a", 200_000);
const short = line("b", 100);

test("a file receives everything in the order of the calls", async () => {
  const path = join(folder, "file");
  const fd = openSync(path, "w");
  const writer = new WholeWriter(new DescriptorParts(fd));
  await Promise.all([writer.write(long), writer.write(short), writer.write(Buffer.alloc(0))]);
  closeSync(fd);
  expect(readFileSync(path)).toEqual(Buffer.concat([long, short]));
});

test("a descriptor that cannot be written rejects with the system's error, and does so again", async () => {
  const writer = new WholeWriter(new DescriptorParts(1_000_000));
  await expect(writer.write(short)).rejects.toMatchObject({ code: "EBADF" });
  await expect(writer.write(short)).rejects.toMatchObject({ code: "EBADF" });
});

describe.skipIf(process.platform === "win32")("a pipe whose reader is slow", () => {
  let fd: number;
  let reader: number;
  beforeEach(() => {
    const path = join(folder, "pipe");
    execFileSync("mkfifo", [path]);
    reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  });
  afterEach(() => {
    closeSync(fd);
    closeSync(reader);
  });

  /** What is in the pipe. */
  function drain(): Buffer {
    const parts: Buffer[] = [];
    try {
      for (;;) {
        const block = Buffer.alloc(65_536);
        parts.push(block.subarray(0, readSync(reader, block)));
      }
    } catch (error) {
      expect(error).toMatchObject({ code: "EAGAIN" });
    }
    return Buffer.concat(parts);
  }

  test("receives each whole, one after the other", async () => {
    const writer = new WholeWriter(new DescriptorParts(fd));
    let isWritten = false;
    const written = Promise.all([long, short, long].map((lines) => writer.write(lines))).then(() => {
      isWritten = true;
    });
    const parts: Buffer[] = [];
    while (!isWritten) {
      await new Promise((done) => setTimeout(done, 5));
      parts.push(drain());
    }
    await written;
    parts.push(drain());
    expect(Buffer.concat(parts)).toEqual(Buffer.concat([long, short, long]));
  });

  test("is not waited for once it is abandoned; nothing follows what was cut", async () => {
    const writer = new WholeWriter(new DescriptorParts(fd));
    const all = Promise.allSettled([long, short].map((lines) => writer.write(lines)));
    let seen: Buffer = Buffer.alloc(0);
    while (seen.length === 0) {
      await new Promise((done) => setTimeout(done, 5));
      seen = drain();
    }
    writer.abandon();
    expect((await all).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(Buffer.concat([seen, drain()]).indexOf("b")).toBe(-1);
    await expect(writer.write(short)).rejects.toThrow("in the middle of a line");
    expect(drain()).toHaveLength(0);
  });
});
