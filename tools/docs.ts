// Writes what the documentation takes from the code.

import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { writeReference } from "../src/config/reference.ts";

writeFileSync(resolve(import.meta.dirname, "../docs/configuration.md"), writeReference());
