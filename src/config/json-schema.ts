// The configuration file's JSON schema, for editors: made from the settings, so that it says what loading takes.

import { z } from "zod";
import { FILE_SUFFIX, plainName, settingKeys, settingOf } from "./settings.ts";

/** JSON Schema 2020-12. */
export function writeJsonSchema(): Readonly<Record<string, unknown>> {
  const properties: Record<string, unknown> = {};
  for (const key of settingKeys) {
    const { schema, description, example, fallback, fallbackText, confidential } = settingOf(key);
    const plain = plainName(key);
    // What goes in: text that the schema then parses has no more to say about itself.
    const { $schema: _, ...form } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
    const text = description.replaceAll("`", "");
    const standard = typeof fallback === "string" ? { default: fallback } : {};
    const note = fallbackText === undefined ? "" : ` Default: ${fallbackText.replaceAll("`", "")}.`;
    properties[plain] = { ...form, description: text + note, ...standard, examples: [example] };
    if (confidential !== undefined) {
      properties[plain + FILE_SUFFIX] = { type: "string", description: `The file that holds it: ${text}` };
    }
  }
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "keyswap configuration",
    type: "object",
    additionalProperties: false,
    properties,
  };
}
