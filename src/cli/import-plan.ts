// What an import would do, found out before anything is done: each definition against what is there.

import type { SecretValue } from "../core/secret-value.ts";
import { type Json, type JsonObject, textOf } from "./api-client.ts";
import type { Definition } from "./definitions.ts";

/** One step; `fields` are what differs. */
export type Step =
  | { readonly action: "create"; readonly definition: Definition; readonly value: SecretValue }
  | {
      readonly action: "update";
      readonly definition: Definition;
      readonly id: string;
      readonly fields: JsonObject;
      readonly value: SecretValue | undefined;
    }
  | { readonly action: "keep"; readonly definition: Definition };

export interface Plan {
  readonly steps: readonly Step[];
  readonly faults: readonly string[];
}

/**
 * `values` by secret name. They fill new secrets; with `updateValues` they are set anew for those that are there, too: the
 * API never shows a value, so whether it differs cannot be told.
 */
export function planImport(
  definitions: readonly Definition[],
  present: readonly JsonObject[],
  values: ReadonlyMap<string, SecretValue>,
  updateValues: boolean,
): Plan {
  const there = new Map(present.map((secret) => [textOf(secret, "name"), secret]));
  const steps: Step[] = [];
  const faults: string[] = [];
  for (const definition of definitions) {
    const found = there.get(definition.name);
    const value = values.get(definition.name);
    if (found === undefined) {
      if (value === undefined)
        faults.push(`${definition.name}: is new and has no value; give one with --values or valueFrom`);
      else steps.push({ action: "create", definition, value });
      continue;
    }
    const fields = differences(definition, found);
    const fresh = updateValues ? value : undefined;
    const isSame = Object.keys(fields).length === 0 && fresh === undefined;
    if (fields.placeholder !== undefined && fresh === undefined)
      faults.push(
        `${definition.name}: another placeholder needs the value, too; give it with --values and --update-values`,
      );
    if (isSame) steps.push({ action: "keep", definition });
    else steps.push({ action: "update", definition, id: textOf(found, "id"), fields, value: fresh });
  }
  return { steps, faults };
}

/** The fields that a definition sets, as the API takes them. */
export function fieldsOf(definition: Definition): JsonObject {
  const { hosts, description, locations, onViolation, placeholder } = definition;
  return {
    hosts,
    ...(description === undefined ? {} : { description }),
    ...(locations === undefined ? {} : { locations }),
    ...(onViolation === undefined ? {} : { onViolation }),
    ...(placeholder === undefined ? {} : { placeholder }),
  };
}

function differences(definition: Definition, found: JsonObject): JsonObject {
  const differing = Object.entries(fieldsOf(definition)).filter(([field, wanted]) => !isEqual(wanted, found[field]));
  return Object.fromEntries(differing);
}

/** Absent and null are the same; lists in order. */
function isEqual(a: Json, b: Json | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b ?? null);
}
