import { mkdtemp, rename, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { formatIp } from "../../src/core/authority/ip.ts";
import { HostsFile, parseHosts } from "../../src/proxy/hosts-file.ts";

function shown(text: string): Record<string, string[]> {
  return Object.fromEntries([...parseHosts(text)].map(([name, addresses]) => [name, addresses.map(formatIp)]));
}

describe("the form of the file", () => {
  test("reads names and aliases, of several lines and families", () => {
    expect(shown("10.0.0.1 db db.internal\n10.0.0.2\tdb\n::1 localhost\n127.0.0.1 localhost\n")).toEqual({
      db: ["10.0.0.1", "10.0.0.2"],
      "db.internal": ["10.0.0.1"],
      localhost: ["::1", "127.0.0.1"],
    });
  });

  test("passes over comments, blanks and what it cannot read", () => {
    expect(shown("# 1.1.1.1 a\n\n  10.0.0.1  b # c\r\nnonsense d\nfe80::1%eth0 e\n10.0.0.2\n")).toEqual({
      b: ["10.0.0.1"],
    });
  });

  test("brings names to their canonical form and names no address twice", () => {
    expect(shown("10.0.0.1 DB.Internal. db.internal\n::ffff:10.0.0.1 db.internal")).toEqual({
      "db.internal": ["10.0.0.1"],
    });
  });
});

describe("following changes", () => {
  let dir: string;
  let now: number;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "keyswap-hosts-"));
    now = 1_000_000;
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  test("sees a rewritten, replaced, removed and restored file after a second", async () => {
    const path = join(dir, "hosts");
    const hosts = new HostsFile(path, () => now);
    const first = () => hosts.find("a")?.map(formatIp)[0];
    expect(first()).toBeUndefined();
    await writeFile(path, "10.0.0.1 a\n");
    expect(first()).toBeUndefined();
    now += 1000;
    expect(first()).toBe("10.0.0.1");
    await writeFile(join(dir, "new"), "10.0.0.2 a\n");
    await rename(join(dir, "new"), path);
    now += 999;
    expect(first()).toBe("10.0.0.1");
    now += 1;
    expect(first()).toBe("10.0.0.2");
    await unlink(path);
    now += 1000;
    expect(first()).toBeUndefined();
    await writeFile(path, "10.0.0.3 a\n");
    // The clock was set back.
    now -= 500_000;
    expect(first()).toBe("10.0.0.3");
  });
});
