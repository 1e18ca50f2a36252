// The system's own store, in a mount namespace in which it is a copy: the machine's stays what it is.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeWorkbench, type Workbench } from "../support/workbench.ts";

const mainFile = resolve(import.meta.dirname, "../../src/main.ts");
let bench: Workbench;

beforeAll(async () => {
  bench = makeWorkbench();
  // The first start makes the CA.
  await (await bench.start(["start"])).stop();
});

afterAll(() => bench[Symbol.asyncDispose]());

const cannot =
  process.getuid?.() !== 0
    ? "needs root"
    : !existsSync("/usr/sbin/update-ca-certificates")
      ? "this is no Debian"
      : spawnSync("unshare", ["-m", "true"]).status !== 0
        ? "mount namespaces cannot be made"
        : undefined;
const title = (text: string) => (cannot === undefined ? text : `${text} (skipped: ${cannot})`);

test.skipIf(cannot !== undefined)(title("Debian's store gets the CA, and loses it again"), () => {
  const copy = join(bench.env.HOME!, "store");
  mkdirSync(join(copy, "certs"), { recursive: true });
  mkdirSync(join(copy, "local"));
  const keyswap = `"${process.execPath}" "${mainFile}"`;
  const ca = readFileSync(join(bench.certsDir, "ca.pem"), "utf8").trim();
  const script = `set -e
cp -a /etc/ssl/. ${copy}/certs
mount --bind ${copy}/certs /etc/ssl
mount --bind ${copy}/local /usr/local/share/ca-certificates
trusted() { openssl verify -CApath /etc/ssl/certs -no-CAfile "$KEYSWAP_CERTS_DIR/ca.pem" >/dev/null 2>&1 && echo trusted || echo untrusted; }
trusted
${keyswap} ca install
trusted
cp /etc/ssl/certs/ca-certificates.crt ${copy}/installed.crt
${keyswap} ca uninstall
trusted
${keyswap} ca uninstall || echo "again: $?"
`;
  const { status, stdout, stderr } = spawnSync("unshare", ["-m", "sh", "-c", script], {
    env: bench.env,
    encoding: "utf8",
  });
  expect([status, stderr]).toEqual([0, expect.stringContaining("the CA is not in Debian's store")]);
  expect(stdout.split("\n")).toEqual([
    // OpenSSL takes what is to be verified for trusted only where the store has it.
    "untrusted",
    expect.stringContaining("This machine trusts the CA"),
    "trusted",
    "This machine no longer trusts the CA.",
    "untrusted",
    "again: 1",
    "",
  ]);
  expect(readFileSync(join(copy, "installed.crt"), "utf8")).toContain(ca);
  expect(readFileSync("/etc/ssl/certs/ca-certificates.crt", "utf8")).not.toContain(ca);
});

test("a dry run says what would be done and does nothing", async () => {
  const outcome = await bench.run(["ca", "install", "--dry-run"]);
  if (existsSync("/usr/sbin/update-ca-certificates")) {
    const [write, run] = outcome.stdout.split("\n");
    expect(write).toMatch(/^write (\/usr\/local\/share\/ca-certificates\/keyswap-[0-9a-f]{8}\.crt)$/);
    expect(run).toBe("run /usr/sbin/update-ca-certificates");
    expect(existsSync(write!.replace("write ", ""))).toBe(false);
  } else expect(outcome.code).toBeLessThan(2);
});

test("a CA that is not there is told with where it comes from", async () => {
  const outcome = await bench.run(["ca", "install"], { env: { KEYSWAP_CERTS_DIR: join(bench.env.HOME!, "none") } });
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  expect(outcome.stderr).toMatch(/ca\.pem cannot be read \(ENOENT\)\n.*first keyswap start/);
});
