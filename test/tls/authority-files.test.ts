import { createHash, createPublicKey } from "node:crypto";
import { writeFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type NewAuthority, openAuthorityFiles } from "../../src/tls/authority-files.ts";
import { makePki } from "../support/pki.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "keyswap-ca-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function makePair(): NewAuthority {
  const pki = makePki();
  return { certificate: pki.caPem, key: pki.caKeyPem };
}

/** What another process leaves when it has put its key in place and not yet its certificate. */
function plantHalf(pair: NewAuthority): void {
  const spki = createPublicKey(pair.key).export({ type: "spki", format: "der" });
  const id = createHash("sha256").update(spki).digest("hex").slice(0, 32);
  writeFileSync(join(dir, `.ca-${id}.tmp`), pair.certificate);
  writeFileSync(join(dir, "ca-key.pem"), pair.key, { mode: 0o600 });
}

test("a process that is overtaken half-way finishes the other's pair, never with its own certificate", async () => {
  const winner = makePair();
  // Both saw an empty folder; the other one links its key while this one makes its own.
  const files = await openAuthorityFiles(dir, () => {
    plantHalf(winner);
    return makePair();
  });
  expect({ certificate: files.certificate, key: files.key }).toEqual(winner);
  expect((await readdir(dir)).sort()).toEqual(["ca-key.pem", "ca.pem"]);
});

test("a process that is overtaken entirely takes the other's pair and removes its drafts", async () => {
  const winner = makePair();
  const files = await openAuthorityFiles(dir, () => {
    writeFileSync(join(dir, "ca-key.pem"), winner.key, { mode: 0o600 });
    writeFileSync(join(dir, "ca.pem"), winner.certificate);
    return makePair();
  });
  expect({ certificate: files.certificate, key: files.key }).toEqual(winner);
  expect((await readdir(dir)).sort()).toEqual(["ca-key.pem", "ca.pem"]);
});

test("nothing is made where a pair stands", async () => {
  const pair = makePair();
  await openAuthorityFiles(dir, () => pair);
  const again = await openAuthorityFiles(dir, () => {
    throw new Error("must not be called");
  });
  expect({ certificate: again.certificate, key: again.key }).toEqual(pair);
});
