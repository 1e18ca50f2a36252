// Lines that wait to be written, as bytes in large blocks outside of the heap, where they cost the garbage collector
// nothing. Blocks come back and are used again.

/** Lines of one block. */
export interface LineBlock {
  /** Whole lines. */
  readonly content: Buffer;
  readonly memory: Buffer;
  readonly lines: number;
}

const BLOCK_BYTES = 65_536;
/** UTF-8 of one UTF-16 code unit. */
const MAX_UNIT_BYTES = 3;
const LINE_FEED = 10;
/** Blocks kept for later: one is filled while one is written. */
const MAX_SPARE = 2;

export class LineBlocks {
  readonly #full: LineBlock[] = [];
  readonly #spare: Buffer[] = [];
  /** The block that is being filled. */
  #memory: Buffer | undefined;
  #used = 0;
  #lines = 0;
  #fullBytes = 0;
  #fullLines = 0;

  /** That wait. */
  get lines(): number {
    return this.#fullLines + this.#lines;
  }

  get bytes(): number {
    return this.#fullBytes + this.#used;
  }

  /** A full block waits. */
  get hasFull(): boolean {
    return this.#full.length > 0;
  }

  /** `line` holds no line feed; one is written behind it. True: a block has just become full. */
  add(line: string): boolean {
    const most = line.length * MAX_UNIT_BYTES + 1;
    const isFull = this.#memory !== undefined && this.#memory.length - this.#used < most;
    if (isFull) this.#close();
    this.#memory ??= most <= BLOCK_BYTES ? (this.#spare.pop() ?? newBlock(BLOCK_BYTES)) : newBlock(most);
    this.#used += this.#memory.write(line, this.#used, "utf8");
    this.#memory[this.#used] = LINE_FEED;
    this.#used += 1;
    this.#lines += 1;
    return isFull;
  }

  /** The oldest lines; there must be some. */
  take(): LineBlock {
    if (this.#full.length === 0) this.#close();
    const block = this.#full.shift();
    if (block === undefined) throw new RangeError("no line waits");
    this.#fullBytes -= block.content.length;
    this.#fullLines -= block.lines;
    return block;
  }

  /** Its lines are written: `content` must not be read any more. */
  giveBack({ memory }: LineBlock): void {
    if (memory.length === BLOCK_BYTES && this.#spare.length < MAX_SPARE) this.#spare.push(memory);
  }

  clear(): void {
    this.#full.length = 0;
    this.#memory = undefined;
    this.#used = this.#lines = this.#fullBytes = this.#fullLines = 0;
  }

  #close(): void {
    const memory = this.#memory;
    if (memory === undefined) return;
    this.#full.push({ content: memory.subarray(0, this.#used), memory, lines: this.#lines });
    this.#fullBytes += this.#used;
    this.#fullLines += this.#lines;
    this.#memory = undefined;
    this.#used = this.#lines = 0;
  }
}

/** Not of Node's pool: it is kept for long. */
function newBlock(bytes: number): Buffer {
  return Buffer.allocUnsafeSlow(bytes);
}
