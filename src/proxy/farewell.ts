// The end of a connection that is refused.

import type { Socket } from "node:net";

/** How long it goes on reading. */
const lingerMs = 2_000;

/**
 * Says the last words and ends the connection. What still arrives is read past for a while, or closing would reset the
 * connection before they are read; a client that does not end its own direction is closed then.
 */
export function endWith(socket: Socket, lastWords: Uint8Array): void {
  socket.end(lastWords);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once("close", () => clearTimeout(timer));
}
