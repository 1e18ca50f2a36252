// Every setting, once: its schema, default and description. Names follow from the key: `proxyListen` is the variable
// KEYSWAP_PROXY_LISTEN, the file's key `proxy-listen` and the flag `--proxy-listen`. docs/configuration.md is generated
// from this table.

import type { z } from "zod";
import { bounds } from "./bounds.ts";
import * as values from "./values.ts";

/** What a default may be derived from. */
export interface Place {
  readonly home: string;
  /** `certs/` of keyswap's own clone, where it runs from there. */
  readonly cloneCerts: string | undefined;
  readonly dataDir: string;
  /** Which command is configured. */
  readonly command: CommandName;
}

export type CommandName = "start" | "proxy" | "api" | "run" | "client";

export interface Setting {
  readonly schema: z.ZodType;
  readonly description: string;
  readonly example: string;
  /** As text, read like the user's own; absent: the setting may be undefined. */
  readonly fallback?: string | ((place: Place) => string);
  /** How the reference tells the default, where `fallback` does not say it itself. */
  readonly fallbackText?: string;
  /** Which part of keyswap reads it; the commands without that part do not have the flag. */
  readonly part: "proxy" | "api" | "both";
  /** `path`: made absolute, `~/` expanded; `file`: such a path that must be readable. */
  readonly kind?: "path" | "file";
  /** `key`: never a flag, has a `…_FILE` form. `url`: may hold a password, has a `…_FILE` form besides the flag. */
  readonly confidential?: "key" | "url";
  /** Takes effect on SIGHUP; others need a restart. */
  readonly reloads?: true;
  /** An empty variable is a fault here instead of "not set". */
  readonly refusesEmpty?: true;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const MIB = 1_048_576;

/** Shorter keys could be guessed. */
const MIN_KEY_LENGTH = 16;

export const settings = {
  dataDir: {
    schema: values.path,
    description: "Folder of the SQLite file, the generated keys and the audit log.",
    example: "/var/lib/keyswap",
    fallback: ({ home }) => `${home}/.keyswap`,
    fallbackText: "`~/.keyswap`",
    part: "both",
    kind: "path",
  },
  certsDir: {
    schema: values.path,
    description: "Folder of the CA's certificate and key; both are made on the first start and never overwritten.",
    example: "/etc/keyswap/certs",
    fallback: ({ home, cloneCerts }) => cloneCerts ?? `${home}/.keyswap/certs`,
    fallbackText: "`certs/` of keyswap's own clone when run from there, else `~/.keyswap/certs`",
    part: "both",
    kind: "path",
  },
  proxyListen: {
    schema: values.listenAddress,
    description: "The proxy port. Port 0 takes a free one; the ready line says which.",
    example: "127.0.0.1:8080",
    fallback: ({ command }) => (command === "run" ? "127.0.0.1:0" : "127.0.0.1:8080"),
    fallbackText: "`127.0.0.1:8080` (a private one of `keyswap run`: any free port)",
    part: "proxy",
  },
  proxyUrl: {
    schema: values.originUrl,
    description: "How sandboxes reach the proxy; the API puts it into a new sandbox's `egress.proxyUrl`.",
    example: "http://keyswap.internal:8080",
    fallbackText: "`http://` and the proxy's address",
    part: "api",
  },
  tlsListen: {
    schema: values.listenAddressOrOff,
    description: "Transparent port for redirected TLS traffic.",
    example: "0.0.0.0:8443",
    fallback: "off",
    part: "proxy",
  },
  httpListen: {
    schema: values.listenAddressOrOff,
    description: "Transparent port for redirected plain HTTP traffic.",
    example: "0.0.0.0:8088",
    fallback: "off",
    part: "proxy",
  },
  dnsListen: {
    schema: values.listenAddressOrOff,
    description: "A DNS server that answers every name with the gateway's address and never forwards.",
    example: "0.0.0.0:53",
    fallback: "off",
    part: "proxy",
  },
  dnsAnswer: {
    schema: values.addresses,
    description: "The gateway's addresses, IPv4 and IPv6, that the DNS server answers with.",
    example: "10.200.0.1,fd00:200::1",
    fallback: "",
    fallbackText: "the address of `dns-listen`",
    part: "proxy",
  },
  proxyProtocolFrom: {
    schema: values.cidrs,
    description: "Load balancers whose connections must begin with a PROXY protocol header, version 1 or 2.",
    example: "10.0.0.5/32",
    fallback: "",
    fallbackText: "none",
    part: "proxy",
    reloads: true,
  },
  proxyCert: {
    schema: values.path,
    description: "PEM file of the certificate chain for clients that speak TLS to the proxy itself.",
    example: "/etc/keyswap/proxy.pem",
    fallbackText: "a leaf for the name that the client asks for",
    part: "proxy",
    reloads: true,
    kind: "file",
  },
  proxyCertKey: {
    schema: values.path,
    description: "PEM file of the key of `proxy-cert`.",
    example: "/etc/keyswap/proxy-key.pem",
    part: "proxy",
    reloads: true,
    kind: "file",
  },
  apiListen: {
    schema: values.listenAddress,
    description: "The Secret API (under `/api`) and the console.",
    example: "127.0.0.1:8181",
    fallback: ({ command }) => (command === "run" ? "127.0.0.1:0" : "127.0.0.1:8181"),
    fallbackText: "`127.0.0.1:8181` (a private one of `keyswap run`: any free port)",
    part: "api",
  },
  adminListen: {
    schema: values.listenAddressOrOff,
    description: "`/healthz`, `/readyz` and `/metrics`; `off` switches them off.",
    example: "127.0.0.1:8182",
    fallback: ({ command }) => (command === "run" ? "off" : command === "api" ? "127.0.0.1:8183" : "127.0.0.1:8182"),
    fallbackText: "`127.0.0.1:8182` (`keyswap api`: `127.0.0.1:8183`; `keyswap run`: off)",
    part: "both",
  },
  apiKey: {
    schema: values.credential("API key", MIN_KEY_LENGTH),
    description: "Bootstrap key of the Secret API: everything but resolving values.",
    example: "the output of: openssl rand -hex 32",
    fallbackText: "made on the first start, in `<data>/api-key`",
    part: "api",
    confidential: "key",
  },
  proxyKey: {
    schema: values.credential("proxy key", MIN_KEY_LENGTH),
    description: "Credential with which a proxy resolves values.",
    example: "the output of: openssl rand -hex 32",
    fallbackText: "made on the first start, in `<data>/proxy-key`",
    part: "both",
    confidential: "key",
  },
  masterKey: {
    schema: values.masterKeys,
    description: "Keys that encrypt values at rest: `id:base64` of 32 bytes, comma-separated, the first is current.",
    example: "k1: and the output of: openssl rand -base64 32",
    fallbackText: "made on the first start, in `<data>/master-key`",
    part: "api",
    confidential: "key",
  },
  secretApiUrl: {
    schema: values.baseUrl,
    description: "The Secret API that `keyswap proxy` and the `secret` and `sandbox` commands use, with its `/api`.",
    example: "http://127.0.0.1:8181/api",
    fallbackText: "the embedded one",
    part: "proxy",
  },
  secretApiCa: {
    schema: values.path,
    description: "PEM file of certificates that are trusted for an `https` Secret API besides the usual roots.",
    example: "/etc/ssl/internal-ca.pem",
    part: "proxy",
    kind: "file",
  },
  sandboxId: {
    schema: values.sandboxId,
    description: "Serve one fixed sandbox (sidecar).",
    example: "6f1c4a52-6a0c-4f0e-9e0b-0d5d2f6f8d11",
    part: "proxy",
  },
  sandboxToken: {
    schema: values.credential("sandbox token", MIN_KEY_LENGTH),
    description: "Token that the fixed sandbox's clients must show; without it none is asked for.",
    example: "the token of the sandbox's proxy URL",
    part: "proxy",
    reloads: true,
    confidential: "key",
    // One that a template left empty would otherwise let everybody in.
    refusesEmpty: true,
  },
  databaseUrl: {
    schema: values.confidentialUrl("database URL", ["postgres:", "postgresql:"]),
    description: "PostgreSQL instead of the SQLite file, for several API replicas.",
    example: "postgres://keyswap@db.internal/keyswap",
    part: "api",
    confidential: "url",
  },
  upstreamCa: {
    schema: values.path,
    description: "PEM file of certificates that are trusted for upstreams besides the usual roots.",
    example: "/etc/ssl/corporate-ca.pem",
    part: "proxy",
    reloads: true,
    kind: "file",
  },
  upstreamProxy: {
    schema: values.confidentialUrl("upstream proxy", ["http:", "https:", "socks5:"]),
    description: "Parent proxy through which upstreams are reached.",
    example: "http://proxy.internal:3128",
    part: "proxy",
    reloads: true,
    confidential: "url",
  },
  upstreamNoProxy: {
    schema: values.noProxyRules,
    description:
      "Destinations that are reached without the parent proxy: `host`, `.host`, `host:port`, address ranges.",
    example: ".lab.internal,10.20.0.0/16",
    fallback: "",
    fallbackText: "none",
    part: "proxy",
    reloads: true,
  },
  allowPrivate: {
    schema: values.cidrs,
    description: "Internal address ranges that may be dialled although they are not public.",
    example: "10.20.0.0/16,192.168.7.9/32",
    fallback: "",
    fallbackText: "none",
    part: "proxy",
    reloads: true,
  },
  dnsServers: {
    schema: values.nameServers,
    description:
      "Name servers that are asked for upstreams' addresses; the system's resolver is then not asked at all.",
    example: "10.0.0.53,[fd00::53]:5353",
    fallback: "",
    fallbackText: "the system's",
    part: "proxy",
    reloads: true,
  },
  plainHttpHosts: {
    schema: values.hostPatterns,
    description: "Hosts to which values may go without TLS.",
    example: "legacy.internal,*.lab.internal",
    fallback: "",
    fallbackText: "none",
    part: "proxy",
    reloads: true,
  },
  egressAllow: {
    schema: values.egressPatterns,
    description: "Hosts that sandboxes may reach: `host`, `*.host`, `host:port`.",
    example: "api.openai.com,*.github.com",
    fallback: "",
    fallbackText: "all public hosts",
    part: "proxy",
    reloads: true,
    // A list that a template emptied by mistake would otherwise open everything.
    refusesEmpty: true,
  },
  egressDeny: {
    schema: values.egressPatterns,
    description: "Hosts that sandboxes may not reach; goes before `egress-allow`.",
    example: "*.pastebin.com",
    fallback: "",
    fallbackText: "none",
    part: "proxy",
    reloads: true,
  },
  intercept: {
    schema: values.choice("granted", "all"),
    description: "Which TLS connections are opened up: those to hosts of the sandbox's secrets, or all.",
    example: "granted",
    fallback: "granted",
    part: "proxy",
    reloads: true,
  },
  tunnelHosts: {
    schema: values.hostPatterns,
    description: "Hosts that are never opened up when `intercept` is `all`.",
    example: "*.apple.com",
    fallback: "",
    fallbackText: "none",
    part: "proxy",
    reloads: true,
  },
  rawHosts: {
    schema: values.hostPorts,
    description: "Hosts and ports that may be spoken to in neither TLS nor HTTP although a secret is for the host.",
    example: "github.com:22",
    fallback: "",
    fallbackText: "none",
    part: "proxy",
    reloads: true,
  },
  surfaces: {
    schema: values.surfaces,
    description: "Where in a request a secret without `locations` may be written.",
    example: "header,basic",
    fallback: "header,basic,path,query,body",
    part: "proxy",
    reloads: true,
  },
  onViolation: {
    schema: values.choice("pass", "block"),
    description:
      "A placeholder that may not be substituted: forward it unchanged (`pass`) or refuse the request (`block`).",
    example: "block",
    fallback: "pass",
    part: "proxy",
    reloads: true,
  },
  cacheTtlMs: {
    schema: values.integer(0, DAY_MS),
    description: "How long grants are used without asking again where the API pushes no changes, in milliseconds.",
    example: "15000",
    fallback: "15000",
    part: "proxy",
    reloads: true,
  },
  maxStaleMs: {
    schema: values.integer(0, DAY_MS),
    description: "How long the last grants are used while the API cannot be reached, in milliseconds.",
    example: "300000",
    fallback: "300000",
    part: "proxy",
    reloads: true,
  },
  bufferBytes: {
    schema: values.integer(1_024, 256 * MIB),
    description: "Bodies up to this many bytes are buffered where their length may change; longer ones are streamed.",
    example: "1048576",
    fallback: "1048576",
    part: "proxy",
    reloads: true,
  },
  ...bounds,
  audit: {
    schema: values.auditTarget,
    description:
      "Where audit events go: `stderr`, `off` or a file, which is rotated by size. A named pipe is not, nor is `/dev/stdout`.",
    example: "/var/log/keyswap/audit.jsonl",
    fallback: ({ dataDir }) => `${dataDir}/audit.jsonl`,
    fallbackText: "`<data>/audit.jsonl`",
    part: "proxy",
    kind: "path",
  },
  auditRetentionDays: {
    schema: values.integer(1, 36_500),
    description: "How long the Secret API keeps its own audit trail (who changed and resolved what), in days.",
    example: "365",
    fallback: "90",
    part: "api",
  },
  report: {
    schema: values.onOff,
    description: "The proxy reports its traffic to the Secret API, for the console: counts and a sample, no value.",
    example: "off",
    fallback: "on",
    part: "proxy",
  },
  note: {
    schema: values.onOff,
    description: "Responses carry `keyswap-note` with the reasons why placeholders were not substituted.",
    example: "on",
    fallback: "off",
    part: "proxy",
    reloads: true,
  },
  workers: {
    schema: values.workers,
    description: "Proxy processes on the same ports; `auto`: one for each core.",
    example: "auto",
    fallback: "1",
    part: "proxy",
  },
  drainMs: {
    schema: values.integer(0, 3_600_000),
    description: "How long running exchanges and tunnels may go on after SIGTERM, in milliseconds.",
    example: "25000",
    // Below the 10 s after which container engines kill.
    fallback: "8000",
    part: "proxy",
    reloads: true,
  },
  logLevel: {
    schema: values.choice("trace", "debug", "info", "warn", "error", "fatal", "silent"),
    description: "Least severe level of the log on stderr.",
    example: "debug",
    fallback: ({ command }) => (command === "run" ? "warn" : "info"),
    fallbackText: "`info` (`keyswap run`: `warn`)",
    part: "both",
    reloads: true,
  },
} satisfies Record<string, Setting>;

export type SettingKey = keyof typeof settings;

type ValueOf<S extends Setting> = S extends { readonly fallback: unknown }
  ? z.output<S["schema"]>
  : z.output<S["schema"]> | undefined;

/** What the process runs with: checked, absolute, complete. Keys and tokens are SecretValues, so it may be printed. */
export type Config = { readonly [K in SettingKey]: ValueOf<(typeof settings)[K]> };

export const settingKeys = Object.keys(settings) as readonly SettingKey[]; // the keys of an object literal

/** The setting with the interface's full type, in which what it lacks is undefined. */
export function settingOf(key: SettingKey): Setting {
  return settings[key];
}

/** `proxyListen` → `proxy-listen`: the key in a file and, with two dashes, the flag. */
export function plainName(key: SettingKey): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `proxyListen` → `KEYSWAP_PROXY_LISTEN`. */
export function variableName(key: SettingKey): string {
  return `KEYSWAP_${plainName(key).replaceAll("-", "_").toUpperCase()}`;
}

/** Of the form that names a file which holds the value. */
export const FILE_SUFFIX = "-file";

/** The setting of this key in a file, itself or in its `…-file` form. */
export function settingKeyOf(plain: string): SettingKey | undefined {
  return settingKeys.find((key) => {
    const name = plainName(key);
    return name === plain || name + FILE_SUFFIX === plain;
  });
}
