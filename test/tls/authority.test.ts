import { execFile, execFileSync } from "node:child_process";
import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CertificateAuthority, CertificateAuthorityError, makeAuthority } from "../../src/tls/authority.ts";
import { LeafMinter } from "../../src/tls/leaf.ts";
import { makePki } from "../support/pki.ts";

const run = promisify(execFile);
const clock = Date.now;
const dayMs = 24 * 60 * 60 * 1000;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "keyswap-ca-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function faultOf(opening: Promise<unknown>): Promise<CertificateAuthorityError> {
  const error = await opening.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CertificateAuthorityError)) throw new Error("expected a CertificateAuthorityError");
  return error;
}

async function put(certificate: string, key: string, mode = 0o600): Promise<void> {
  await writeFile(join(dir, "ca.pem"), certificate);
  await writeFile(join(dir, "ca-key.pem"), key, { mode });
  await chmod(join(dir, "ca-key.pem"), mode);
}

describe("making a CA", () => {
  test("makes the pair on first use, the key for the owner alone, and leaves nothing else behind", async () => {
    const authority = await CertificateAuthority.open(join(dir, "deep", "certs"), clock);
    const folder = join(dir, "deep", "certs");
    expect((await readdir(folder)).sort()).toEqual(["ca-key.pem", "ca.pem"]);
    expect((await stat(join(folder, "ca-key.pem"))).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, "ca.pem"))).mode & 0o777).toBe(0o644);
    expect(await readFile(join(folder, "ca.pem"), "latin1")).toBe(authority.certificatePem);
    expect(authority.certificatePath).toBe(join(folder, "ca.pem"));
  });

  test("makes a certificate with what clients look for", async () => {
    const authority = await CertificateAuthority.open(dir, clock);
    const text = execFileSync("openssl", ["x509", "-in", join(dir, "ca.pem"), "-noout", "-text"], { encoding: "utf8" });
    expect(text).toMatch(/Subject: CN = keyswap CA [0-9a-f]{8}\n/);
    expect(text).toMatch(/Basic Constraints: critical\n\s+CA:TRUE, pathlen:0\n/);
    expect(text).toMatch(/Key Usage: critical\n\s+Certificate Sign, CRL Sign\n/);
    expect(text).toMatch(/Subject Key Identifier: \n\s+[0-9A-F:]{59}\n/);
    expect(text).toContain("NIST CURVE: P-256");
    const certificate = new X509Certificate(authority.certificatePem);
    expect(authority.fingerprint).toBe(createHash("sha256").update(certificate.raw).digest("hex"));
    expect(authority.notBefore.getTime()).toBeLessThan(Date.now() - dayMs + 60_000);
    expect(authority.notAfter.getUTCFullYear() - new Date().getUTCFullYear()).toBe(10);
  });

  test("opens the same CA again and changes neither file", async () => {
    const first = await CertificateAuthority.open(dir, clock);
    const before = [await readFile(join(dir, "ca.pem")), await readFile(join(dir, "ca-key.pem"))];
    const second = await CertificateAuthority.open(dir, clock);
    expect(second.fingerprint).toBe(first.fingerprint);
    expect([await readFile(join(dir, "ca.pem")), await readFile(join(dir, "ca-key.pem"))]).toEqual(before);
  });

  test("ends with one CA when several are opened at once in one process", async () => {
    const opened = await Promise.all(Array.from({ length: 12 }, () => CertificateAuthority.open(dir, clock)));
    expect(new Set(opened.map((authority) => authority.fingerprint)).size).toBe(1);
    expect((await readdir(dir)).sort()).toEqual(["ca-key.pem", "ca.pem"]);
  });

  test("ends with one CA when several processes start at once", async () => {
    const source = new URL("../../src/tls/authority.ts", import.meta.url).href;
    const script = `const { CertificateAuthority } = await import(${JSON.stringify(source)});
      console.log((await CertificateAuthority.open(${JSON.stringify(dir)}, Date.now)).fingerprint);`;
    const children = Array.from({ length: 4 }, () =>
      run(process.execPath, ["--input-type=module", "--eval", script], { encoding: "utf8" }),
    );
    const fingerprints = (await Promise.all(children)).map(({ stdout }) => stdout.trim());
    expect(fingerprints[0]).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(fingerprints).size).toBe(1);
  });

  test("finishes the pair of a process that died between its two files", async () => {
    const first = await CertificateAuthority.open(dir, clock);
    const key = createPublicKey(await readFile(join(dir, "ca-key.pem")));
    const id = createHash("sha256")
      .update(key.export({ type: "spki", format: "der" }))
      .digest("hex")
      .slice(0, 32);
    await rename(join(dir, "ca.pem"), join(dir, `.ca-${id}.tmp`));
    expect((await CertificateAuthority.open(dir, clock)).fingerprint).toBe(first.fingerprint);
  });

  test("says what to do where the folder cannot be made", async () => {
    await symlink("/proc/self/nowhere", join(dir, "certs"));
    const fault = await faultOf(CertificateAuthority.open(join(dir, "certs", "x"), clock));
    expect(fault.code).toBe("unwritable");
    expect(fault.message).toContain(join(dir, "certs", "x"));
    expect(fault.message).toContain("KEYSWAP_CERTS_DIR");
  });
});

