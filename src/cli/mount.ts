// `ENV=NAME` on a command line: a variable and the secret whose placeholder it holds. `NAME` alone stands for both.

import { CliError } from "./command.ts";

export interface MountArgument {
  readonly env: string;
  readonly secret: string;
}

export function parseMount(text: string): MountArgument {
  const match = /^([A-Za-z_][A-Za-z0-9_]*)(?:=([A-Za-z_][A-Za-z0-9_-]*))?$/.exec(text);
  const env = match?.[1];
  if (env === undefined) {
    // Not quoted: a value may stand here by mistake.
    if (/^[A-Za-z_][\w-]*(?:=[A-Za-z_][\w-]*)?$/.test(text)) {
      throw new CliError(2, "a variable's name cannot hold a hyphen", {
        hint: "Give ENV=NAME, for example --secret OPENAI_API_KEY=openai-key: the name of a secret may hold hyphens.",
      });
    }
    throw new CliError(2, "a secret is given as ENV=NAME: a variable and the name of a secret", {
      hint: "For example --secret OPENAI_API_KEY=OPENAI. Its value is stored with keyswap secret create.",
    });
  }
  return { env, secret: match?.[2] ?? env };
}
