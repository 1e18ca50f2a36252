// A real browser: Debian's Chromium, driven by playwright-core.

import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = places.find((place) => existsSync(place));
const output = resolve(import.meta.dirname, "../../test-output/console");

/** Why there can be no tests with a browser; undefined: there can. */
export function browserMissing(): string | undefined {
  return executablePath === undefined ? "there is no chromium" : undefined;
}

export function startBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: executablePath!, // asked before
    // Chromium refuses its own sandbox to root, and /dev/shm is small in containers. Names of tests are this machine's.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP *.test 127.0.0.1"],
  });
}

/** A picture of the page as it is, kept as test output. */
export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(output, { recursive: true });
  await page.screenshot({ path: join(output, `${name}.png`), animations: "disabled" });
}
