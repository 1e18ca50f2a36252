// Runs the command itself: its streams are ours, signals pass through, and so does its end.

import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { CliError } from "./command.ts";

/** As shells answer: 127 where there is no such command, 126 where it cannot be run, 128 and the signal's number. */
export async function runChild(command: string, args: readonly string[], env: Record<string, string>): Promise<number> {
  const child = spawn(command, args, { stdio: "inherit", env });
  const release = passSignals(child);
  try {
    return await endOf(child, command);
  } finally {
    release();
  }
}

function endOf(child: ChildProcess, command: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", (error) => {
      // Also comes when a signal could not be sent; the command still runs then.
      if (child.pid !== undefined) return;
      const code = "code" in error ? error.code : undefined;
      if (code === "ENOENT" || code === "EACCES") {
        process.stderr.write(`keyswap: ${command}: ${code === "ENOENT" ? "command not found" : "permission denied"}\n`);
        resolve(code === "ENOENT" ? 127 : 126);
      } else reject(new CliError(1, `${command} could not be started`, { cause: error }));
    });
    child.on("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
  });
}

/** The terminal sends these to every process of its foreground group, the command included: they are not sent again. */
const terminalSignals = ["SIGINT", "SIGQUIT"] as const;
const passedSignals = ["SIGTERM", "SIGHUP", "SIGUSR2"] as const;

/** Until the returned function is called, signals go to the child instead of ending us: we end when it does. */
function passSignals(child: ChildProcess): () => void {
  const hasTerminal = process.stdin.isTTY || process.stderr.isTTY;
  const pass = (signal: NodeJS.Signals) => void child.kill(signal);
  const keep = () => {};
  for (const signal of passedSignals) process.on(signal, pass);
  for (const signal of terminalSignals) process.on(signal, hasTerminal ? keep : pass);
  return () => {
    for (const signal of passedSignals) process.off(signal, pass);
    for (const signal of terminalSignals) process.off(signal, hasTerminal ? keep : pass);
  };
}
