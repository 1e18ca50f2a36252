// `keyswap completion`: a script for a shell that completes commands, subcommands and options, made from the commands
// themselves.

import { Argument, type Command } from "commander";
import { type Cli, type CommandEntry, newCommand } from "./command.ts";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

/** `entries`: every command of keyswap. */
export function define(cli: Cli, entries: readonly CommandEntry[]): Command {
  return newCommand(cli, "completion", "Print a script that completes keyswap's commands and options in a shell", [
    'eval "$(keyswap completion bash)"        # in ~/.bashrc',
    'eval "$(keyswap completion zsh)"         # in ~/.zshrc, after compinit',
    "keyswap completion fish > ~/.config/fish/completions/keyswap.fish",
  ])
    .addArgument(new Argument("<shell>", "bash, zsh or fish").choices(shells))
    .action(async (shell: Shell) => {
      const nodes = await readNodes(cli, entries);
      cli.stdout.write(shell === "fish" ? fishScript(nodes) : bashScript(nodes, shell));
    });
}

/** A command with what may follow it. */
interface Node {
  /** `""` for keyswap itself, `"secret create"`. */
  readonly path: string;
  readonly summary: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly { readonly name: string; readonly summary: string }[];
}

async function readNodes(cli: Cli, entries: readonly CommandEntry[]): Promise<readonly Node[]> {
  const nodes: Node[] = [
    {
      path: "",
      summary: "",
      commands: [...entries],
      options: [{ name: "version", summary: "print the version" }, help],
    },
  ];
  for (const { load } of entries) walk((await load()).define(cli), "", nodes);
  return nodes;
}

const help = { name: "help", summary: "display help for command" };

function walk(command: Command, parent: string, nodes: Node[]): void {
  const path = `${parent} ${command.name()}`.trim();
  const options = command.options.flatMap(({ long, description }) =>
    long === undefined || long === null ? [] : [{ name: long.replace(/^--/, ""), summary: description }],
  );
  const commands = command.commands.map((sub) => ({ name: sub.name(), summary: sub.description() }));
  nodes.push({ path, summary: command.description(), commands, options: [...options, help] });
  for (const sub of command.commands) walk(sub, path, nodes);
}

/** zsh reads bash's way of completing. Where nothing of ours fits, files are offered. */
function bashScript(nodes: readonly Node[], shell: Shell): string {
  const cases = nodes.map(({ path, commands, options }) => {
    const words = [...commands.map(({ name }) => name), ...options.map(({ name }) => `--${name}`)];
    return `    "${path}") words="${words.join(" ")}" ;;`;
  });
  const paths = nodes.map(({ path }) => `"${path}"`).join("|");
  return `${shell === "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : ""}_keyswap() {
  local path="" word words i next
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    [ "$word" = -- ] && return
    next="\${path:+$path }$word"
    case "$next" in
      ${paths}) path="$next" ;;
    esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _keyswap keyswap
`;
}

function fishScript(nodes: readonly Node[]): string {
  const quote = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = nodes.flatMap(({ path, commands, options }) => {
    const words = path === "" ? [] : path.split(" ");
    const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`);
    const none = commands.map(({ name }) => name).join(" ");
    const at = (conditions: readonly string[]) =>
      conditions.length === 0 ? "" : ` -n ${quote(conditions.join("; and "))}`;
    return [
      ...commands.map(({ name, summary }) => {
        const where = at([...seen, `not __fish_seen_subcommand_from ${none}`]);
        return `complete -c keyswap${where} -f -a ${name} -d ${quote(summary)}`;
      }),
      ...options.map(({ name, summary }) => `complete -c keyswap${at(seen)} -l ${name} -d ${quote(summary)}`),
    ];
  });
  return `${lines.join("\n")}\n`;
}
