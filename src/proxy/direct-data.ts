// Data of a socket past the queue of Node's streams: there each piece that is read pays for being queued and for asking,
// in a turn of its own, whether more should be read. That is 6 % of a POST of 32 KiB, which comes in four or five pieces.
//
// A socket hands what it read to its own `push`, the method of Readable for that (Node's documentation, "readable.push").
// While the socket flows and nothing is queued, that method is the listener here; else it is Node's. Should a Node come to
// do without `push`, data comes as events, as it does where the socket was paused.

import { Socket } from "node:net";
import { type Duplex, Readable } from "node:stream";

type Listener = (bytes: Buffer) => void;

/** As `socket.on("data", listener)`, for a socket that has no other listener to data. */
export function hearData(socket: Duplex, listener: Listener): void {
  socket.on("data", listener);
  if (!(socket instanceof Socket)) return;
  const queue = socket.push;
  socket.push = function push(chunk: unknown, encoding?: BufferEncoding): boolean {
    const isDirect = socket.readableFlowing === true && socket.readableLength === 0 && Buffer.isBuffer(chunk);
    if (!isDirect || chunk.length === 0) return queue.call(socket, chunk, encoding);
    listener(chunk);
    return true;
  };
}

/** Ends `hearData`; what comes afterwards is queued. */
export function ceaseData(socket: Duplex, listener: Listener): void {
  socket.off("data", listener);
  // Not deleted: objects that lost a property are slow, for Node's own code that handles other sockets, too.
  if (Object.hasOwn(socket, "push")) socket.push = Readable.prototype.push;
}
