// Has V8 free the pieces of bodies that went through.
//
// Each piece is a little object and 16 KiB or more outside of V8's heap. A collection of the young generation frees them,
// but it comes when the objects fill that generation, after a hundred megabytes of pieces; and long before, those megabytes
// alone make V8 collect everything, over and over: a fifth of all work of an upload, and 45 MB at its peak. So the young
// generation is collected after so many bytes, which takes a fraction of a millisecond.

/** Bytes that went through between two collections. */
const COLLECT_BYTES = 4 * 1_048_576;

let bytesSince = 0;
let collectYoung: (() => void) | undefined;

/** How the young generation is collected. Until this is told, V8 is left to itself. */
export function collectWith(collect: (() => void) | undefined): void {
  collectYoung = collect;
}

/** `bytes` went through, in pieces that are garbage soon. */
export function passedThrough(bytes: number): void {
  bytesSince += bytes;
  if (bytesSince < COLLECT_BYTES) return;
  bytesSince = 0;
  // Not here, where the pieces of this turn are still held.
  if (collectYoung !== undefined) setImmediate(collectYoung);
}
