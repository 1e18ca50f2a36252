// What this process writes to stderr. Lines of its threads and of its workers go through here, too: of several writers to a
// pipe that is nearly full, one could come between the halves of another's line.

import { LogDestination } from "./log-destination.ts";
import { DescriptorParts, WholeWriter } from "./whole-writer.ts";

export const stderrLines: WholeWriter = new WholeWriter(new DescriptorParts(2));
export const stderrLog: LogDestination = new LogDestination(stderrLines);