describe("a CA that cannot be used", () => {
  test("is refused without its key, and stays as it is", async () => {
    await CertificateAuthority.open(dir, clock);
    await rm(join(dir, "ca-key.pem"));
    const fault = await faultOf(CertificateAuthority.open(dir, clock));
    expect(fault.code).toBe("key-missing");
    expect(fault.path).toBe(join(dir, "ca-key.pem"));
    expect(fault.message).toContain("Put the key back");
    expect(await readdir(dir)).toEqual(["ca.pem"]);
  });

  test("is refused without its certificate, and stays as it is", async () => {
    await CertificateAuthority.open(dir, clock);
    await rm(join(dir, "ca.pem"));
    const fault = await faultOf(CertificateAuthority.open(dir, clock));
    expect(fault.code).toBe("certificate-missing");
    expect(await readdir(dir)).toEqual(["ca-key.pem"]);
  });

  test("is refused when its key cannot be read, and stays as it is", async () => {
    await CertificateAuthority.open(dir, clock);
    const certificate = await readFile(join(dir, "ca.pem"));
    await rm(join(dir, "ca-key.pem"));
    await mkdir(join(dir, "ca-key.pem"));
    const fault = await faultOf(CertificateAuthority.open(dir, clock));
    expect(fault.code).toBe("unreadable");
    expect(fault.message).toMatch(/ca-key\.pem: cannot be read \(EISDIR\)/);
    expect(await readFile(join(dir, "ca.pem"))).toEqual(certificate);
  });

  test.each([0o640, 0o604, 0o660, 0o644, 0o777])("is refused when others can reach its key (mode %o)", async (mode) => {
    await CertificateAuthority.open(dir, clock);
    await chmod(join(dir, "ca-key.pem"), mode);
    const fault = await faultOf(CertificateAuthority.open(dir, clock));
    expect(fault.code).toBe("key-exposed");
    expect(fault.message).toContain(`chmod 600 '${join(dir, "ca-key.pem")}'`);
  });

  test("is taken with a key that only its owner can read", async () => {
    const first = await CertificateAuthority.open(dir, clock);
    await chmod(join(dir, "ca-key.pem"), 0o400);
    expect((await CertificateAuthority.open(dir, clock)).fingerprint).toBe(first.fingerprint);
  });

  test("is refused when certificate and key do not belong together", async () => {
    await put(makePki().caPem, makePki().caKeyPem);
    const fault = await faultOf(CertificateAuthority.open(dir, clock));
    expect(fault.code).toBe("mismatch");
    expect(fault.message).toContain(join(dir, "ca-key.pem"));
  });

  test("is refused after its end and before its beginning", async () => {
    const old = makePki({ notBefore: Date.now() - 20 * dayMs, notAfter: Date.now() - 1000 });
    await put(old.caPem, old.caKeyPem);
    expect((await faultOf(CertificateAuthority.open(dir, clock))).code).toBe("expired");
    const early = makePki({ notBefore: Date.now() + 60_000 });
    await put(early.caPem, early.caKeyPem);
    expect((await faultOf(CertificateAuthority.open(dir, clock))).code).toBe("not-yet-valid");
  });

  test("is refused when the certificate is a server's", async () => {
    const leaf = makePki().issue(["example.com"]);
    await put(leaf.certPem, leaf.keyPem);
    const fault = await faultOf(CertificateAuthority.open(dir, clock));
    expect(fault.code).toBe("malformed");
    expect(fault.message).toContain("CA:TRUE");
  });

  test("is refused when a file holds something else, without quoting it", async () => {
    const pki = makePki();
    await put("sesame-open\n", pki.caKeyPem);
    const certificateFault = await faultOf(CertificateAuthority.open(dir, clock));
    expect(certificateFault.code).toBe("malformed");
    expect(certificateFault.path).toBe(join(dir, "ca.pem"));
    await put(pki.caPem, "sesame-open\n");
    const keyFault = await faultOf(CertificateAuthority.open(dir, clock));
    expect(keyFault.code).toBe("malformed");
    expect(keyFault.path).toBe(join(dir, "ca-key.pem"));
    for (const fault of [certificateFault, keyFault]) {
      expect(`${fault.message} ${fault.stack} ${String(fault.cause)}`).not.toContain("sesame-open");
    }
  });

  test.each(["", "\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])(
    "is refused with a broken certificate file (%j)",
    async (text) => {
      await put(text, makePki().caKeyPem);
      expect((await faultOf(CertificateAuthority.open(dir, clock))).code).toBe("malformed");
    },
  );

  test("is refused with a key that is encrypted or of a kind that cannot sign for clients", async () => {
    execFileSync("openssl", [
      "genpkey",
      "-algorithm",
      "EC",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-aes256",
      "-pass",
      "pass:x",
      "-out",
      join(dir, "k"),
    ]);
    await put(makePki().caPem, await readFile(join(dir, "k"), "latin1"));
    expect((await faultOf(CertificateAuthority.open(dir, clock))).message).toContain("encrypted");
    execFileSync("openssl", ["genpkey", "-algorithm", "ED25519", "-out", join(dir, "e")]);
    await put(makePki().caPem, await readFile(join(dir, "e"), "latin1"));
    expect((await faultOf(CertificateAuthority.open(dir, clock))).message).toContain("elliptic-curve");
  });
});

const asRoot = process.geteuid?.() === 0 ? test : test.skip;

asRoot.each([
  [0o440, undefined],
  [0o640, undefined],
  [0o460, "key-exposed"],
  [0o444, "key-exposed"],
] as const)("judges a key that another user mounted with mode %o (needs root to make one)", async (mode, code) => {
  await CertificateAuthority.open(dir, clock);
  const path = join(dir, "ca-key.pem");
  await chown(path, 12_345, 0);
  await chmod(path, mode);
  const opening = CertificateAuthority.open(dir, clock);
  if (code === undefined) expect((await opening).fingerprint).toHaveLength(64);
  else expect((await faultOf(opening)).code).toBe(code);
});

describe("an operator's own CA", () => {
  const subject = "/C=AT/O=Süßwaren & Söhne/CN=Our private CA";
  test.each([
    ["RSA", ["-newkey", "rsa:2048"]],
    ["P-384", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"]],
  ])("signs leaves that verify strictly (%s)", async (_kind, key) => {
    const [certificatePath, keyPath] = [join(dir, "ca.pem"), join(dir, "ca-key.pem")];
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-utf8",
        "-nodes",
        ...key,
        "-keyout",
        keyPath,
        "-out",
        certificatePath,
        "-days",
        "90",
        "-subj",
        subject,
        "-addext",
        "keyUsage=critical,keyCertSign",
      ],
      { stdio: "pipe" },
    );
    await chmod(keyPath, 0o600);
    const authority = await CertificateAuthority.open(dir, clock);
    await writeFile(
      join(dir, "leaf.pem"),
      new LeafMinter(authority).mint("api.example.com", Date.now()).certificatePem,
    );
    expect(
      execFileSync(
        "openssl",
        [
          "verify",
          "-x509_strict",
          "-CAfile",
          certificatePath,
          "-verify_hostname",
          "api.example.com",
          join(dir, "leaf.pem"),
        ],
        { encoding: "utf8" },
      ),
    ).toContain("leaf.pem: OK");
  });

  test("shows every certificate of its file to clients, ours first, and nothing else that stands there", async () => {
    const [ours, former] = [makePki(), makePki()];
    await put(`notes\r\n${ours.caPem}${former.caPem.replaceAll("\n", "\r\n")}${former.caKeyPem}`, ours.caKeyPem);
    const authority = await CertificateAuthority.open(dir, clock);
    expect(authority.certificatePem).toBe(ours.caPem + former.caPem);
    expect(authority.fingerprint).toBe(createHash("sha256").update(new X509Certificate(ours.caPem).raw).digest("hex"));
  });
});

test("writes times after 2049 as RFC 5280 wants them", async () => {
  const made = makeAuthority(Date.UTC(2045, 0, 1));
  await writeFile(join(dir, "ca.pem"), made.certificate);
  const parsed = execFileSync("openssl", ["asn1parse", "-in", join(dir, "ca.pem")], { encoding: "utf8" });
  expect(parsed).toMatch(/UTCTIME\s+:441231000000Z/);
  expect(parsed).toMatch(/GENERALIZEDTIME\s+:2054\d{10}Z|GENERALIZEDTIME\s+:20550101000000Z/);
});
