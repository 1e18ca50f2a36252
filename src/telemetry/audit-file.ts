// Where audit lines are written: a file that rotates by size, or a named pipe.

import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock } from "../core/ports.ts";
import type { PartWriter } from "./whole-writer.ts";

export interface AuditWriter extends PartWriter {
  close(): Promise<void>;
}

export interface AuditFileOptions {
  readonly path: string;
  /** A file that would grow beyond this is rotated first. */
  readonly maxBytes: number;
  /** How many rotated files stay: `path.1` is the latest. */
  readonly keptFiles: number;
  readonly clock: Clock;
}

/**
 * A pipe that is full says so: a write that waits would hold a thread, and the end of the process, for as long as nobody
 * reads. A pipe that nobody has opened cannot be opened either (ENXIO). Files do not care.
 */
const OPEN_FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | (constants.O_NONBLOCK ?? 0);

const LINE_FEED = 0x0a;

/** How often it is looked whether somebody else moved the file away (logrotate), in milliseconds. */
const IDENTITY_CHECK_MS = 1_000;

export class AuditFile implements AuditWriter {
  readonly #options: AuditFileOptions;
  #handle: FileHandle | undefined;
  /** Pipes and devices (`/dev/stdout`) are neither rotated nor looked for. */
  #isFile = true;
  #inode = 0;
  #size = 0;
  #checkedAt = 0;
  /** What was written last ended within a line, whose rest is still to come. */
  #isWithinLine = false;
  /** The file that was opened ends in half a line, of which nothing more comes: its writer ended, or lost its power. */
  #hasHalfLine = false;

  private constructor(options: AuditFileOptions) {
    this.#options = options;
  }

  /** Rejects where the file cannot be made or written. */
  static async open(options: AuditFileOptions): Promise<AuditFile> {
    const file = new AuditFile(options);
    await mkdir(dirname(options.path), { recursive: true, mode: 0o700 });
    await file.#open();
    return file;
  }

  async prepare(bytes: number): Promise<void> {
    const now = this.#options.clock();
    if (this.#handle !== undefined && this.#isFile && Math.abs(now - this.#checkedAt) >= IDENTITY_CHECK_MS) {
      this.#checkedAt = now;
      if ((await inodeOf(this.#options.path)) !== this.#inode) await this.close();
    }
    if (this.#handle === undefined) await this.#open();
    if (this.#isFile && this.#size > 0 && this.#size + bytes > this.#options.maxBytes) {
      await this.close();
      await this.#rotate();
      await this.#open();
    }
  }

  async writeSome(bytes: Buffer): Promise<number> {
    if (this.#handle === undefined) await this.#open();
    if (this.#hasHalfLine) {
      // Else the first new line would be a part of it, and lost to every reader.
      this.#size += (await this.#handle!.write("\n")).bytesWritten;
      this.#hasHalfLine = false;
    }
    const { bytesWritten } = await this.#handle!.write(bytes);
    this.#size += bytesWritten;
    this.#isWithinLine = bytes[bytesWritten - 1] !== LINE_FEED;
    return bytesWritten;
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  async #open(): Promise<void> {
    const handle = await open(this.#options.path, OPEN_FLAGS, 0o600);
    try {
      const stats = await handle.stat();
      const { ino, size } = stats;
      this.#isFile = stats.isFile();
      [this.#inode, this.#size, this.#checkedAt] = [ino, size, this.#options.clock()];
      this.#hasHalfLine = this.#isFile && !this.#isWithinLine && (await endsInHalfLine(this.#options.path, size));
      this.#handle = handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async #rotate(): Promise<void> {
    const { path, keptFiles } = this.#options;
    for (let index = keptFiles - 1; index >= 1; index--)
      await renameIfThere(`${path}.${index}`, `${path}.${index + 1}`);
    await renameIfThere(path, `${path}.1`);
  }
}

/** Of what cannot be read it is taken that it does not. */
async function endsInHalfLine(path: string, size: number): Promise<boolean> {
  if (size === 0) return false;
  try {
    await using file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const { bytesRead, buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
    return bytesRead === 1 && buffer[0] !== LINE_FEED;
  } catch {
    return false;
  }
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch {
    return undefined;
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}
