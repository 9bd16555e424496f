/** What the module's numbers mean: those of a pause, and those of malformed input. @module */

export const NEED_INPUT = 0;
export const WINDOW_FULL = 1;
export const MEMBER = 2;
export const END = 3;
export const NEED_WINDOW = 4;
export const CHECKSUM = 19;
export const CONTENT_SIZE = 74;

/** Texts of the numbers that stand for malformed input (`assembly/stream.ts` names them). */
export const MALFORMED: Record<number, string> = {
  16: "it ends in the middle",
  17: "it does not begin with the format's magic number",
  18: "something follows its end",
  [CHECKSUM]: "the checksum is wrong",
  20: "a reserved bit is set",
  21: "it needs a dictionary",
  32: "a compression method that is not deflate",
  33: "the checksum of the header is wrong",
  34: "a malformed zlib header",
  35: "a block of a reserved type",
  36: "the length of a stored block and its complement differ",
  37: "too many codes",
  38: "malformed code lengths",
  39: "no code for the end of a block",
  40: "code lengths that make no code",
  41: "a code that stands for nothing",
  42: "a distance to before the beginning",
  64: "it needs a larger window than is allowed",
  65: "a block that is larger than its frame allows",
  66: "malformed literals",
  67: "malformed Huffman weights",
  68: "a table of an earlier block is wanted, and there was none",
  69: "malformed Huffman codes",
  70: "malformed sequences",
  71: "a malformed distribution",
  72: "sequences that do not end where their bits do",
  73: "an offset to before the beginning or the window",
  [CONTENT_SIZE]: "the content has another size than is announced",
};

/** Input that is not what it should be. */
export class FormatError extends Error {
  override readonly name = "FormatError";
  /** Bytes of input before the place where it was noticed. */
  readonly offset: number;
  /** The module's number for what is wrong; 0 for an archive. */
  readonly status: number;

  constructor(action: string, offset: number, status: number, why = MALFORMED[status]) {
    super(`${action}: ${why} (at byte ${offset})`);
    this.offset = offset;
    this.status = status;
  }
}
