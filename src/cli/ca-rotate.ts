// `keyswap ca show` and `keyswap ca rotate`: how long the CA lasts, and a new one in its place.

import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { CertificateAuthority, expiryWarning } from "../tls/authority.ts";
import { openAuthorityFiles } from "../tls/authority-files.ts";
import { finishRotation, forgetFormer, prepareRotation } from "../tls/authority-rotation.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { addSettingFlags } from "./setting-flags.ts";
import { startStep } from "./start-failure.ts";

export function defineShow(cli: Cli): Command {
  const command = newCommand(cli, "show", "Show the CA's fingerprint and how long it is valid", [
    "keyswap ca show",
    "keyswap ca show --json",
  ]).option("--json", "as JSON");
  const flags = addSettingFlags(command, (key) => key === "certsDir");
  return command.action(async (options: { readonly json?: boolean }) => {
    const { certsDir } = await loadConfig({ command: "client", flags, env: cli.env });
    const now = Date.now();
    const ca = await startStep(`the CA in ${certsDir}`, "KEYSWAP_CERTS_DIR", async () => {
      const files = await openAuthorityFiles(certsDir, () => {
        throw new CliError(1, `there is no CA in ${certsDir}`, { hint: "The first keyswap start makes it." });
      });
      return new CertificateAuthority(files, now);
    });
    const warning = expiryWarning(ca, now);
    const trusted = ca.certificatePem.split("BEGIN CERTIFICATE").length - 1;
    const shown = {
      path: ca.certificatePath,
      fingerprint: ca.fingerprint,
      notBefore: ca.notBefore.toISOString(),
      notAfter: ca.notAfter.toISOString(),
      /** Certificates that clients are told to trust: two while a rotation is under way. */
      trusted,
      ...(warning === undefined ? {} : { warning }),
    };
    if (options.json) cli.stdout.write(`${JSON.stringify(shown)}\n`);
    else for (const [name, value] of Object.entries(shown)) cli.stdout.write(`${name.padEnd(12)} ${value}\n`);
  });
}

export function defineRotate(cli: Cli): Command {
  const command = newCommand(
    cli,
    "rotate",
    "Replace the CA, with a time in which clients trust the old one and the new one",
    ["keyswap ca rotate", "keyswap ca rotate --finish", "keyswap ca rotate --forget"],
  )
    .option("--finish", "the new CA signs from now on; both stay trusted")
    .option("--forget", "the old certificate is not told to clients any more");
  const flags = addSettingFlags(command, (key) => key === "certsDir");
  return command.action(async (options: { readonly finish?: boolean; readonly forget?: boolean }) => {
    if (options.finish && options.forget) throw new CliError(2, "--finish and --forget are two steps: one at a time");
    const { certsDir } = await loadConfig({ command: "client", flags, env: cli.env });
    const step = options.finish ? finishRotation : options.forget ? forgetFormer : prepareRotation;
    const { current, next } = await startStep(`the CA in ${certsDir}`, "KEYSWAP_CERTS_DIR", () =>
      step(certsDir, Date.now()),
    );
    cli.stdout.write(`signing      ${current}\n${next === undefined ? "" : `next         ${next}\n`}`);
    cli.stderr.write(
      options.finish
        ? "Reload keyswap (SIGHUP) or restart it. Once no client holds the old certificate alone: keyswap ca rotate --forget\n"
        : options.forget
          ? "Reload keyswap (SIGHUP) or restart it: new sandboxes are told the new certificate alone.\n"
          : "ca.pem holds both certificates. Reload keyswap (SIGHUP) or restart it, and once every client has taken ca.pem anew: keyswap ca rotate --finish\n",
    );
  });
}
