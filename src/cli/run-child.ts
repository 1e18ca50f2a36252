// Runs the command itself: its streams are ours, signals pass through, and so does its end.

import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { CliError } from "./command.ts";

/** As shells answer: 127 where there is no such command, 126 where it cannot be run, 128 and the signal's number. */
export async function runChild(command: string, args: readonly string[], env: Record<string, string>): Promise<number> {
  // Before the command is there: it may be heard of, and a signal for it sent, before spawn returns.
  let child: ChildProcess | undefined;
  const release = passSignals((signal) => child?.kill(signal));
  try {
    child = spawn(command, args, { stdio: "inherit", env });
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

/** Until the returned function is called, signals are passed on instead of ending us: we end when the command does. */
function passSignals(pass: (signal: NodeJS.Signals) => void): () => void {
  const hasTerminal = process.stdin.isTTY || process.stderr.isTTY;
  const keep = () => {};
  for (const signal of passedSignals) process.on(signal, pass);
  for (const signal of terminalSignals) process.on(signal, hasTerminal ? keep : pass);
  return () => {
    for (const signal of passedSignals) process.off(signal, pass);
    for (const signal of terminalSignals) process.off(signal, hasTerminal ? keep : pass);
  };
}
