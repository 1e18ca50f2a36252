// Every command, in the order in which help lists them.

import type { CommandEntry } from "./command.ts";

export const entries: readonly CommandEntry[] = [
  { name: "start", summary: "Run the Secret API and the proxy in one process", load: () => import("./start.ts") },
  { name: "proxy", summary: "Run the proxy alone", load: () => import("./proxy.ts") },
  { name: "api", summary: "Run the Secret API alone", load: () => import("./api.ts") },
  { name: "run", summary: "Run a command as a sandbox with secrets", load: () => import("./run.ts") },
  { name: "secret", summary: "Create, list, show, change and delete secrets", load: () => import("./secret.ts") },
  {
    name: "sandbox",
    summary: "Create, list, show and delete sandboxes; mount secrets",
    load: () => import("./sandbox.ts"),
  },
  { name: "env", summary: "Print secrets' placeholders, or write a .env file", load: () => import("./env.ts") },
  {
    name: "explain",
    summary: "Say whether a request would be substituted, and why not",
    load: () => import("./explain.ts"),
  },
  { name: "doctor", summary: "Check this machine, each runtime by a real request", load: () => import("./doctor.ts") },
  { name: "key", summary: "Create, list and revoke API keys", load: () => import("./key.ts") },
  {
    name: "organization",
    summary: "Create, list and change organizations and their quotas",
    load: () => import("./organization.ts"),
  },
  {
    name: "master-key",
    summary: "List and change the keys that values are sealed under",
    load: () => import("./master-key.ts"),
  },
  {
    name: "audit",
    summary: "Show what was changed, and what went through the proxy",
    load: () => import("./audit.ts"),
  },
  { name: "import", summary: "Make secrets so as a file defines them", load: () => import("./import.ts") },
  { name: "export", summary: "Write the definitions of secrets, without values", load: () => import("./export.ts") },
  { name: "backup", summary: "Copy the SQLite store into a new file", load: () => import("./backup.ts") },
  { name: "restore", summary: "Put a backup in the place of the SQLite store", load: () => import("./restore.ts") },
  { name: "config", summary: "Check and show the configuration", load: () => import("./config.ts") },
  { name: "ca", summary: "Print the CA's certificate; share the CA between proxies", load: () => import("./ca.ts") },
  {
    name: "completion",
    summary: "Print completion for a shell",
    load: async () => {
      const { define } = await import("./completion.ts");
      return { define: (cli) => define(cli, entries) };
    },
  },
];
