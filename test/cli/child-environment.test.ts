import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { expect, test } from "vitest";
import { parseMount } from "../../src/cli/mount.ts";
import { sandboxEnvironment } from "../../src/cli/sandbox-environment.ts";
import { makeTrustBundle } from "../../src/cli/trust-bundle.ts";
import { makePki } from "../support/pki.ts";

const sandbox = {
  proxyUrl: "http://id:token@127.0.0.1:1",
  placeholders: { KEY: "dtn_secret_x" },
  trust: { SSL_CERT_FILE: "/b" },
  javaTrustStore: "/roots.p12",
  javaPort: 2,
};

test("both spellings of proxy variables are set, whatever was there", () => {
  const env = sandboxEnvironment({ https_proxy: "http://old:1", PATH: "/bin" }, sandbox);
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]) {
    expect([name, env[name]]).toEqual([name, sandbox.proxyUrl]);
  }
  expect(env).toMatchObject({ PATH: "/bin", NODE_USE_ENV_PROXY: "1", KEY: "dtn_secret_x", SSL_CERT_FILE: "/b" });
});

test("NO_PROXY keeps what the caller said in either spelling and adds loopback", () => {
  const env = sandboxEnvironment({ NO_PROXY: "a.example, b.example", no_proxy: "b.example c.example" }, sandbox);
  expect(env.NO_PROXY).toBe("a.example,b.example,c.example,localhost,127.0.0.1,::1");
  expect(env.no_proxy).toBe(env.NO_PROXY);
});

test("the JVM gets the proxy and the trust store by properties, after what it had", () => {
  const { JAVA_TOOL_OPTIONS } = sandboxEnvironment({ JAVA_TOOL_OPTIONS: "-Xmx64m", NO_PROXY: ".a.example" }, sandbox);
  expect(JAVA_TOOL_OPTIONS?.split(" ")).toEqual([
    "-Xmx64m",
    "-Djavax.net.ssl.trustStore=/roots.p12",
    "-Djavax.net.ssl.trustStoreType=PKCS12",
    "-Dhttps.proxyHost=127.0.0.1",
    "-Dhttps.proxyPort=2",
    "-Dhttp.nonProxyHosts=*.a.example|localhost|127.0.0.1|[::1]",
  ]);
});

test("keyswap's own variables do not reach the command", () => {
  const env = sandboxEnvironment({ KEYSWAP_MASTER_KEY: "k", KEYSWAP_API_KEY_FILE: "f", OTHER: "x" }, sandbox);
  expect(Object.keys(env).filter((name) => name.startsWith("KEYSWAP_"))).toEqual([]);
  expect(env.OTHER).toBe("x");
});

const countOf = (path: string) => readFileSync(path, "utf8").split("BEGIN CERTIFICATE").length - 1;

test("variables that add to roots get the CA alone, those that replace them the usual roots too", () => {
  const ca = makePki().caPem;
  const bundle = makeTrustBundle(ca, {});
  const { NODE_EXTRA_CA_CERTS: adding, SSL_CERT_FILE: replacing } = bundle.env;
  expect(bundle.env.DENO_CERT).toBe(adding);
  expect(bundle.env.GIT_SSL_CAINFO).toBe(replacing);
  expect(readFileSync(adding!, "utf8").trim()).toBe(ca.trim());
  expect(readFileSync(replacing!, "utf8")).toContain(ca.trim());
  expect(countOf(replacing!)).toBeGreaterThan(50);
  expect(statSync(dirname(adding!)).mode & 0o777).toBe(0o700);
  bundle[Symbol.dispose]();
  expect(existsSync(dirname(adding!))).toBe(false);
});

test("a CA that the caller's variables named stays trusted; a file that is gone is no fault", () => {
  const folder = mkdtempSync(join(tmpdir(), "keyswap-own-ca-"));
  try {
    const [ca, own] = [makePki().caPem, makePki().caPem];
    const path = join(folder, "own.pem");
    writeFileSync(path, own.replaceAll("\n", "\r\n"));
    using added = makeTrustBundle(ca, { NODE_EXTRA_CA_CERTS: path, SSL_CERT_FILE: "/does/not/exist" });
    expect(countOf(added.env.NODE_EXTRA_CA_CERTS!)).toBe(2);
    expect(readFileSync(added.env.SSL_CERT_FILE!, "utf8")).toContain(own.trim());
    using replaced = makeTrustBundle(ca, { CURL_CA_BUNDLE: path });
    expect(countOf(replaced.env.NODE_EXTRA_CA_CERTS!)).toBe(1);
    expect(readFileSync(replaced.env.SSL_CERT_FILE!, "utf8")).toContain(own.trim());
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a mount is ENV=NAME, or one word for both; anything else is refused without being repeated", () => {
  expect(parseMount("KEY=my-secret")).toEqual({ env: "KEY", secret: "my-secret" });
  expect(parseMount("KEY")).toEqual({ env: "KEY", secret: "KEY" });
  for (const text of ["", "=A", "A=", "1A=B", "A=B=C", "1-A=B", "A=sk/hunter2", "A B=C"]) {
    expect(() => parseMount(text)).toThrow(/^a secret is given as ENV=NAME/);
  }
  for (const text of ["my-env=B", "A-B", "A-B=C-D"]) {
    expect(() => parseMount(text)).toThrow(/^a variable's name cannot hold a hyphen$/);
  }
});

test("wget and PHP get the roots by a configuration file, beside what they had", () => {
  const folder = mkdtempSync(join(tmpdir(), "keyswap-home-"));
  try {
    writeFileSync(join(folder, ".wgetrc"), "tries = 3");
    using bundle = makeTrustBundle(makePki().caPem, { HOME: folder, PHP_INI_SCAN_DIR: "/own" });
    const roots = bundle.env.SSL_CERT_FILE;
    expect(readFileSync(bundle.env.WGETRC!, "utf8")).toBe(`tries = 3\nca_certificate = ${roots}\n`);
    const [own, added] = bundle.env.PHP_INI_SCAN_DIR!.split(":");
    expect(own).toBe("/own");
    expect(readFileSync(join(added!, "keyswap.ini"), "utf8")).toBe(
      `curl.cainfo = "${roots}"\nopenssl.cafile = "${roots}"\n`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("every variable by which a command is made to trust the CA is documented for sandboxes of one's own", () => {
  using bundle = makeTrustBundle(makePki().caPem, {});
  const page = readFileSync(resolve(import.meta.dirname, "../../docs/getting-started.md"), "utf8");
  expect(Object.keys(bundle.env).filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
});
