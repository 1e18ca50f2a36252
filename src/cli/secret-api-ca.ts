// The certificates of KEYSWAP_SECRET_API_CA: trusted besides the usual roots when the Secret API is spoken to over TLS.

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Config, variableName } from "../config/settings.ts";
import { CliError } from "./cli-error.ts";
import { codeOf } from "./data-folder.ts";

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** PEM; undefined where none is configured. Throws CliError for a file without certificates: TLS would ignore it silently. */
export function readSecretApiCa({ secretApiCa: path }: Pick<Config, "secretApiCa">): string | undefined {
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (error) {
    throw new CliError(2, `${variableName("secretApiCa")}: ${path} cannot be read (${codeOf(error)})`);
  }
  const blocks = text.match(certificateBlock) ?? [];
  if (blocks.length === 0 || !blocks.every(isCertificate)) {
    throw new CliError(2, `${variableName("secretApiCa")}: ${path} holds no certificates in PEM form`, {
      hint: "Name the file of the authority that signed the Secret API's certificate.",
    });
  }
  return blocks.join("\n");
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
