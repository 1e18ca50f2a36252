// What a command's programs have to trust: files with keyswap's CA alone for the variables that add to a program's
// roots, with the usual roots and the CA for those that replace them, and the latter as a store that the JVM reads. Programs
// that have no variable for it get a configuration file: wget, PHP.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { getCACertificates } from "node:tls";
import { encodeTrustStore } from "../tls/trust-store.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";

/** Add to the roots: Node, Bun, Deno. */
const addingVariables = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"] as const;

/** Replace the roots: OpenSSL and whoever follows it (Python, Ruby, Go, PHP …), requests, curl, git, pip, … */
const replacingVariables = [
  "SSL_CERT_FILE",
  "REQUESTS_CA_BUNDLE",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "PIP_CERT",
  "AWS_CA_BUNDLE",
  "CARGO_HTTP_CAINFO",
  "NIX_SSL_CERT_FILE",
  "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
  "PERL_LWP_SSL_CA_FILE",
  "HTTPLIB2_CA_CERTS",
  "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
] as const;

type Environment = Readonly<Record<string, string | undefined>>;

export interface TrustBundle extends Disposable {
  /** Variables that point at the bundle's files. */
  readonly env: Readonly<Record<string, string>>;
  /** The PKCS#12 store with the usual roots and the CA; no password. */
  readonly javaTrustStore: string;
}

/**
 * Writes the files to a folder of its own, which is removed with the bundle. What the variables named before stays
 * trusted: a company's own CA, for one. Throws CliError where the folder cannot be made.
 */
export function makeTrustBundle(caPem: string, before: Environment): TrustBundle {
  const folder = makeTemporaryFolder("keyswap-trust-");
  const write = (name: string, content: string | Buffer) => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  const ca = readCertificates(caPem);
  const adding = write("ca.pem", joined([...ca, ...namedBefore(before, addingVariables)]));
  const named = namedBefore(before, [...addingVariables, ...replacingVariables]);
  const roots = [...new Set([...ca, ...named, ...systemRoots()])];
  const replacing = write("roots.pem", joined(roots));
  const javaTrustStore = write("roots.p12", encodeTrustStore(roots));
  const env: Record<string, string> = {};
  for (const name of addingVariables) env[name] = adding;
  for (const name of replacingVariables) env[name] = replacing;
  env.WGETRC = write(
    "wgetrc",
    `${readText(before.WGETRC ?? join(before.HOME ?? "", ".wgetrc"))}ca_certificate = ${replacing}\n`,
  );
  mkdirSync(join(folder, "php"));
  write("php/keyswap.ini", `curl.cainfo = "${replacing}"\nopenssl.cafile = "${replacing}"\n`);
  // An empty entry stands for the folder that PHP was built with.
  env.PHP_INI_SCAN_DIR = `${before.PHP_INI_SCAN_DIR ?? ""}${delimiter}${join(folder, "php")}`;
  return { env, javaTrustStore, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

function joined(certificates: readonly string[]): string {
  return `${[...new Set(certificates)].join("\n")}\n`;
}

/** The machine's own roots; where it has none that can be found, those that come with Node. */
function systemRoots(): readonly string[] {
  const roots = getCACertificates("system");
  return (roots.length > 0 ? roots : getCACertificates("bundled")).flatMap(readCertificates);
}

function namedBefore(before: Environment, names: readonly string[]): readonly string[] {
  return names.flatMap((name) => {
    const path = before[name];
    if (path === undefined || path === "") return [];
    return readCertificates(readText(path));
  });
}

/** Ends with a line's end; empty where there is no such file: programs that are pointed at one have their own ways. */
function readText(path: string): string {
  try {
    return `${readFileSync(path, "utf8")}\n`;
  } catch {
    return "";
  }
}

function readCertificates(pem: string): readonly string[] {
  return (
    pem.replaceAll("\r", "").match(/-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----/g) ?? []
  );
}
