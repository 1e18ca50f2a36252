import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CertificateAuthority, dayMs, expiryWarning } from "../../src/tls/authority.ts";
import { finishRotation, forgetFormer, prepareRotation, readCertificates } from "../../src/tls/authority-rotation.ts";
import { LeafMinter } from "../../src/tls/leaf.ts";

let dir: string;
const now = Date.now();
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "keyswap-rotation-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const open = () => CertificateAuthority.open(dir, () => now);

/** Whether a real TLS client that trusts `ca` takes a leaf of this authority. */
async function isTrusted(authority: CertificateAuthority, ca: string): Promise<boolean> {
  const minter = new LeafMinter(authority);
  const server = createServer({ cert: minter.mint("api.good.test", now).certificatePem, key: minter.keyPem });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connect({
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    servername: "api.good.test",
    ca,
  });
  const trusted = await new Promise<boolean>((resolve) => {
    socket.once("secureConnect", () => resolve(true));
    socket.once("error", () => resolve(false));
  });
  socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  return trusted;
}

it("at each step a client that has the ca.pem of that step, or of the one before, trusts what is signed", async () => {
  const first = await open();
  const pems = [first.certificatePem];
  await prepareRotation(dir, now);
  const prepared = await open();
  expect(prepared.fingerprint).toBe(first.fingerprint);
  expect(await readCertificates(dir)).toHaveLength(2);
  pems.push(prepared.certificatePem);
  expect(await Promise.all(pems.map((pem) => isTrusted(prepared, pem)))).toEqual([true, true]);

  const { current } = await finishRotation(dir, now);
  const finished = await open();
  expect([finished.fingerprint, finished.fingerprint === first.fingerprint]).toEqual([current, false]);
  pems.push(finished.certificatePem);
  expect(await Promise.all(pems.map((pem) => isTrusted(finished, pem)))).toEqual([false, true, true]);
  // Its own certificate comes first: that is the one whose fingerprint is compared.
  expect(
    new CertificateAuthority(
      { certificatePath: "", keyPath: "", certificate: finished.certificatePem, key: await key() },
      now,
    ).fingerprint,
  ).toBe(current);

  await forgetFormer(dir, now);
  const last = await open();
  expect(await readCertificates(dir)).toHaveLength(1);
  expect(await isTrusted(last, last.certificatePem)).toBe(true);
  expect(last.fingerprint).toBe(current);
});

async function key(): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  return readFile(join(dir, "ca-key.pem"), "latin1");
}

it("steps in the wrong order change nothing and say which comes next", async () => {
  await open();
  await expect(finishRotation(dir, now)).rejects.toThrow("begin with keyswap ca rotate");
  await prepareRotation(dir, now);
  const before = await readCertificates(dir);
  await expect(prepareRotation(dir, now)).rejects.toThrow("keyswap ca rotate --finish");
  await expect(forgetFormer(dir, now)).rejects.toThrow("keyswap ca rotate --finish");
  expect(await readCertificates(dir)).toEqual(before);
});

it("a CA is warned of 30 days before its end, not earlier", async () => {
  const ca = await open();
  const end = ca.notAfter.getTime();
  expect(expiryWarning(ca, end - 31 * dayMs)).toBeUndefined();
  expect(expiryWarning(ca, end - 29.5 * dayMs)).toContain("keyswap ca rotate");
});
