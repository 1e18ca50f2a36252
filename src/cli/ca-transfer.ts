// `keyswap ca export|import`: one CA for many proxies. The pair travels as one PEM text, certificates first, or as a
// Kubernetes Secret whose keys are the names of the CA's two files.

import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { stringify } from "yaml";
import { loadConfig } from "../config/load.ts";
import { CertificateAuthority } from "../tls/authority.ts";
import { type AuthorityFiles, openAuthorityFiles } from "../tls/authority-files.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { codeOf } from "./data-folder.ts";
import { writeOutputFile } from "./new-file.ts";
import { addSettingFlags } from "./setting-flags.ts";
import { startStep } from "./start-failure.ts";

const pemBlock = /-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----/g;
const MAX_BUNDLE_BYTES = 1_048_576;

interface ExportOptions {
  readonly output?: string;
  readonly kubernetes?: string;
}

export function defineExport(cli: Cli): Command {
  const command = newCommand(cli, "export", "Write the CA's certificate and its private key, for another proxy", [
    "keyswap ca export --output ca-bundle.pem",
    "keyswap ca export | ssh gateway-2 keyswap ca import",
    "keyswap ca export --kubernetes keyswap-ca | kubectl apply -f -",
  ])
    .option("--output <file>", "write there (mode 0600, never overwrites) instead of to stdout")
    .option("--kubernetes <name>", "as a Kubernetes Secret of this name, to be mounted as the folder of the CA");
  const flags = addSettingFlags(command, (key) => key === "certsDir");
  return command.action(async (options: ExportOptions) => {
    const { certsDir } = await loadConfig({ command: "client", flags, env: cli.env });
    const none = new CliError(1, `there is no CA in ${certsDir}`, {
      hint: "It is made by the first keyswap start or proxy; KEYSWAP_CERTS_DIR says where.",
    });
    const files = await startStep(`the CA in ${certsDir}`, "KEYSWAP_CERTS_DIR", async () => {
      const found = await openAuthorityFiles(certsDir, () => {
        throw none;
      });
      // What cannot serve here is not passed on.
      return new CertificateAuthority(found, Date.now()) && found;
    });
    const text = options.kubernetes === undefined ? bundleOf(files) : manifestOf(files, options.kubernetes);
    if (options.output !== undefined) return writeOutputFile(options.output, text);
    if (cli.stdout.isTTY) {
      throw new CliError(2, "the private key is not written to a terminal", {
        hint: "Pipe it to where it is needed, or name a file with --output.",
      });
    }
    cli.stdout.write(text);
  });
}

export function defineImport(cli: Cli): Command {
  const command = newCommand(cli, "import", "Use the CA of another proxy here. Never replaces a CA", [
    "keyswap ca import ca-bundle.pem",
    "ssh gateway-1 keyswap ca export | keyswap ca import",
  ]).argument("[file]", "what ca export wrote; stdin if absent");
  const flags = addSettingFlags(command, (key) => key === "certsDir");
  return command.action(async (file: string | undefined) => {
    const { certsDir } = await loadConfig({ command: "client", flags, env: cli.env });
    const given = parseBundle(file === undefined ? await readStdin(cli) : readBundle(file));
    await startStep(`the CA in ${certsDir}`, "KEYSWAP_CERTS_DIR", async () => {
      const name = file ?? "stdin";
      const authority = new CertificateAuthority({ ...given, certificatePath: name, keyPath: name }, Date.now());
      const there = await openAuthorityFiles(certsDir, () => given);
      if (new CertificateAuthority(there, Date.now()).fingerprint !== authority.fingerprint) {
        throw new CliError(1, `another CA is in ${certsDir}; nothing was changed`, {
          hint: "Move its ca.pem and ca-key.pem away first. Sandboxes then have to trust the new CA.",
        });
      }
      cli.stdout.write(`${there.certificatePath}\nSHA-256 ${authority.fingerprint}\n`);
    });
  });
}

type Pair = Pick<AuthorityFiles, "certificate" | "key">;

function bundleOf({ certificate, key }: Pair): string {
  return `${certificate.trimEnd()}\n${key.trimEnd()}\n`;
}

function manifestOf({ certificate, key }: Pair, name: string): string {
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name)) {
    throw new CliError(2, "a Kubernetes name has lower-case letters, digits, dots and hyphens alone");
  }
  return stringify({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name },
    type: "Opaque",
    stringData: { "ca.pem": certificate, "ca-key.pem": key },
  });
}

/** Throws where it is not certificates and exactly one key. Nothing of the text is quoted. */
function parseBundle(text: string): Pair {
  const blocks = [...text.matchAll(pemBlock)];
  const certificates = blocks.filter(([, label]) => label === "CERTIFICATE");
  const keys = blocks.filter(([, label]) => label?.endsWith("PRIVATE KEY"));
  if (certificates.length === 0 || keys.length !== 1) {
    throw new CliError(2, "this is not what keyswap ca export writes: certificates and one private key, as PEM");
  }
  return {
    certificate: certificates.map(([block]) => `${block}\n`).join(""),
    key: `${keys[0]?.[0]}\n`,
  };
}

function readBundle(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch (error) {
    throw new CliError(2, `${file} cannot be read (${codeOf(error)})`);
  }
}

async function readStdin(cli: Cli): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of cli.stdin) {
    parts.push(Buffer.from(part));
    length += part.length;
    if (length > MAX_BUNDLE_BYTES) throw new CliError(2, "what came on stdin is too long for a CA");
  }
  return Buffer.concat(parts).toString("latin1");
}
