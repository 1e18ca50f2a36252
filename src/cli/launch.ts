// How the process itself runs: where compiled code is kept, limits that only Node's command line can set, and whether it
// runs the sources or the bundle that was made of them.

import module from "node:module";
import { currentBundle } from "./bundle.ts";
import { compileCacheFolder } from "./compile-cache.ts";

/** Commands that go on running; for the others a second start of Node costs more than it saves. */
const services: ReadonlySet<string> = new Set(["start", "proxy", "api"]);

/**
 * MiB that each half of the young generation may have. What passes through a proxy dies young: V8's own 16 MiB only lets more
 * of it pile up, 20 MB and, measured, for no less CPU.
 */
const semiSpace = "--max-semi-space-size";
const semiSpaceMib = 8;
/** MiB at first: at V8's own 1, collecting is a sixth of all work with HTTP/2; 8 take a start 40 ms of CPU more. */
const firstSemiSpace = "--min-semi-space-size";
const firstSemiSpaceMib = 4;
/** It is collected by one thread: it is so small that waking others costs more than they take over, a third of a POST of 32 KiB. */
const oneCollectingThread = "--no-parallel-scavenge";
/** Memory that one thread of OpenSSL's or SQLite's has freed is of use to the others. */
const mallocArenas = "2";

/** The last version with which all flags were tried: they are V8's, they come and go, and Node does not start with an unknown one. */
const lastTriedMajor = 26;

export function isTriedNode(): boolean {
  return Number.parseInt(process.versions.node, 10) <= lastTriedMajor;
}

/**
 * Those that can be set later are (engine.ts): with most flags of V8 on its command line Node compiles its own modules anew
 * instead of using the compiled code that it brings with it.
 */
const tuning = [`${firstSemiSpace}=${firstSemiSpaceMib}`, oneCollectingThread];

/**
 * Has Node keep compiled code, and for a service replaces this process by one with the limits above: same id, same files,
 * same signals. The new one finds even its first file compiled, and so never loads the type stripper (17 MB). Where there is
 * a bundle of these very sources, it runs that.
 */
export function launch(argv: readonly string[]): void {
  const cache = compileCacheFolder();
  const isSet = [process.env.NODE_OPTIONS ?? "", ...process.execArgv].some((text) => text.includes(semiSpace));
  // A channel to a parent process would not survive.
  const canReplace = process.platform !== "win32" && process.send === undefined;
  if (canReplace && !isSet && services.has(argv[0] ?? "")) {
    process.execve?.(
      process.execPath,
      [
        process.execPath,
        `${semiSpace}=${semiSpaceMib}`,
        ...(isTriedNode() ? tuning : []),
        ...process.execArgv,
        currentBundle() ?? process.argv[1] ?? "",
        ...argv,
      ],
      {
        ...process.env,
        ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? cache }),
        MALLOC_ARENA_MAX: process.env.MALLOC_ARENA_MAX ?? mallocArenas,
      },
    );
  }
  if (cache !== undefined) module.enableCompileCache(cache);
}
