import { execFileSync } from "node:child_process";
import { randomBytes, X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CertificateAuthority } from "../../src/tls/authority.ts";
import { LeafMinter } from "../../src/tls/leaf.ts";
import { encodeSerial } from "../../src/tls/x509.ts";
import { makePki } from "../support/pki.ts";

const dayMs = 24 * 60 * 60 * 1000;
const now = Date.now();

let dir: string;
let authority: CertificateAuthority;
let minter: LeafMinter;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "keyswap-leaf-"));
  authority = await CertificateAuthority.open(dir, () => now);
  minter = new LeafMinter(authority);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function openssl(host: string): Promise<string> {
  const path = join(dir, "leaf.pem");
  await writeFile(path, minter.mint(host, now).certificatePem);
  return execFileSync("openssl", ["x509", "-in", path, "-noout", "-text"], { encoding: "utf8" });
}

describe("a leaf", () => {
  test("has what strict clients look for", async () => {
    const text = await openssl("api.example.com");
    expect(text).toMatch(/Version: 3 /);
    expect(text).toMatch(/Basic Constraints: critical\n\s+CA:FALSE\n/);
    expect(text).toMatch(/Key Usage: critical\n\s+Digital Signature\n/);
    expect(text).toMatch(/Extended Key Usage: \n\s+TLS Web Server Authentication\n/);
    expect(text).toMatch(/Subject Alternative Name: \n\s+DNS:api\.example\.com\n/);
    const subjectKey = /Subject Key Identifier: \n\s+([0-9A-F:]{59})\n/.exec(text)?.[1];
    const authorityKey = /Authority Key Identifier: \n\s+([0-9A-F:]{59})\n/.exec(text)?.[1];
    expect(subjectKey).toBeDefined();
    expect(authorityKey).toBe(authority.keyIdentifier.toString("hex").toUpperCase().match(/../g)?.join(":"));
    expect(subjectKey).not.toBe(authorityKey);
  });

  test("names no host in its subject, so that long hosts fit", async () => {
    const host = `${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.${"d".repeat(60)}.example`;
    const text = await openssl(host);
    expect(text).toMatch(/Subject: O = keyswap\n/);
    expect(text).toContain(`DNS:${host}`);
  });

  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["255.255.255.255", "255.255.255.255"],
    ["2001:db8::1", "2001:DB8:0:0:0:0:0:1"],
    ["::", "0:0:0:0:0:0:0:0"],
    ["::1", "0:0:0:0:0:0:0:1"],
    ["fe80::", "FE80:0:0:0:0:0:0:0"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ])("holds the address %s as an IP name", async (host, shown) => {
    expect(await openssl(host)).toMatch(new RegExp(`Subject Alternative Name: \\n\\s+IP Address:${shown}\\n`));
  });

  test("is valid from a day ago for thirty days", () => {
    const leaf = minter.mint("a.example", now);
    const certificate = new X509Certificate(leaf.certificatePem);
    const second = (ms: number) => Math.floor(ms / 1000) * 1000;
    expect(certificate.validFromDate.getTime()).toBe(second(Math.max(now - dayMs, authority.notBefore.getTime())));
    expect(certificate.validToDate.getTime()).toBe(second(now + 30 * dayMs));
    expect(leaf.notAfter).toBe(now + 30 * dayMs);
  });

  test("never outlives its CA, and is not minted after the CA's end", () => {
    const end = authority.notAfter.getTime();
    expect(minter.mint("a.example", end - 1000).notAfter).toBe(end);
    expect(() => minter.mint("a.example", end)).toThrow(/expired/);
  });

  test("is signed by the CA and by no other", () => {
    const certificate = new X509Certificate(minter.mint("a.example", now).certificatePem);
    const issuer = new X509Certificate(authority.certificatePem);
    expect(certificate.verify(issuer.publicKey)).toBe(true);
    expect(certificate.checkIssued(issuer)).toBe(true);
    expect(certificate.verify(new X509Certificate(makePki().caPem).publicKey)).toBe(false);
  });
});

describe("serial numbers", () => {
  test.each([0x00, 0x01, 0x3f, 0x7f, 0x80, 0xff])("are positive and minimal for random bytes of 0x%s", (byte) => {
    const der = encodeSerial(Buffer.alloc(16, byte));
    expect(der.length).toBe(18);
    expect(der[2]).toBeGreaterThanOrEqual(0x40);
    expect(der[2]).toBeLessThanOrEqual(0x7f);
  });

  test("keep 126 random bits", () => {
    const random = randomBytes(16);
    const der = encodeSerial(random);
    expect(der.subarray(3).equals(random.subarray(1))).toBe(true);
    expect((der[2] ?? 0) & 0x3f).toBe((random[0] ?? 0) & 0x3f);
  });

  test("of a thousand leaves differ, and every leaf verifies strictly", async () => {
    const serials = new Set<string>();
    const paths: string[] = [];
    for (let index = 0; index < 1000; index++) {
      const { certificatePem } = minter.mint("api.example.com", now);
      const certificate = new X509Certificate(certificatePem);
      serials.add(certificate.serialNumber);
      // Version, then the serial's tag and length: always sixteen bytes, so never padded and never negative.
      const at = certificate.raw.indexOf(Buffer.from([0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 16]));
      expect(at).toBeGreaterThan(0);
      expect((certificate.raw[at + 7] ?? 0) >> 6).toBe(1);
      const path = join(dir, `leaf-${index}.pem`);
      paths.push(path);
      await writeFile(path, certificatePem);
    }
    expect(serials.size).toBe(1000);
    const verdicts = execFileSync(
      "openssl",
      [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "api.example.com",
        "-CAfile",
        join(dir, "ca.pem"),
        ...paths,
      ],
      { encoding: "utf8" },
    );
    expect(verdicts.match(/: OK$/gm)?.length).toBe(1000);
  });
});
