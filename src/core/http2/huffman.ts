// The Huffman code of header strings (RFC 7541 section 5.2 and appendix B). It is canonical, so the lengths say it all.

/** Bits of each byte's code, in the order of bytes; the 257th, EOS, has 30. */
// biome-ignore format: sixteen a line
const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
const EOS = 256;
const maxBits = 30;
/** Codes up to this length, nearly all that is sent, are found by one look. */
const quickBits = 9;

/** Each byte's code. */
const codes = new Uint32Array(257);
/** Bytes in the order of their codes. */
const ordered = new Uint16Array(257);
/** Of each length: the first code, where its bytes begin in `ordered`, and how many there are. */
const firstCode = new Uint32Array(maxBits + 1);
const firstAt = new Uint16Array(maxBits + 1);
const count = new Uint16Array(maxBits + 1);
/** What the next bits begin with: byte << 4 | length; 0 where the code is longer. */
const quick = new Uint16Array(1 << quickBits);

{
  let code = 0;
  let at = 0;
  for (let bits = 1; bits <= maxBits; bits++) {
    code *= 2;
    firstCode[bits] = code;
    firstAt[bits] = at;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if ((LENGTHS[symbol] ?? maxBits) !== bits) continue;
      codes[symbol] = code;
      ordered[at] = symbol;
      if (bits <= quickBits) {
        const rest = quickBits - bits;
        quick.fill((symbol << 4) | bits, code << rest, (code + 1) << rest);
      }
      code += 1;
      at += 1;
    }
    count[bits] = at - firstAt[bits]!;
  }
}

/** Bytes that `text` (Latin-1) takes in this code. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) bits += LENGTHS[text.charCodeAt(at)]!;
  return (bits + 7) >> 3;
}

/** Writes `text` (Latin-1) to `out`, which has room for it, and answers where it ends. */
export function writeHuffman(text: string, out: Uint8Array, from: number): number {
  let end = from;
  let held = 0;
  let bits = 0;
  for (let at = 0; at < text.length; at++) {
    const symbol = text.charCodeAt(at);
    const length = LENGTHS[symbol]!;
    const code = codes[symbol]!;
    // At most 7 bits are held, so that more than 24 new ones would not fit into 32.
    if (length > 24) {
      held = (held << (length - 24)) | (code >>> 24);
      bits += length - 24;
      while (bits >= 8) {
        bits -= 8;
        out[end++] = held >>> bits;
      }
      held = (held << 24) | (code & 0xffffff);
      bits += 24;
    } else {
      held = (held << length) | code;
      bits += length;
    }
    while (bits >= 8) {
      bits -= 8;
      out[end++] = held >>> bits;
    }
  }
  // Filled up with EOS, which is ones.
  if (bits > 0) out[end++] = (held << (8 - bits)) | (0xff >>> bits);
  return end;
}

/**
 * Reads `bytes[from, to)` into `out`, which has room for `(to - from) * 8 / 5` bytes, and answers how many they are; -1
 * where it is not well-formed: EOS in it, or a filling that is longer than 7 bits or not of ones.
 */
export function readHuffman(bytes: Uint8Array, from: number, to: number, out: Uint8Array): number {
  let end = 0;
  let at = from;
  let held = 0;
  let bits = 0;
  for (;;) {
    while (bits <= 16 && at < to) {
      held = ((held << 8) | bytes[at++]!) & 0xffffff;
      bits += 8;
    }
    const window = bits >= quickBits ? held >>> (bits - quickBits) : (held << (quickBits - bits)) | filling[bits]!;
    const found = quick[window & 0x1ff]!;
    const length = found & 15;
    if (length > 0 && length <= bits) {
      out[end++] = found >>> 4;
      bits -= length;
      continue;
    }
    if (at === to && bits < 8 && isFilling(held, bits)) return end;
    const symbol = readLong(bytes, at * 8 - bits, to * 8);
    if (symbol === NONE) return -1;
    out[end++] = symbol & 0xff;
    const position = at * 8 - bits + (symbol >> 8);
    at = position >> 3;
    held = 0;
    bits = 0;
    if ((position & 7) > 0) {
      held = bytes[at++]! & (0xff >>> (position & 7));
      bits = 8 - (position & 7);
    }
  }
}

const NONE = -1;

/** What is missing at the end reads as ones. */
const filling = Array.from({ length: quickBits + 1 }, (_, bits) => (1 << (quickBits - bits)) - 1);

function isFilling(held: number, bits: number): boolean {
  const ones = (1 << bits) - 1;
  return (held & ones) === ones;
}

/** A code bit by bit, from the bit `position` on: length << 8 | byte, or NONE. */
function readLong(bytes: Uint8Array, position: number, end: number): number {
  let code = 0;
  for (let length = 1; length <= maxBits && position + length <= end; length++) {
    const bit = position + length - 1;
    code = code * 2 + ((bytes[bit >> 3]! >> (7 - (bit & 7))) & 1);
    const offset = code - firstCode[length]!;
    if (offset < 0 || offset >= count[length]!) continue;
    const symbol = ordered[firstAt[length]! + offset]!;
    return symbol === EOS ? NONE : (length << 8) | symbol;
  }
  return NONE;
}
