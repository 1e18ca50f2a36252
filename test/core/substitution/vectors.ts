// Reads the vectors of test/vectors/substitution.

import { readFileSync } from "node:fs";
import type { Grant } from "../../../src/core/grants.ts";
import type { SubstitutionScope } from "../../../src/core/substitution/scope.ts";
import { type GrantOptions, grant, type ScopeOptions, scopeFor } from "./requests.ts";

interface GrantVector extends GrantOptions {
  readonly name: string;
  readonly value: string;
}

interface VectorFile<T> {
  readonly grants: readonly GrantVector[];
  readonly cases: readonly T[];
}

/** What every case may expect: `A header`, `B body host-not-allowed`, `? …` for nobody's placeholder. */
export interface Expectation {
  readonly name: string;
  readonly substituted?: readonly string[];
  readonly notSubstituted?: readonly string[];
}

export interface Vectors<T> {
  readonly cases: readonly T[];
  readonly grants: readonly Grant[];
  scope(options?: ScopeOptions): SubstitutionScope;
  /** Fills in placeholders and base64. */
  fill(text: string): string;
}

export function readVectors<T>(file: string): Vectors<T> {
  const url = new URL(`../../vectors/substitution/${file}`, import.meta.url);
  // The files are ours; a wrong shape fails the test that reads it.
  const { grants: given, cases } = JSON.parse(readFileSync(url, "utf8")) as VectorFile<T>;
  const grants = given.map(({ name, value, ...options }) => grant(name, value, options));
  return {
    cases,
    grants,
    scope: (options) => scopeFor(grants, options),
    fill: (text) =>
      text
        .replace(/\{([A-Z])\}/g, (whole, name) => grants.find((one) => one.name === name)?.placeholder ?? whole)
        .replace(/b64\(([^)]*)\)/g, (_, inner: string) => Buffer.from(inner, "utf8").toString("base64")),
  };
}

/** The order in which layers of a body record is no promise. */
export function recordOf(scope: SubstitutionScope): { substituted: string[]; notSubstituted: string[] } {
  return {
    substituted: scope.substituted.map(({ secret, surface }) => `${secret} ${surface}`).sort(),
    notSubstituted: scope.notSubstituted
      .map(({ secret, surface, reason }) => `${secret ?? "?"} ${surface} ${reason}`)
      .sort(),
  };
}
