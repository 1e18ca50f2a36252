// A secret's host list as it comes in. The grammar is core's; what is added here is the judgement of wildcards over
// public suffixes, for which the list of suffixes is needed.

import { createRequire } from "node:module";
import type { parse } from "tldts";
import { parseHostPattern } from "../core/authority/pattern.ts";

export const MAX_HOSTS = 100;

/** Loaded with the first wildcard: the list takes 3 MB. Schemas cannot wait for an `import()`. */
const parseDomain: typeof parse = (...given) => {
  // The package's own types.
  const library = createRequire(import.meta.url)("tldts") as { readonly parse: typeof parse };
  return library.parse(...given);
};

export type HostVerdict =
  | { readonly kind: "accepted"; readonly warning?: string }
  | { readonly kind: "refused"; readonly detail: string };

/**
 * `*.com` would send a value to anyone, so wildcards over ICANN suffixes are refused. Below a private suffix
 * (`*.github.io`) the names belong to many owners too, but a company's own zone may be one: accepted with a warning.
 */
export function judgeHost(text: string): HostVerdict {
  const result = parseHostPattern(text);
  if (result.kind === "invalid") return { kind: "refused", detail: result.detail };
  const { host, wildcard } = result.pattern;
  if (!wildcard) return { kind: "accepted" };
  const domain = parseDomain(host, { allowPrivateDomains: true, validateHostname: false });
  if (domain.publicSuffix !== host) return { kind: "accepted" };
  if (domain.isIcann === true) return { kind: "refused", detail: "a wildcard may not cover a public suffix" };
  if (domain.isPrivate !== true) return { kind: "accepted" };
  return { kind: "accepted", warning: `*.${host} covers names of many owners: anyone may get a name below ${host}` };
}
