// The real curl, without the tester's own configuration and proxy variables.

import { spawn } from "node:child_process";

export interface CurlOutcome {
  /** curl's own exit code: 0 where an answer came, whatever it says. */
  readonly code: number | null;
  readonly body: string;
  readonly stderr: string;
}

/** Runs curl to its end. `input` is what it reads from stdin. */
export function curl(args: readonly string[], input = ""): Promise<CurlOutcome> {
  return new Promise((resolve, reject) => {
    const env = { PATH: process.env.PATH ?? "", HOME: "/nonexistent", LANG: "C.UTF-8" };
    const child = spawn("curl", ["-q", "-sS", "--max-time", "20", ...args], { env });
    let [body, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      body += part;
    });
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      stderr += part;
    });
    child.on("error", reject);
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("close", (code) => resolve({ code, body, stderr }));
  });
}
