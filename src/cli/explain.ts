// `keyswap explain`: would this request be substituted, and if not, which rule says so. Nothing is sent.

import type { Command } from "commander";
import { defineClientFlags, withApi } from "./api-access.ts";
import { type ApiClient, ApiError, expectList, expectObject, type JsonObject, textOf } from "./api-client.ts";
import { type Cli, CliError, collect, newCommand } from "./command.ts";
import { printFields, printJson } from "./output.ts";

interface ExplainOptions {
  readonly sandbox?: string;
  readonly secret?: string;
  readonly request?: string;
  readonly header?: readonly string[];
  readonly data?: string;
  readonly json?: boolean;
}

export function define(cli: Cli): Command {
  const command = newCommand(
    cli,
    "explain",
    "Say whether a request would be substituted, and if not, which rule says so. Nothing is sent.",
    [
      "keyswap explain https://api.openai.com/v1/models --secret OPENAI",
      "keyswap explain https://api.github.com/user --sandbox ci -H 'Authorization: Bearer $GITHUB_TOKEN'",
      'keyswap explain https://example.com/hook --sandbox ci -X POST -d \'{"key":"$API_KEY"}\' --json',
    ],
  )
    .argument("<url>", "where the request would go; $ENV stands for the placeholder of a mount")
    .option("--sandbox <id>", "as this sandbox, by id or name, with the secrets that it mounts")
    .option("--secret <name>", "with this secret; alone, or as a mount of the sandbox")
    .option("-X, --request <method>", "its method (GET, or POST where there is --data)")
    .option("-H, --header <field>", "a header field, `Name: value`; may be repeated", collect)
    .option("-d, --data <text>", "its body; Content-Type: application/json where it looks like JSON and none is given")
    .option("--json", "print JSON")
    .addHelpText("after", "\nThe exit code is 0 where all would be substituted, 1 where something would not.\n");
  const flags = defineClientFlags(command);
  return command.action(async (url: string, options: ExplainOptions) => {
    if (options.sandbox === undefined && options.secret === undefined) {
      throw new CliError(2, "give --sandbox, --secret, or both", {
        hint: "Without them nobody asks: a request carries the placeholders of a sandbox's mounts.",
      });
    }
    await withApi(cli, flags, async ({ client }) => {
      const answer = await ask(client, url, options);
      if (options.json) printJson(cli, answer);
      else show(cli, answer);
      if (textOf(answer, "outcome") !== "substituted") cli.exitCode = 1;
    });
  });
}

/** A name that is not there is wrong usage: 1 would say that nothing is substituted. */
async function ask(client: ApiClient, url: string, options: ExplainOptions): Promise<JsonObject> {
  try {
    return expectObject(await client.call("POST", "/explain", requestBody(url, options)));
  } catch (error) {
    const [, kind] = error instanceof ApiError ? (/^(Sandbox|Secret) not found$/.exec(error.message) ?? []) : [];
    if (kind === undefined) throw error;
    const [noun, name] = kind === "Sandbox" ? ["sandbox", options.sandbox] : ["secret named", options.secret];
    const hint = `keyswap ${kind.toLowerCase()} list shows those there are.`;
    throw new CliError(2, `there is no ${noun} ${JSON.stringify(name)}`, { hint, cause: error });
  }
}

function requestBody(url: string, { sandbox, secret, request, header = [], data }: ExplainOptions): JsonObject {
  const headers = header.map(parseField);
  const hasType = headers.some(({ name }) => name.toLowerCase() === "content-type");
  if (data !== undefined && !hasType) {
    const value = /^\s*[{[]/.test(data) ? "application/json" : "application/x-www-form-urlencoded";
    headers.push({ name: "Content-Type", value });
  }
  return {
    url,
    method: request ?? (data === undefined ? "GET" : "POST"),
    headers,
    ...(sandbox === undefined ? {} : { sandbox }),
    ...(secret === undefined ? {} : { secret }),
    ...(data === undefined ? {} : { body: data }),
  };
}

function parseField(text: string): { readonly name: string; readonly value: string } {
  const [, name, value] = /^([^:\s]+):\s*(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new CliError(2, `"${text}" is no header field: write 'Name: value'`);
  return { name, value };
}

function show(cli: Cli, answer: JsonObject): void {
  cli.stdout.write(`${textOf(answer, "summary")}\n\n`);
  const rows: [string, string][] = [
    ["destination", textOf(answer, "authority")],
    ["connection", textOf(expectObject(answer.connection), "explain")],
  ];
  for (const one of expectList(answer.substituted)) {
    rows.push(["substituted", `${textOf(one, "secret")} in the ${textOf(one, "surface")}`]);
  }
  for (const one of expectList(answer.notSubstituted)) rows.push(["not substituted", textOf(one, "explain")]);
  if (Array.isArray(answer.assumed)) for (const text of answer.assumed) rows.push(["assumed", String(text)]);
  printFields(cli, rows);
}
