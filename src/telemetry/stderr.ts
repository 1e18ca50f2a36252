// What this process writes to stderr. Lines of its threads and of its workers go through here, too: of several writers to a
// pipe that is nearly full, one could come between the halves of another's line.

import { LineDescriptor } from "./line-descriptor.ts";
import { LogDestination } from "./log-destination.ts";

export const stderrLines: LineDescriptor = new LineDescriptor(2);
export const stderrLog: LogDestination = new LogDestination(stderrLines);
