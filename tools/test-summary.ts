// Prints `N passed, N failed, N skipped` from vitest's JSON report; fails where there is none or it has failures.

import { readFileSync } from "node:fs";

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  /** False also where a file could not be loaded. */
  readonly success: boolean;
}

const report = JSON.parse(readFileSync("test-output/vitest.json", "utf8")) as Report;
const skipped = report.numPendingTests + report.numTodoTests;
process.stdout.write(`${report.numPassedTests} passed, ${report.numFailedTests} failed, ${skipped} skipped\n`);
if (!report.success || report.numPassedTests === 0) process.exitCode = 1;
