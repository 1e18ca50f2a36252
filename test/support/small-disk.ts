// A small disk of the test's own (tmpfs), to be filled.

import { execFileSync } from "node:child_process";
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why there can be none; undefined where there can. */
export function canMount(): string | undefined {
  return process.getuid?.() === 0 && process.platform === "linux" ? undefined : "mounting a small tmpfs needs root";
}

export class SmallDisk implements Disposable {
  readonly path: string;

  /** `size` as mount(8) takes it: `1m`. */
  constructor(size: string) {
    this.path = mkdtempSync(join(tmpdir(), "keyswap-disk-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=755`, "tmpfs", this.path]);
    chmodSync(this.path, 0o777);
  }

  /** Takes all the room that is left. */
  fill(): void {
    const file = openSync(join(this.path, "ballast"), "w");
    try {
      for (let block = 65_536; block >= 1; ) {
        try {
          writeSync(file, Buffer.alloc(block));
        } catch {
          block = Math.floor(block / 2);
        }
      }
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(join(this.path, "ballast"), { force: true });
  }

  resize(size: string): void {
    execFileSync("mount", ["-o", `remount,size=${size}`, this.path]);
  }

  [Symbol.dispose](): void {
    execFileSync("umount", ["-l", this.path]);
    rmSync(this.path, { recursive: true, force: true });
  }
}
