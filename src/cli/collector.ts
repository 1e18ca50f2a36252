// V8's collector, for a process that knows when to collect.

import { setFlagsFromString } from "node:v8";
import { constants, createContext, runInContext } from "node:vm";

/** Of the thread that calls this. Sets a flag of V8: after everything is loaded (engine.ts). */
export function collector(): NodeJS.GCFunction {
  // Contexts that are made from now on have it.
  setFlagsFromString("--expose-gc");
  return runInContext("gc", createContext(constants.DONT_CONTEXTIFY));
}
