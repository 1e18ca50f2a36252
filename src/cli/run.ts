// `keyswap run`: a command as a sandbox of the keyswap that runs, or of a private one for the command's time.
//
//   find or start a keyswap ─► register a sandbox ─► environment (proxy, trust, placeholders) ─► command ─► delete it

import type { Command } from "commander";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/settings.ts";
import { findRunningApi } from "./api-access.ts";
import { ApiClient, ApiError, expectObject, isObject, type JsonObject, textOf } from "./api-client.ts";
import { type Cli, CliError, newCommand } from "./command.ts";
import { composeStart } from "./compose.ts";
import { DataFolder } from "./data-folder.ts";
import { openJavaPort } from "./java-port.ts";
import { type MountArgument, parseMount } from "./mount.ts";
import { runChild } from "./run-child.ts";
import { sandboxEnvironment } from "./sandbox-environment.ts";
import { listSecretNames } from "./secret-list.ts";
import { addSettingFlags } from "./setting-flags.ts";
import { makeTrustBundle } from "./trust-bundle.ts";

interface RunOptions {
  readonly secret?: readonly string[];
  readonly host?: readonly string[];
  readonly onViolation?: string;
}

export function define(cli: Cli): Command {
  const collect = (value: string, before: readonly string[] = []) => [...before, value];
  const command = newCommand(
    cli,
    "run",
    "Run a command as a sandbox: it sees placeholders, the hosts see the secrets.",
    [
      "keyswap run --secret OPENAI_API_KEY=OPENAI -- python agent.py",
      "keyswap run --secret GITHUB_TOKEN=GITHUB --host '*.github.com' -- git push",
      "keyswap run --secret TOKEN=API -- sh -c 'curl -H \"Authorization: Bearer $TOKEN\" https://api.example.com/'",
    ],
  )
    .usage("[options] -- <command> [args...]")
    .argument("<command>", "what to run")
    .argument("[args...]", "its arguments")
    .passThroughOptions()
    .option("--secret <env=name>", "a secret and the variable that holds its placeholder; may be repeated", collect)
    .option("--host <pattern>", "the command may reach only this host; may be repeated", collect)
    .option("--on-violation <choice>", "pass or block, for this command")
    .addHelpText(
      "after",
      "\nUses the keyswap that runs on the data folder; where none runs, a private one for the command's time.\n" +
        "The exit code is the command's own; 128 and the signal's number where a signal ended it.\n",
    );
  const flags = addSettingFlags(command, (key) => key !== "onViolation");
  return command.action(async (name: string, args: readonly string[], options: RunOptions) => {
    const mounts = (options.secret ?? []).map(parseMount);
    const config = await loadConfig({ command: "run", flags, env: cli.env });
    await using gateway = await openGateway(config);
    const { client } = gateway;
    await using sandbox = await registerSandbox(client, mounts, options);
    using trust = makeTrustBundle(sandbox.caCertificate, cli.env);
    const { proxyUrl, placeholders } = sandbox;
    await using java = await openJavaPort(proxyUrl);
    const { env: trustVariables, javaTrustStore } = trust;
    const env = { proxyUrl, placeholders, trust: trustVariables, javaTrustStore, javaPort: java?.port };
    cli.exitCode = await runChild(name, args, sandboxEnvironment(cli.env, env));
  });
}

interface Gateway extends AsyncDisposable {
  readonly client: ApiClient;
}

/** The keyswap that is configured or runs here; else a private one, which ends with the command. */
async function openGateway(config: Config): Promise<Gateway> {
  const running = await findRunningApi(config);
  if (running !== undefined) {
    const client = new ApiClient(running.url, running.key, running.extraCa);
    return { client, [Symbol.asyncDispose]: async () => client.close() };
  }
  const { createLogging } = await import("../telemetry/logger.ts");
  const logging = createLogging({ level: config.logLevel });
  const service = await composeStart(config, logging.logger, { shared: false });
  service.failed.catch((error: unknown) => logging.logger.error({ err: error }, "the private keyswap failed"));
  // composeStart has made the key where there was none, and has an API.
  const client = new ApiClient(
    service.addresses.api!,
    config.apiKey ?? DataFolder.open(config.dataDir).openKey("api-key"),
  );
  return {
    client,
    [Symbol.asyncDispose]: async () => {
      client.close();
      await service.close(0);
      await logging.flush();
    },
  };
}

interface RegisteredSandbox extends AsyncDisposable {
  readonly proxyUrl: string;
  readonly caCertificate: string;
  readonly placeholders: Readonly<Record<string, string>>;
}

/** A killed run leaves its sandbox behind for this long at most; it is renewed while the command runs. */
const LIFETIME_MS = 24 * 3_600_000;
const RENEWAL_MS = 3_600_000;

async function registerSandbox(
  client: ApiClient,
  mounts: readonly MountArgument[],
  { host, onViolation }: RunOptions,
): Promise<RegisteredSandbox> {
  const expiresAt = () => new Date(Date.now() + LIFETIME_MS).toISOString();
  const created = await create(client, mounts, {
    secrets: mounts.map(({ env, secret }) => ({ [env]: secret })),
    labels: { "keyswap-run": String(process.pid) },
    expiresAt: expiresAt(),
    ...(host === undefined ? {} : { egressPolicy: { allow: [...host], deny: [] } }),
    ...(onViolation === undefined ? {} : { onViolation }),
  });
  const path = `/sandbox/${encodeURIComponent(textOf(created, "id"))}`;
  const egress = expectObject(created.egress);
  const env = isObject(egress.env) ? egress.env : {};
  // A failed renewal is made good by the next; the lifetime allows for many.
  const renew = () => client.call("PATCH", path, { expiresAt: expiresAt() }).catch(() => {});
  const timer = setInterval(renew, RENEWAL_MS).unref();
  return {
    proxyUrl: textOf(egress, "proxyUrl"),
    caCertificate: textOf(egress, "caCertificate"),
    placeholders: Object.fromEntries(mounts.map((mount) => [mount.env, textOf(env, mount.env)])),
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      // The command's exit code counts; a sandbox that could not be deleted expires.
      await client.call("DELETE", path).catch(() => {});
    },
  };
}

async function create(client: ApiClient, mounts: readonly MountArgument[], body: JsonObject): Promise<JsonObject> {
  try {
    return expectObject(await client.call("POST", "/sandbox", body));
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) throw error;
    const known = await listSecretNames(client);
    const missing = mounts.map(({ secret }) => secret).filter((name) => !known.has(name));
    throw new CliError(2, `there is no secret named ${missing.join(", ")}`, {
      hint: `Store it first: keyswap secret create ${missing[0]} --host api.example.com --value-stdin`,
      cause: error,
    });
  }
}
