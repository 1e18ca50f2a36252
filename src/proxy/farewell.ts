// The end of a connection that is refused.

import type { Socket } from "node:net";
import type { ErrorCode } from "../core/errors.ts";
import { writeResponseHead } from "../core/wire/writer.ts";
import { errorAnswer } from "./answer.ts";

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

/** The same with an HTTP/1.1 answer as the last words. */
export function endWithAnswer(socket: Socket, code: ErrorCode, detail?: string): void {
  const { head, body } = errorAnswer(code, detail);
  socket.write(writeResponseHead(head, body.length, true), "latin1");
  endWith(socket, body);
}
