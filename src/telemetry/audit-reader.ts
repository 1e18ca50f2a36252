// The audit file as it is read back: the latest events through all rotated files, and new ones as they are written.

import { type FileHandle, open, stat } from "node:fs/promises";
import type { AuditEvent } from "../core/audit.ts";
import type { DroppedEvent } from "./audit-log.ts";

export type AuditLine = AuditEvent | DroppedEvent;

/** Rotated files are looked for up to this number. */
const MAX_ROTATED = 100;
const CHUNK_BYTES = 262_144;
/** A line of ours is far below; what is longer is no line of ours. */
const MAX_LINE_BYTES = 1_048_576;

/**
 * The latest `limit` events that match, oldest first; of the file itself the first `end` bytes. Rejects with the system's
 * error where the file cannot be read.
 */
export async function latestEvents(
  path: string,
  limit: number,
  matches: (line: AuditLine) => boolean,
  end = Number.POSITIVE_INFINITY,
): Promise<readonly AuditLine[]> {
  // All are opened before any is read: a rotation in between changes nothing then.
  const files = await openAll(path);
  try {
    let found: AuditLine[] = [];
    for (const [index, file] of files.entries()) {
      if (found.length >= limit) break;
      const lines: AuditLine[] = [];
      const take = (line: AuditLine) => {
        if (matches(line)) lines.push(line);
        // Only the last ones can be wanted.
        if (lines.length > 2 * limit) lines.splice(0, lines.length - limit);
      };
      await readLines(file, 0, take, index === 0 ? end : undefined);
      found = [...lines, ...found].slice(-limit);
    }
    return found;
  } finally {
    for (const file of files) await file.close();
  }
}

/** The file itself first, then the rotated ones, latest first. */
async function openAll(path: string): Promise<FileHandle[]> {
  const files = [await open(path, "r")];
  for (let index = 1; index <= MAX_ROTATED; index++) {
    const file = await open(`${path}.${index}`, "r").catch(() => undefined);
    if (file === undefined) break;
    files.push(file);
  }
  return files;
}

/** Follows a file that grows and is rotated. */
export class AuditTail implements AsyncDisposable {
  readonly #path: string;
  #file: FileHandle | undefined;
  #inode = 0;
  #position = 0;

  private constructor(path: string) {
    this.#path = path;
  }

  /** From the file's present end on. A file that is not there yet will be read from its beginning. */
  static async open(path: string): Promise<AuditTail> {
    const tail = new AuditTail(path);
    await tail.#reopen();
    if (tail.#file !== undefined) tail.#position = (await tail.#file.stat()).size;
    return tail;
  }

  /** In bytes: where the next line begins. */
  get position(): number {
    return this.#position;
  }

  /** Hands out whole lines that have come since. */
  async read(take: (line: AuditLine) => void): Promise<void> {
    await this.#drain(take);
    const inode = await stat(this.#path).then(
      ({ ino }) => ino,
      () => undefined,
    );
    if (inode === undefined || (inode === this.#inode && this.#file !== undefined)) return;
    // What was written between the last read and the rotation.
    await this.#drain(take);
    await this.#reopen();
    await this.#drain(take);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async #drain(take: (line: AuditLine) => void): Promise<void> {
    if (this.#file !== undefined) this.#position = await readLines(this.#file, this.#position, take);
  }

  async #reopen(): Promise<void> {
    await this.#close();
    this.#file = await open(this.#path, "r").catch(() => undefined);
    if (this.#file !== undefined) this.#inode = (await this.#file.stat()).ino;
    this.#position = 0;
  }
}

/** Reads whole lines from `position` on; answers where the first one that is not whole begins. */
async function readLines(
  file: FileHandle,
  position: number,
  take: (line: AuditLine) => void,
  end = Number.POSITIVE_INFINITY,
): Promise<number> {
  const buffer = Buffer.alloc(CHUNK_BYTES);
  let rest = Buffer.alloc(0);
  let at = position;
  for (;;) {
    const from = at + rest.length;
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - from), from);
    if (bytesRead === 0) return at;
    const bytes = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a, start)) {
      const line = parseLine(bytes.toString("utf8", start, end));
      if (line !== undefined) take(line);
      start = end + 1;
    }
    at += start;
    rest = bytes.subarray(start);
    if (rest.length > MAX_LINE_BYTES) {
      at += rest.length;
      rest = Buffer.alloc(0);
    }
  }
}

/** Undefined for what a crash or a full disk left of a line. */
function parseLine(text: string): AuditLine | undefined {
  try {
    const line: unknown = JSON.parse(text);
    if (typeof line !== "object" || line === null || !("type" in line) || !("time" in line)) return undefined;
    // The log wrote it; who puts other things into its file sees them as they are.
    return line as AuditLine;
  } catch {
    return undefined;
  }
}
