// What has to hold between settings. Each setting by itself is already right here.

import { parseIp } from "../core/authority/ip.ts";
import type { Fault } from "./faults.ts";
import { type CommandName, type Config, type SettingKey, variableName } from "./settings.ts";

/** `names` tells how the user gave a setting, so that the fault can be found. */
export function checkRules(
  config: Config,
  command: CommandName,
  names: Readonly<Partial<Record<SettingKey, string>>>,
): readonly Fault[] {
  const faults: Fault[] = [];
  const nameOf = (key: SettingKey) => names[key] ?? variableName(key);
  if (config.sandboxToken !== undefined && config.sandboxId === undefined) {
    faults.push({ name: nameOf("sandboxToken"), problem: `needs ${variableName("sandboxId")} as well` });
  }
  if (command === "proxy" && config.secretApiUrl === undefined) {
    faults.push({
      name: nameOf("secretApiUrl"),
      problem: "keyswap proxy has no Secret API of its own and needs the URL of one",
      example: `${variableName("secretApiUrl")}=http://127.0.0.1:8181/api`,
    });
  }
  if (command === "start" && config.secretApiUrl !== undefined) {
    faults.push({
      name: nameOf("secretApiUrl"),
      problem: "keyswap start runs its own Secret API; leave this out, or use keyswap proxy",
    });
  }
  if (config.databaseUrl !== undefined && config.masterKey === undefined) {
    faults.push({
      name: nameOf("databaseUrl"),
      problem: `needs ${variableName("masterKey")} as well: a key made here would not be the other replicas'`,
    });
  }
  if ((config.proxyCert === undefined) !== (config.proxyCertKey === undefined)) {
    const [given, missing] =
      config.proxyCert === undefined
        ? (["proxyCertKey", "proxyCert"] as const)
        : (["proxyCert", "proxyCertKey"] as const);
    faults.push({ name: nameOf(given), problem: `needs ${variableName(missing)} as well` });
  }
  if (config.upstreamNoProxy.length > 0 && config.upstreamProxy === undefined) {
    faults.push({ name: nameOf("upstreamNoProxy"), problem: `needs ${variableName("upstreamProxy")} as well` });
  }
  if (config.dnsListen !== undefined && config.dnsAnswer.length === 0 && !isOneAddress(config.dnsListen.host)) {
    faults.push({
      name: nameOf("dnsListen"),
      problem: `names no one address, so ${variableName("dnsAnswer")} has to say what to answer`,
      example: `${variableName("dnsAnswer")}=10.200.0.1`,
    });
  }
  faults.push(...findClashes(config, command, nameOf));
  return faults;
}

/** An address of one interface: what clients reach by it is this machine. */
function isOneAddress(host: string): boolean {
  const ip = parseIp(host);
  return ip !== undefined && ip.value !== 0n;
}

const listenKeys = [
  "proxyListen",
  "tlsListen",
  "httpListen",
  "apiListen",
  "adminListen",
] as const satisfies SettingKey[];

/** Two listeners on one address: the second would only fail later, with a worse message. */
function findClashes(config: Config, command: CommandName, nameOf: (key: SettingKey) => string): readonly Fault[] {
  const faults: Fault[] = [];
  const taken = new Map<string, SettingKey>();
  for (const key of listenKeys) {
    const address = config[key];
    const isUnused = key === "apiListen" ? command === "proxy" : key !== "adminListen" && command === "api";
    if (address === undefined || address.port === 0 || isUnused || command === "run" || command === "client") continue;
    const place = `${address.host} ${address.port}`;
    const first = taken.get(place);
    if (first === undefined) taken.set(place, key);
    else faults.push({ name: nameOf(key), problem: `is the same address as ${nameOf(first)}` });
  }
  return faults;
}
