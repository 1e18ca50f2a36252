// What a host pattern means, in words, as it is typed. The grammar is the proxy's own.

import { parseHostPattern } from "../core/authority/pattern.ts";

export type HostWords =
  | { readonly kind: "exact" | "wildcard"; readonly text: string; readonly words: string }
  | { readonly kind: "invalid"; readonly text: string; readonly words: string };

/** One entry for each line or comma-separated part that is not empty. */
export function explainHosts(input: string): readonly HostWords[] {
  return hostsIn(input).map((text) => {
    const result = parseHostPattern(text);
    if (result.kind === "invalid") return { kind: "invalid", text, words: result.detail };
    const { host, wildcard } = result.pattern;
    return wildcard
      ? {
          kind: "wildcard",
          text,
          words: `${host} itself and every name below it, such as api.${host} and eu.api.${host}`,
        }
      : { kind: "exact", text, words: `${host} alone; not www.${host} or any other name below it` };
  });
}

export function hostsIn(input: string): readonly string[] {
  return input
    .split(/[\s,]+/)
    .map((text) => text.trim())
    .filter((text) => text !== "");
}
