import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeTrustStore } from "../../src/tls/trust-store.ts";
import { makePki } from "../support/pki.ts";

function missing(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return false;
  } catch {
    return true;
  }
}

function withStore<T>(certificates: readonly string[], use: (path: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "keyswap-store-"));
  try {
    const path = join(folder, "roots.p12");
    writeFileSync(path, encodeTrustStore(certificates));
    return use(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const noOpenssl = missing("openssl", ["version"]);

test.skipIf(noOpenssl)(`OpenSSL reads the store's certificates${noOpenssl ? " (skipped: no openssl)" : ""}`, () => {
  const certificates = [makePki().caPem, makePki().caPem];
  const listed = withStore(certificates, (path) =>
    execFileSync("openssl", ["pkcs12", "-in", path, "-nokeys", "-nomacver", "-passin", "pass:"], { encoding: "utf8" }),
  );
  for (const pem of certificates) expect(listed).toContain(pem.trim());
});

const noKeytool = missing("keytool", ["-help"]);

test.skipIf(noKeytool)(`the JVM takes each for a trusted one${noKeytool ? " (skipped: no keytool)" : ""}`, () => {
  const certificates = [makePki().caPem, makePki().caPem];
  const listed = withStore(certificates, (path) =>
    execFileSync("keytool", ["-list", "-keystore", path, "-storetype", "PKCS12", "-storepass", ""], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }),
  );
  expect(listed.match(/trustedCertEntry/g)).toHaveLength(2);
  for (const pem of certificates) expect(listed).toContain(new X509Certificate(pem).fingerprint256);
});
