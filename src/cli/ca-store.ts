// `keyswap ca install|uninstall`: the CA in the system's own store of roots, for programs that read nothing else.

import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { codeOf } from "./data-folder.ts";
import { addSettingFlags, type Flags } from "./setting-flags.ts";

interface Store {
  readonly name: string;
  /** Whether this machine has it. */
  readonly isHere: () => boolean;
  /** Where the certificate goes; `id` is short and the certificate's own. */
  readonly path: (id: string) => string;
  readonly installed: (path: string) => readonly string[];
  readonly uninstalled: (path: string) => readonly string[];
}

const stores: readonly Store[] = [
  {
    name: "Debian's store",
    isHere: () => existsSync("/usr/sbin/update-ca-certificates"),
    path: (id) => `/usr/local/share/ca-certificates/keyswap-${id}.crt`,
    installed: () => ["/usr/sbin/update-ca-certificates"],
    uninstalled: () => ["/usr/sbin/update-ca-certificates", "--fresh"],
  },
  {
    name: "Red Hat's store",
    isHere: () => existsSync("/usr/bin/update-ca-trust"),
    path: (id) => `/etc/pki/ca-trust/source/anchors/keyswap-${id}.pem`,
    installed: () => ["/usr/bin/update-ca-trust", "extract"],
    uninstalled: () => ["/usr/bin/update-ca-trust", "extract"],
  },
  {
    name: "macOS's system keychain",
    isHere: () => process.platform === "darwin",
    path: (id) => `/Library/Application Support/keyswap-${id}.pem`,
    installed: (path) => {
      const keychain = "/Library/Keychains/System.keychain";
      return ["/usr/bin/security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", keychain, path];
    },
    uninstalled: (path) => ["/usr/bin/security", "remove-trusted-cert", "-d", path],
  },
];

export function defineInstall(cli: Cli): Command {
  const command = newCommand(
    cli,
    "install",
    "Make this machine trust the CA: for programs that read no variable for it",
    ["sudo keyswap ca install --certs-dir ~/.keyswap/certs", "keyswap ca install --dry-run"],
  )
    .option("--dry-run", "print what would be done")
    .addHelpText("after", `\n${warning}\n`);
  const flags = addSettingFlags(command, (key) => key === "certsDir");
  return command.action((options: { readonly dryRun?: boolean }) =>
    change(cli, flags, options, ({ path, store, pem }) => ({
      told: `write ${path}`,
      command: store.installed(path),
      act: (run) => {
        writeFileSync(path, pem, { mode: 0o644 });
        run();
      },
      done: `This machine trusts the CA: it is in ${store.name}. Undo it with: keyswap ca uninstall`,
    })),
  );
}

export function defineUninstall(cli: Cli): Command {
  const command = newCommand(cli, "uninstall", "Take the CA out of the system's store", [
    "sudo keyswap ca uninstall --certs-dir ~/.keyswap/certs",
  ]).option("--dry-run", "print what would be done");
  const flags = addSettingFlags(command, (key) => key === "certsDir");
  return command.action((options: { readonly dryRun?: boolean }) =>
    change(cli, flags, options, ({ path, store }) => {
      if (!existsSync(path)) throw new CliError(1, `the CA is not in ${store.name}: there is no ${path}`);
      return {
        told: `remove ${path}`,
        command: store.uninstalled(path),
        act: (run) => {
          // macOS needs the file to know which one is meant.
          if (process.platform === "darwin") run();
          rmSync(path);
          if (process.platform !== "darwin") run();
        },
        done: "This machine no longer trusts the CA.",
      };
    }),
  );
}

const warning =
  "Every program of this machine then trusts every certificate that the CA signs: keep its key where only keyswap's user can\n" +
  "read it. keyswap run needs none of this. Restart programs that have read the store already.";

interface Place {
  readonly store: Store;
  readonly path: string;
  readonly pem: string;
}

interface Change {
  readonly told: string;
  readonly command: readonly string[];
  readonly act: (run: () => void) => void;
  readonly done: string;
}

async function change(
  cli: Cli,
  flags: Flags,
  { dryRun = false }: { readonly dryRun?: boolean },
  plan: (place: Place) => Change,
): Promise<void> {
  const { certsDir } = await loadConfig({ command: "client", flags, env: cli.env });
  const pem = readAuthority(join(certsDir, "ca.pem"));
  const store = stores.find((candidate) => candidate.isHere());
  if (store === undefined) {
    throw new CliError(1, "this system's store of roots is not one that keyswap knows", {
      hint: `Add ${join(certsDir, "ca.pem")} to it by its own tool. Known are ${stores.map(({ name }) => name).join(", ")}.`,
    });
  }
  const id = new X509Certificate(pem).fingerprint256.replaceAll(":", "").slice(0, 8).toLowerCase();
  const { told, command, act, done } = plan({ store, path: store.path(id), pem });
  if (dryRun) {
    cli.stdout.write(`${told}\nrun ${command.join(" ")}\n`);
    return;
  }
  try {
    act(() => runTool(command));
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(1, `could not ${told} (${codeOf(error)})`, {
      hint: "The system's store is root's: sudo keyswap ca …, with --certs-dir where the CA is another user's.",
      cause: error,
    });
  }
  cli.stdout.write(`${done}\n`);
}

function runTool([tool = "", ...args]: readonly string[]): void {
  const { status, error, stderr } = spawnSync(tool, args, { encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] });
  if (status === 0) return;
  const said = error === undefined ? stderr.trim().split("\n").at(-1) : codeOf(error);
  throw new CliError(1, `${tool} failed${said ? `: ${said}` : ""}`);
}

function readAuthority(path: string): string {
  try {
    const [first = ""] =
      readFileSync(path, "utf8").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/) ?? [];
    return `${new X509Certificate(first).toString().trim()}\n`;
  } catch (error) {
    throw new CliError(1, `${path} cannot be read (${codeOf(error)})`, {
      hint: "The CA is made by the first keyswap start; KEYSWAP_CERTS_DIR says where.",
    });
  }
}
